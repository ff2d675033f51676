"""What is true on a target right now, exactly where there is time for it and as an estimate where not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from executor.connect import Connection, connect
from executor.facts import Dependent, current_version, read_history, table_facts, values
from tests.executor.target import Target


@pytest.fixture
def reader(target: Target) -> Iterator[Connection]:
    """A connection of the backup role, which reads everything."""
    with contextlib.closing(connect(target.backup)) as connection:
        yield connection


def test_the_history_and_its_version(reader: Connection) -> None:
    rows = read_history(reader, "public", "flyway_schema_history")
    assert [row.version for row in rows] == ["1", "2", "3"]
    assert str(current_version(rows)) == "3"
    assert current_version([]) is None


def test_tables_are_counted_measured_and_their_dependents_named(target: Target, reader: Connection) -> None:
    target.do(
        "CREATE VIEW richest AS SELECT * FROM rich ORDER BY balance DESC LIMIT 1",
        "CREATE MATERIALIZED VIEW totals AS SELECT sum(balance) FROM wallets",
        "CREATE FUNCTION owner_of(w wallets) RETURNS int LANGUAGE sql AS 'SELECT $1.user_id'",
        "CREATE FUNCTION richest_id() RETURNS int BEGIN ATOMIC SELECT id FROM richest; END",
    )
    users, wallets, view, missing = table_facts(reader, ["users", "public.wallets", "rich", "no_such"])
    assert (users.rows, users.exact, users.name) == (100, True, "public.users")
    assert users.bytes >= 8192
    assert users.dependents == (Dependent("foreign key", "wallets_user of wallets"),)
    assert set(wallets.dependents) == {
        Dependent("view", "rich"),
        Dependent("view", "richest"),
        Dependent("materialized view", "totals"),
        Dependent("function", "owner_of(wallets)"),
        Dependent("function", "richest_id()"),
    }
    assert view.rows is None
    assert (missing.name, missing.rows) == (None, None)


def test_a_partitioned_table_is_as_large_as_its_partitions(target: Target, reader: Connection) -> None:
    target.do(
        "CREATE TABLE events (id int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE events_now PARTITION OF events DEFAULT",
        "INSERT INTO events SELECT id, '2026-01-01' FROM generate_series(1, 1000) id",
    )
    events, now = table_facts(reader, ["events", "events_now"])
    assert (events.rows, events.bytes) == (1000, now.bytes)
    assert now.bytes >= 8192


def test_without_time_there_is_an_estimate_with_its_date(target: Target, reader: Connection) -> None:
    target.do(
        "CREATE TABLE quiet (id int) WITH (autovacuum_enabled = false)",
        "INSERT INTO quiet SELECT generate_series(1, 100)",
    )
    (never,) = table_facts(reader, ["quiet"], exact_s=0)
    assert (never.rows, never.exact, never.estimated_at) == (None, False, None)
    target.do("ANALYZE quiet")
    (estimate,) = table_facts(reader, ["quiet"], exact_s=0)
    assert (estimate.rows, estimate.exact) == (100, False)
    assert estimate.estimated_at is not None
    (exact,) = table_facts(reader, ["quiet"])
    assert (exact.rows, exact.exact, exact.estimated_at) == (100, True, None)


def test_values_of_a_column(target: Target, reader: Connection) -> None:
    target.do("UPDATE users SET status = NULL WHERE id > 60", 'ALTER TABLE users ADD "Odd" int')
    found = values(reader, [("users", "status"), ("users", '"Odd"'), ("users", "gone"), ("gone", "x")])
    assert found == {
        ("users", "status"): 60,
        ("users", '"Odd"'): 0,
        ("users", "gone"): None,
        ("gone", "x"): None,
    }
    assert values(reader, [("users", "status")], exact_s=0) == {("users", "status"): None}


def test_row_security_hides_nothing(target: Target) -> None:
    target.do(
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE users FORCE ROW LEVEL SECURITY",
        "CREATE ROLE curious LOGIN PASSWORD 'curious'",
        "GRANT SELECT ON users TO curious",
    )
    try:
        with contextlib.closing(connect(target.backup)) as connection:
            assert table_facts(connection, ["users"])[0].rows == 100
        with (
            contextlib.closing(
                connect(replace(target.backup, user="curious", password="curious"))
            ) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            table_facts(connection, ["users"])
    finally:
        target.do("DROP OWNED BY curious", "DROP ROLE curious")


def test_the_connection_is_left_as_it_was(reader: Connection) -> None:
    before = reader.execute("SHOW search_path").fetchone()
    table_facts(reader, ["users"])
    assert reader.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert reader.execute("SHOW search_path").fetchone() == before
