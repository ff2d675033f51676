"""Where a chain does not replay, the way back is read: what the texts and the catalog say, and named gaps."""

from __future__ import annotations

import psycopg
import pytest

from executor.schema.dump import dump
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot
from executor.schema.static import ORIGIN, WEAKER, Earlier, StaticInverse, inverse_by_reading

FIRST = """
    CREATE TABLE wallets (id int PRIMARY KEY, owner varchar(40) DEFAULT 'nobody', amount numeric(9, 2));
    CREATE VIEW rich AS SELECT id FROM wallets WHERE amount > 1000;
    CREATE FUNCTION fee(a numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1 / 100';
    CREATE INDEX by_owner ON wallets (owner);
    COMMENT ON TABLE wallets IS 'money';
    ALTER TABLE wallets ADD CONSTRAINT positive CHECK (amount >= 0);
    CREATE TABLE kinds (code text PRIMARY KEY, label text);
"""
SECOND = """
    DROP VIEW rich;
    CREATE TABLE IF NOT EXISTS logs (id int, at date);
    CREATE INDEX ON logs (at);
    CREATE INDEX ON wallets (amount);
    ALTER TABLE wallets ADD COLUMN tag text;
    UPDATE wallets SET tag = 'x';
    ALTER TABLE wallets ALTER COLUMN amount TYPE numeric(12, 4), ALTER COLUMN owner SET DEFAULT 'x';
    ALTER TABLE wallets DROP CONSTRAINT positive;
    ALTER TABLE wallets ADD CONSTRAINT positive CHECK (amount > 0);
    CREATE OR REPLACE FUNCTION fee(a numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1 / 50';
    CREATE OR REPLACE FUNCTION tax(a numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1 / 5';
    DROP INDEX by_owner;
    ALTER TABLE kinds RENAME COLUMN label TO title;
    COMMENT ON TABLE wallets IS 'much money';
    COMMENT ON TABLE kinds IS 'sorts';
    INSERT INTO kinds VALUES ('a', 'x');
    ALTER TABLE kinds ENABLE ROW LEVEL SECURITY;
"""


def read_behind(shadow: Shadow, forward: str, *earlier: str) -> StaticInverse:
    """The static way back of a file that stands on the shadow."""
    for text in (*earlier, forward):
        shadow.apply(text)
    chain = Earlier.of((f"V{number}.sql", text) for number, text in enumerate(earlier, start=1))
    return inverse_by_reading(forward, snapshot(shadow.connection), chain)


def test_it_leads_back_where_texts_and_catalog_say_all(shadow: Shadow) -> None:
    shadow.apply(FIRST)
    before = dump(shadow.dsn)
    shadow.apply(SECOND)
    chain = Earlier.of([("V1__first.sql", FIRST)])
    inverse = inverse_by_reading(SECOND, snapshot(shadow.connection), chain)
    assert inverse.todos == ()
    assert inverse.script.startswith(f"-- {WEAKER}")
    assert inverse.origin == ORIGIN
    assert "-- As it was in V1__first.sql" in inverse.script
    shadow.apply(inverse.script)
    assert dump(shadow.dsn) == before
    assert shadow.connection.execute("SELECT * FROM kinds").fetchall() == []


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        ("ALTER TABLE wallets ALTER owner TYPE text", "its former type is not in the file"),
        ("DROP TABLE kinds", "Its data are in a backup only."),
        ("CREATE TABLE IF NOT EXISTS kinds (a int)", "IF NOT EXISTS: it may have been there before"),
        ("ALTER TABLE wallets ADD COLUMN IF NOT EXISTS owner text", "IF NOT EXISTS: it may have been there"),
        ("CREATE OR REPLACE VIEW rich AS SELECT 1 AS id", "whether it replaced another definition"),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'kinds'; END $$", "without running it"),
        ("DO $$ BEGIN IF true THEN DROP TABLE kinds; END IF; END $$", "whether code ran it"),
        ("UPDATE kinds SET label = 'y'", "the former values of label are overwritten"),
        ("GRANT SELECT ON kinds TO PUBLIC", "its former grants is not in the file"),
        ("ALTER TYPE mood ADD VALUE 'ill'", "an enum's value can't be dropped"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "which value work_mem had before"),
    ],
)
def test_a_gap_is_named_and_stops_the_script(shadow: Shadow, forward: str, why: str) -> None:
    shadow.apply(FIRST + "CREATE TYPE mood AS ENUM ('well')")
    live = snapshot(shadow.connection)
    inverse = inverse_by_reading(f"SELECT 1;\n  {forward}", live)
    (todo,) = inverse.todos
    assert why in todo.why
    assert (todo.line, todo.column) == (2, 3)
    with pytest.raises(psycopg.errors.RaiseException, match="TODO line 2, column 3"):
        shadow.connection.execute(inverse.script)


def test_what_something_else_needs_is_not_dropped(shadow: Shadow) -> None:
    forward = "CREATE TABLE logs (id int)"
    shadow.apply(forward + "; CREATE VIEW later AS SELECT id FROM logs")
    inverse = inverse_by_reading(forward, snapshot(shadow.connection), Earlier())
    assert [todo.why for todo in inverse.todos] == [
        "view public.later needs it and was made by something else"
    ]


def test_what_is_gone_from_the_target_is_said(shadow: Shadow) -> None:
    inverse = inverse_by_reading("CREATE TABLE logs (id int)", snapshot(shadow.connection), Earlier())
    assert [todo.why for todo in inverse.todos] == ["the target's catalog has no such object any more"]


def test_a_file_that_does_not_parse_is_one_gap_with_its_place() -> None:
    inverse = inverse_by_reading("CREATE TABLE a (id int);\nCREATE TABEL b ()")
    assert [(todo.line, todo.column) for todo in inverse.todos] == [(2, 8)]


def test_an_earlier_file_that_does_not_parse_was_never_applied() -> None:
    chain = Earlier.of(
        [("V1.sql", "CREATE TABLE a (id INT AUTO_INCREMENT)"), ("V2.sql", "CREATE TABLE b (id int)")]
    )
    assert not chain.may_have("table", ("public", "a"))
    assert chain.may_have("table", ("public", "b"))


def test_a_file_that_puts_sql_together_may_have_made_any_table() -> None:
    chain = Earlier.of([("V1.sql", "DO $$ BEGIN EXECUTE 'CREATE TABLE t' || 1 || '(a int)'; END $$")])
    assert chain.may_have("table", ("public", "b"))
    assert not chain.may_have("index", ("public", "b_idx"))
