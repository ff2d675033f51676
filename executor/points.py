"""Restore points: a name in the write-ahead log right before a script, and the wait until it is archived.

A point is only as good as the archive. So it counts once the server says that the very segment of the log
that holds it has been archived; until then nothing may start. Measured on PostgreSQL 15 and 18.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from approvals.setup_sql import RESTORE_POINT_FUNCTIONS
from executor.connect import Connection, one
from executor.errors import BackupFailed, BackupRefused, plain

PREFIX = "waqiti_"
LOOK_S = 0.2
PATIENCE_S = 60.0
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})")


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """`lsn` is where the log stands with it, `wal` the segment that holds it, archived at `archived_at` at
    the latest; `failures` of the archiver were counted meanwhile."""

    name: str
    lsn: str
    timeline: int
    wal: str
    at: datetime
    archived_at: datetime
    failures: int = 0

    def as_json(self) -> dict[str, Any]:
        """As the portal keeps it."""
        return asdict(self) | {"at": self.at.isoformat(), "archived_at": self.archived_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Archiver:
    """What the server says of its archiver."""

    archived: str
    archived_at: datetime | None
    failed: str
    failed_at: datetime | None
    failures: int

    @property
    def is_failing(self) -> bool:
        """Did it fail since it last did its work?"""
        return self.failed_at is not None and (self.archived_at is None or self.failed_at > self.archived_at)

    def has(self, wal: str) -> bool:
        """Is this segment archived? The archiver takes them in their order."""
        found, wanted = _SEGMENT.match(self.archived), _SEGMENT.match(wal)
        return bool(found and wanted and found[1] == wanted[1] and found[2] >= wanted[2])


def name_of(execution_id: uuid.UUID) -> str:
    """The restore point of an execution; the server takes up to 63 bytes."""
    return f"{PREFIX}{execution_id.hex}"


def patience() -> float:
    """Seconds to wait for the archive, ARCHIVE_PATIENCE_SECONDS."""
    try:
        return float(os.environ.get("ARCHIVE_PATIENCE_SECONDS", PATIENCE_S))
    except ValueError:
        return PATIENCE_S


def objections(connection: Connection, role: str | None = None) -> list[str]:
    """Why the role, or else this login, can't set a restore point that would be archived, the first cause
    first; empty where it can. The connection is in no transaction. Raises psycopg.Error."""
    level, mode, command, recovering = one(
        connection,
        """SELECT current_setting('wal_level'), current_setting('archive_mode'),
                  coalesce(nullif(current_setting('archive_command', true), '(disabled)'), '')
                  || coalesce(current_setting('archive_library', true), ''),
                  pg_is_in_recovery()""",
    )
    found = []
    if recovering:
        found.append("It is a standby; a restore point is set on the primary.")
    if level == "minimal":
        found.append("wal_level is minimal: no physical backup can be followed by this log.")
    if mode == "off":
        found.append("archive_mode is off: the write-ahead log is not kept. A DBA switches it on.")
    elif not command:
        found.append("Neither archive_command nor archive_library is set: nothing is archived.")
    found += [f"GRANT EXECUTE ON FUNCTION {each} is missing." for each in lacking_rights(connection, role)]
    archiver = read_archiver(connection)
    if mode != "off" and archiver.is_failing:
        found.append(
            f"The archiver has failed since {archiver.failed_at:%Y-%m-%d %H:%M:%S %Z}, at {archiver.failed} "
            f"({archiver.failures} failures are counted in all)."
        )
    return found


def lacking_rights(connection: Connection, role: str | None = None) -> list[str]:
    """The functions that the role, or else the login, may not call. Raises psycopg.Error."""
    query = "SELECT has_function_privilege(coalesce(%s, session_user::text), %s, 'EXECUTE')"
    names = (f"pg_catalog.{each}" for each in RESTORE_POINT_FUNCTIONS)
    return [each for each in names if not one(connection, query, (role, each))[0]]


def read_archiver(connection: Connection) -> Archiver:
    """How the archiver does. Raises psycopg.Error."""
    return Archiver(
        *one(
            connection,
            """SELECT coalesce(last_archived_wal, ''), last_archived_time, coalesce(last_failed_wal, ''),
                      last_failed_time, failed_count FROM pg_stat_archiver""",
        )
    )


def set_point(
    connection: Connection,
    name: str,
    *,
    patience_s: float | None = None,
    while_waiting: Callable[[], None] | None = None,
) -> RestorePoint:
    """Write the restore point into the log, switch to the next segment, and return once it is archived.

    The connection is in no transaction; `while_waiting` is called a few times a second, and an exception from
    it ends the wait. Raises BackupRefused where no point could be archived, BackupFailed where it was not in
    time; a point without a use does no harm.
    """
    try:
        if why := objections(connection):
            raise BackupRefused(" ".join(["No restore point can be set.", *why]))
        before = read_archiver(connection)
        lsn, at = one(connection, "SELECT pg_create_restore_point(%s)::text, clock_timestamp()", (name,))
        wal = str(one(connection, "SELECT pg_walfile_name(%s::pg_lsn)", (lsn,))[0])
        connection.execute("SELECT pg_switch_wal()")
        return _archived(connection, (name, lsn, wal, at), before, patience_s, while_waiting)
    except psycopg.Error as error:
        raise BackupFailed(f"The restore point could not be set: {plain(error)}.") from None


def _archived(
    connection: Connection,
    point: tuple[str, str, str, datetime],
    before: Archiver,
    patience_s: float | None,
    while_waiting: Callable[[], None] | None,
) -> RestorePoint:
    name, lsn, wal, at = point
    limit = patience() if patience_s is None else patience_s
    until = time.monotonic() + limit
    while True:
        now = read_archiver(connection)
        failures = max(now.failures - before.failures, 0)
        if now.has(wal) and now.archived_at is not None:
            return RestorePoint(name, lsn, int(wal[:8], 16), wal, at, now.archived_at, failures)
        if time.monotonic() > until:
            last = f"the last one is {now.archived}" if now.archived else "none ever was"
            failed = f" The archiver failed {failures} times meanwhile." if failures else ""
            raise BackupFailed(
                f"The restore point {name} stands at {lsn}, but its segment of the log, {wal}, was not "
                f"archived within {limit:g} s: {last}.{failed}"
            )
        if while_waiting is not None:
            while_waiting()
        time.sleep(LOOK_S)
