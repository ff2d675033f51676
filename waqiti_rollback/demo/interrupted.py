"""An execution whose outcome nobody knows: its worker was killed, and its target answers nobody since.

This is no pretence. The process that carries it out is really killed while it waits for a lock, and the
database really takes no connections any more. The resolver asks again every few seconds; the execution stays
unresolved, and its rollback executing, until a DBA lets it in (see `REOPEN`).
"""

from __future__ import annotations

import os
import signal

import psycopg
from psycopg import sql

from approvals import incidents
from approvals.models import Execution, RollbackRequest
from waqiti_rollback.embedded import Estate

from . import journey
from .people import user
from .services import BY_NAME

REOPEN = "ALTER DATABASE {} ALLOW_CONNECTIONS true"
WAITS_FOR_LOCK = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock'"
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


def interrupt(servers: Estate, rollback: RollbackRequest) -> None:
    """Start the approved rollback, kill its process in the middle of it, and close its database."""
    target = BY_NAME[rollback.rollback_targets.get().target.name]
    cluster = servers.clusters[target.environment]
    with (
        psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin,
        psycopg.connect(cluster.superuser_dsn(target.database)) as reader,
    ):
        reader.execute("SELECT count(*) FROM transactions")  # its lock is held until this transaction ends
        execution = journey.start(rollback)

        def waits() -> bool | None:
            return True if admin.execute(WAITS_FOR_LOCK, [f"%{execution.pk}%"]).fetchone() else None

        journey.wait_for(f"{execution}'s wait for a lock", waits)
        os.kill(_process_of(execution), signal.SIGKILL)
        name = sql.Identifier(target.database)
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(END_SESSIONS, [target.database])
    if rollback.incident:
        incidents.add_note(
            rollback.incident,
            text=f"The worker was killed, and {target.name} takes no connections. To let the portal find out "
            f"what became of the rollback, a DBA runs: {REOPEN.format(target.database)}",
            actor=user("grace"),
        )


def _process_of(execution: Execution) -> int:
    """The process of the worker that claimed the execution, on this machine."""
    execution.refresh_from_db()
    return int(execution.worker.rpartition("/")[2])
