"""A dump is verified only if its restored copy equals the source; nothing less counts."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executor import backup, credentials
from executor.connect import Connection, Endpoint, identity, refuse_other
from executor.errors import BackupFailed, BackupRefused, Cancelled, WrongServer
from executor.restore import run_tool
from tests.executor.target import Target
from waqiti_rollback.embedded import HOST, SUPERUSER, Cluster


@pytest.fixture
def scratch(scratch_cluster: Cluster) -> Endpoint:
    """A login that may create databases on the scratch server, and is nothing more."""
    password = scratch_cluster.ensure_login("scratch_restorer", "CREATEDB")
    return Endpoint(HOST, scratch_cluster.port, "postgres", "scratch_restorer", password)


def databases_on(cluster: Cluster) -> set[str]:
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}


def test_a_dump_is_verified_by_restoring_and_comparing_it(
    target: Target, tmp_path: Path, scratch: Endpoint, scratch_cluster: Cluster
) -> None:
    target.do(
        'CREATE SCHEMA "odd name"', 'CREATE TABLE "odd name"."T" AS SELECT 1.5::float8 AS x, now() AS y'
    )
    before = databases_on(scratch_cluster)
    made = backup.dump(target.backup, tmp_path, "first")
    assert made.tables["public.users"][0] == 100
    assert made.tables['"odd name"."T"'][0] == 1
    assert not any("waqiti_rollback" in name for name in made.tables)
    assert made.size == made.path.stat().st_size
    assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    result = backup.verify(made, scratch)
    assert result.ok, result.sentence
    assert databases_on(scratch_cluster) == before
    assert made.path.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["first.dump"]


def test_a_restore_on_a_server_of_another_version_proves_nothing(
    target: Target, scratch: Endpoint, tmp_path: Path
) -> None:
    made = backup.dump(target.backup, tmp_path, "a")
    assert backup.verify(made, scratch).ok
    older = backup.verify(replace(made, server_version=150018), scratch)
    assert not older.ok
    assert "The target runs PostgreSQL 15, the scratch server 18" in older.sentence
    assert "SCRATCH_DATABASE_URL_15" in older.sentence


def test_the_scratch_server_of_the_right_version_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH_DATABASE_URL", "postgres://scratch:s@newest/postgres")
    monkeypatch.setenv("SCRATCH_DATABASE_URL_15", "postgres://scratch:s@older/postgres")
    assert [credentials.scratch(major).host for major in (15, 18)] == ["older", "newest"]


def test_the_sums_are_those_of_the_dumps_own_snapshot(
    target: Target, tmp_path: Path, scratch: Endpoint
) -> None:
    """Rows that arrive while pg_dump runs are in neither."""
    written = []

    def write(*_progress: object) -> None:
        target.do("INSERT INTO users SELECT max(id) + 1, 'late', 'late' FROM users")
        written.append(1)

    made = backup.dump(target.backup, tmp_path, "busy", progress=write)
    assert written
    assert made.tables["public.users"][0] == 100
    assert backup.verify(made, scratch).ok


def test_every_stage_says_how_much_of_it_is_done(target: Target, tmp_path: Path, scratch: Endpoint) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(stage: str, done: int, of: int) -> None:
        told.append((stage, done, of))

    made = backup.dump(target.backup, tmp_path, "told", progress=tell)
    assert backup.verify(made, scratch, progress=tell).ok
    stages = [stage for stage, _done, _of in told]
    assert list(dict.fromkeys(stages)) == ["dump", "restore", "compare"]
    assert max(done for stage, done, _of in told if stage == "restore") > 0
    assert told[-1] == ("compare", len(made.tables), len(made.tables))
    assert all(done >= 0 and of > 0 for stage, done, of in told if stage != "restore")


def test_whoever_cancels_while_it_is_restored_ends_it_and_no_copy_stays(
    target: Target, tmp_path: Path, scratch: Endpoint, scratch_cluster: Cluster
) -> None:
    before = databases_on(scratch_cluster)

    def cancel(stage: str, *_how_far: object) -> None:
        raise Cancelled(f"cancelled in {stage}")

    made = backup.dump(target.backup, tmp_path, "cancelled")
    with pytest.raises(Cancelled, match="cancelled in restore"):
        backup.verify(made, scratch, progress=cancel)
    assert databases_on(scratch_cluster) == before


def flip(made: backup.Dump, at: float) -> backup.Dump:
    """One byte of the file changed, at a fraction of its length."""
    data = bytearray(made.path.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    made.path.write_bytes(data)
    return made


def rehashed(made: backup.Dump) -> backup.Dump:
    """As if the damage had happened before the file was hashed."""
    return replace(made, sha256=hashlib.sha256(made.path.read_bytes()).hexdigest())


def test_a_flipped_byte_is_noticed(target: Target, tmp_path: Path, scratch: Endpoint) -> None:
    target.do("CREATE TABLE big AS SELECT n, sha256(n::text::bytea) FROM generate_series(1, 20000) n")
    made = flip(backup.dump(target.backup, tmp_path, "flipped"), 0.5)
    with pytest.raises(BackupFailed, match="has changed"):
        backup.rehash(made.path, made.sha256)
    assert not backup.verify(made, scratch).ok
    assert not backup.verify(rehashed(made), scratch).ok


def test_a_truncated_dump_is_not_verified(
    target: Target, tmp_path: Path, scratch: Endpoint, scratch_cluster: Cluster
) -> None:
    made = backup.dump(target.backup, tmp_path, "short")
    os.truncate(made.path, made.size * 2 // 3)
    result = backup.verify(rehashed(made), scratch)
    assert not result.ok
    assert not any(name.startswith("waqiti_verify") for name in databases_on(scratch_cluster))


def test_a_dump_that_restores_other_rows_is_not_verified(
    target: Target, tmp_path: Path, scratch: Endpoint
) -> None:
    made = backup.dump(target.backup, tmp_path, "plain")
    plain = tmp_path / "uncompressed.dump"
    run_tool(
        "pg_dump",
        target.backup,
        ["-Fc", "-Z0", "--exclude-schema=waqiti_rollback", f"--file={plain}"],
        while_running=lambda: None,
    )
    plain.write_bytes(plain.read_bytes().replace(b"user42@example.com", b"user43@example.com"))
    result = backup.verify(rehashed(replace(made, path=plain)), scratch)
    assert not result.ok
    assert result.differences == ("public.users has 100 rows in both, but not the same ones.",)


def test_a_missing_table_or_row_is_named(target: Target, tmp_path: Path, scratch: Endpoint) -> None:
    made = backup.dump(target.backup, tmp_path, "less")
    more = {**made.tables, "public.users": (101, "1"), "public.gone": (1, "1")}
    result = backup.verify(replace(made, tables=more), scratch)
    assert result.differences == (
        "public.gone is missing in the restored copy.",
        "public.users had 101 rows, the restored copy has 100.",
    )


def test_a_database_above_the_limit_is_refused_in_plain_words(target: Target, tmp_path: Path) -> None:
    size = backup.estimate(target.backup)
    assert size > 8192
    with pytest.raises(BackupRefused, match="physical backup"):
        backup.dump(target.backup, tmp_path, "large", limit_bytes=size - 1)
    assert list(tmp_path.iterdir()) == []


def test_of_another_server_than_the_approved_one_nothing_is_dumped(target: Target, tmp_path: Path) -> None:
    def require(connection: Connection) -> None:
        refuse_other(identity(connection), system_identifier="1", database_oid=None)

    with pytest.raises(WrongServer, match="Another server answers here"):
        backup.dump(target.backup, tmp_path, "a", require_server=require)
    assert not list(tmp_path.iterdir())


def test_no_partial_file_stays_when_the_dump_fails(target: Target, tmp_path: Path) -> None:
    with target.superuser() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE users")
        with pytest.raises(BackupFailed):
            backup.dump(target.backup, tmp_path, "locked", lock_wait_ms=200)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_blocks_and_leaves_nothing(target: Target) -> None:
    """/dev/full says ENOSPC to every write; pg_dump has to notice, and so have we."""
    with pytest.raises(BackupFailed, match=r"[Nn]o space left|could not write"):
        run_tool("pg_dump", target.backup, ["-Fc", "--file=/dev/full"], while_running=lambda: None)


def test_a_role_that_cannot_read_everything_fails_instead_of_dumping_less(
    target: Target, tmp_path: Path
) -> None:
    with pytest.raises(BackupFailed, match="permission denied"):
        backup.dump(target.executor, tmp_path, "blind")
    assert list(tmp_path.iterdir()) == []


def test_row_security_hides_nothing_from_the_dump(target: Target, tmp_path: Path) -> None:
    target.do("ALTER TABLE users ENABLE ROW LEVEL SECURITY", "ALTER TABLE users FORCE ROW LEVEL SECURITY")
    assert backup.dump(target.backup, tmp_path, "all").tables["public.users"][0] == 100


def test_an_error_in_the_progress_ends_the_dump_and_its_locks(target: Target, tmp_path: Path) -> None:
    def cancel(*_progress: object) -> None:
        raise BackupFailed("cancelled on request")

    with pytest.raises(BackupFailed, match="cancelled"):
        backup.dump(target.backup, tmp_path, "cancelled", progress=cancel)
    assert list(tmp_path.iterdir()) == []
    left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'waqiti_rollback_backup'"
    until = time.monotonic() + 10
    while target.value(left) and time.monotonic() < until:
        time.sleep(0.05)
    assert target.value(left) == 0


def test_the_password_is_in_no_error(target: Target, tmp_path: Path) -> None:
    wrong = replace(target.backup, password="hunter2 hunter2")
    with pytest.raises(Exception, match="could not be reached") as caught:
        backup.dump(wrong, tmp_path, "wrong")
    assert "hunter2" not in str(caught.value)


def test_the_dump_needs_no_superuser(target: Target) -> None:
    assert target.backup.user != SUPERUSER


def test_a_scratch_server_of_another_encoding_restores_too(
    target: Target, tmp_path: Path, scratch: Endpoint, fresh_database: Callable[..., object]
) -> None:
    made = backup.dump(target.backup, tmp_path, "latin")
    assert made.encoding == "UTF8"
    assert backup.verify(replace(made, encoding="LATIN1"), scratch).ok
