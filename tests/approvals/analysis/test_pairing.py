"""Steps stand beside what they take back: found by names, once each, and never invented."""

from __future__ import annotations

import pytest

from approvals.analysis.pairing import Pairing, pair
from approvals.analysis.subjects import subjects


def paired(forward: list[str], back: list[str]) -> dict[int, tuple[list[int], list[int]]]:
    return {each.forward: (each.steps, each.also) for each in pair(forward, back).pairs}


@pytest.mark.parametrize(
    ("forward", "back"),
    [
        ("CREATE TABLE a (id int)", "DROP TABLE IF EXISTS public.a CASCADE"),
        ("CREATE INDEX a_x ON a (x)", "DROP INDEX a_x"),
        ("CREATE UNIQUE INDEX CONCURRENTLY a_x ON s.a (x)", "DROP INDEX s.a_x"),
        ("CREATE VIEW v AS SELECT 1", "DROP VIEW v"),
        ("CREATE SEQUENCE s", "DROP SEQUENCE s"),
        ("CREATE TABLE b AS SELECT 1", "DROP TABLE b"),
        ("ALTER TABLE a ADD COLUMN z int, ADD COLUMN q int", "ALTER TABLE a DROP COLUMN q"),
        ("ALTER TABLE a ALTER COLUMN x SET NOT NULL", "ALTER TABLE a ALTER x DROP NOT NULL"),
        ("ALTER TABLE a ALTER COLUMN x TYPE bigint", "ALTER TABLE public.a ALTER COLUMN x TYPE int"),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0)", "ALTER TABLE a DROP CONSTRAINT c"),
        ("ALTER TABLE a ADD CHECK (x > 0)", "ALTER TABLE a DROP CONSTRAINT a_x_check"),
        ("ALTER TABLE a RENAME COLUMN x TO y", "ALTER TABLE a RENAME COLUMN y TO x"),
        ("ALTER TABLE a RENAME TO b", "ALTER TABLE b RENAME TO a"),
        ("ALTER TABLE a ENABLE ROW LEVEL SECURITY", "ALTER TABLE a DISABLE ROW LEVEL SECURITY"),
        ("CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()", "DROP TRIGGER t ON a"),
        ("CREATE POLICY p ON a USING (true)", "DROP POLICY p ON a"),
        ("CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f(int)"),
        ("CREATE TYPE mood AS ENUM ('a')", "DROP TYPE mood"),
        ("CREATE DOMAIN d AS text", "DROP DOMAIN d"),
        ("CREATE EXTENSION pg_trgm", "DROP EXTENSION pg_trgm"),
        ("CREATE SCHEMA s", "DROP SCHEMA s"),
        ("INSERT INTO a VALUES (1)", "DELETE FROM a WHERE id = 1"),
        ("UPDATE a SET x = 1", "UPDATE a SET x = 0"),
        ("GRANT SELECT ON a TO b", "REVOKE SELECT ON a FROM b"),
        ("COMMENT ON TABLE a IS 'x'", "COMMENT ON TABLE a IS NULL"),
        ("ALTER SYSTEM SET work_mem = '8MB'", "ALTER SYSTEM RESET work_mem"),
    ],
)
def test_a_step_stands_beside_what_it_takes_back(forward: str, back: str) -> None:
    assert paired([forward], [back]) == {0: ([0], [])}


@pytest.mark.parametrize(
    ("forward", "back"),
    [
        ("CREATE TABLE a (id int)", "DROP TABLE b"),
        ("CREATE TABLE s.a (id int)", "DROP TABLE t.a"),
        ("CREATE TABLE a (id int)", "CREATE TABLE a (id int)"),
        ("ALTER TABLE a ADD COLUMN z int", "ALTER TABLE a DROP COLUMN q"),
        ("ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE a DROP CONSTRAINT c"),
        ("DO $$ BEGIN END $$", "DO $$ BEGIN END $$"),
        ("SELECT 1", "SELECT 1"),
        ("CREATE INDEX ON a (x)", "DROP INDEX b"),
        ("this is no SQL", "DROP TABLE a"),
    ],
)
def test_what_does_not_belong_together_stands_alone(forward: str, back: str) -> None:
    found = pair([forward], [back])
    assert (found.pairs[0].steps, found.pairs[0].also, found.alone) == ([], [], (0,))


def test_dropping_a_table_takes_along_what_was_put_on_it_and_in_it() -> None:
    forward = [
        "CREATE TABLE a (id int)",
        "CREATE INDEX a_x ON a (id)",
        "INSERT INTO a VALUES (1)",
        "ALTER TABLE other ADD COLUMN a_id int",
    ]
    assert paired(forward, ["DROP TABLE a"]) == {0: ([0], []), 1: ([], [0]), 2: ([], [0]), 3: ([], [])}


def test_a_key_that_was_replaced_is_paired_crosswise() -> None:
    drop, add = "ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE a ADD CONSTRAINT c CHECK (true)"
    assert paired([drop, add], [drop, add]) == {0: ([1], []), 1: ([0], [])}


def test_each_step_stands_once_beside_the_first_that_has_none() -> None:
    update = "UPDATE a SET x = 1"
    assert paired([update, update], [update, update]) == {0: ([0], [1]), 1: ([1], [0])}


def test_dropping_a_schema_takes_along_what_is_in_it() -> None:
    forward = ["CREATE SCHEMA s", "CREATE TABLE s.a (id int)"]
    assert paired(forward, ["DROP SCHEMA s CASCADE"]) == {0: ([0], []), 1: ([], [0])}


def test_nothing_to_pair_is_no_pair() -> None:
    assert pair([], []) == Pairing((), ())


def test_a_statement_is_read_once() -> None:
    subjects.cache_clear()
    subjects("CREATE TABLE once (id int)")
    subjects("CREATE TABLE once (id int)")
    assert subjects.cache_info().hits == 1
