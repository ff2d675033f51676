"""Forward again behind the way back: where it fails, the statement and what stands in its way are named."""

from __future__ import annotations

import psycopg
import pytest

from executor.examine import examine
from executor.schema.again import Stays, not_again, reached
from executor.schema.generate import generate
from executor.schema.prove import derive
from executor.schema.replay import File, Replay
from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import Cluster

KINDS = """
    CREATE TABLE kinds (code text PRIMARY KEY, label text);
    CREATE TABLE uses (id int PRIMARY KEY, kind text REFERENCES kinds);
    CREATE TABLE logs (id int, a int, b int);
    INSERT INTO kinds VALUES ('old', 'x');
    INSERT INTO uses VALUES (1, 'old'); INSERT INTO logs VALUES (1, 2, 3)
"""
ADDED = "INSERT INTO kinds VALUES ('new'); UPDATE uses SET kind = 'new' WHERE kind = 'old';"
MERGED = """
ALTER TABLE logs ADD COLUMN c int;
UPDATE logs SET c = coalesce(a, b);
ALTER TABLE logs ALTER COLUMN c SET NOT NULL, DROP COLUMN a, DROP COLUMN b;
"""
SUMMED = """
CREATE TABLE sums (id int, n int NOT NULL);
INSERT INTO sums SELECT id, max(b) FROM logs GROUP BY id;
ALTER TABLE logs DROP COLUMN b;
"""


@pytest.mark.parametrize(
    ("forward", "place", "sqlstate", "cause"),
    [
        (ADDED, (1, 1), "23505", "line 1: INSERT DATA on public.kinds: they can't be taken away"),
        (MERGED, (4, 1), "23502", "DROP COLUMN on public.logs: a comes back without its values"),
        (SUMMED, (3, 1), "23502", "DROP COLUMN on public.logs: b comes back without its values"),
    ],
)
def test_what_was_announced_as_not_undone_is_the_cause(
    shadow: Shadow, forward: str, place: tuple[int, int], sqlstate: str, cause: str
) -> None:
    shadow.apply(KINDS)
    way = derive(forward, shadow)
    assert way.verdict == "exact"
    shadow.apply(way.script)
    with pytest.raises(psycopg.Error) as raised:
        shadow.apply(forward)
    found = not_again(shadow, forward, raised.value)
    assert ((found.line, found.column), found.sqlstate) == (place, sqlstate)
    assert cause in found.causes(map(Stays.of, way.from_backup))[0]
    assert f"stands in the way: {found.causes(map(Stays.of, way.from_backup))[0]}" in found.told(
        map(Stays.of, way.from_backup)
    )


def test_what_is_about_other_tables_is_no_cause(shadow: Shadow) -> None:
    shadow.apply(KINDS)
    with pytest.raises(psycopg.Error) as raised:
        shadow.apply("INSERT INTO kinds VALUES ('old')")
    found = not_again(shadow, "INSERT INTO kinds VALUES ('old')", raised.value)
    assert found.causes([Stays("public.uses", "x"), Stays("public.logs", "y")]) == ()
    assert found.told([]) == (
        'line 1, column 1: 23505 duplicate key value violates unique constraint "kinds_pkey"'
    )


def test_rows_are_followed_through_earlier_statements_of_the_file() -> None:
    text = "INSERT INTO a SELECT * FROM s.b; UPDATE d SET x = 1;"
    text += "DO $$ BEGIN UPDATE c SET x = 1 FROM a; END $$;\n"
    assert reached(f"{text}ALTER TABLE c ADD UNIQUE (x)", (2, 1)) == {("", "a"), ("s", "b"), ("", "c")}
    assert reached("no SQL at all", (1, 1)) == set()


def test_the_proof_says_so_of_tables_with_rows_though_the_chain_makes_none(scratch_cluster: Cluster) -> None:
    replay = Replay(scratch_cluster.superuser_dsn(), "test of going forward again")
    replay.forget()
    chain = [File("V1.sql", KINDS.partition("INSERT")[0]), File("V2.sql", MERGED)]
    try:
        found = examine(replay, chain, generate(replay, chain).script)
        assert (found.proof.verdict, found.proof.forward_again) == ("exact", True)
        told = found.proof.with_rows
        assert "does not apply again on tables with rows: line 4, column 1: 23502" in told
        assert "DROP COLUMN on table logs: a comes back without its values" in told
        assert found.completeness.json()["notes"][-1] == found.completeness.again
        harmless = [chain[0], File("V2.sql", "UPDATE kinds SET label = 'y'; ALTER TABLE logs DROP COLUMN a")]
        found = examine(replay, harmless, generate(replay, harmless).script)
        assert (found.completeness.again, found.proof.with_rows) == ("", "")
    finally:
        replay.forget()


def test_a_proof_that_fails_forward_again_names_what_stands_in_the_way(scratch_cluster: Cluster) -> None:
    replay = Replay(scratch_cluster.superuser_dsn(), "test of going forward again, too")
    replay.forget()
    chain = [File("V1.sql", KINDS), File("V2.sql", MERGED)]
    try:
        proof = examine(replay, chain, generate(replay, chain).script).proof
        assert (proof.verdict, proof.forward_again, proof.holds) == ("exact", False, False)
        assert proof.reason.startswith("It does not apply again: V2.sql, line 4, column 1: 23502")
        assert "DROP COLUMN on table logs: a comes back without its values" in proof.reason
    finally:
        replay.forget()


def test_rows_that_a_trigger_changed_as_they_came_are_told_by_their_other_values(shadow: Shadow) -> None:
    """A table without a key, whose rows get the time of their last change from a trigger."""
    shadow.apply(
        """CREATE TABLE kinds (code text PRIMARY KEY);
           CREATE TABLE seen (kind text REFERENCES kinds, who text, "At" timestamp, n int);
           CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF new.n = 1 THEN NEW."At" := clock_timestamp(); END IF; RETURN NEW; END $$;
           CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION touch()"""
    )
    forward = """INSERT INTO kinds VALUES ('new');
                 INSERT INTO seen VALUES ('new', 'ada', '2020-01-01', 1);"""
    way = derive(forward, shadow)
    assert (way.from_backup, "n = 1 AND" in way.script, '"At"' in way.script) == ((), True, False)
    shadow.apply(way.script)
    shadow.apply(forward)
