"""Restore points count once they are archived; physical backups once a server was started from a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executor import basebackup, points
from executor.connect import connect
from executor.errors import BackupFailed, BackupRefused
from tests.executor.archiving import Archiving, archiving
from tests.executor.schema.conftest import OLDER
from waqiti_rollback.embedded.places import server_programs

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def archive() -> Iterator[Archiving]:
    with of(server_programs()) as made:
        yield made


@contextmanager
def of(programs: Path) -> Iterator[Archiving]:
    """A server of these programs, which a worker has, too."""
    before = os.environ.get("SERVER_BIN")
    os.environ["SERVER_BIN"] = str(programs)
    try:
        with archiving(programs) as made:
            yield made
    finally:
        os.environ.pop("SERVER_BIN")
        if before is not None:
            os.environ["SERVER_BIN"] = before


def examine(archive: Archiving, base: Path | None = None, **more: str) -> basebackup.Tested:
    system = str(archive.target.value("SELECT system_identifier::text FROM pg_control_system()"))
    return basebackup.examine(
        base or archive.base,
        more.get("restore_command", archive.restore_command),
        reader=archive.target.backup,
        executor=archive.target.executor,
        expected_system=more.get("expected_system", system),
    )


def test_a_point_counts_once_the_very_segment_that_holds_it_is_archived(archive: Archiving) -> None:
    with connect(archive.target.executor) as connection:
        made = points.set_point(connection, "waqiti_here")
    assert (archive.archive / made.wal).exists()
    assert made.archived_at >= made.at
    assert made.timeline == 1
    with connect(archive.target.executor) as connection:
        after = points.set_point(connection, "waqiti_there")
    assert after.wal > made.wal


def test_a_physical_backup_is_restored_followed_to_a_point_and_compared(archive: Archiving) -> None:
    archive.target.do("INSERT INTO users SELECT n, 'late', 'late' FROM generate_series(101, 150) n")
    left = set(Path("/tmp").glob("waqiti-restored-*"))
    found = examine(archive)
    assert found.tables["public.users"][0] >= 150
    assert not found.busy
    assert "followed to waqiti_test_" in found.sentence
    assert found.found.timeline == 1
    assert found.taken_at == archive.target.value(f"SELECT '{found.found.taken}'::timestamptz")
    assert set(Path("/tmp").glob("waqiti-restored-*")) == left


def test_an_older_server_is_tested_with_its_own_programs() -> None:
    if not (OLDER / "postgres").exists():
        pytest.skip(
            f"OLDER POSTGRESQL NOT TRIED: no server in {OLDER} (Debian: apt-get install postgresql-15)"
        )
    with of(OLDER) as archive:
        archive.target.do("INSERT INTO users SELECT n, 'late', 'late' FROM generate_series(101, 150) n")
        assert examine(archive).tables["public.users"][0] == 150
        with pytest.raises(BackupFailed, match="did not reach its restore point"):
            examine(archive, restore_command="false")


def test_a_table_that_is_written_to_meanwhile_is_named_and_not_compared(
    archive: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_point = points.set_point

    def write_and_set(connection: object, name: str) -> points.RestorePoint:
        made = set_point(connection, name)  # type: ignore[arg-type]
        archive.target.do("UPDATE wallets SET balance = balance + 1 WHERE id = 1")
        return made

    monkeypatch.setattr(points, "set_point", write_and_set)
    found = examine(archive)
    assert found.busy == ("public.wallets",)
    assert "not compared: public.wallets." in found.sentence


@pytest.fixture
def copy(archive: Archiving, tmp_path: Path) -> Path:
    """A copy of the physical backup, to damage."""
    return shutil.copytree(archive.base, tmp_path / "base")


def heap(archive: Archiving, base: Path) -> Path:
    """The file with the users in it."""
    return base / str(archive.target.value("SELECT pg_relation_filepath('users')"))


def test_a_flipped_byte_is_noticed_by_the_manifest(archive: Archiving, copy: Path) -> None:
    path = heap(archive, copy)
    data = bytearray(path.read_bytes())
    data[len(data) - 60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BackupFailed, match=r"pg_verifybackup says: .*checksum mismatch"):
        examine(archive, copy)


def test_rows_that_are_missing_are_noticed_where_there_is_no_manifest(archive: Archiving, copy: Path) -> None:
    (copy / "backup_manifest").unlink()
    os.truncate(copy / str(archive.target.value("SELECT pg_relation_filepath('flyway_schema_history')")), 0)
    with pytest.raises(BackupFailed, match=r"flyway_schema_history had 3 rows, the restored copy has 0"):
        examine(archive, copy)


def test_a_gap_in_the_archive_is_noticed(archive: Archiving) -> None:
    """The log ends before the point: the server says so itself and never serves."""
    with pytest.raises(BackupFailed, match="did not reach its restore point"):
        examine(archive, restore_command="false")


def test_a_point_of_another_name_is_never_reached(
    archive: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_point = points.set_point

    def set_other(connection: object, name: str) -> points.RestorePoint:
        return replace(set_point(connection, name), name="waqiti_nowhere")  # type: ignore[arg-type]

    monkeypatch.setattr(points, "set_point", set_other)
    with pytest.raises(BackupFailed, match="recovery ended before configured recovery target was reached"):
        examine(archive)


def test_what_is_no_physical_backup_or_one_of_another_server_is_refused(
    archive: Archiving, copy: Path
) -> None:
    with pytest.raises(BackupRefused, match="holds no physical backup that can be read"):
        examine(archive, copy / "base")
    with pytest.raises(BackupRefused, match="It is of another server"):
        examine(archive, expected_system="1")
    (copy / "tablespace_map").touch()
    with pytest.raises(BackupRefused, match="has tablespaces"):
        examine(archive, copy)


def test_a_failing_archiver_stops_it_and_an_idle_one_is_waited_for_and_no_longer(archive: Archiving) -> None:
    with connect(archive.target.executor) as connection:
        failing = pytest.raises(BackupRefused, match="The archiver has failed since")
        with archive.archiver_fails(), failing:
            points.set_point(connection, "waqiti_failing")
        late = pytest.raises(BackupFailed, match=r"was not archived within 0\.5 s: the last one is 0000")
        with archive.archiver_fails(noticed=False), late:
            points.set_point(connection, "waqiti_late", patience_s=0.5)
        assert points.set_point(connection, "waqiti_again").wal


def test_without_the_right_or_an_archive_it_is_said_what_is_missing(archive: Archiving) -> None:
    with connect(archive.target.backup) as connection:
        assert points.objections(connection) == [
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) is missing.",
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() is missing.",
        ]
    archive.set(archive_command="")
    try:
        unset = pytest.raises(BackupRefused, match="Neither archive_command nor archive_library is set")
        with connect(archive.target.executor) as connection, unset:
            points.set_point(connection, "waqiti_nothing")
    finally:
        archive.set(archive_command=f"cp %p {archive.archive}/%f")


def test_whoever_cancels_ends_the_wait(archive: Archiving) -> None:
    def cancel() -> None:
        raise psycopg.errors.QueryCanceled("enough")

    enough = pytest.raises(BackupFailed, match="enough")
    with archive.archiver_fails(noticed=False), connect(archive.target.executor) as connection, enough:
        points.set_point(connection, "waqiti_cancelled", while_waiting=cancel)
