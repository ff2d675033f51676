"""Count and hash the rows of every table, so that a restored copy can be compared with its source."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from psycopg import sql

from executor.connect import Connection, set_local

Sums = dict[str, tuple[int, str]]
"""Quoted, qualified table name → (rows, sum of row hashes)."""

# Whatever changes how a value is written as text must be the same on both sides.
_AS_TEXT = {
    "search_path": "pg_catalog",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "row_security": "off",
    "statement_timeout": "0",
}

_TABLES = """
    SELECT format('%I.%I', nspname, relname), nspname, relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind = 'r' AND relpersistence <> 't' AND nspname <> 'waqiti_rollback'
       AND nspname !~ '^pg_' AND nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend
                        WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
     ORDER BY 1
"""


def table_sums(
    connection: Connection, each: Callable[[], None] | None = None, *, only: Container[str] | None = None
) -> Sums:
    """Rows and the sum of their hashes per table, or `only` of these, in the open transaction's snapshot;
    `each` is called after every table. Partitions count for themselves; materialized views are computed again
    at a restore and don't count. Raises psycopg.Error (a policy that would hide rows is an error, too)."""
    set_local(connection, _AS_TEXT)
    sums: Sums = {}
    for name, schema, table in connection.execute(_TABLES).fetchall():
        if only is not None and name not in only:
            continue
        query = sql.SQL(
            "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM ONLY {} AS t"
        ).format(sql.Identifier(schema, table))
        row = connection.execute(query).fetchone()
        if row is not None:
            sums[name] = (row[0], row[1])
        if each is not None:
            each()
    return sums


def differences(before: Mapping[str, tuple[int, str]], after: Mapping[str, tuple[int, str]]) -> list[str]:
    """One sentence per table that isn't the same in both."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(f"{name} is missing in the restored copy.")
        elif name not in before:
            found.append(f"{name} is in the restored copy only.")
        elif before[name][0] != after[name][0]:
            found.append(f"{name} had {before[name][0]} rows, the restored copy has {after[name][0]}.")
        elif before[name][1] != after[name][1]:
            found.append(f"{name} has {before[name][0]} rows in both, but not the same ones.")
    return found
