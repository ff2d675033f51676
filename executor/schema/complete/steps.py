"""Run a script step by step on a shadow, in one transaction, each under a savepoint: one that fails does not
hide the others."""

from __future__ import annotations

import psycopg

from executor.schema.complete.result import ScriptStep
from executor.schema.reading import without_server
from executor.schema.shadow import Shadow

ROLES = 5
"""Missing roles that are made for one step."""


def begin(shadow: Shadow) -> None:
    """Open the transaction; `execute` needs it open, and whoever is done ends it."""
    shadow.connection.execute("BEGIN")


def execute(shadow: Shadow, step: ScriptStep) -> tuple[str, int]:
    """Run one step. Returns (what the server refused, or ''; rows). Statements that reach beyond the database
    are left out."""
    if not without_server(step.sql)[0].strip():
        return "", 0
    if not step.transactional:
        return _outside(shadow, step)
    connection = shadow.connection
    for _ in range(ROLES):
        connection.execute("SAVEPOINT step")
        try:
            rows = connection.execute(step.sql.encode()).rowcount
        except psycopg.Error as error:
            connection.execute("ROLLBACK TO SAVEPOINT step")
            if shadow.make_missing_role(error):
                continue
            return said_by(error), 0
        connection.execute("RELEASE SAVEPOINT step")
        return "", rows
    return "too many roles are missing", 0


def _outside(shadow: Shadow, step: ScriptStep) -> tuple[str, int]:
    """A statement that refuses a transaction: what came before is committed on the scratch server."""
    shadow.connection.execute("COMMIT")
    try:
        shadow.connection.execute(step.sql.encode())
    except psycopg.Error as error:
        return said_by(error), 0
    finally:
        shadow.connection.execute("BEGIN")
    return "", 0


def said_by(error: psycopg.Error) -> str:
    """SQLSTATE and message."""
    return f"{error.sqlstate}: {error.diag.message_primary or error}"
