"""Physical backups: known again by their files, and tested by a server that is started from a copy of them.

The test follows the archived log to a restore point that was set for it and compares what is there then with
the target: every table that nobody wrote to meanwhile must be the same, row by row.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg

from executor import points
from executor.children import Account, end, spawn
from executor.connect import Connection, Endpoint, connect, identity, one
from executor.disposable import server_account, server_programs
from executor.errors import BackupFailed, BackupRefused, plain
from executor.sums import Sums, differences, table_sums
from executor.vault import RESERVE_BYTES

Say = Callable[[str], None]
PATIENCE_S = 2 * 3600.0
# A standby must not have less of these than its primary had, or it does not start.
AS_PRIMARY = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
_LABEL = {
    "lsn": re.compile(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) ", re.MULTILINE),
    "timeline": re.compile(r"^START TIMELINE: (\d+)$", re.MULTILINE),
    "time": re.compile(r"^START TIME: (.+)$", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder with a physical backup says of itself. `taken` is a time as PostgreSQL writes it,
    `inventory` the SHA-256 over its files' names and sizes, `bytes` what they take together."""

    directory: Path
    system_identifier: str
    start_lsn: str
    timeline: int
    taken: str
    inventory: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Tested:
    """A physical backup whose restore went as it should: up to which point, what was compared, in how many
    seconds; `busy` are the tables that were written to meanwhile."""

    found: Found
    taken_at: datetime
    point: points.RestorePoint
    tables: Sums
    busy: tuple[str, ...]
    seconds: float

    @property
    def sentence(self) -> str:
        """What was seen, in a sentence."""
        rows = sum(count for count, _ in self.tables.values())
        said = (
            f"Restored in {self.seconds:.0f} s and followed to {self.point.name} at {self.point.lsn}: "
            f"{len(self.tables)} tables with {rows} rows are equal."
        )
        return (
            f"{said} Written to meanwhile, and so not compared: {', '.join(self.busy)}."
            if self.busy
            else said
        )


def inventory(directory: Path) -> tuple[str, int]:
    """SHA-256 over the names and sizes of all files in a folder, and the sum of the sizes. Raises
    BackupFailed."""
    digest, total = hashlib.sha256(), 0
    try:
        for name, size in sorted(_files(directory)):
            digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
            total += size
    except OSError as error:
        raise BackupFailed(f"The physical backup can't be read: {error}.") from None
    return digest.hexdigest(), total


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    for place, _folders, names in os.walk(directory, onerror=_raise):
        for name in names:
            path = Path(place, name)
            yield str(path.relative_to(directory)), path.lstat().st_size


def _raise(error: OSError) -> None:
    raise error


def look(directory: Path, programs: Path) -> Found:
    """What the folder says of itself. Raises BackupRefused where it is no physical backup that can be tested
    here, BackupFailed where it can't be read."""
    try:
        label = (directory / "backup_label").read_text(encoding="utf-8", errors="replace")
        elsewhere = (directory / "tablespace_map").exists() or any((directory / "pg_tblspc").iterdir())
    except OSError as error:
        raise BackupRefused(
            f"{directory} holds no physical backup that can be read: {error.strerror} ({error.filename})."
        ) from None
    if elsewhere:
        raise BackupRefused("It has tablespaces outside of its folder, and those are not tested here.")
    read = {key: pattern.search(label) for key, pattern in _LABEL.items()}
    if not all(read.values()):
        raise BackupRefused("Its backup_label does not say where and when it begins.")
    digest, size = inventory(directory)
    lsn, timeline, taken = (found[1] for found in read.values() if found)
    return Found(directory, _control(directory, programs), lsn, int(timeline), taken, digest, size)


def _control(directory: Path, programs: Path) -> str:
    """The system identifier in its control file."""
    said = _run([programs / "pg_controldata", "-D", directory])
    found = re.search(r"^Database system identifier:\s+(\d+)$", said, re.MULTILINE)
    if found is None:
        raise BackupFailed("Its control file does not say which server it is of.")
    return found[1]


def _run(argv: Sequence[str | Path]) -> str:
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BackupFailed(f"{Path(argv[0]).name} can't be run: {error.strerror}.") from None
    if done.returncode != 0:
        words = " ".join(done.stderr.strip().splitlines()[:3])
        raise BackupFailed(f"{Path(argv[0]).name} says: {words}")
    return done.stdout


def examine(
    directory: Path,
    restore_command: str,
    *,
    reader: Endpoint,
    executor: Endpoint,
    expected_system: str,
    patience_s: float = PATIENCE_S,
    say: Say = lambda _text: None,
) -> Tested:
    """Restore the physical backup in `directory` on a throw-away server, follow the log, and compare.

    `restore_command` is PostgreSQL's, with %f and %p; `reader` and `executor` are logins of the target, the
    former reads everything, the latter sets the restore point. Takes as much disk in REHEARSAL_DIR as the
    backup has. Raises BackupRefused, BackupFailed, NoServer, ConnectFailed.
    """
    started = time.monotonic()
    with contextlib.closing(connect(reader)) as source:
        who = identity(source)
        programs = server_programs(str(who.version))
        found = look(directory, programs)
        if not found.system_identifier == who.system_identifier == expected_system:
            raise BackupRefused(
                f"It is of another server: its system identifier is {found.system_identifier}, the target's "
                f"{who.system_identifier}."
            )
        taken_at = one(source, "SELECT %s::timestamptz", (found.taken,))[0]
        settings = {name: str(one(source, f"SHOW {name}")[0]) for name in AS_PRIMARY}
        if (directory / "backup_manifest").exists():
            say("Comparing its files with its manifest")
            _run([programs / "pg_verifybackup", "--no-parse-wal", directory])
        say("Reading the target, setting a restore point, and reading again")
        before, point, after = _witnessed(source, executor)
    still = {name: sums for name, sums in before.items() if after.get(name) == sums}
    if not still:
        raise BackupRefused("Every table was written to while it was read; try again when less is going on.")
    say(f"Restoring a copy of {found.bytes / 1e6:,.0f} MB and following the log to {point.name}")
    server = _Restored(programs, found, restore_command, settings, point.name, reader.user)
    with server.running(patience_s) as socket:
        there = _sums_of(replace(reader, host=str(socket), port=server.port), still)
    if wrong := differences(still, there):
        raise BackupFailed(f"The restored copy is not the target at {point.name}: {' '.join(wrong)}")
    if inventory(directory)[0] != found.inventory:
        raise BackupFailed("The physical backup changed while it was tested.")
    busy = tuple(sorted(before.keys() - still.keys()))
    return Tested(found, taken_at, point, still, busy, time.monotonic() - started)


def _witnessed(source: Connection, executor: Endpoint) -> tuple[Sums, points.RestorePoint, Sums]:
    """The target before and after a restore point: what is the same in both was so at the point, too."""
    try:
        before = _read(source)
        with contextlib.closing(connect(executor)) as login:
            point = points.set_point(login, f"{points.PREFIX}test_{secrets.token_hex(8)}")
        return before, point, _read(source)
    except psycopg.Error as error:
        raise BackupFailed(f"The target could not be read: {plain(error)}.") from None


def _read(connection: Connection, only: Sums | None = None) -> Sums:
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return table_sums(connection, only=only)
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _sums_of(copy: Endpoint, only: Sums) -> Sums:
    with contextlib.closing(connect(copy)) as connection:
        try:
            return _read(connection, only)
        except psycopg.Error as error:
            raise BackupFailed(f"The restored copy can't be read: {plain(error)}.") from None


class _Restored:
    """A server on a copy of a physical backup. Only this process's account may connect, as one role, through
    a socket in a folder of its own."""

    port = 5432

    def __init__(
        self,
        programs: Path,
        found: Found,
        restore_command: str,
        settings: dict[str, str],
        point: str,
        role: str,
    ) -> None:
        self.programs = programs
        self.found = found
        self.account: Account | None = server_account()
        self.role = role
        self.settings = settings | {
            "listen_addresses": "",
            "port": str(self.port),
            "archive_mode": "off",
            "fsync": "off",
            "logging_collector": "off",
            "restore_command": restore_command,
            "recovery_target_name": point,
            "recovery_target_action": "promote",
        }

    @contextlib.contextmanager
    def running(self, patience_s: float) -> Iterator[Path]:
        """The folder of the socket of the server, once it has reached its point. Raises BackupFailed with the
        server's last words, BackupRefused without room."""
        folder = os.environ.get("REHEARSAL_DIR")
        with tempfile.TemporaryDirectory(prefix="waqiti-restored-", dir=folder) as name:
            place = Path(name)
            free = shutil.disk_usage(place).free
            if free < self.found.bytes + RESERVE_BYTES:
                raise BackupRefused(
                    f"There are {free / 1e6:,.0f} MB free in {place.parent}; a copy of the physical backup "
                    f"takes {self.found.bytes / 1e6:,.0f} MB. Name another folder by REHEARSAL_DIR."
                )
            self._copy(place)
            with (place / "server.log").open("ab") as log:
                process = spawn(
                    [self.programs / "postgres", "-D", place / "data"],
                    dies_with=signal.SIGINT,
                    account=self.account,
                    cwd=Path("/"),
                    stdout=log,
                    stderr=log,
                )
            try:
                self._reached(process, place, time.monotonic() + patience_s)
                yield place
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    end(process, 60.0)

    def _copy(self, place: Path) -> None:
        data = place / "data"
        try:
            shutil.copytree(self.found.directory, data, symlinks=True)
            for left in ("postmaster.pid", "standby.signal", "postgresql.auto.conf", "postgresql.conf"):
                (data / left).unlink(missing_ok=True)
            self.settings["unix_socket_directories"] = str(place)
            lines = (f"{name} = '{_quoted(value)}'\n" for name, value in self.settings.items())
            (data / "postgresql.conf").write_text("".join(lines))
            (data / "pg_hba.conf").write_text("local all all peer map=worker\n")
            me = pwd.getpwuid(os.geteuid()).pw_name
            (data / "pg_ident.conf").write_text(f'worker "{me}" "{self.role}"\n')
            (data / "recovery.signal").touch()
            data.chmod(0o700)
            if self.account:
                for path in (place, *place.rglob("*")):
                    os.chown(path, *self.account, follow_symlinks=False)
        except (OSError, shutil.Error) as error:
            raise BackupFailed(f"The physical backup can't be copied: {error}.") from None

    def _reached(self, process: subprocess.Popen[bytes], place: Path, until: float) -> None:
        """Wait until the server has followed the log to its point and takes over from there."""
        here = Endpoint(str(place), self.port, "template1", self.role, "")
        while True:
            with contextlib.suppress(psycopg.Error), contextlib.closing(_quietly(here)) as connection:
                if not one(connection, "SELECT pg_is_in_recovery()")[0]:
                    return
            if process.poll() is not None:
                raise BackupFailed(f"The restored copy did not reach its restore point: {_last_words(place)}")
            if time.monotonic() > until:
                raise BackupFailed(f"The restored copy did not reach its point in time: {_last_words(place)}")
            time.sleep(0.1)


def _quietly(endpoint: Endpoint) -> Connection:
    return psycopg.connect(
        host=endpoint.host, port=endpoint.port, dbname=endpoint.dbname, user=endpoint.user, autocommit=True
    )


def _quoted(value: str) -> str:
    return value.replace("'", "''")


def _last_words(place: Path) -> str:
    lines = (place / "server.log").read_text(errors="replace").splitlines()
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line]
    return " ".join((telling or lines)[-3:])
