"""What stands in the way is found on a real server; what a change breaks elsewhere is listed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from executor import obstacles, vault
from executor.breaks import breaks
from executor.connect import connect
from executor.errors import BackupRefused
from executor.locks import wanted
from executor.marker import EXECUTOR
from executor.obstacles import CONFLICTS, Point
from executor.spec import RunSpec
from tests.executor.target import DROP_STATUS, Target, spec
from tests.executor.test_resolve import stalled_standby  # noqa: F401 (a fixture)

PLAN = spec(DROP_STATUS)


def looked(target: Target, plan: RunSpec = PLAN, *, backup: bool = False) -> dict[str, Point]:
    """The checklist as the executor's login sees it, by key."""
    with contextlib.closing(connect(target.executor)) as connection:
        tables = wanted(connection, plan)
        points = [*obstacles.obstacles(connection, plan, tables, backup=backup)]
        points += breaks(connection, plan, tables)
    return {point.key: point for point in points}


@contextlib.contextmanager
def somebody(target: Target, *statements: str, name: str = "reports") -> Iterator[psycopg.Connection[Any]]:
    """Another session that has run these in a transaction and sits there."""
    with target.superuser(application_name=name) as connection:
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.execute("ROLLBACK")


def test_on_a_quiet_target_nothing_stands_in_the_way(target: Target) -> None:
    found = looked(target)
    assert {key for key, point in found.items() if point.verdict == "stop"} == set()
    assert found["locks"].says == "Nobody holds anything against the locks on 1 table."
    assert found["locks"].who == ("public.users: ACCESS EXCLUSIVE",)
    assert found["sizes"].who[0].startswith("public.users: ")
    assert found["publications"].says == "None."


def test_an_old_transaction_on_the_plan_s_table_stops_and_is_named(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with somebody(target, "SELECT count(*) FROM users") as session:
        pid = session.info.backend_pid
        young = looked(target)
        assert young["transactions"].verdict == "go"
        assert young["locks"].verdict == "look"
        monkeypatch.setattr(obstacles, "OLD_S", -1.0)
        old = looked(target)["transactions"]
    assert old.verdict == "stop"
    assert len(old.who) == 1
    (line,) = old.who
    assert line.startswith(f"pid {pid}, user ")
    assert ", reports" in line
    assert ", idle in transaction, since 20" in line
    assert line.endswith(": ACCESS SHARE on public.users")


def test_an_old_transaction_elsewhere_does_not_matter(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstacles, "OLD_S", -1.0)
    with somebody(target, "SELECT count(*) FROM wallets"):
        found = looked(target)
    assert (found["transactions"].verdict, found["locks"].verdict) == ("go", "go")


def test_a_prepared_transaction_stops_until_somebody_ends_it(target: Target) -> None:
    gid = f"forgotten {target.executor.dbname}"
    with target.superuser() as other:
        other.execute("BEGIN")
        other.execute("UPDATE users SET status = 'odd' WHERE id = 1")
        other.execute(f"PREPARE TRANSACTION '{gid}'")
    try:
        found = looked(target)["prepared"]
    finally:
        target.do(f"ROLLBACK PREPARED '{gid}'")
    assert found.verdict == "stop"
    assert f"prepared transaction '{gid}'" in found.who[0]
    assert found.who[0].endswith("ROW EXCLUSIVE on public.users")
    assert looked(target)["prepared"].verdict == "go"


def test_a_running_dump_stops_however_young_it_is(target: Target) -> None:
    with somebody(target, "LOCK TABLE users IN ACCESS SHARE MODE", name="pg_dump"):
        found = looked(target)
    assert found["maintenance"].verdict == "stop"
    assert ", pg_dump" in found["maintenance"].who[0]
    assert found["transactions"].verdict == "go"


@pytest.mark.parametrize("held", sorted(CONFLICTS, key=lambda mode: mode.strength))
def test_which_lock_keeps_which_waiting_is_as_the_server_has_it(target: Target, held: Any) -> None:
    with somebody(target, f"LOCK TABLE users IN {held.value} MODE"), target.superuser() as other:
        for asked in CONFLICTS:
            other.execute("BEGIN")
            try:
                other.execute(f"LOCK TABLE users IN {asked.value} MODE NOWAIT")
                waits = False
            except psycopg.errors.LockNotAvailable:
                waits = True
            other.execute("ROLLBACK")
            assert waits == (held in CONFLICTS[asked]), f"{asked.value} behind {held.value}"


def test_a_commit_that_would_wait_for_ever_stops(target: Target, stalled_standby: None) -> None:  # noqa: F811
    with target.superuser() as connection:
        while connection.execute("SHOW synchronous_standby_names").fetchone() != ("nobody",):
            connection.execute("SELECT pg_sleep(0.01)")
    found = looked(target)["replicas"]
    assert found.verdict == "stop"
    assert "(nobody)" in found.says


def test_without_enough_connections_nothing_starts(target: Target) -> None:
    target.do(f"ALTER ROLE {EXECUTOR} CONNECTION LIMIT 3")
    try:
        found = looked(target)["connections"]
    finally:
        target.do(f"ALTER ROLE {EXECUTOR} CONNECTION LIMIT -1")
    assert found.verdict == "stop"
    assert found.says.endswith("a run needs up to 5.")


def test_without_room_for_the_backup_nothing_starts(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(needed: int) -> None:
        raise BackupRefused(f"No room for {needed > 0}.")

    assert looked(target)["disk"].verdict == "unknown"
    assert looked(target, backup=True)["disk"].verdict == "go"
    monkeypatch.setattr(vault, "require_room", full)
    assert looked(target, backup=True)["disk"] == Point(
        "disk", "Room for the backup", "stop", "No room for True."
    )


def test_another_database_than_the_approved_one_stops(target: Target) -> None:
    found = looked(target, replace(PLAN, database_oid=1))["server"]
    assert found.verdict == "stop"
    assert "Another database answers" in found.says


def test_what_the_change_reaches_elsewhere_is_listed(target: Target) -> None:
    target.do(
        "CREATE PUBLICATION feed FOR TABLE users",
        "CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION noted()",
        "CREATE SCHEMA cron",
        "CREATE TABLE cron.job (jobid int, schedule text, command text, active bool, database text)",
        "INSERT INTO cron.job SELECT 7, '@daily', 'DELETE FROM Users', true, current_database()",
        "INSERT INTO cron.job SELECT 8, '@daily', 'DELETE FROM users_2', true, current_database()",
    )
    with target.superuser(application_name="shop"):
        found = looked(target)
        assert found["cron"].verdict == "unknown"
        target.do(f"GRANT USAGE ON SCHEMA cron TO {EXECUTOR}", f"GRANT SELECT ON cron.job TO {EXECUTOR}")
        assert looked(target)["cron"].who == ("job 7 (@daily)",)
    assert found["publications"].who == ("feed publishes users, rows identified by its primary key",)
    assert found["event_triggers"].who == ("watcher on ddl_command_end calls noted()",)
    assert any(line.startswith("shop, user ") for line in found["sessions"].who)
    assert all(point.verdict != "stop" for key, point in found.items())
