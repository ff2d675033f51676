"""How large the tables of a target are: what decides whether writing one anew is cheap."""

from __future__ import annotations

from typing import Any

import psycopg

from executor.schema.catalog.query import USER_SCHEMA

Connection = psycopg.Connection[tuple[Any, ...]]


def sizes(connection: Connection) -> dict[tuple[str, str], int]:
    """Bytes of each table and materialized view with its indexes, by schema and name. A table that is locked
    for more than a second is left out, and with it nothing is known of any. Raises psycopg.Error."""
    connection.execute("BEGIN READ ONLY")
    try:
        connection.execute("SET LOCAL lock_timeout = '1s'")
        rows = connection.execute(
            "SELECT n.nspname::text, c.relname::text, pg_total_relation_size(c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND {USER_SCHEMA}"
        ).fetchall()
    except psycopg.errors.LockNotAvailable:
        return {}
    finally:
        connection.execute("ROLLBACK")
    return {(schema, name): size for schema, name, size in rows}
