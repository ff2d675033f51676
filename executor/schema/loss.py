"""The data plan: how much goes, counted on the target, and since when it is there as far as that is known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from executor.schema.lost import CHANGED, HEARD, HOLE, ROWS, Lost
from executor.schema.names import dotted, literal, quoted

Connection = psycopg.Connection[tuple[Any, ...]]
LIMIT = 5_000_000
"""Rows up to which a relation is counted."""
SECONDS = 30.0
"""For all counts of one plan together; what is left then gets the planner's estimate."""
CAME = "it came with the migration"
NOT_TRACKED = "the server records no commit times (track_commit_timestamp is off)"
TEXTS_THAT_ARE_CUT = ("character", "bit")


@dataclass(frozen=True, slots=True)
class Loss:
    """One entry of the data plan. `count` are rows, or values other than NULL: exact, or else an estimate of
    the statistics taken at `estimated_at` (None: never taken); None where nothing is known, and `unknown`
    says why. `bytes` is what they take, roughly. `stops` are values that the script would stop at instead of
    changing them. `since`: nothing of it is older, because `since_because`; a moment without a zone is one by
    the clock of whoever migrated. Where that is not known, `since_unknown` says why."""

    lost: Lost
    step: int | None
    count: int | None
    exact: bool
    estimated_at: datetime | None = None
    bytes: int | None = None
    stops: int = 0
    since: datetime | None = None
    since_because: str = ""
    unknown: str = ""
    since_unknown: str = ""

    @property
    def nothing(self) -> bool:
        """Whether it is certain that nothing is lost."""
        return self.exact and self.count == 0

    def __str__(self) -> str:
        unit = {ROWS: "rows", HEARD: "rows"}.get(self.lost.kind, "values")
        if self.count is None:
            number = f"an unknown number of {unit} ({self.unknown})"
        else:
            number = f"{'' if self.exact else '≈ '}{self.count:,} {unit}"
        stops = f"; {self.stops:,} more do not fit at all, and stop the script" if self.stops else ""
        since = f", none older than {self.since:%Y-%m-%d %H:%M} ({self.since_because})" if self.since else ""
        return f"{self.lost}: {number}{stops}{since}"

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.lost.kind,
            "relation": list(self.lost.relation),
            "column": self.lost.column or None,
            "becomes": self.lost.becomes or None,
            "condition": self.lost.condition or None,
            "step": self.step,
            "count": self.count,
            "exact": self.exact,
            "estimated_at": self.estimated_at.isoformat() if self.estimated_at else None,
            "bytes": self.bytes,
            "stops": self.stops,
            "since": self.since.isoformat() if self.since else None,
            "since_because": self.since_because or None,
            "unknown": self.unknown or None,
            "since_unknown": self.since_unknown or None,
        }


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: int
    rows: int | None
    estimated_at: datetime | None
    size: int
    form: str


def measure(
    connection: Connection,
    goes: Iterable[tuple[int | None, Lost]],
    *,
    limit: int = LIMIT,
    seconds: float = SECONDS,
    applied_at: datetime | None = None,
    came: Collection[Lost] | None = None,
) -> tuple[Loss, ...]:
    """Count on the target what goes. `goes` are pairs of step (counted from 1) and what it takes away; names
    are those that stand on the target now. `applied_at` is when the migration ran there, and `came` what came
    with it; None means all of it. The connection is idle and in autocommit; it only reads, waits a second at
    most for a lock and sees all rows or fails. Raises psycopg.Error where it may not read."""
    until = time.monotonic() + seconds
    return tuple(
        _loss(connection, step, lost, limit, until, applied_at if came is None or lost in came else None)
        for step, lost in goes
    )


def _loss(
    connection: Connection,
    step: int | None,
    lost: Lost,
    limit: int,
    until: float,
    applied_at: datetime | None,
) -> Loss:
    with _reading(connection, until):
        relation = _relation(connection, lost)
    if relation is None:
        return Loss(lost, step, None, False, unknown="there is no such relation on the target")
    since, because = (applied_at, CAME) if applied_at else (None, "")
    if relation.rows is None or relation.rows <= limit:
        with contextlib.suppress(psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            try:
                counted = _count(connection, lost, relation, limit, until)
            except (psycopg.errors.CannotCoerce, psycopg.errors.UndefinedObject) as error:
                return Loss(lost, step, None, False, unknown=str(error.diag.message_primary))
            except psycopg.errors.CardinalityViolation as error:
                why = f"which rows these are shows only while the script runs: {error.diag.message_primary}"
                return Loss(lost, step, None, False, unknown=why)
            except psycopg.errors.DataError as error:
                message = f"a value does not fit {lost.becomes}: {error.diag.message_primary}"
                return Loss(lost, step, None, False, stops=1, unknown=message)
            if counted is not None:
                count, stops, bytes_, oldest, silent = counted
                if oldest is not None and not silent:
                    since, because = oldest, "commit times are recorded"
                why = "" if since else _why_unknown(lost, count, silent)
                taken = bytes_ if lost.column else relation.size
                return Loss(lost, step, count, True, None, taken, stops, since, because, since_unknown=why)
    with _reading(connection, None):
        guess, taken = _estimate(connection, lost, relation)
    unknown = "" if guess is not None else "it was never analysed, and counting takes too long"
    why = "" if since else "it was not counted row by row"
    return Loss(lost, step, guess, False, relation.estimated_at, taken, 0, since, because, unknown, why)


def _why_unknown(lost: Lost, count: int, silent: int | None) -> str:
    """Why nobody knows since when it is there: `silent` rows have no commit time; None: none is recorded."""
    if not count:
        return ""
    if silent is None:
        return NOT_TRACKED
    return f"of {silent:,} rows the commit time is not recorded any more" if silent else ""


def _relation(connection: Connection, lost: Lost) -> _Relation | None:
    row = connection.execute(
        """SELECT c.oid, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END,
                  greatest(s.last_analyze, s.last_autoanalyze, s.last_vacuum, s.last_autovacuum),
                  CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(pg_total_relation_size(p.relid)), 0)
                                                    FROM pg_partition_tree(c.oid) p WHERE p.isleaf)::bigint
                       ELSE pg_total_relation_size(c.oid) END, c.relkind::text
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
            WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'm', 'f')""",
        lost.relation,
    ).fetchone()
    return _Relation(*row) if row else None


def _count(
    connection: Connection, lost: Lost, relation: _Relation, limit: int, until: float
) -> tuple[int, int, int | None, datetime | None, int | None] | None:
    """(rows or values, values that stop the script, bytes, the oldest recorded commit, rows without one: None
    where the server records none); None above the limit."""
    picked, stops = _conditions(connection, lost, relation, until)
    column = quoted(lost.column) if lost.column else ""
    bytes_ = f"sum(pg_column_size({column})) FILTER (WHERE {picked})" if column else "NULL::bigint"
    tracked = relation.form != "f" and connection.execute("SHOW track_commit_timestamp").fetchone() == ("on",)
    commit = "pg_xact_commit_timestamp(xmin)"
    oldest = f"min({commit}) FILTER (WHERE {picked})" if tracked else "NULL::timestamptz"
    silent = f"count(*) FILTER (WHERE ({picked}) AND {commit} IS NULL)" if tracked else "NULL::bigint"
    where = f" WHERE {lost.condition}" if lost.condition else ""
    xmin = "xmin" if tracked else "NULL AS xmin"
    with _reading(connection, until):
        row = connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {picked}), count(*) FILTER (WHERE {stops}),"
            f" {bytes_}, {oldest}, {silent}"
            f" FROM (SELECT {xmin}{f', {column}' if column else ''} FROM {dotted(lost.relation)}{where}"
            f" LIMIT {limit + 1}) AS counted"
        ).fetchone()
    assert row is not None  # noqa: S101 (an aggregate has one row)
    return None if row[0] > limit else (row[1], row[2], row[3], row[4], row[5])


def _conditions(connection: Connection, lost: Lost, relation: _Relation, until: float) -> tuple[str, str]:
    """SQL: which rows count, and which would stop the script."""
    if not lost.column:
        return "true", "false"
    column = quoted(lost.column)
    if lost.kind != CHANGED:
        return f"{column} IS NOT NULL", "false"
    with _reading(connection, until):
        row = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s AND attname = %s",
            (relation.oid, lost.column),
        ).fetchone()
    now = row[0] if row else "text"
    if lost.ways:
        back, again = lost.ways
        came = again.replace(HOLE, f"({back.replace(HOLE, column)})")
        return f"({came})::{now}::text IS DISTINCT FROM {column}::text", "false"
    back = f"::{now}" if _casts(connection, lost.becomes, now, until) else ""
    differs = f"{column}::{lost.becomes}{back}::text IS DISTINCT FROM {column}::text"
    if not lost.becomes.startswith(TEXTS_THAT_ARE_CUT):
        return differs, "false"
    # An explicit cast cuts; the assignment of ALTER TYPE cuts blanks and stops at anything else.
    same = f"rtrim({column}::{lost.becomes}::text) = rtrim({column}::text)"
    return f"{differs} AND {same}", f"NOT ({same})"


def _casts(connection: Connection, old: str, new: str, until: float) -> bool:
    """Whether the server knows a way from one type to the other: none from a time to a timestamp."""
    with _reading(connection, until), contextlib.suppress(psycopg.errors.CannotCoerce):
        connection.execute(f"SELECT NULL::{old}::{new}")
        return True
    return False


def _estimate(connection: Connection, lost: Lost, relation: _Relation) -> tuple[int | None, int | None]:
    """Rows or values by the planner's statistics, and their bytes."""
    if relation.rows is None or lost.condition or lost.kind == CHANGED:
        return None, None
    if not lost.column:
        return relation.rows, relation.size
    row = connection.execute(
        "SELECT null_frac, avg_width FROM pg_stats WHERE schemaname = %s AND tablename = %s AND attname = %s"
        " ORDER BY inherited DESC LIMIT 1",
        (*lost.relation, lost.column),
    ).fetchone()
    if row is None:
        return None, None
    count = round(relation.rows * (1 - row[0]))
    return count, count * row[1]


@contextlib.contextmanager
def _reading(connection: Connection, until: float | None) -> Iterator[None]:
    """A read-only transaction that waits for nobody longer than a second and hides no rows."""
    left = 1000 if until is None else max(1, int((until - time.monotonic()) * 1000))
    connection.execute("BEGIN READ ONLY")
    try:
        for name, value in (
            ("statement_timeout", f"{left}ms"),
            ("lock_timeout", "1s"),
            ("row_security", "off"),
        ):
            connection.execute(f"SET LOCAL {name} = {literal(value)}")
        yield
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
