"""The SQL that prepares a target, as text: what a DBA reads and runs there once.

Roles, the marker schema and grants. Text only: the executor runs the same statements over a connection where
it prepares embedded clusters and clones, and pages show them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

from psycopg import sql

from .analysis.alone import NotAlone, Setting, read_alone

if TYPE_CHECKING:
    from .models import Target

SCHEMA = "waqiti_rollback"
OWNER = "waqiti_rollback_owner"
EXECUTOR = "waqiti_rollback_executor"
BACKUP = "waqiti_rollback_backup"
CLONER = "waqiti_rollback_clone"
# Who sets a restore point needs these, which PostgreSQL gives to nobody.
RESTORE_POINT_FUNCTIONS = ("pg_create_restore_point(text)", "pg_switch_wal()")
# PostgreSQL's number of the newest version known here: the text is for it where a target was never read.
NEWEST = 180000
# Whoever sets one of these has the server run programs or load code. A script that nobody approved yet does
# not put them into a text that a DBA runs: who wants one names it.
NAMED_ONLY = frozenset(
    """
    archive_cleanup_command archive_command archive_library dynamic_library_path extension_control_path
    jit_provider local_preload_libraries oauth_validator_libraries recovery_end_command restore_command
    session_preload_libraries shared_preload_libraries ssl_passphrase_command
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a DBA decides before the setup runs. `server_version` is PostgreSQL's number (180006).

    `allow_replica_role` lets scripts ask for session_replication_role (PostgreSQL 15 and newer), and
    `alter_system` names the parameters that autocommit steps may change with ALTER SYSTEM (15 and newer).
    `clone_role` is for servers on which rehearsal clones are made: a login that may create them.
    `restore_points` lets the executor's role name points in the write-ahead log, for databases that are too
    large for a dump.
    """

    owner_role: str
    database: str
    history_schema: str = "public"
    history_table: str = "flyway_schema_history"
    server_version: int = NEWEST
    executor_role: str = EXECUTOR
    backup_role: str = BACKUP
    allow_replica_role: bool = False
    alter_system: tuple[str, ...] = ()
    clone_role: str | None = None
    restore_points: bool = False


def for_target(
    target: Target,
    *,
    server_version: int = NEWEST,
    allow_replica_role: bool = False,
    alter_system: tuple[str, ...] = (),
    restore_points: bool = False,
) -> Setup:
    """The setup of this target; `server_version` counts only where the target was never read.

    Besides `alter_system` it names the parameters that the newest scripts of the service change, but for
    those of `NAMED_ONLY`. A staging target gets the login that makes rehearsal clones on its server.
    Where a physical backup is on record, restore points are allowed in any case.
    """
    read = target.server_version
    return Setup(
        owner_role=target.owner_role,
        database=target.dbname,
        history_schema=target.history_schema,
        history_table=target.history_table,
        server_version=int(read) if read.isdigit() else server_version,
        allow_replica_role=allow_replica_role,
        alter_system=tuple(sorted({*alter_system, *parameters(target)})),
        clone_role=None if target.is_production else CLONER,
        restore_points=restore_points or bool(target.pk and target.base_backups.exists()),
    )


def parameters(target: Target) -> set[str]:
    """The server's parameters that the newest scripts of the target's service change."""
    from .models import SETS_PARAMETERS, RollbackScript

    if target.service_id is None:
        return set()
    newest = RollbackScript.objects.filter(migration__service=target.service_id)
    newest = newest.order_by("migration_id", "-number").distinct("migration_id")
    plans = RollbackScript.objects.filter(SETS_PARAMETERS, pk__in=newest.values("pk"))
    found = set()
    for plan in plans.order_by().values_list("plan", flat=True):
        for step in plan["steps"]:
            with suppress(NotAlone):
                if isinstance(about := read_alone(step["statement"]["sql"]), Setting):
                    found.add(about.name)
    return found - NAMED_ONLY


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
    parts = [dedent(head), *(statement + ";\n" for statement in statements(setup)), "COMMIT;\n"]
    parts += [_psql_password(role, variable) for role, variable in _logins(setup)]
    return "\n".join(parts)


# The setup, statement by statement. Every one can run again without harm.


def statements(setup: Setup) -> list[str]:
    """Everything but the passwords, each as one statement of one transaction."""
    return [*_role_statements(setup), *SCHEMA_STATEMENTS, *grant_statements(setup)]


def _role_statements(setup: Setup) -> list[str]:
    executor, backup, owner = _name(setup.executor_role), _name(setup.backup_role), _name(setup.owner_role)
    membership = "WITH INHERIT FALSE, SET TRUE" if setup.server_version >= 160000 else ""
    found = [
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
    if setup.restore_points:
        functions = ", ".join(f"pg_catalog.{each}" for each in RESTORE_POINT_FUNCTIONS)
        found.append(f"GRANT EXECUTE ON FUNCTION {functions} TO {executor}")
    if setup.server_version >= 150000:
        if setup.allow_replica_role:
            found.append(f"GRANT SET ON PARAMETER session_replication_role TO {executor}")
        found += _alter_system_statements(setup)
    return found + (_clone_role_statements(setup, setup.clone_role) if setup.clone_role else [])


def _alter_system_statements(setup: Setup) -> list[str]:
    """What ALTER SYSTEM takes: the parameters one by one, the reload, and to read what the files say, by
    which a step is known to be done and taken back."""
    executor = _name(setup.executor_role)
    granted = [f"GRANT ALTER SYSTEM ON PARAMETER {_name(name)} TO {executor}" for name in setup.alter_system]
    if granted:
        functions = "pg_catalog.pg_reload_conf(), pg_catalog.pg_show_all_file_settings()"
        granted += [
            f"GRANT EXECUTE ON FUNCTION {functions} TO {executor}",
            f"GRANT SELECT ON pg_catalog.pg_file_settings TO {executor}",
        ]
    return granted


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

SCHEMA_STATEMENTS = (
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


def grant_statements(setup: Setup) -> list[str]:
    """What the executor's role may do with the marker and the history of one database."""
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


def _name(identifier: str) -> str:
    return sql.Identifier(identifier).as_string()


def _text(value: str) -> str:
    return sql.Literal(value).as_string()


def _comment(text: str) -> str:
    """Text for a comment line of the setup file: it must not end the line."""
    return " ".join(text.split())
