"""Lock everything the script will touch before it runs, in one order, never waiting long in a queue."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from approvals.analysis.model import LockMode
from approvals.flyway.locks import advisory_lock_id
from executor.connect import Connection, one
from executor.errors import SpecInvalid
from executor.spec import Blocker, RunSpec, Waiters

EXECUTION_LOCK = int.from_bytes(hashlib.sha256(b"waqiti_rollback: one execution").digest()[:8], signed=True)
"""Advisory key of "an execution runs on this database"; advisory locks are per database."""


KEYS_GO_WITH = ("DROP TABLE", "DROP COLUMN", "DROP CONSTRAINT", "DROP SCHEMA")
"""Kinds of statements that may take a foreign key with them."""


class LockBusy(Exception):
    """A lock was not granted in time. `what` is what was waited for, in words; `oid` or `key` is its table
    or advisory key, by which whoever holds it can be looked up."""

    def __init__(self, what: str, *, oid: int | None = None, key: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.oid = oid
        self.key = key


@dataclass(frozen=True, slots=True)
class Wanted:
    """A table to lock, resolved: schema and name as the catalog has them."""

    oid: int
    schema: str
    table: str
    mode: LockMode

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


def take_advisory(connection: Connection, spec: RunSpec, *, session: bool = False) -> None:
    """Be the only execution on this database, and keep a Flyway migrate of this history out, until the
    transaction ends, or the `session` does. (A script's pg_advisory_unlock_all() frees session locks, not
    those of the transaction.)"""
    take = "pg_advisory_lock" if session else "pg_advisory_xact_lock"
    flyway = advisory_lock_id(spec.history_schema, spec.history_table)
    for key, what in ((EXECUTION_LOCK, "the lock of another execution"), (flyway, "Flyway's migration lock")):
        with _granted_in_time(LockBusy(what, key=key)):
            connection.execute(f"SELECT {take}(%s::bigint)", (key,))


def take_history(connection: Connection, spec: RunSpec) -> None:
    """Let nobody else write to the history until the transaction ends; reading goes on."""
    table = sql.Identifier(spec.history_schema, spec.history_table)
    oid = one(connection, "SELECT to_regclass(%s)::oid::bigint", (table.as_string(),))[0]
    with _granted_in_time(LockBusy(f"{spec.history_schema}.{spec.history_table}", oid=oid)):
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table))


def take_relations(connection: Connection, wanted: Iterable[Wanted]) -> None:
    """Lock the tables in the order of `wanted`. Raises LockBusy at the first that somebody else holds."""
    for lock in wanted:
        table = sql.Identifier(lock.schema, lock.table)
        with _granted_in_time(LockBusy(str(lock), oid=lock.oid)):
            connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(table, sql.SQL(lock.mode.value)))


_CARRIED = """
    WITH RECURSIVE carried (oid) AS (
        SELECT unnest(%s::bigint[])::oid
        UNION SELECT conrelid FROM carried JOIN pg_constraint ON confrelid = carried.oid
               WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')))
    SELECT carried.oid::bigint FROM carried JOIN pg_class USING (oid) WHERE pg_has_role(relowner, 'USAGE')"""


def with_carried(connection: Connection, wanted: Sequence[Wanted]) -> list[Wanted]:
    """The same tables, and those whose rows a key deletes or changes with theirs (CASCADE, SET NULL, SET
    DEFAULT), in the mode that keeps writers out; by name."""
    modes = {each.oid: each.mode for each in wanted}
    for (oid,) in connection.execute(_CARRIED, (list(modes),)).fetchall():
        modes.setdefault(oid, LockMode.SHARE_ROW_EXCLUSIVE)
    return _by_name(connection, modes)


def against_writers(wanted: Iterable[Wanted]) -> list[Wanted]:
    """The same tables, each in the mode that keeps writers out and lets readers in."""
    return [replace(each, mode=LockMode.SHARE_ROW_EXCLUSIVE) for each in wanted]


@contextlib.contextmanager
def _granted_in_time(otherwise: LockBusy) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise otherwise from error


def wanted(connection: Connection, spec: RunSpec) -> list[Wanted]:
    """The tables to lock, by name. Relations that don't exist (yet) are left out, an index stands for its
    table, and views, sequences and foreign tables can't be locked this way.

    Dropping a table, a column or a constraint takes ACCESS EXCLUSIVE on the other end of its foreign keys
    too (measured on PostgreSQL 15), and who reads only the script's text can't know these keys. So where the
    script drops any of the three, the tables that those taken exclusively refer to, or are referred to from,
    come along, as far as they are the owner's to lock. Better one lock too many than to wait for it in the
    middle of the script.
    """
    modes: dict[int, LockMode] = {}
    for relation, mode in spec.locks:
        try:
            lock_mode = LockMode(mode)
        except ValueError:
            raise SpecInvalid(f"“{mode}” is no lock mode of PostgreSQL (relation {relation}).") from None
        if (oid := _table_of(connection, relation)) is not None:
            modes[oid] = together(modes.get(oid, lock_mode), lock_mode)
    if _drops(spec):
        exclusive = [oid for oid, mode in modes.items() if mode is LockMode.ACCESS_EXCLUSIVE]
        modes |= dict.fromkeys(_joined_by_keys(connection, exclusive), LockMode.ACCESS_EXCLUSIVE)
    return _by_name(connection, modes)


def together(one: LockMode, other: LockMode) -> LockMode:
    """The weakest mode that excludes whatever either of the two excludes."""
    weaker, stronger = sorted((one, other), key=lambda mode: mode.strength)
    if stronger is LockMode.SHARE and weaker in (LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE):
        return LockMode.SHARE_ROW_EXCLUSIVE  # SHARE lets another SHARE in, which these two keep out
    return stronger


def _drops(spec: RunSpec) -> bool:
    return any(drop in step.kind.upper() for step in spec.steps for drop in KEYS_GO_WITH)


def _table_of(connection: Connection, relation: str) -> int | None:
    try:
        row = connection.execute(
            """SELECT coalesce(i.indrelid, c.oid)::bigint
                 FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
                WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p', 'i', 'I')""",
            (relation,),
        ).fetchone()
    except (psycopg.errors.InvalidName, psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported):
        raise SpecInvalid(f"“{relation}” can't be read as the name of a relation.") from None
    return None if row is None else int(row[0])


def _joined_by_keys(connection: Connection, tables: Sequence[int]) -> list[int]:
    rows = connection.execute(
        """SELECT DISTINCT other::bigint
             FROM pg_constraint,
                  LATERAL (VALUES (conrelid, confrelid), (confrelid, conrelid)) AS ends (this, other),
                  pg_class
            WHERE contype = 'f' AND this::bigint = ANY (%s)
              AND pg_class.oid = other AND pg_has_role(relowner, 'USAGE')""",
        (list(tables),),
    ).fetchall()
    return [row[0] for row in rows]


def _by_name(connection: Connection, modes: dict[int, LockMode]) -> list[Wanted]:
    rows = connection.execute(
        """SELECT c.oid::bigint, nspname, relname
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE c.oid::bigint = ANY (%s) ORDER BY nspname COLLATE "C", relname COLLATE "C\"""",
        (list(modes),),
    ).fetchall()
    return [Wanted(oid, schema, table, modes[oid]) for oid, schema, table in rows]


_BLOCKER = """
    SELECT found.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), a.query_start,
           CASE WHEN found.pid = 0 THEN 'prepared transaction' ELSE coalesce(a.state, a.backend_type, '') END,
           {relation}, a.state_change, coalesce(host(a.client_addr), '')
      FROM {found} LEFT JOIN pg_stat_activity a ON a.pid = found.pid
     ORDER BY {order} a.xact_start NULLS LAST LIMIT 1"""

_BLOCKING_NOW = _BLOCKER.format(
    relation="""coalesce((SELECT CASE WHEN relation IS NULL THEN locktype ELSE relation::regclass::text END
                            FROM pg_locks WHERE pid = %(pid)s AND NOT granted LIMIT 1), '')""",
    found="unnest(pg_blocking_pids(%(pid)s)) AS found (pid)",
    order="",
)

_HOLDING = _BLOCKER.format(
    relation="%(what)s",
    found="""(SELECT coalesce(pid, 0) AS pid, mode FROM pg_locks
               WHERE granted AND pid IS DISTINCT FROM %(pid)s
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (locktype = 'relation' AND relation::bigint = %(oid)s
                      OR locktype = 'advisory' AND objsubid = 1
                         AND (classid::bigint << 32 | objid::bigint) = %(key)s)) AS found""",
    order="""array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
             'ShareLock', 'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock'], mode),""",
)


_WAITING = """
    SELECT coalesce(nullif(application_name, ''), usename, ''), count(*),
           extract(epoch FROM coalesce(clock_timestamp() - min(l.waitstart), interval '0'))::float
      FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
     WHERE wait_event_type = 'Lock' AND datname = current_database()
       AND %(pid)s = ANY (pg_blocking_pids(a.pid))
     GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"""


def waiting_for(control: Connection, pid: int) -> tuple[Waiters, ...]:
    """Who waits for backend `pid`, by application, the most first. Not to be asked more than once a second:
    the server stops everybody's locking for a moment to answer."""
    return tuple(Waiters(*row) for row in control.execute(_WAITING, {"pid": pid}).fetchall())


def blocking(control: Connection, pid: int) -> Blocker | None:
    """Who keeps backend `pid` waiting right now, asked over another connection; None: nobody."""
    return _blocker(control, _BLOCKING_NOW, {"pid": pid})


def holder(control: Connection, pid: int, busy: LockBusy) -> Blocker | None:
    """Who, besides backend `pid`, holds what it could not get: the strongest lock first. None: gone again."""
    return _blocker(control, _HOLDING, {"pid": pid, "what": busy.what, "oid": busy.oid, "key": busy.key})


def _blocker(control: Connection, query: str, params: dict[str, object]) -> Blocker | None:
    row = control.execute(query, params).fetchone()
    return None if row is None else Blocker(*row)
