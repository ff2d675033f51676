"""The generator runs what runs, reads what does not, and says which."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from executor.drafts import script_of
from executor.examine import examine
from executor.proof import AS_DECLARED, prove
from executor.schema.generate import generate, generate_all
from executor.schema.inverse import Options, undo
from executor.schema.replay import File, Replay
from executor.schema.shadow import Shadow
from executor.schema.sizes import sizes
from executor.schema.snapshot import snapshot
from waqiti_rollback.embedded import Cluster

CHAIN = [
    File("V1__wallets.sql", "CREATE TABLE wallets (id int PRIMARY KEY, note text)"),
    File("V2__tag.sql", "ALTER TABLE wallets ADD COLUMN tag text; INSERT INTO wallets (id) VALUES (1)"),
    File("V3__drop.sql", "ALTER TABLE wallets DROP COLUMN note"),
]


@pytest.fixture
def replay(scratch_cluster: Cluster) -> Iterator[Replay]:
    """The shadow of one service."""
    made = Replay(scratch_cluster.superuser_dsn(), f"service-{secrets.token_hex(4)}")
    yield made
    made.forget()


def test_every_file_of_a_chain_gets_its_way_back_which_is_proven(replay: Replay) -> None:
    made = list(generate_all(replay, CHAIN))
    assert [(file.name, each.origin, each.gaps) for file, each in made] == [
        ("V1__wallets.sql", "by running", ()),
        ("V2__tag.sql", "by running", ()),
        ("V3__drop.sql", "by running", ()),
    ]
    verdicts = [
        prove(replay, CHAIN[:number], each.script).verdict for number, (_, each) in enumerate(made, start=1)
    ]
    assert verdicts == ["exact", "exact", "exact modulo column order"]
    assert "DELETE FROM public.wallets WHERE id = 1;" in made[1][1].script
    assert "Restore from backup" in str(made[2][1].from_backup[0])
    assert json.loads(json.dumps(made[2][1].json()))["choices"][0]["subject"] == "public.wallets"


def test_a_small_table_is_written_anew_and_a_large_one_is_not(replay: Replay, shadow: Shadow) -> None:
    chain = [
        File("V1__t.sql", "CREATE TABLE t (a int, b text, c int)"),
        File("V2__a.sql", "ALTER TABLE t DROP a"),
    ]
    shadow.apply("CREATE TABLE t (b text, c int); CREATE TABLE u (c int)")
    small = generate(replay, chain, live=shadow.dsn)
    assert (small.verdict, small.choices[0].taken) == ("exact", "rebuild")
    shadow.apply("INSERT INTO t SELECT repeat('x', 500), n FROM generate_series(1, 100) AS n")
    large = generate(replay, chain, Options(rebuild_below=16384), live=shadow.dsn)
    assert (large.verdict, large.choices[0].taken) == ("exact modulo column order", "append")
    assert "for about 0.1 s (0.1 MB)" in dict(large.choices[0].ways)["rebuild"]
    assert generate(replay, chain).choices[0].taken == "append"  # nobody knows how large it is


def test_tables_whose_keys_are_checked_again_count_for_the_size(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TABLE t (a int, id int PRIMARY KEY); CREATE TABLE u (t int REFERENCES t);
           INSERT INTO t VALUES (1, 1); INSERT INTO u SELECT 1 FROM generate_series(1, 5000)"""
    )
    before = snapshot(shadow.connection)
    shadow.apply("ALTER TABLE t DROP COLUMN a; ALTER TABLE u RENAME TO w")
    for limit, verdict in ((100_000, "exact modulo column order"), (1_000_000, "exact")):
        options = Options(sizes=sizes(shadow.connection), rebuild_below=limit)
        assert undo(shadow.connection, before, None, options).verdict == verdict


def test_what_stays_by_choice_is_declared_as_completeness_calls_it(replay: Replay) -> None:
    chain = [
        File("V1.sql", "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (m mood)"),
        File("V2.sql", "ALTER TYPE mood ADD VALUE 'grim'; ALTER TABLE t ADD COLUMN n int"),
    ]
    found = generate(replay, chain, Options(enum_value="leave"))
    assert found.script.endswith("ALTER TABLE public.t DROP COLUMN n;\n")
    assert dict(found.left) == {
        "changed labels of type mood": "Chosen when it was generated: grim stays. No row of before has it; "
        "rows may by now."
    }
    examined = examine(replay, chain, found.script, left=dict(found.left))
    assert examined.completeness.complete
    assert examined.proof.verdict == AS_DECLARED
    assert generate(replay, chain).left == ()


def test_where_all_of_it_stays_by_choice_the_script_says_so_and_only_the_history_changes(
    replay: Replay,
) -> None:
    chain = [
        File("V1.sql", "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (m mood)"),
        File("V2.sql", "ALTER TYPE mood ADD VALUE 'gr''im'"),
    ]
    found = generate(replay, chain, Options(enum_value="leave"))
    assert found.script == ""
    script = script_of(found)
    assert "SELECT 'Nothing is undone, by choice: changed labels of type mood' AS nothing_to_undo;" in script
    assert "unless it says IF NOT EXISTS" in script
    examined = examine(replay, chain, script, left=dict(found.left))
    assert examined.completeness.complete
    assert examined.proof.verdict == AS_DECLARED
    assert not examine(replay, chain, script).completeness.complete


def test_a_migration_that_changes_nothing_gets_a_script_that_says_so(replay: Replay) -> None:
    nothing = [File("V1.sql", "ANALYZE")]
    script = script_of(generate(replay, nothing))
    assert "the migration changed nothing that lasts" in script
    examined = examine(replay, nothing, script)
    assert (examined.completeness.complete, examined.proof.verdict) == (True, "exact")
    changed = [File("V1.sql", "CREATE TABLE t (id int)"), File("V2.sql", "UPDATE t SET id = 1")]
    assert script_of(generate(replay, changed)) == ""


def test_settings_of_the_server_are_gaps(replay: Replay) -> None:
    made = generate(
        replay, [File("V1__conf.sql", "ALTER SYSTEM SET\n work_mem = '9MB'; CREATE TABLE t (id int)")]
    )
    assert made.gaps == ("ALTER SYSTEM SET work_mem = '9MB': what it was before is not known",)
    assert (
        made.script
        == "-- Drop tables\n-- Data that goes: table public.t with all its rows\nDROP TABLE public.t;\n"
    )
    assert made.verdict == "refused"


def test_a_chain_that_does_not_replay_is_read_with_the_live_catalog(replay: Replay, shadow: Shadow) -> None:
    chain = [
        File("V1__other.sql", "CREATE INDEX ON of_another_service (id)"),
        File(
            "V2__logs.sql",
            "CREATE TABLE logs (at date); CREATE INDEX ON logs (at); CREATE INDEX ON users (name)",
        ),
    ]
    shadow.apply("CREATE TABLE users (name text); CREATE TABLE flyway_schema_history (version text)")
    shadow.apply(chain[1].sql)
    made = generate(replay, chain, live=shadow.dsn)
    assert (made.origin, made.gaps) == ("by reading", ())
    assert made.because.startswith("V1__other.sql, line 1, column 1: 42P01")
    assert "DROP INDEX public.users_name_idx;" in made.script
    assert "DROP TABLE public.logs;" in made.script
    proof = prove(replay, chain, made.script, live=shadow.dsn)
    assert (proof.verdict, proof.way) == ("exact", "down-up")
