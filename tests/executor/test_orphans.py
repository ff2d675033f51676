"""A script that ran with foreign-key triggers off must leave every key whole; orphans are counted."""

from __future__ import annotations

import pytest

from executor.spec import Outcome
from tests.executor.target import Target, spec

LEAVE_ORPHANS = ("DELETE FROM users WHERE id IN (3, 4)", "DELETE")


@pytest.fixture
def allowed(target: Target) -> Target:
    """A target whose executor may ask for session_replication_role."""
    target.do("GRANT SET ON PARAMETER session_replication_role TO waqiti_rollback_executor")
    return target


@pytest.fixture(autouse=True)
def taken_back(target: Target) -> object:
    """The grant is the cluster's, not the database's."""
    yield
    target.do("REVOKE SET ON PARAMETER session_replication_role FROM waqiti_rollback_executor")


def test_without_the_grant_the_replica_role_has_no_effect(target: Target) -> None:
    result = target.run(spec(LEAVE_ORPHANS, replica_role=True))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "42501"


def test_orphans_are_counted_and_block_the_commit(allowed: Target) -> None:
    before = allowed.fingerprint()
    result = allowed.run(spec(LEAVE_ORPHANS, replica_role=True, locks=(("users", "ROW EXCLUSIVE"),)))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "2 rows of public.wallets have no counterpart in public.users (wallets_user)" in result.sentence
    assert allowed.fingerprint() == before


def test_a_script_that_leaves_no_orphans_commits_and_skipped_the_triggers(allowed: Target) -> None:
    allowed.do("ALTER TABLE wallets ALTER CONSTRAINT wallets_user NOT DEFERRABLE")
    both = (("DELETE FROM users WHERE id = 3", "DELETE"), ("DELETE FROM wallets WHERE user_id = 3", "DELETE"))
    assert allowed.run(spec(*both)).outcome is Outcome.ROLLED_BACK
    result = allowed.run(spec(*both, replica_role=True))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence


def test_a_do_block_cannot_switch_triggers_off_in_secret(allowed: Target) -> None:
    before = allowed.fingerprint()
    secret = """DO $$ BEGIN
        RESET ROLE; SET LOCAL session_replication_role = replica; SET LOCAL ROLE wallet_owner;
        DELETE FROM users WHERE id = 9; {} END $$"""
    left_on = allowed.run(spec((secret.format(""), "DO")))
    assert left_on.outcome is Outcome.ROLLED_BACK
    assert "session_replication_role" in left_on.sentence
    undone = "RESET ROLE; SET LOCAL session_replication_role = origin;"
    hidden = allowed.run(spec((secret.format(undone), "DO")))
    assert hidden.outcome is Outcome.ROLLED_BACK
    assert "1 rows of public.wallets" in hidden.sentence
    assert allowed.fingerprint() == before


@pytest.mark.parametrize(
    ("schema", "script", "orphans"),
    [
        (  # several columns, some NULL: MATCH SIMPLE lets them pass
            """CREATE TABLE a (x int, y int, PRIMARY KEY (x, y));
               CREATE TABLE b (x int, y int, CONSTRAINT key FOREIGN KEY (x, y) REFERENCES a);""",
            "INSERT INTO b VALUES (1, NULL), (NULL, NULL), (1, 2)",
            1,
        ),
        (  # MATCH FULL doesn't
            """CREATE TABLE a (x int, y int, PRIMARY KEY (x, y));
               CREATE TABLE b (x int, y int, CONSTRAINT key FOREIGN KEY (x, y) REFERENCES a MATCH FULL);""",
            "INSERT INTO b VALUES (1, NULL), (NULL, NULL), (1, 2)",
            2,
        ),
        (  # a partition is written to, the key is its parent's
            """CREATE TABLE a (x int PRIMARY KEY);
               CREATE TABLE b (x int, CONSTRAINT key FOREIGN KEY (x) REFERENCES a) PARTITION BY LIST (x);
               CREATE TABLE b1 PARTITION OF b FOR VALUES IN (1);""",
            "INSERT INTO b1 VALUES (1)",
            1,
        ),
        (  # odd names, and types that differ
            """CREATE TABLE a ("Key %" bigint PRIMARY KEY);
               CREATE TABLE "B q" (x int CONSTRAINT key REFERENCES a);""",
            'INSERT INTO "B q" VALUES (7)',
            1,
        ),
        (  # a table that refers to itself
            "CREATE TABLE b (x int PRIMARY KEY, up int CONSTRAINT key REFERENCES b);",
            "INSERT INTO b VALUES (1, 1), (2, 5)",
            1,
        ),
    ],
)
def test_every_shape_of_key_is_looked_at(allowed: Target, schema: str, script: str, orphans: int) -> None:
    allowed.do("SET ROLE wallet_owner; " + schema)
    result = allowed.run(spec((script, "INSERT"), replica_role=True, locks=()))
    assert result.outcome is Outcome.ROLLED_BACK
    assert f"{orphans} rows of public." in result.sentence


def test_keys_of_tables_that_were_not_touched_are_left_alone(allowed: Target) -> None:
    """Old orphans elsewhere are not this rollback's business, nor is a key never validated."""
    allowed.do(
        "CREATE TABLE other (user_id int)",
        "INSERT INTO other VALUES (4711)",
        "ALTER TABLE other ADD CONSTRAINT loose FOREIGN KEY (user_id) REFERENCES users NOT VALID",
        "ALTER TABLE other OWNER TO wallet_owner",
    )
    result = allowed.run(spec(("UPDATE users SET status = 'x'", "UPDATE"), replica_role=True))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
