"""What a target still lacks before a rollback can run on it: found by reading catalogs, told as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from executor import points
from executor.connect import Connection, one
from executor.marker import SCHEMA

_ROLES = """
    SELECT executor.oid, executor.rolcanlogin, executor.rolsuper, owner.oid,
           coalesce(pg_has_role(executor.oid, owner.oid, 'MEMBER'), false)
      FROM (SELECT) AS always
      LEFT JOIN pg_roles executor ON executor.rolname = %(executor)s
      LEFT JOIN pg_roles owner ON owner.rolname = %(owner)s
"""
_TABLE = """
    SELECT c.oid, ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) AS p
                         WHERE NOT has_table_privilege(%(executor)s::oid, c.oid, p))
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname = %(schema)s AND relname = %(table)s AND relkind IN ('r', 'p')
"""
_MARKER = """
    SELECT count(*) FILTER (WHERE has_function_privilege(%(executor)s::oid, p.oid, 'EXECUTE'))
      FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
     WHERE nspname = %(schema)s AND proname IN ('claim', 'tombstone')
       AND has_schema_privilege(%(executor)s::oid, n.oid, 'USAGE')
"""

_PARAMETERS = """
    SELECT array(SELECT name FROM unnest(%(wanted)s::text[]) AS name
                  WHERE NOT has_parameter_privilege(%(executor)s::oid, name, 'ALTER SYSTEM')),
           has_function_privilege(%(executor)s::oid, 'pg_catalog.pg_reload_conf()', 'EXECUTE')
       AND has_function_privilege(%(executor)s::oid, 'pg_catalog.pg_show_all_file_settings()', 'EXECUTE')
       AND has_table_privilege(%(executor)s::oid, 'pg_catalog.pg_file_settings', 'SELECT')
"""


def lacking(
    connection: Connection,
    *,
    executor: str,
    owner: str,
    history: tuple[str, str],
    marker: bool = True,
    restore_points: bool = False,
    alter_system: Sequence[str] = (),
) -> list[str]:
    """What is missing for this login to run a rollback, the first cause first; empty where all is there.

    `history` is schema and table; `marker`: whether the target is to have the marker schema;
    `restore_points`: whether points are to be set in its write-ahead log; `alter_system`: the parameters that
    scripts change, which only steps that run alone can (and on servers before 15 only a superuser). Any role
    may ask: only catalogs are read. Raises psycopg.Error.
    """
    found = list(_lacking(connection, executor, owner, history, marker))
    if restore_points and not found:
        found = points.objections(connection, executor)
    if alter_system and not found:
        found = list(_parameters(connection, executor, alter_system))
    return found


def _parameters(connection: Connection, executor: str, wanted: Sequence[str]) -> Iterator[str]:
    if connection.info.server_version < 150000:
        yield f"Before PostgreSQL 15 only a superuser sets {', '.join(wanted)}: do that by hand."
        return
    oid = one(connection, "SELECT oid::bigint FROM pg_roles WHERE rolname = %s", (executor,))[0]
    refused, reads = one(connection, _PARAMETERS, {"wanted": list(wanted), "executor": oid})
    if refused:
        yield f"{executor} may not ALTER SYSTEM SET {', '.join(refused)}. Run the setup SQL again."
    if not reads:
        yield f"{executor} may not reload the settings and read their files. Run the setup SQL again."


def _lacking(
    connection: Connection, executor: str, owner: str, history: tuple[str, str], marker: bool
) -> Iterator[str]:
    row = connection.execute(_ROLES, {"executor": executor, "owner": owner}).fetchone()
    oid, may_login, superuser, owner_oid, member = row or (None, None, None, None, False)
    if owner_oid is None:
        yield f"The owner role {owner} does not exist here. Correct the target's settings."
    if oid is None:
        yield f"The login {executor} does not exist here. Run the setup SQL."
        return
    if not may_login:
        yield f"The role {executor} may not log in. Run the setup SQL again."
    if superuser:
        yield f"The login {executor} is a superuser. Nothing runs as one: ALTER ROLE … NOSUPERUSER."
    if owner_oid is not None and not member:
        yield f"{executor} is no member of {owner}, the owner of the objects. Run the setup SQL again."
    yield from _history(connection, oid, executor, history)
    if marker:
        found = connection.execute(_MARKER, {"executor": oid, "schema": SCHEMA}).fetchone()
        if found is None or found[0] < 2:
            yield f"The schema {SCHEMA} is not set up for {executor}. Run the setup SQL."


def _history(connection: Connection, oid: int, executor: str, history: tuple[str, str]) -> Iterator[str]:
    schema, table = history
    row = connection.execute(_TABLE, {"executor": oid, "schema": schema, "table": table}).fetchone()
    if row is None:
        yield f"There is no table {schema}.{table}. Correct the settings, or let Flyway migrate first."
    elif row[1]:
        yield f"{executor} may not {', '.join(row[1])} on {schema}.{table}. Run the setup SQL again."
