"""Read what is true on a target right now: history, row counts, sizes, and what depends on a table."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from approvals.flyway.history import HistoryRow, applied
from approvals.flyway.versions import Version
from executor.connect import Connection, Row, set_local
from executor.history import read_history

__all__ = ["Dependent", "TableFacts", "current_version", "read_history", "table_facts", "values"]

EXACT_S = 30.0
"""For all exact counts of one call together; what is left then gets the planner's estimate."""


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that a table's disappearance breaks: a view, a foreign key, a function, a trigger."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """`relation` is as it was asked for, `name` as the catalog has it, None where there is no such table.
    `rows` is exact, or else an estimate from statistics of `estimated_at` (None: never gathered).
    `bytes` includes indexes and TOAST."""

    relation: str
    name: str | None
    rows: int | None = None
    exact: bool = False
    estimated_at: datetime | None = None
    bytes: int = 0
    dependents: tuple[Dependent, ...] = ()


def current_version(rows: Iterable[HistoryRow]) -> Version | None:
    """The newest version that stands. Raises CorruptHistory."""
    return max(applied(rows), default=None)


def table_facts(
    connection: Connection, relations: Iterable[str], *, search_path: str = "public", exact_s: float = EXACT_S
) -> list[TableFacts]:
    """Facts about each relation, in the order asked. The connection is in no transaction and may read the
    tables. Raises psycopg.Error where it may not, or where a table is locked for longer than a second."""
    until, asked = time.monotonic() + exact_s, list(relations)
    with _reading(connection, search_path):
        rows = connection.execute(_RELATIONS, (asked,)).fetchall()
        oids = [row[1] for row in rows]
        dependents = connection.execute(_DEPENDENTS, (oids,)).fetchall() if oids else []
    of: dict[int, list[Dependent]] = {oid: [] for oid in oids}
    for oid, kind, name in dependents:
        of[oid].append(Dependent(kind, name))
    found = {row[0]: _facts(connection, row, of[row[1]], until) for row in rows}
    return [found.get(relation, TableFacts(relation, None)) for relation in asked]


def values(
    connection: Connection,
    columns: Iterable[tuple[str, str]],
    *,
    search_path: str = "public",
    exact_s: float = EXACT_S,
) -> dict[tuple[str, str], int | None]:
    """How many values other than NULL each (relation, column) holds; None: no such column, or no time."""
    until = time.monotonic() + exact_s
    found: dict[tuple[str, str], int | None] = {}
    for relation, column in columns:
        with _reading(connection, search_path):
            row = connection.execute(
                """SELECT nspname, relname, attname
                     FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                     JOIN pg_namespace n ON n.oid = relnamespace
                    WHERE attrelid = to_regclass(%s) AND attname = %s AND attnum > 0 AND NOT attisdropped""",
                (relation, _unquoted(column)),
            ).fetchone()
        count = None
        if row is not None:
            query = sql.SQL("SELECT count({}) FROM {}").format(
                sql.Identifier(row[2]), sql.Identifier(*row[:2])
            )
            count = _exact(connection, query, until)
        found[relation, column] = count
    return found


_RELATIONS = """
    SELECT asked.relation, c.oid::bigint, nspname, c.relname, relkind, greatest(reltuples, 0)::bigint,
           -- A partitioned table holds nothing itself; its partitions do.
           coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c.oid)),
                    pg_total_relation_size(c.oid))::bigint,
           greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid),
                    pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)),
           reltuples < 0
      FROM unnest(%s::text[]) AS asked (relation) JOIN pg_class c ON c.oid = to_regclass(asked.relation)
      JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'p', 'm', 'f', 'v')
"""

# Views on views, too. A rewrite rule stands for its view; a composite type for its table.
_DEPENDENTS = """
    WITH RECURSIVE gone (relation, oid) AS (
        SELECT asked, asked FROM unnest(%s::bigint[]::oid[]) AS asked
        UNION
        SELECT gone.relation, r.ev_class FROM gone JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
                                                    AND d.refobjid = gone.oid
                                                    AND d.classid = 'pg_rewrite'::regclass
                          JOIN pg_rewrite r ON r.oid = d.objid
    )
    SELECT relation::bigint, CASE relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END,
           c.oid::regclass::text
      FROM gone JOIN pg_class c USING (oid) WHERE c.oid <> relation AND relkind IN ('v', 'm')
    UNION
    SELECT confrelid::bigint, 'foreign key', format('%%s of %%s', conname, conrelid::regclass)
      FROM gone JOIN pg_constraint ON confrelid = gone.oid
     WHERE gone.oid = relation AND contype = 'f' AND conrelid <> confrelid AND conparentid = 0
    UNION
    SELECT relation::bigint, 'function', p.oid::regprocedure::text
      FROM gone JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = gone.oid
      JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    UNION
    SELECT relation::bigint, 'function', p.oid::regprocedure::text
      FROM gone JOIN pg_type t ON t.typrelid = gone.oid
      JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid
      JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    UNION
    SELECT tgrelid::bigint, 'trigger', format('%%s on %%s', tgname, tgrelid::regclass)
      FROM gone JOIN pg_trigger ON tgrelid = gone.oid WHERE gone.oid = relation AND NOT tgisinternal
     ORDER BY 1, 2, 3
"""


def _facts(connection: Connection, row: Row, dependents: Iterable[Dependent], until: float) -> TableFacts:
    relation, _oid, schema, table, kind, estimate, size, gathered_at, never_gathered = row
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    rows = None if kind in "vf" else _exact(connection, query, until)
    exact = rows is not None
    return TableFacts(
        relation=relation,
        name=f"{schema}.{table}",
        rows=rows if exact else None if never_gathered else estimate,
        exact=exact,
        estimated_at=None if exact else gathered_at,
        bytes=size,
        dependents=tuple(dependents),
    )


def _exact(connection: Connection, query: sql.Composed, until: float) -> int | None:
    """An exact count, or None when the time is over."""
    left = int((until - time.monotonic()) * 1000)
    if left <= 0:
        return None
    try:
        with _reading(connection, "public", statement_timeout_ms=left):
            row = connection.execute(query).fetchone()
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return None
    return None if row is None else int(row[0])


@contextlib.contextmanager
def _reading(
    connection: Connection, search_path: str, *, statement_timeout_ms: int = 30_000
) -> Iterator[None]:
    """A read-only transaction that waits for nobody longer than a second and hides no rows."""
    connection.execute("BEGIN READ ONLY")
    try:
        settings = {
            "search_path": f"{search_path}, pg_temp",
            "statement_timeout": f"{statement_timeout_ms}ms",
            "lock_timeout": "1s",
            "row_security": "off",
        }
        set_local(connection, settings)
        yield
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _unquoted(column: str) -> str:
    """A column as the analysis writes it: quoted where PostgreSQL needs that."""
    if len(column) > 1 and column.startswith('"') and column.endswith('"'):
        return column[1:-1].replace('""', '"')
    return column
