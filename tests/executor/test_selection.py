"""A dump of some tables holds exactly the rows that a script touches or destroys, and it restores."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import psycopg
import pytest

from approvals import analysis
from approvals.analysis.losses import Losses, losses
from executor import backup, selection
from executor.connect import Endpoint
from executor.errors import BackupRefused
from executor.restore import create_database, drop_database, restore
from tests.executor.target import Target
from tests.executor.test_backup import scratch  # noqa: F401
from waqiti_rollback.embedded import Cluster

HISTORY = ("public", "flyway_schema_history")
ESTATE = (
    'CREATE TABLE "odd ""one" (id int PRIMARY KEY, wallet int)',
    'ALTER TABLE "odd ""one" ADD CONSTRAINT akey FOREIGN KEY (wallet) REFERENCES wallets ON DELETE CASCADE',
    'INSERT INTO "odd ""one" SELECT n, n FROM generate_series(1, 7) n',
    "CREATE TABLE days (d date, n int) PARTITION BY RANGE (d)",
    "CREATE TABLE day1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "INSERT INTO days VALUES ('2026-01-05', 1)",
    "CREATE MATERIALIZED VIEW poor AS SELECT * FROM users WHERE status IS NULL",
)
USERS, WALLETS, ODD = "public.users", "public.wallets", 'public."odd ""one"'


def picking(relations: list[str]) -> backup.Select:
    return partial(
        selection.lost, losses=Losses(), relations=relations, search_path="public", history=HISTORY
    )


def chosen(target: Target, script: str) -> selection.Selection:
    with contextlib.closing(target.superuser()) as connection, connection.transaction():
        found = losses(analysis.plan_script(script))
        assert not found.hidden
        return selection.lost(connection, found, search_path="public", history=HISTORY)


@pytest.mark.parametrize(
    ("script", "tables"),
    [
        ("DROP TABLE wallets", {WALLETS}),
        ("ALTER TABLE users DROP COLUMN status", {USERS}),
        ("DELETE FROM wallets WHERE id = 1", {WALLETS, ODD}),
        ("UPDATE users SET status = 'x'", {USERS}),
        ("TRUNCATE users CASCADE", {USERS, WALLETS, ODD}),
        ("DROP TABLE days", {"public.day1"}),
        ("ALTER TABLE wallets ALTER balance TYPE numeric(10, 2)", {WALLETS}),
        ("DROP INDEX wallets_by_user", set()),
        ("DROP TABLE IF EXISTS long_gone", set()),
        ("DROP VIEW rich", set()),
    ],
)
def test_it_holds_what_goes_with_what_keys_carry_along_and_the_history(
    target: Target, script: str, tables: set[str]
) -> None:
    target.do(*ESTATE)
    assert chosen(target, script).tables == tables | {"public.flyway_schema_history"}


@pytest.mark.parametrize(
    "script",
    ["DROP SCHEMA public CASCADE", "SELECT my_own_function()", "DO $$ BEGIN EXECUTE 'DROP ' || 'x'; END $$"],
)
def test_what_can_not_be_read_from_the_script_is_said(script: str) -> None:
    assert losses(analysis.plan_script(script)).hidden


def test_a_dump_of_some_tables_is_verified_and_restores_into_a_database_with_all_keys(
    target: Target,
    tmp_path: Path,
    scratch: Endpoint,  # noqa: F811
    scratch_cluster: Cluster,
) -> None:
    """Keys to tables without their rows would not hold, so they come back as not validated."""
    target.do(*ESTATE)
    pick = picking(["wallets", "days"])
    made = backup.dump(target.backup, tmp_path, "some", select=pick)
    assert set(made.tables) == {WALLETS, "public.day1", "public.flyway_schema_history"}
    assert made.tables[WALLETS][0] == 100
    assert made.selection is not None
    assert [key.name for key in made.selection.keys] == ["wallets_user"]
    assert backup.verify(made, scratch).ok
    copy = create_database(scratch, "some_restored")
    try:
        restore(made.path, copy, without={key.oid for key in made.selection.keys})
        with psycopg.connect(scratch_cluster.superuser_dsn("some_restored"), autocommit=True) as there:
            for key in made.selection.keys:
                there.execute(key.again)  # type: ignore[call-overload]
            rows = "SELECT (SELECT count(*) FROM wallets), (SELECT count(*) FROM users)"
            assert there.execute(rows).fetchone() == (100, 0)
            keys = "SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
            assert there.execute(keys).fetchall() == [("akey", True), ("wallets_user", False)]
    finally:
        drop_database(scratch, "some_restored")


def test_the_limit_counts_for_the_tables_that_are_dumped(target: Target, tmp_path: Path) -> None:
    target.do("CREATE TABLE heavy AS SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
    limit = 1_000_000
    with pytest.raises(BackupRefused, match="needs a physical backup and a restore point"):
        backup.dump(target.backup, tmp_path, "all", limit_bytes=limit)
    pick = picking(["wallets"])
    assert backup.dump(target.backup, tmp_path, "one", select=pick, limit_bytes=limit).size < limit
    pick = picking(["heavy"])
    with pytest.raises(BackupRefused, match="Keep their rows in place"):
        backup.dump(target.backup, tmp_path, "two", select=pick, limit_bytes=limit)
