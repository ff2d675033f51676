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
from typing import Literal

from psycopg import sql

from approvals.setup_sql import (
    BACKUP,
    CLONER,
    EXECUTOR,
    OWNER,
    SCHEMA,
    SCHEMA_STATEMENTS,
    Setup,
    grant_statements,
    setup_sql,
    statements,
)
from executor.connect import Connection, one
from executor.errors import MarkerMissing

__all__ = [
    "BACKUP",
    "CLONER",
    "EXECUTOR",
    "OWNER",
    "SCHEMA",
    "Marker",
    "Setup",
    "claim",
    "ids_of_this_transaction",
    "install",
    "install_in_clone",
    "read",
    "require",
    "setup_sql",
    "tombstone",
]


@dataclass(frozen=True, slots=True)
class Marker:
    """One row of the marker table. `xid` is the 64-bit transaction id."""

    kind: Literal["claim", "tombstone"]
    request_digest: str
    xid: int
    pid: int
    backend_start: datetime
    claimed_at: datetime


def install(connection: Connection, setup: Setup, *, passwords: Mapping[str, str] | None = None) -> None:
    """Run the same setup over a connection (embedded clusters). `passwords` are by role; they leave this
    process only as SCRAM verifiers. Raises psycopg.Error."""
    with connection.transaction():
        for statement in statements(setup):
            connection.execute(statement)
        for role, password in (passwords or {}).items():
            _set_password(connection, role, password)


def install_in_clone(connection: Connection, setup: Setup) -> None:
    """Make the marker schema and the grants in a restored copy; the roles are the cluster's and must be
    there already. The connection's role must be member of both owners. Raises psycopg.Error."""
    with connection.transaction():
        for statement in [*SCHEMA_STATEMENTS, *grant_statements(setup)]:
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


def _set_password(connection: Connection, role: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )
