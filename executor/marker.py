"""The marker schema on a target: one row says for ever whether an execution committed or was given up.

An execution claims its random id inside the transaction that carries its script, so the row and the effects
appear together or not at all. A resolver that finds no row writes a tombstone under the same id, and the
primary key then stops a late worker. The executor's role can do both only through two functions.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from textwrap import dedent
from typing import Literal

from psycopg import sql

from executor.connect import Connection, one
from executor.errors import MarkerMissing

SCHEMA = "waqiti_rollback"
OWNER = "waqiti_rollback_owner"
EXECUTOR = "waqiti_rollback_executor"
BACKUP = "waqiti_rollback_backup"
CLONER = "waqiti_rollback_clone"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a DBA decides before the setup runs. `server_version` is PostgreSQL's number (180006).

    `allow_replica_role` lets scripts ask for session_replication_role (PostgreSQL 15 and newer), and
    `alter_system` names the parameters that autocommit steps may change with ALTER SYSTEM (15 and newer).
    `clone_role` is for servers on which rehearsal clones are made: a login that may create them.
    """

    owner_role: str
    database: str
    history_schema: str = "public"
    history_table: str = "flyway_schema_history"
    server_version: int = 180000
    executor_role: str = EXECUTOR
    backup_role: str = BACKUP
    allow_replica_role: bool = False
    alter_system: tuple[str, ...] = ()
    clone_role: str | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """One row of the marker table. `xid` is the 64-bit transaction id."""

    kind: Literal["claim", "tombstone"]
    request_digest: str
    xid: int
    pid: int
    backend_start: datetime
    claimed_at: datetime


def setup_sql(setup: Setup) -> str:
    """The text that a DBA runs once per target with psql; running it again changes nothing.

    Passwords come from psql variables (executor_password, backup_password, clone_password), or else psql asks
    for them, so that they are in no file and in no server log.
    """
    head = f"""\
        -- Prepares the database {_comment(setup.database)} for Waqiti Rollback. Run as a superuser (or the
        -- provider's equivalent) while connected to it:  psql -d {_comment(setup.database)} -f this_file.sql
        -- It asks for a password for each login. Without a terminal, give them as psql variables:
        --   {", ".join(variable for _, variable in _logins(setup))}
        \\set ON_ERROR_STOP on
        BEGIN;
        """
    parts = [dedent(head), *(statement + ";\n" for statement in _all_statements(setup)), "COMMIT;\n"]
    parts += [_psql_password(role, variable) for role, variable in _logins(setup)]
    return "\n".join(parts)


def install(connection: Connection, setup: Setup, *, passwords: Mapping[str, str] | None = None) -> None:
    """Run the same setup over a connection (embedded clusters). `passwords` are by role; they leave this
    process only as SCRAM verifiers. Raises psycopg.Error."""
    with connection.transaction():
        for statement in _all_statements(setup):
            connection.execute(statement)
        for role, password in (passwords or {}).items():
            _set_password(connection, role, password)


def install_in_clone(connection: Connection, setup: Setup) -> None:
    """Make the marker schema and the grants in a restored copy; the roles are the cluster's and must be
    there already. The connection's role must be member of both owners. Raises psycopg.Error."""
    with connection.transaction():
        for statement in [*_SCHEMA_STATEMENTS, *_grant_statements(setup)]:
            connection.execute(statement)


def claim(connection: Connection, execution_id: uuid.UUID, request_digest: str) -> int:
    """Claim the execution id in the open transaction and return the transaction's id.

    Raises psycopg.errors.UniqueViolation where the id has a claim or a tombstone already.
    """
    query = "SELECT waqiti_rollback.claim(%s, %s)::text"
    return int(one(connection, query, (execution_id, request_digest))[0])


def tombstone(connection: Connection, execution_id: uuid.UUID, request_digest: str) -> None:
    """Give the execution id up, unless it has a row already. Waits for a transaction that is claiming it."""
    connection.execute("SELECT waqiti_rollback.tombstone(%s, %s)", (execution_id, request_digest))


def read(connection: Connection, execution_id: uuid.UUID) -> Marker | None:
    """The row of this execution id, or None."""
    row = connection.execute(
        """SELECT kind, request_digest, xid::text, pid, backend_start, claimed_at
             FROM waqiti_rollback.execution_marker WHERE execution_id = %s""",
        (execution_id,),
    ).fetchone()
    return None if row is None else Marker(row[0], row[1], int(row[2]), row[3], row[4], row[5])


def ids_of_this_transaction(connection: Connection) -> list[uuid.UUID]:
    """The execution ids that the open transaction has written to the marker table."""
    rows = connection.execute(
        "SELECT execution_id FROM waqiti_rollback.execution_marker WHERE xid = pg_current_xact_id()"
    ).fetchall()
    return [row[0] for row in rows]


def require(connection: Connection) -> None:
    """Raise MarkerMissing unless the marker is there, usable, and out of reach for the login role."""
    row = connection.execute(
        """
        SELECT to_regclass(%(table)s) IS NOT NULL
                   AND has_schema_privilege(session_user, %(schema)s, 'USAGE'),
               coalesce(has_table_privilege(session_user, to_regclass(%(table)s), 'INSERT, UPDATE, DELETE,
                        TRUNCATE'), false)
                   OR coalesce((SELECT pg_has_role(session_user, relowner, 'MEMBER')
                                  FROM pg_class WHERE oid = to_regclass(%(table)s)), false),
               EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(%(table)s)
                                              AND indisprimary AND indisvalid)
          FROM (SELECT WHERE EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s)) AS present
        """,
        {"table": f"{SCHEMA}.execution_marker", "schema": SCHEMA},
    ).fetchone()
    if row is None or not row[0]:
        raise MarkerMissing(
            f"The schema {SCHEMA} is not set up on this target. Run the target's setup SQL there, or set the "
            "target to the reduced guarantee."
        )
    if row[1]:
        raise MarkerMissing(
            f"The executor's role could write {SCHEMA}.execution_marker by itself, so a marker would prove "
            "nothing. Run the target's setup SQL again and take that right away."
        )
    if not row[2]:
        raise MarkerMissing(
            f"{SCHEMA}.execution_marker has no valid primary key; nothing would stop a late worker."
        )


# The setup, statement by statement. Every one can run again without harm.


def _all_statements(setup: Setup) -> list[str]:
    return [*_role_statements(setup), *_SCHEMA_STATEMENTS, *_grant_statements(setup)]


def _role_statements(setup: Setup) -> list[str]:
    executor, backup, owner = _name(setup.executor_role), _name(setup.backup_role), _name(setup.owner_role)
    membership = "WITH INHERIT FALSE, SET TRUE" if setup.server_version >= 160000 else ""
    statements = [
        *(_create_role(role) for role in (OWNER, setup.executor_role, setup.backup_role)),
        f"ALTER ROLE {OWNER} NOLOGIN",
        f"ALTER ROLE {executor} LOGIN NOINHERIT",
        f"ALTER ROLE {backup} LOGIN BYPASSRLS",
        _JOIN_MARKER_OWNER,
        f"GRANT {owner} TO {executor} {membership}".rstrip(),
        f"GRANT pg_read_all_stats TO {OWNER}, {executor}"
        + (" WITH INHERIT TRUE" if setup.server_version >= 160000 else ""),
        f"GRANT pg_read_all_data TO {backup}",
        f"GRANT CONNECT ON DATABASE {_name(setup.database)} TO {executor}, {backup}",
    ]
    if setup.server_version >= 150000:
        if setup.allow_replica_role:
            statements.append(f"GRANT SET ON PARAMETER session_replication_role TO {executor}")
        statements += [
            f"GRANT ALTER SYSTEM ON PARAMETER {_name(name)} TO {executor}" for name in setup.alter_system
        ]
    return statements + (_clone_role_statements(setup, setup.clone_role) if setup.clone_role else [])


def _clone_role_statements(setup: Setup, role: str) -> list[str]:
    """A clone's objects and its marker belong to the same owners as the target's."""
    membership = " WITH INHERIT TRUE, SET TRUE" if setup.server_version >= 160000 else ""
    return [
        _create_role(role),
        f"ALTER ROLE {_name(role)} LOGIN CREATEDB",
        f"GRANT {_name(setup.owner_role)}, {OWNER} TO {_name(role)}{membership}",
    ]


def _create_role(role: str) -> str:
    return dedent(f"""\
        DO $setup$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {_text(role)}) THEN
                CREATE ROLE {_name(role)};
            END IF;
        END $setup$""")


# A managed service's administrator is no superuser and must be a member to create for the owner.
_JOIN_MARKER_OWNER = """\
DO $setup$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        GRANT waqiti_rollback_owner TO CURRENT_USER;
    END IF;
END $setup$"""

_SCHEMA_STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS waqiti_rollback AUTHORIZATION waqiti_rollback_owner",
    "SET LOCAL ROLE waqiti_rollback_owner",
    """\
CREATE TABLE IF NOT EXISTS waqiti_rollback.execution_marker (
    execution_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('claim', 'tombstone')),
    request_digest text NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    backend_start timestamptz NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)""",
    """\
CREATE OR REPLACE FUNCTION waqiti_rollback.claim(execution_id uuid, request_digest text) RETURNS xid8
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    INSERT INTO waqiti_rollback.execution_marker (execution_id, kind, request_digest, backend_start)
    SELECT $1, 'claim', $2, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
    RETURNING xid
$function$""",
    """\
CREATE OR REPLACE FUNCTION waqiti_rollback.tombstone(execution_id uuid, request_digest text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    INSERT INTO waqiti_rollback.execution_marker (execution_id, kind, request_digest, backend_start)
    SELECT $1, 'tombstone', $2, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT DO NOTHING
$function$""",
    "REVOKE ALL ON FUNCTION waqiti_rollback.claim(uuid, text) FROM PUBLIC",
    "REVOKE ALL ON FUNCTION waqiti_rollback.tombstone(uuid, text) FROM PUBLIC",
    "REVOKE ALL ON waqiti_rollback.execution_marker FROM PUBLIC",
    "RESET ROLE",
)


def _grant_statements(setup: Setup) -> list[str]:
    executor = _name(setup.executor_role)
    history_schema = _name(setup.history_schema)
    history = f"{history_schema}.{_name(setup.history_table)}"
    return [
        f"SET LOCAL ROLE {OWNER}",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {executor}",
        f"GRANT SELECT ON {SCHEMA}.execution_marker TO {executor}",
        f"GRANT EXECUTE ON FUNCTION {SCHEMA}.claim(uuid, text), {SCHEMA}.tombstone(uuid, text) TO {executor}",
        "RESET ROLE",
        f"GRANT USAGE ON SCHEMA {history_schema} TO {executor}",
        f"GRANT SELECT, INSERT, DELETE ON {history} TO {executor}",
    ]


def _logins(setup: Setup) -> list[tuple[str, str]]:
    """The roles that log in, with the psql variables of their passwords."""
    logins = [(setup.executor_role, "executor_password"), (setup.backup_role, "backup_password")]
    return logins + ([(setup.clone_role, "clone_password")] if setup.clone_role else [])


def _psql_password(role: str, variable: str) -> str:
    return dedent(f"""\
        \\if :{{?{variable}}}
            ALTER ROLE {_name(role)} PASSWORD :'{variable}';
        \\else
            \\password {_name(role)}
        \\endif
        """)


def _set_password(connection: Connection, role: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )


def _name(identifier: str) -> str:
    return sql.Identifier(identifier).as_string()


def _text(value: str) -> str:
    return sql.Literal(value).as_string()


def _comment(text: str) -> str:
    """Text for a comment line of the setup file: it must not end the line."""
    return " ".join(text.split())
