"""Look for rows whose foreign key points nowhere, after a script that may have run without its triggers."""

from __future__ import annotations

from psycopg import sql

from executor.checks import read_only
from executor.connect import Connection, set_local
from executor.spec import RunSpec

_TOUCHED_KEYS = """
    WITH touched AS (
        SELECT coalesce(pg_partition_root(relation), relation) AS oid
          FROM pg_locks
         WHERE pid = pg_backend_pid() AND locktype = 'relation'
           AND mode NOT IN ('AccessShareLock', 'RowShareLock')
    )
    SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,
           referencing.relkind = 'p', referenced.relkind = 'p', c.confmatchtype = 'f',
           coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false),
           (SELECT array_agg(attname ORDER BY n) FROM unnest(conkey) WITH ORDINALITY AS k (attnum, n)
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
           (SELECT array_agg(attname ORDER BY n) FROM unnest(confkey) WITH ORDINALITY AS k (attnum, n)
              JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum),
           (SELECT array_agg(format('OPERATOR(%I.%s)', nspname, oprname) ORDER BY n)
              FROM unnest(conpfeqop) WITH ORDINALITY AS k (op, n)
              JOIN pg_operator o ON o.oid = k.op JOIN pg_namespace s ON s.oid = oprnamespace)
      FROM pg_constraint c
      JOIN pg_class referencing ON referencing.oid = c.conrelid
      JOIN pg_class referenced ON referenced.oid = c.confrelid
     WHERE c.contype = 'f' AND c.convalidated AND c.conparentid = 0
       AND (c.conrelid IN (SELECT oid FROM touched) OR c.confrelid IN (SELECT oid FROM touched))
     ORDER BY 2, 1
"""


def orphans(connection: Connection, spec: RunSpec) -> list[str]:
    """One sentence per foreign key that this transaction may have broken and that has rows without a
    counterpart. Looks at every validated key of every table the transaction has written to or altered.

    For scripts under session_replication_role = replica, which skips all foreign-key triggers: the key still
    calls itself valid afterwards, and VALIDATE CONSTRAINT does nothing to a key that does.
    """
    found = []
    with read_only(connection, spec):
        timeout = f"{spec.limits.statement_timeout_ms}ms"
        set_local(connection, {"search_path": "pg_catalog, pg_temp", "statement_timeout": timeout})
        for row in connection.execute(_TOUCHED_KEYS).fetchall():
            name, table, other, _, _, _, temporal, *_ = row
            if temporal:
                found.append(f"The temporal foreign key {name} of {table} can't be checked for orphans.")
                continue
            result = connection.execute(_anti_join(*row)).fetchone()
            if result and result[0]:
                found.append(f"{result[0]} rows of {table} have no counterpart in {other} ({name}).")
    return found


def _anti_join(
    _name: str,
    table: str,
    other: str,
    partitioned: bool,
    other_partitioned: bool,
    match_full: bool,
    _temporal: bool,
    columns: list[str],
    other_columns: list[str],
    operators: list[str],
) -> sql.Composed:
    """Count rows of `table` whose key is not in `other`. `table` and `other` are quoted already."""
    mine = [sql.Identifier("mine", column) for column in columns]
    pairs = [
        sql.SQL("{} {} {}").format(sql.Identifier("other", theirs), sql.SQL(operator), ours)
        for theirs, operator, ours in zip(other_columns, operators, mine, strict=True)
    ]
    # MATCH SIMPLE lets a key with any NULL pass, MATCH FULL only one that is NULL throughout.
    joiner = " OR " if match_full else " AND "
    filled = sql.SQL(joiner).join(sql.SQL("{} IS NOT NULL").format(column) for column in mine)
    return sql.SQL(
        "SELECT count(*) FROM {only}{table} AS mine WHERE ({filled}) AND NOT EXISTS "
        "(SELECT FROM {other_only}{other} AS other WHERE {pairs})"
    ).format(
        only=sql.SQL("" if partitioned else "ONLY "),
        table=sql.SQL(table),
        filled=filled,
        other_only=sql.SQL("" if other_partitioned else "ONLY "),
        other=sql.SQL(other),
        pairs=sql.SQL(" AND ").join(pairs),
    )
