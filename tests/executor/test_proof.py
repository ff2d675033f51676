"""A proof says what happened on a real server, binds it to the texts, and claims nothing it has not seen."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator

import pytest

from executor.proof import prove
from executor.schema.replay import File, Replay
from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import Cluster

V1 = File("V1__wallets.sql", "CREATE TABLE wallets (id int PRIMARY KEY, note text, owner text)")
V2 = File("V2__tag.sql", "ALTER TABLE wallets ADD COLUMN tag text")
BACK = "ALTER TABLE wallets DROP COLUMN tag"


@pytest.fixture
def replay(scratch_cluster: Cluster) -> Iterator[Replay]:
    """The shadow of one service."""
    made = Replay(scratch_cluster.superuser_dsn(), f"service-{secrets.token_hex(4)}")
    yield made
    made.forget()


@pytest.fixture
def live(scratch_cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """`live(sql)` gives the address of a database with that schema."""
    made = Shadow(scratch_cluster.superuser_dsn())

    def fill(sql: str) -> str:
        made.apply(sql)
        return made.dsn

    yield fill
    made.drop()


def test_an_exact_way_back_is_proven_and_bound_to_the_texts(replay: Replay) -> None:
    said: list[str] = []
    proof = prove(replay, [V1, V2], BACK, say=said.append)
    assert (proof.verdict, proof.way, proof.forward_again, proof.holds) == ("exact", "up-down-up", True, True)
    assert proof.script_sha256 == hashlib.sha256(BACK.encode()).hexdigest()
    assert proof.forward_sha256 == hashlib.sha256(V2.sql.encode()).hexdigest()
    assert proof.server_version.startswith("18.")
    assert said == [
        "replay to V1__wallets.sql",
        "apply V2__tag.sql",
        "run the way back",
        "apply V2__tag.sql again",
    ]
    assert json.loads(json.dumps(proof.json()))["verdict"] == "exact"


def test_the_shadow_is_replayed_only_as_far_as_needed(replay: Replay) -> None:
    v3 = File("V3__index.sql", "CREATE INDEX by_tag ON wallets (tag)")
    assert prove(replay, [V1, V2], BACK).replayed == 1
    assert prove(replay, [V1, V2, v3], "DROP INDEX by_tag").replayed == 0
    changed = File(V1.name, V1.sql.replace("owner", "holder"))
    assert prove(replay, [changed, V2], BACK).replayed == 1


def test_another_order_of_columns_is_told_apart(replay: Replay) -> None:
    drop = File("V2__drop.sql", "ALTER TABLE wallets DROP COLUMN note")
    proof = prove(replay, [V1, drop], "ALTER TABLE wallets ADD COLUMN note text")
    assert (proof.verdict, proof.holds) == ("exact modulo column order", True)


def test_a_difference_is_shown(replay: Replay) -> None:
    forward = File("V2__two.sql", f"{V2.sql}; CREATE INDEX by_tag ON wallets (owner)")
    proof = prove(replay, [V1, forward], BACK)
    assert (proof.verdict, proof.holds) == ("differs", False)
    assert "+CREATE INDEX by_tag ON public.wallets USING btree (owner);" in proof.difference


def test_an_error_has_its_step_line_and_code(replay: Replay) -> None:
    proof = prove(replay, [V1, V2], f"BEGIN;\n{BACK};\n\nDROP TABLE\n  nowhere;\nCOMMIT;")
    assert (proof.verdict, proof.step, proof.line, proof.sqlstate) == ("error", 2, 4, "42P01")
    assert "Step 2 (line 4) fails: 42P01" in proof.reason
    assert prove(replay, [V1, V2], BACK).verdict == "exact"


def test_a_deferred_violation_is_an_error(replay: Replay) -> None:
    forward = File(
        "V2__key.sql", "CREATE TABLE uses (w int REFERENCES wallets DEFERRABLE INITIALLY DEFERRED)"
    )
    proof = prove(replay, [V1, forward], "INSERT INTO uses VALUES (9)")
    assert (proof.verdict, proof.sqlstate) == ("error", "23503")


def test_a_script_that_is_refused_is_not_run(replay: Replay) -> None:
    proof = prove(replay, [V1, V2], f"{BACK}; COMMIT; BEGIN; SELECT 1; COMMIT")
    assert proof.verdict == "error"
    assert proof.reason.startswith("The script is refused: line 1")


def test_forward_that_does_not_apply_again_does_not_hold(replay: Replay) -> None:
    forward = File("V2__row.sql", "CREATE ROLE only_once_" + secrets.token_hex(4))
    proof = prove(replay, [V1, forward], "SELECT 1")
    assert (proof.verdict, proof.forward_again, proof.holds) == ("exact", False, False)
    assert "already exists" in proof.reason


def test_roles_and_extensions_that_are_missing_are_made_and_named(replay: Replay) -> None:
    role = "teller_" + secrets.token_hex(4)
    forward = File(
        "V2__crypto.sql",
        f"CREATE EXTENSION pgcrypto; GRANT SELECT ON wallets TO {role}; {V2.sql} DEFAULT md5('x')",
    )
    script = f"{BACK}; REVOKE ALL ON wallets FROM {role}; DROP EXTENSION pgcrypto"
    proof = prove(replay, [V1, forward], script)
    assert (proof.stand_ins, proof.made_roles) == (("pgcrypto",), (role,))
    assert (
        "GRANT ALL ON TABLE public.wallets TO postgres" not in proof.difference or proof.verdict == "differs"
    )


def test_what_reaches_beyond_the_database_is_left_out_and_named(replay: Replay) -> None:
    forward = File("V2__conf.sql", f"ALTER SYSTEM SET work_mem = '9MB'; {V2.sql}")
    proof = prove(replay, [V1, forward], f"ALTER SYSTEM RESET work_mem; {BACK}")
    assert (proof.verdict, proof.beyond) == (
        "exact",
        ("ALTER SYSTEM SET work_mem = '9MB'", "ALTER SYSTEM RESET work_mem"),
    )


BROKEN = File("V1__other.sql", "CREATE TABLE wallets (id int);\nALTER TABLE of_another_service ADD x int")


def test_a_chain_that_does_not_replay_proves_nothing(replay: Replay) -> None:
    proof = prove(replay, [BROKEN, V2], BACK)
    assert (proof.verdict, proof.holds) == ("not provable", False)
    assert "V1__other.sql, line 2, column 1: 42P01" in proof.reason


def test_a_clone_of_the_live_schema_gives_the_weaker_proof(
    replay: Replay, live: Callable[[str], str]
) -> None:
    dsn = live(f"{V1.sql}; {V2.sql}")
    proof = prove(replay, [BROKEN, V2], BACK, live=dsn)
    assert (proof.verdict, proof.way, proof.holds) == ("exact", "down-up", True)
    assert "does not replay" in proof.reason
    proof = prove(replay, [BROKEN, V2], "SELECT 1", live=dsn)
    assert (proof.verdict, proof.forward_again) == ("differs", False)
    assert "already exists" in proof.reason


def test_a_migration_that_does_not_apply_proves_nothing(replay: Replay) -> None:
    proof = prove(replay, [V1, File("V2__no.sql", "ALTER TABLE nowhere ADD x int")], "SELECT 1")
    assert (proof.verdict, proof.sqlstate) == ("not provable", "42P01")
