"""The locks and command tags that the analysis claims, measured on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from approvals.analysis import LockMode, analyze
from tests.approvals.analysis.cases.locks import LOCKS, SETUP

MODES = {mode.value.title().replace(" ", "") + "Lock": mode for mode in LockMode}
EXISTING = """
SELECT oid, oid::regclass::text, relkind IN ('r', 'p', 'v', 'm') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'i')
"""
HELD = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = ANY (%s)"


@pytest.fixture(scope="module")
def database(scratch_cluster: Any) -> Iterator[str]:
    """A database with the objects that the cases need; its connection string."""
    name = "analysis_locks"
    with psycopg.connect(scratch_cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(scratch_cluster.superuser_dsn(name), autocommit=True) as connection:
            connection.execute(SETUP)
        yield scratch_cluster.superuser_dsn(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in a transaction that is taken back."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize(("before", "sql"), LOCKS, ids=[sql for _, sql in LOCKS])
def test_a_server_takes_the_locks_that_are_claimed(
    server: psycopg.Connection[Any], before: str, sql: str
) -> None:
    statement = analyze(before + sql).statements[-1]
    existing = server.execute(EXISTING).fetchall()
    server.rollback()  # what was just read is locked no more

    tag = server.execute(sql).statusmessage or ""

    names = {oid: name for oid, name, _ in existing}
    held: dict[str, LockMode] = {}
    for oid, mode in server.execute(HELD, [list(names)]).fetchall():
        held[names[oid]] = max(held.get(names[oid], MODES[mode]), MODES[mode])
    claimed = {lock.relation: lock.mode for lock in statement.locks}
    assert {name: held.get(name) for name in claimed} == claimed
    tables = {name for _, name, is_table in existing if is_table}
    forgotten = {name: mode for name, mode in held.items() if name in tables - claimed.keys()}
    assert all(mode <= LockMode.ACCESS_SHARE for mode in forgotten.values()), forgotten
    assert any(tag == each or tag.startswith(f"{each} ") for each in statement.tags), tag
