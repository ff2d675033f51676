"""Each effect of a migration has its fate, each step its use; the seed's rollbacks are found out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from executor.completeness import Completeness, Fate, Role, completeness
from executor.schema.complete.rows import BY_CODE
from executor.schema.inverse import Options
from executor.schema.prove import derive
from executor.schema.shadow import Shadow
from tests.approvals.analysis.cases.seed import CONNECTIONS, FOREIGN_KEYS, PARTITIONS
from tests.executor.schema.cases import CASES, Case
from waqiti_rollback.embedded import Cluster

PRIOR = """
    CREATE TABLE wallets (id int PRIMARY KEY, owner text, note text);
    CREATE TABLE kinds (code text PRIMARY KEY, label text);
    CREATE VIEW rich AS SELECT id FROM wallets;
    INSERT INTO kinds VALUES ('old', 'x');
"""


@pytest.fixture
def shadow(scratch_cluster: Cluster) -> Iterator[Shadow]:
    """A database right before the migration."""
    made = Shadow(scratch_cluster.superuser_dsn())
    made.apply(PRIOR)
    yield made
    made.drop()


def fates(found: Completeness) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {each.key: (each.fate.value, each.steps) for each in found.findings}


def roles(found: Completeness) -> dict[int, Role]:
    return {each.position: each.role for each in found.steps}


def test_each_effect_has_the_step_that_undoes_it(shadow: Shadow) -> None:
    forward = """ALTER TABLE wallets ADD COLUMN tag text DEFAULT 'x' NOT NULL;
                 CREATE INDEX by_owner ON wallets (owner);
                 CREATE TABLE logs (id int PRIMARY KEY, at date); CREATE INDEX ON logs (at);
                 ALTER TABLE kinds RENAME TO sorts; COMMENT ON TABLE wallets IS 'money'"""
    script = """DROP TABLE logs; DROP INDEX by_owner; ALTER TABLE wallets DROP COLUMN tag;
                ALTER TABLE sorts RENAME TO kinds; COMMENT ON TABLE wallets IS NULL"""
    found = completeness(forward, script, shadow)
    assert fates(found) == {
        "created column wallets.tag": ("undone", (3,)),
        "created index by_owner": ("undone", (2,)),
        "created table logs": ("undone", (1,)),
        "renamed table kinds to sorts": ("undone", (4,)),
        "changed comment of table wallets": ("undone", (5,)),
    }
    assert found.complete
    assert found.strangers == ()
    assert (found.method, [each.line for each in found.findings if "index" in each.key]) == ("run", [2])


def test_what_is_not_undone_blocks_until_it_is_declared(shadow: Shadow) -> None:
    forward = "CREATE TABLE logs (id int); CREATE VIEW seen AS SELECT 1 AS one"
    found = completeness(forward, "DROP TABLE logs", shadow)
    assert [each.key for each in found.not_undone] == ["created view seen"]
    assert not found.complete


def test_left_on_purpose_needs_a_reason(shadow: Shadow) -> None:
    forward = "CREATE INDEX by_owner ON wallets (owner); CREATE INDEX by_note ON wallets (note)"
    left = {"created index by_owner": "it is used by now", "created index by_note": " "}
    found = completeness(forward, "SELECT 1", shadow, left=left)
    assert {each.key: (each.fate, each.reason) for each in found.findings} == {
        "created index by_owner": (Fate.LEFT, "it is used by now"),
        "created index by_note": (Fate.NOT_UNDONE, ""),
    }


def test_a_change_that_is_undone_in_parts_only_is_not_undone(shadow: Shadow) -> None:
    forward = """ALTER TABLE wallets ALTER owner SET NOT NULL, ALTER owner SET DEFAULT 'x',
                 ALTER note TYPE varchar(9)"""
    script = "ALTER TABLE wallets ALTER owner DROP NOT NULL, ALTER note TYPE varchar(8)"
    found = completeness(forward, script, shadow)
    assert {each.key for each in found.not_undone} >= {
        "changed type of column wallets.note",
        "created default wallets.owner",
    }
    assert fates(found)["changed not null of column wallets.owner"] == ("undone", (1,))


def test_steps_that_undo_nothing_are_named(shadow: Shadow) -> None:
    script = """DROP INDEX by_owner; DROP FUNCTION IF EXISTS never_was(); DROP VIEW rich;
                CREATE TABLE copies AS SELECT * FROM wallets; DROP TABLE nowhere;
                UPDATE kinds SET label = 'y';
                SET LOCAL lock_timeout = '1s'; CREATE VIEW rich AS SELECT id FROM wallets"""
    found = completeness("CREATE INDEX by_owner ON wallets (owner)", script, shadow)
    assert roles(found) == {
        1: Role.UNDOES,
        2: Role.NOTHING,
        3: Role.HELPS,
        4: Role.FOREIGN,
        5: Role.FAILS,
        6: Role.FOREIGN,
        7: Role.HELPS,
        8: Role.HELPS,
    }
    notes = {each.position: each.note for each in found.steps}
    assert notes[2] == "function never_was() does not exist, skipping"
    assert notes[4] == "it creates table copies, which the migration did not touch"
    assert "does not exist" in notes[5]
    assert notes[6] == "it changes rows: UPDATE DATA on table kinds"
    assert not found.complete


def test_a_step_that_destroys_more_than_the_migration_made_says_so(shadow: Shadow) -> None:
    forward = "ALTER TABLE wallets ADD COLUMN tag text"
    found = completeness(forward, "ALTER TABLE wallets DROP COLUMN tag, DROP COLUMN note", shadow)
    (step,) = found.steps
    assert (step.role, step.note) == (Role.UNDOES, "it also drops column wallets.note")


def test_rows_are_part_of_it(shadow: Shadow) -> None:
    forward = (
        "INSERT INTO kinds VALUES ('new', 'y'); UPDATE kinds SET label = 'z'; ALTER TABLE wallets DROP note"
    )
    script = "DELETE FROM kinds WHERE code = 'new'; ALTER TABLE wallets ADD COLUMN note text"
    found = completeness(forward, script, shadow)
    assert fates(found) == {
        "dropped column wallets.note": ("undone", (2,)),
        "added rows to table kinds": ("undone", (1,)),
        "UPDATE DATA on table kinds": ("not undone", ()),
        "DROP COLUMN on table wallets": ("not undone", ()),
    }
    assert all("Restore from backup" in each.reason for each in found.not_undone)


def test_only_another_order_of_columns_is_left(shadow: Shadow) -> None:
    found = completeness("ALTER TABLE wallets DROP owner", "ALTER TABLE wallets ADD owner text", shadow)
    assert fates(found)["changed column order of table wallets"] == ("left on purpose", ())


def test_settings_of_the_server_are_read_and_never_run(shadow: Shadow) -> None:
    forward = """ALTER SYSTEM SET work_mem = '16MB'; ALTER SYSTEM SET max_wal_size = '2GB';
                 CREATE TABLE logs (id int); ALTER DATABASE bank SET statement_timeout = '5s'"""
    script = "ALTER SYSTEM RESET work_mem; ALTER SYSTEM SET jit = off; DROP TABLE logs"
    found = completeness(forward, script, shadow)
    assert fates(found) == {
        "created table logs": ("undone", (3,)),
        "set server setting work_mem": ("undone", (1,)),
        "set server setting max_wal_size": ("not undone", ()),
        "set database setting bank.statement_timeout": ("not undone", ()),
    }
    assert roles(found)[2] is Role.FOREIGN
    settings = shadow.connection.execute("SELECT count(*) FROM pg_file_settings WHERE name = 'work_mem'")
    assert settings.fetchone() == (0,)


def test_a_migration_that_cannot_run_is_read_and_that_is_said(shadow: Shadow) -> None:
    forward = "CREATE VIEW seen AS SELECT * FROM another_services_table; ALTER TABLE kinds RENAME TO sorts"
    found = completeness(forward, "DROP VIEW seen", shadow)
    assert found.method == "read"
    assert "another_services_table" in found.because
    assert fates(found) == {
        "created view seen": ("undone", (1,)),
        "renamed table kinds to sorts": ("not undone", ()),
    }
    assert not any(each.measured for each in found.findings)


def test_code_that_can_not_be_read_blocks() -> None:
    found = completeness("DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'x'; END $$", "SELECT 1")
    assert [each.fate for each in found.findings] == [Fate.NOT_UNDONE]


def test_neither_text_needs_to_parse() -> None:
    assert not completeness("CREATE TABEL x ()", "DROP TABLE x").complete
    found = completeness("CREATE TABLE x ()", "DROP TABEL x")
    assert not found.complete
    assert found.problems[0].startswith("line 1, column 6")


@pytest.mark.parametrize(
    ("forward", "script", "complete"),
    [
        ("CREATE TABLE t (id int); CREATE INDEX ON t (id); COMMENT ON TABLE t IS 'x'", "DROP TABLE t", True),
        ("CREATE TABLE t (id int); ALTER TABLE t RENAME TO u", "DROP TABLE u", True),
        ("CREATE TABLE t (id int); DROP TABLE t", "SELECT 1", True),
        ("ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "SELECT 1", False),
        ("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f(integer)", True),
        ("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f(text)", False),
        ("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f", True),
        ("ALTER TABLE t ADD COLUMN a int UNIQUE; CREATE INDEX ON t (a)", "ALTER TABLE t DROP COLUMN a", True),
        ("CREATE VIEW v AS SELECT 1", "DROP TABLE v", False),
        ("ALTER TABLE t ALTER a TYPE text", "ALTER TABLE t ALTER a TYPE int", True),
        ("UPDATE t SET a = 1", "DROP TABLE t", False),
        ("CREATE SCHEMA s; CREATE TABLE s.t (id int)", "DROP SCHEMA s CASCADE", True),
    ],
)
def test_by_reading(forward: str, script: str, complete: bool) -> None:
    assert completeness(forward, script).complete is complete


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_the_generated_way_back_is_complete_but_for_data(case: Case, scratch_cluster: Cluster) -> None:
    made = Shadow(scratch_cluster.superuser_dsn())
    try:
        made.apply(case.prior)
        with made.copied() as copy:
            script = derive(case.forward, made, Options.exact()).script
            found = completeness(case.forward, script, copy)
    finally:
        made.drop()
    assert found.method == "run"
    of_schema = [each for each in found.not_undone if " on table " not in each.key]
    assert [each.key for each in of_schema if each.measured] == []
    assert not any(BY_CODE in each.text for each in found.findings)
    assert [(each.sql, each.role, each.note) for each in found.strangers] == []
    assert json.loads(json.dumps(found.json()))["method"] == "run"


def test_a_way_back_that_keeps_data_has_no_strange_step(shadow: Shadow) -> None:
    forward = "ALTER TABLE wallets ADD COLUMN tag text; CREATE TABLE logs (id serial PRIMARY KEY)"
    with shadow.copied() as copy:
        script = derive(forward, shadow, Options(keep_data=True, archive_label="r1")).script
        found = completeness(forward, script, copy)
    assert found.complete
    assert [(each.sql, each.role, each.note) for each in found.strangers] == []


# The seed's three

MORE_SETTINGS = "".join(
    f"ALTER SYSTEM SET {name} = {value};"
    for name, value in (
        ("tcp_keepalives_idle", "60"),
        ("log_min_duration_statement", "1000"),
        ("log_connections", "on"),
        ("max_prepared_transactions", "100"),
    )
)


def test_the_seeds_v999_misses_settings(shadow: Shadow) -> None:
    found = completeness(CONNECTIONS.forward + MORE_SETTINGS, CONNECTIONS.script, shadow)
    assert [each.key for each in found.not_undone] == [
        "set server setting tcp_keepalives_idle",
        "set server setting log_min_duration_statement",
        "set server setting log_connections",
        "set server setting max_prepared_transactions",
    ]
    assert fates(found)["created view connection_usage_by_database"] == ("undone", (7,))


# As the public file does it: the old table steps aside, a view takes its name, and one index can't be made.
V001 = """
    CREATE TABLE transactions_partitioned (id bigint NOT NULL, number text NOT NULL, day date NOT NULL,
        PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE UNIQUE INDEX transactions_partitioned_number ON transactions_partitioned (number);
    CREATE FUNCTION create_transaction_partition(day date) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
    ALTER TABLE transactions RENAME TO transactions_old;
    CREATE VIEW transactions AS SELECT * FROM transactions_partitioned;
"""
NEVER_WAS = "the migration made no function create_monthly_partitions(text, date, integer)"


def test_the_seeds_v001_leaves_a_view_a_renamed_table_and_drops_a_function_that_never_was(
    shadow: Shadow,
) -> None:
    shadow.apply("CREATE TABLE transactions (id bigint PRIMARY KEY, number text, day date)")
    found = completeness(V001, PARTITIONS.script, shadow)
    assert (found.method, "unique constraint on partitioned table" in found.because) == ("read", True)
    lost = {each.key: each.reason for each in found.not_undone}
    assert lost["created view transactions"] == "step 2 drops a table of that name"
    assert "renamed table transactions to transactions_old" in lost
    assert "created table transactions_partitioned" in lost
    assert NEVER_WAS in [each.note for each in found.strangers]


def test_and_where_it_runs_the_same_is_seen(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE transactions (id bigint PRIMARY KEY, number text, day date)")
    found = completeness(V001.replace("(number)", "(number, day)"), PARTITIONS.script, shadow)
    assert found.method == "run"
    assert {each.key for each in found.not_undone} == {
        "created view transactions",
        "created table transactions_partitioned",
        "created function create_transaction_partition(day date)",
        "renamed table transactions to transactions_old",
    }
    by_step = {each.position: (each.role, each.note) for each in found.steps}
    assert by_step[1][0] is Role.FOREIGN
    assert by_step[2] == (Role.FAILS, '42809: "transactions" is not a table')
    assert by_step[3] == (
        Role.NOTHING,
        "function create_monthly_partitions(text,date,pg_catalog.int4) does not exist, skipping",
    )


def test_the_seeds_foreign_keys_are_undone_where_all_of_them_are_there(shadow: Shadow) -> None:
    tables = {
        "users": "id int PRIMARY KEY",
        "purses": "id int PRIMARY KEY",
        "saga_states": "saga_id int PRIMARY KEY",
        "payment_methods": "id int PRIMARY KEY",
        "verification_tokens": "user_id int REFERENCES users",
        "saga_step_states": "saga_id int",
        "fund_reservations": "wallet_id int",
        "chart_of_accounts": "id int PRIMARY KEY, parent_account_id int",
        "payments": "payment_method_id int, requestor_id int",
        "audit_events": "user_id int NOT NULL",
    }
    shadow.apply("".join(f"CREATE TABLE {name} ({columns});" for name, columns in tables.items()))
    forward = FOREIGN_KEYS.forward.replace("wallets", "purses").replace("TABLE purses", "TABLE purses_of")
    script = FOREIGN_KEYS.script.replace("wallets", "purses").replace("TABLE purses", "TABLE purses_of")
    shadow.apply("CREATE TABLE purses_of (user_id int)")
    found = completeness(forward, script, shadow)
    assert found.method == "run"
    assert "changed not null of column audit_events.user_id" in fates(found)
    assert not any("fail" in each.note for each in found.steps)
