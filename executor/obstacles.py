"""What stands in the way of a run on a target right now: found by reading, told as points of a checklist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from approvals.analysis.model import LockMode
from executor import vault
from executor.connect import Connection, identity, one, refuse_unfit
from executor.errors import BackupRefused, WrongServer
from executor.locks import Wanted
from executor.spec import RunSpec

Verdict = Literal["go", "look", "stop", "unknown"]
"""It is as it should be; a person should know; nothing may start; it can't be known."""

OLD_S = 60
"""A transaction that is older and holds a lock on what the plan touches stops a start."""
LAG_S, LAG_BYTES = 30.0, 64 * 1024**2
NEEDS = 5
"""Connections that a run needs at once: its own, the control, the backup's two, and one to look with."""
TOLD = 8
"""So many are named in one point; of more, how many."""

_E = frozenset({LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE})
_WRITES = frozenset({LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE}) | _E
CONFLICTS: dict[LockMode, frozenset[LockMode]] = {
    LockMode.ACCESS_SHARE: frozenset({LockMode.ACCESS_EXCLUSIVE}),
    LockMode.ROW_SHARE: _E,
    LockMode.ROW_EXCLUSIVE: _WRITES,
    LockMode.SHARE_UPDATE_EXCLUSIVE: _WRITES | {LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.SHARE: _WRITES - {LockMode.SHARE} | {LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.SHARE_ROW_EXCLUSIVE: _WRITES | {LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.EXCLUSIVE: frozenset(LockMode) - {LockMode.ACCESS_SHARE},
    LockMode.ACCESS_EXCLUSIVE: frozenset(LockMode),
}
"""Which modes keep which waiting, as the manual of PostgreSQL has it (13.3.1)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the checklist: what was looked at, how it stands, in a sentence; `who` is about whom or
    what it is, one line each."""

    key: str
    title: str
    verdict: Verdict
    says: str
    who: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As the portal keeps it."""
        return asdict(self) | {"who": list(self.who)}


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock that somebody has on a relation of the plan; pid 0 is a prepared transaction."""

    oid: int
    mode: LockMode
    pid: int
    user: str
    application: str
    client: str
    state: str
    began: datetime | None
    age_s: float
    wraparound: bool
    gid: str

    @property
    def prepared(self) -> bool:
        return self.pid == 0

    @property
    def told(self) -> str:
        """`pid 4711, user app, pgbench from 10.0.0.4, idle in transaction, since …: ACCESS SHARE`."""
        who = f"prepared transaction {self.gid!r}" if self.prepared else f"pid {self.pid}"
        who += f", user {self.user}" if self.user else ""
        who += f", {self.application}" if self.application else ""
        who += f" from {self.client}" if self.client else ""
        who += f", {self.state}" if self.state else ""
        since = f", since {self.began:%Y-%m-%d %H:%M:%S %Z}".rstrip() if self.began else ""
        return f"{who}{since}: {self.mode.value}"


_HOLDERS = """
    SELECT l.relation::bigint,
           upper(trim(regexp_replace(regexp_replace(l.mode, 'Lock$', ''), '([A-Z])', ' \\1', 'g'))),
           coalesce(l.pid, 0), coalesce(a.usename, p.owner, ''), coalesce(a.application_name, ''),
           coalesce(host(a.client_addr), ''), coalesce(a.state, a.backend_type, ''),
           coalesce(a.xact_start, p.prepared),
           coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)), 0)::float,
           coalesce(a.query LIKE '%%(to prevent wraparound)', false), coalesce(p.gid, '')
      FROM pg_locks l
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      -- A prepared transaction has no pid, and on PostgreSQL 18 still the virtual id of the session that
      -- prepared it: its own id is what it holds a lock on.
      LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
                          AND x.virtualtransaction = l.virtualtransaction
      LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
     WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.relation::bigint = ANY (%s)
     ORDER BY 8 NULLS LAST, 3 LIMIT 500"""


def obstacles(
    connection: Connection, spec: RunSpec, wanted: Sequence[Wanted], *, backup: bool, needs: int | None = None
) -> Iterator[Point]:
    """Every point that a start depends on, in the order in which people read them.

    `connection` is the executor's own login, in no transaction; `wanted` are the tables of the plan as the
    target has them; `backup`: whether one is taken before, which `needs` so many bytes where that is known.
    Raises psycopg.Error.
    """
    yield _server(connection, spec)
    holders = _holders(connection, wanted)
    names = {each.oid: str(each) for each in wanted}
    yield _old_transactions(holders, names)
    yield _prepared(connection, holders, names)
    yield _maintenance(holders, names)
    yield _locks(holders, wanted, names, spec.limits.lock_phase_s)
    yield _replicas(connection)
    yield _headroom(connection)
    yield _disk(connection, backup, needs)
    yield _sizes(connection, wanted)
    yield _timeouts(connection, spec)


def _holders(connection: Connection, wanted: Sequence[Wanted]) -> list[Holder]:
    rows = connection.execute(_HOLDERS, ([each.oid for each in wanted],)).fetchall()
    return [Holder(row[0], LockMode(row[1]), *row[2:]) for row in rows]


def _server(connection: Connection, spec: RunSpec) -> Point:
    title = "It is the approved database, its primary, and no pooler stands between"
    who = identity(connection)
    try:
        refuse_unfit(
            who,
            client_pid=connection.info.backend_pid,
            system_identifier=spec.expected_system_identifier,
            database_oid=spec.database_oid,
        )
    except WrongServer as error:
        return Point("server", title, "stop", str(error))
    unsafe = [name for name in ("fsync", "full_page_writes") if one(connection, f"SHOW {name}")[0] == "off"]
    if unsafe:
        said = f"The server runs with {' and '.join(unsafe)} off: a crash there can lose what it committed."
        return Point("server", title, "look", said)
    version = f"PostgreSQL {who.version // 10_000}.{who.version % 10_000}"
    return Point(
        "server", title, "go", f"{version}, system {who.system_identifier}, timeline {who.timeline}."
    )


def _old_transactions(holders: Sequence[Holder], names: dict[int, str]) -> Point:
    title = f"No transaction older than {OLD_S} s holds what the plan touches"
    old = [each for each in holders if each.age_s > OLD_S and not each.prepared and not _is_dump(each)]
    if old:
        minutes = max(each.age_s for each in old) / 60
        said = f"{_sessions(old)} in a transaction for up to {minutes:.0f} min, with what the plan touches."
        return Point("transactions", title, "stop", said, _told(old, names))
    return Point("transactions", title, "go", "None.")


def _prepared(connection: Connection, holders: Sequence[Holder], names: dict[int, str]) -> Point:
    title = "No prepared transaction holds what the plan touches"
    held = [each for each in holders if each.prepared]
    if held:
        said = (
            "A prepared transaction holds what the plan touches, until somebody commits it or rolls it back, "
            "over restarts of the server."
        )
        return Point("prepared", title, "stop", said, _told(held, names))
    others = connection.execute(
        "SELECT gid, owner, prepared FROM pg_prepared_xacts WHERE database = current_database()"
        " AND prepared < clock_timestamp() - interval '60 s' ORDER BY prepared LIMIT 50"
    ).fetchall()
    if others:
        who = tuple(f"{gid!r} of {owner}, since {at:%Y-%m-%d %H:%M:%S %Z}" for gid, owner, at in others)
        return Point("prepared", title, "look", "None does; others lie there.", who[:TOLD])
    return Point("prepared", title, "go", "None.")


def _maintenance(holders: Sequence[Holder], names: dict[int, str]) -> Point:
    title = "No dump and no anti-wraparound vacuum runs there"
    found = [each for each in holders if _is_dump(each) or each.wraparound]
    if found:
        return Point("maintenance", title, "stop", _of_maintenance(found), _told(found, names))
    return Point("maintenance", title, "go", "None.")


def _of_maintenance(found: Sequence[Holder]) -> str:
    if any(map(_is_dump, found)):
        return "A dump of what the plan touches runs, and fails if it is ended. Wait for its end."
    return "An anti-wraparound vacuum runs, and begins again if it is ended. Wait for its end."


def _is_dump(holder: Holder) -> bool:
    return holder.application.startswith(("pg_dump", "pg_restore"))


def _locks(
    holders: Sequence[Holder], wanted: Sequence[Wanted], names: dict[int, str], phase_s: float
) -> Point:
    title = "The locks it needs"
    needed = {each.oid: each.mode for each in wanted}
    plan = f"{len(wanted)} {'table' if len(wanted) == 1 else 'tables'}"
    against = [each for each in holders if each.mode in CONFLICTS[needed[each.oid]]]
    if not wanted:
        return Point("locks", title, "go", "The plan locks no table that is there.")
    if against:
        said = (
            f"Somebody holds a lock in the way of those on {plan}. The run asks again in short tries, for "
            f"{phase_s:g} s, and then gives up without effect."
        )
        return Point("locks", title, "look", said, _told(against, names))
    need = tuple(f"{each}: {each.mode.value}" for each in wanted)
    return Point("locks", title, "go", f"Nobody holds anything against the locks on {plan}.", few(need))


def _replicas(connection: Connection) -> Point:
    title = "Replicas"
    rows = connection.execute(
        """SELECT coalesce(nullif(application_name, ''), 'a standby'),
                  coalesce(state, ''), coalesce(sync_state, ''),
                  coalesce(extract(epoch FROM replay_lag), 0)::float,
                  CASE WHEN pg_is_in_recovery() THEN 0
                       ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0) END::bigint
             FROM pg_stat_replication ORDER BY 1"""
    ).fetchall()
    slots = connection.execute(
        """SELECT slot_name, coalesce(wal_status, '') FROM pg_replication_slots
            WHERE NOT active OR wal_status IN ('unreserved', 'lost') ORDER BY 1"""
    ).fetchall()
    who = [
        f"{name}: {state}, {lag:.0f} s and {size / 1024**2:.0f} MB behind"
        for name, state, _s, lag, size in rows
    ]
    who += [f"slot {name}: nobody reads it, its WAL is {status or 'kept'}" for name, status in slots]
    needs_sync = one(connection, "SHOW synchronous_standby_names")[0]
    if needs_sync and not any(sync in ("sync", "quorum") for _n, _s, sync, _l, _b in rows):
        said = f"COMMIT would wait for a synchronous standby ({needs_sync}), and none is connected."
        return Point("replicas", title, "stop", said, few(who))
    late = [each for each in rows if each[3] > LAG_S or each[4] > LAG_BYTES]
    if late or slots:
        said = "Readers of a replica that lags go on with the old schema; what nobody reads fills the disk."
        return Point("replicas", title, "look", said, few(who))
    count = f"{len(rows)} connected, none far behind." if rows else "None is connected."
    return Point("replicas", title, "go", count, few(who))


def _headroom(connection: Connection) -> Point:
    title = "Connections left"
    most, reserved, used, role_limit, role_used = one(
        connection,
        """SELECT current_setting('max_connections')::int,
                  current_setting('superuser_reserved_connections')::int
                  + coalesce(current_setting('reserved_connections', true), '0')::int,
                  (SELECT count(*) FROM pg_stat_activity
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
                  (SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user),
                  (SELECT count(*) FROM pg_stat_activity
                    WHERE usename = session_user AND pid <> pg_backend_pid())""",
    )
    free = most - reserved - used
    if role_limit >= 0:
        free = min(free, role_limit - role_used)
    said = f"{free} connections are free of {most}; a run needs up to {NEEDS}."
    return Point("connections", title, "go" if free >= NEEDS else "stop", said)


def _disk(connection: Connection, backup: bool, needs: int | None) -> Point:
    title = "Room for the backup"
    unknown = "How much disk the target itself has left, PostgreSQL does not tell."
    if not backup:
        return Point("disk", title, "unknown", f"No backup is taken. {unknown}")
    if needs is None:
        needs = int(one(connection, "SELECT pg_database_size(current_database())")[0])
    try:
        vault.require_room(needs)
    except BackupRefused as error:
        return Point("disk", title, "stop", str(error))
    return Point("disk", title, "go", f"For a dump of up to {_bytes(needs)}, twice. {unknown}")


def _sizes(connection: Connection, wanted: Sequence[Wanted]) -> Point:
    title = "How large what it touches is"
    rows = connection.execute(
        """SELECT c.oid::bigint, greatest(reltuples, 0)::bigint, reltuples < 0,
                  coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c.oid)),
                           pg_total_relation_size(c.oid), 0)::bigint
             FROM pg_class c WHERE c.oid::bigint = ANY (%s) ORDER BY 4 DESC""",
        ([each.oid for each in wanted],),
    ).fetchall()
    names = {each.oid: str(each) for each in wanted}
    who = [
        f"{names[oid]}: {_bytes(size)}, {'rows never counted' if never else f'about {rows:,} rows'}"
        for oid, rows, never, size in rows
    ]
    total = _bytes(sum(row[3] for row in rows))
    return Point("sizes", title, "go", f"{total} in all, with indexes." if rows else "Nothing.", few(who))


def _timeouts(connection: Connection, spec: RunSpec) -> Point:
    title = "Limits in force while it runs"
    limits = spec.limits
    who = (
        f"one wait for a lock: {limits.lock_timeout_ms / 1000:g} s; all together: {limits.lock_phase_s:g} s",
        f"one statement: {limits.statement_timeout_ms / 60_000:g} min",
        f"the whole run, from this side: {limits.client_deadline_s / 60:g} min",
    )
    idle = one(connection, "SHOW idle_session_timeout")[0]
    if idle != "0":
        said = f"The server ends idle sessions after {idle}, the control connection of a long run among them."
        return Point("timeouts", title, "look", said, who)
    return Point("timeouts", title, "go", "Set for the run itself, whatever the server's own are.", who)


def _sessions(found: Sequence[Holder]) -> str:
    count = len({each.pid for each in found})
    return f"{count} {'session is' if count == 1 else 'sessions are'}"


def _told(found: Sequence[Holder], names: dict[int, str]) -> tuple[str, ...]:
    """A line for each session and mode, with the relations that it holds so."""
    held: dict[str, list[str]] = {}
    for each in found:
        held.setdefault(each.told, []).append(names.get(each.oid, "a relation"))
    return few([f"{told} on {_listed(relations)}" for told, relations in held.items()])


def _listed(relations: Sequence[str], most: int = 3) -> str:
    more = f" and {len(relations) - most} more" if len(relations) > most else ""
    return ", ".join(relations[:most]) + more


def few(lines: Sequence[str]) -> tuple[str, ...]:
    """The first of many, and how many more there are."""
    lines = list(dict.fromkeys(lines))
    if len(lines) <= TOLD:
        return tuple(lines)
    return (*lines[:TOLD], f"and {len(lines) - TOLD} more")


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
