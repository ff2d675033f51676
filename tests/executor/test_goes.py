"""What goes is told of every statement that takes or overwrites data, counted on the target itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from approvals.analysis import plan_script
from executor.connect import Connection, connect
from executor.facts import TableFacts
from executor.goes import Known, counted
from executor.schema.objects import Snapshot
from executor.schema.snapshot import snapshot
from tests.executor.target import Target


@pytest.fixture
def reader(target: Target) -> Iterator[Connection]:
    """A connection of the backup role, which reads everything."""
    with contextlib.closing(connect(target.backup)) as connection:
        yield connection


def gone(reader: Connection, script: str, known: Known | None = None) -> list[dict[str, Any]]:
    def live() -> Snapshot:
        with reader.transaction():
            return snapshot(reader)

    plan = plan_script(script)
    return counted(reader, [("V4", plan)], live, search_path="public", known=known or Known())


def short(entries: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(each["name"] or each["places"][0], each["count"]) for each in entries]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("DELETE FROM wallets WHERE balance > 1980;", [("wallets", 1)]),
        ("DELETE FROM wallets w USING users u WHERE w.user_id = u.id AND u.id > 98;", [("wallets", 2)]),
        ("UPDATE users SET status = NULL WHERE id < 5;", [("users.status", 4)]),
        ("DELETE FROM wallets WHERE id = 1;\nDELETE FROM wallets WHERE id IN (2, 3);", [("wallets", 3)]),
        ("DELETE FROM wallets WHERE id = 1;\nDROP TABLE wallets CASCADE;", [("wallets", 100)]),
        ("TRUNCATE users CASCADE;", [("users", 100), ("wallets", 100)]),
        ("SELECT pg_temp.clean();", [("V4, line 1", None)]),
        ("\nDELETE FROM wallets WHERE id = own();", [("V4, line 2", None)]),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'wallets'; END $$;", [("V4, line 1", None)]),
        ("ALTER TYPE pair DROP ATTRIBUTE b;", [("pair.b", None)]),
        ("DELETE FROM users WHERE id > 100;", []),
        ("DROP VIEW rich; DROP INDEX wallets_by_user;", []),
        ("CREATE TABLE fresh (id int);\nDELETE FROM fresh WHERE id = 1;\nDROP TABLE fresh;", []),
    ],
)
def test_each_statement_that_takes_data_is_told(
    target: Target, reader: Connection, script: str, found: list[tuple[str, int | None]]
) -> None:
    target.do("CREATE TYPE pair AS (a int, b text)")
    assert short(gone(reader, script)) == found


def test_rows_that_a_foreign_key_takes_along_are_told(target: Target, reader: Connection) -> None:
    target.do(
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user, ADD CONSTRAINT wallets_user"
        " FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE"
    )
    users, wallets = gone(reader, "DELETE FROM users WHERE id <= 7;")
    assert (users["count"], users["condition"], users["places"]) == (7, "id <= 7", ["V4, line 1"])
    assert (wallets["name"], wallets["count"], wallets["exact"]) == ("wallets", 7, True)
    assert (users["along"], wallets["along"]) == (False, True)


def test_what_was_counted_already_is_not_counted_again(reader: Connection) -> None:
    known = Known.of([TableFacts("wallets", "public.wallets", 12, exact=True)], {("wallets", "balance"): 3})
    assert short(gone(reader, "DROP TABLE wallets CASCADE;", known)) == [("wallets", 12)]
    assert short(gone(reader, "ALTER TABLE wallets DROP COLUMN balance CASCADE;", known)) == [
        ("wallets.balance", 3)
    ]


def test_where_it_can_not_be_read_it_says_so_and_never_that_nothing_goes(target: Target) -> None:
    target.do("CREATE ROLE curious LOGIN PASSWORD 'curious'")
    try:
        with contextlib.closing(connect(replace(target.backup, user="curious", password="curious"))) as other:
            (entry,) = gone(other, "DELETE FROM wallets WHERE id = 1;")
    finally:
        target.do("DROP ROLE curious")
    assert (entry["kind"], entry["count"]) == ("unknown", None)
    assert "permission denied for table wallets" in entry["unknown"]


def test_the_connection_is_left_as_it_was(reader: Connection) -> None:
    before = reader.execute("SHOW search_path").fetchone()
    gone(reader, "DELETE FROM wallets WHERE id = 1;")
    assert reader.execute("SHOW search_path").fetchone() == before
