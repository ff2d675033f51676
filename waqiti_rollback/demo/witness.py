"""Ask a target itself, past the portal and its worker: the tour believes nobody else."""

from __future__ import annotations

from typing import Any

import psycopg

from waqiti_rollback.embedded import Cluster

_LAYOUT = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT viewname || definition FROM pg_views WHERE schemaname = 'public'
) AS layout (line)
"""
_TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


class Witness:
    """Looks at one database as its superuser, each time over a connection of its own."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database

    def one(self, query: str, *values: object) -> Any:
        """The first value of the first row; None without a row."""
        with psycopg.connect(self.cluster.superuser_dsn(self.database)) as connection:
            row = connection.execute(query.encode(), values or None).fetchone()
        return row[0] if row else None

    def layout(self) -> str:
        """Changes with every constraint, column, index, view and function of the service."""
        return str(self.one(_LAYOUT))

    def fingerprint(self) -> str:
        """Changes with the layout and with every row, those of the history included."""
        parts = [self.layout()]
        with psycopg.connect(self.cluster.superuser_dsn(self.database)) as connection:
            for (table,) in connection.execute(_TABLES).fetchall():
                query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"
                parts.append(f"{table} {connection.execute(query.encode()).fetchone()}")
        return "\n".join(parts)

    def versions(self) -> list[str]:
        """The versions in Flyway's history, oldest first."""
        query = (
            "SELECT array_agg(version ORDER BY installed_rank) FROM flyway_schema_history WHERE version <> ''"
        )
        return list(self.one(query) or [])

    def marker(self, execution_id: object) -> str | None:
        """What the target itself recorded of an execution: claim, tombstone, or nothing."""
        query = "SELECT kind FROM waqiti_rollback.execution_marker WHERE execution_id = %s"
        return self.one(query, execution_id)  # type: ignore[no-any-return]

    def rehearsal_clones(self) -> int:
        """How many rehearsal clones are left on the server."""
        return int(self.one("SELECT count(*) FROM pg_database WHERE datname LIKE %s", "waqiti_rehearsal%"))
