"""Back a target up with pg_dump, and call it verified only after a restore that equals the source.

`pg_restore --list` accepts truncated files, and an uncompressed dump with one digit changed restores without
an error (measured on PostgreSQL 15), so nothing less than comparing rows counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from executor.connect import Connection, Endpoint, SocketCut, connect, one, set_session
from executor.errors import AboveLimit, BackupFailed, ExecutorError, plain
from executor.marker import SCHEMA
from executor.restore import create_database, drop_database, restore, run_tool
from executor.selection import Selection
from executor.sums import Sums, differences, table_sums
from executor.watch import no_longer_than

Stage = Literal["dump", "restore", "compare"]
Progress = Callable[[Stage, int, int], None]
"""Told the stage, how much of it is done and about how much it will be: bytes of the file, bytes of the
restored copy, tables compared. An exception from it ends the stage."""
Room = Callable[[int], None]
"""Told how many bytes a dump may take at most; raises BackupRefused where there is no room for them."""
Server = Callable[[Connection], None]
"""Raises WrongServer where another server or database answers."""
Select = Callable[[Connection], Selection]
"""Says, in the dump's own snapshot, of which tables the rows are wanted."""

LOCK_WAIT_MS = 10_000
LOOK_S = 0.5
ASK_S = 300.0
"""So long what is asked before a dump begins may take."""


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump in custom format. `tables` are counts and hashes of its own snapshot, taken at `taken_at`;
    `database_bytes` is what the whole database takes on the source, about what a restore will write."""

    path: Path
    sha256: str
    size: int
    seconds: float
    taken_at: datetime
    encoding: str
    server_version: int
    tables: Sums
    database_bytes: int = 0
    selection: Selection | None = None  # of which tables it holds the rows; None: of all


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a restored copy equals the source, table by table."""

    ok: bool
    sentence: str
    differences: tuple[str, ...]
    seconds: float


def estimate(endpoint: Endpoint) -> int:
    """Bytes of all tables without their indexes: an upper bound for the dump, and what a restore writes.
    Raises ConnectFailed, BackupFailed."""
    with contextlib.closing(connect(endpoint)) as connection:
        try:
            set_session(connection, {"lock_timeout": f"{LOCK_WAIT_MS}ms"})
            return _estimate(connection)
        except psycopg.Error as error:
            raise BackupFailed(f"The size can't be estimated: {plain(error)}.") from None


def dump(
    endpoint: Endpoint,
    directory: Path,
    name: str,
    *,
    select: Select | None = None,
    snapshot: str | None = None,
    limit_bytes: int | None = None,
    require_room: Room | None = None,
    require_server: Server | None = None,
    lock_wait_ms: int = LOCK_WAIT_MS,
    progress: Progress | None = None,
) -> Dump:
    """Dump the database to `directory/name.dump`, which appears only when it is complete and on disk.

    `endpoint` logs in as the backup role, which reads everything. Counts and hashes are taken in the dump's
    own snapshot while pg_dump runs. `select` leaves out the rows of all tables but some; `snapshot` is one
    that somebody else has exported, whose transaction stays open meanwhile. `require_room` is asked before
    anything is written, with the bytes of these tables; `require_server` first of all, over the connection
    whose snapshot pg_dump takes: nobody else's can be had by that. Raises BackupRefused above `limit_bytes`,
    BackupFailed, ConnectFailed; nothing is left behind then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with contextlib.closing(connect(endpoint)) as connection, _as_failure(endpoint):
        with no_longer_than(ASK_S, connection):
            if require_server is not None:
                require_server(connection)
            set_session(connection, {"lock_timeout": f"{lock_wait_ms}ms"})  # to ask for a size takes a lock
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot is not None:
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            selection = select(connection) if select else None
            size_of_tables = _refuse_large(connection, limit_bytes, selection)
            if require_room is not None:
                require_room(size_of_tables)
            exported, taken_at, encoding, whole = one(
                connection,
                """SELECT pg_export_snapshot(), clock_timestamp(), pg_encoding_to_char(encoding),
                          pg_database_size(oid)
                     FROM pg_database WHERE datname = current_database()""",
            )
        with _partial(directory, name) as partial:
            arguments = [
                "--format=custom",
                f"--snapshot={exported}",
                f"--lock-wait-timeout={lock_wait_ms}",
                f"--exclude-schema={SCHEMA}",
                f"--file={partial}",
                *(selection.arguments() if selection else ()),
            ]

            def look() -> None:
                if progress is not None:
                    progress("dump", partial.stat().st_size, size_of_tables)

            only = selection.tables if selection else None
            tables = _dump_and_sum(endpoint, arguments, connection, only, look)
            digest = _fsync_and_hash(partial)
            size = partial.stat().st_size
            path = directory / f"{name}.dump"
            partial.rename(path)
            version = connection.info.server_version
        _fsync(directory)
    seconds = time.monotonic() - started
    return Dump(path, digest, size, seconds, taken_at, encoding, version, tables, whole, selection)


def verify(made: Dump, scratch: Endpoint, *, progress: Progress | None = None) -> Verification:
    """Restore the dump into a database of its own on the scratch server, compare every table, and drop it.

    `scratch` is a login that may create databases there, on a server of the dumped one's major version: a
    restore on another says nothing of whether it works there. Only `ok` deserves the word verified. Raises
    ConnectFailed where the scratch server doesn't answer; what is wrong with the dump is an answer.
    """
    started = time.monotonic()
    name = f"waqiti_verify_{secrets.token_hex(8)}"
    try:
        _require_version(scratch, made.server_version // 10000)
        rehash(made.path, made.sha256)
        copy = create_database(scratch, name, encoding=made.encoding)
        try:
            _restore(made, copy, progress)
            found = differences(made.tables, _sums_of(copy, made, progress))
        finally:
            drop_database(scratch, name)
    except BackupFailed as error:
        return Verification(False, f"Not verified. {error}", (str(error),), time.monotonic() - started)
    seconds = time.monotonic() - started
    if found:
        return Verification(False, f"Not verified. {' '.join(found)}", tuple(found), seconds)
    rows = sum(count for count, _ in made.tables.values())
    sentence = f"Verified: restored in {seconds:.1f} s; {len(made.tables)} tables with {rows} rows are equal."
    return Verification(True, sentence, (), seconds)


def _require_version(scratch: Endpoint, wanted: int) -> None:
    with contextlib.closing(connect(scratch)) as connection:
        found = connection.info.server_version // 10000
    if found != wanted:
        raise BackupFailed(
            f"The target runs PostgreSQL {wanted}, the scratch server {found}: a restore there would prove "
            "nothing. Whoever runs the worker names a scratch server of the right version by "
            f"SCRATCH_DATABASE_URL_{wanted}."
        )


def rehash(path: Path, sha256: str) -> None:
    """Raise BackupFailed unless the file is there and still has this SHA-256."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackupFailed(f"The dump {path.name} can't be read: {error.strerror}.") from None
    if digest != sha256:
        raise BackupFailed(f"The dump {path.name} has changed since it was taken: its SHA-256 is {digest}.")


def estimate_on(connection: Connection) -> int:
    """The same over a connection. Raises psycopg.Error."""
    return _estimate(connection)


def _refuse_large(connection: Connection, limit_bytes: int | None, selection: Selection | None) -> int:
    """The size of the tables that are dumped; raises AboveLimit where it is above the limit."""
    size = _estimate(connection) if selection is None else selection.bytes
    if limit_bytes is None or size <= limit_bytes:
        return size
    raise AboveLimit(too_large(size, limit_bytes, of_all=selection is None))


def too_large(size: int, limit_bytes: int, *, of_all: bool = True) -> str:
    """Why tables of so many bytes are not dumped, in a sentence."""
    which = "The tables" if of_all else "The tables that it is about"
    what = f"{which} hold {_megabytes(size)}, above the {_megabytes(limit_bytes)} that this portal dumps and "
    if of_all:
        return what + "restores in full. A larger database needs a physical backup and a restore point."
    return what + "restores. Keep their rows in place instead (rename, archive), or raise the target's limit."


def _estimate(connection: Connection) -> int:
    return int(
        one(
            connection,
            """SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint
                 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema'""",
        )[0]
    )


def _dump_and_sum(
    endpoint: Endpoint,
    arguments: list[str],
    connection: Connection,
    only: Container[str] | None,
    while_running: Callable[[], None],
) -> Sums:
    """Run pg_dump in this thread and sum up the tables in another, both in the exported snapshot."""

    def look() -> None:
        while_running()
        if sums.done():
            sums.result()  # no need to dump to the end what can't be compared

    with (
        SocketCut(connection) as cut,
        ThreadPoolExecutor(1, thread_name_prefix="table sums") as pool,
    ):
        sums: Future[Sums] = pool.submit(table_sums, connection, only=only)
        try:
            run_tool("pg_dump", endpoint, arguments, while_running=look)
            while wait([sums], LOOK_S).not_done:
                while_running()
        except BaseException:
            if sums.done():
                sums.result()  # where this failed first, pg_dump only lost its snapshot
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=5)
            cut()  # its answer may never come
            raise
        return sums.result()


@contextlib.contextmanager
def _partial(directory: Path, name: str) -> Iterator[Path]:
    """A file that only we can read; whatever happens, none of it stays under this name."""
    path = directory / f".{name}.partial"
    try:
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_failure(endpoint: Endpoint) -> Iterator[None]:
    """Server and disk errors become BackupFailed, in plain words."""
    try:
        yield
    except ExecutorError:
        raise
    except psycopg.Error as error:
        raise BackupFailed(f"The dump failed: {plain(error, endpoint.password)}.") from error
    except OSError as error:
        raise BackupFailed(f"The dump can't be written: {error.strerror}.") from error


def _restore(made: Dump, copy: Endpoint, progress: Progress | None) -> None:
    """Restore the dump into the empty copy, telling how large that has become."""
    without = {key.oid for key in made.selection.keys} if made.selection else set()
    if progress is None:
        restore(made.path, copy, without=without)
        return
    with contextlib.closing(connect(copy)) as connection:
        empty = _database_bytes(connection)
        of = made.selection.bytes if made.selection else max(made.database_bytes - empty, 0)
        looked = 0.0

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked < LOOK_S:  # the server looks at every file to answer
                return
            looked = time.monotonic()
            try:
                size = _database_bytes(connection) - empty
            except psycopg.Error:
                return  # pg_restore says what is wrong there
            progress("restore", size, of)

        restore(made.path, copy, without=without, while_running=look)
        looked = 0.0
        look()


def _database_bytes(connection: Connection) -> int:
    return int(one(connection, "SELECT pg_database_size(current_database())")[0])


def _sums_of(endpoint: Endpoint, made: Dump, progress: Progress | None) -> Sums:
    only = made.tables if made.selection else None
    compared = itertools.count(1)

    def one_more() -> None:
        if progress is not None:
            progress("compare", next(compared), len(made.tables))

    with contextlib.closing(connect(endpoint)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            return table_sums(connection, one_more, only=only)
        except psycopg.Error as error:
            raise BackupFailed(f"The restored copy can't be read: {plain(error)}.") from None


def _fsync_and_hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


def _fsync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB"
