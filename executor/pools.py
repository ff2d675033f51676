"""Which sessions a committed rollback leaves behind with what they prepared before it.

A statement that was prepared before the change can fail with 0A000 ("cached plan must not change result
type") until its session ends, so whoever runs the applications has to know whose these are.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import psycopg

from executor.connect import Connection, Endpoint, connect
from executor.errors import ExecutorError

log = logging.getLogger(__name__)

_SESSIONS = """
    SELECT coalesce(application_name, ''), coalesce(usename, ''), coalesce(host(client_addr), ''), count(*)
      FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
       AND application_name NOT LIKE 'waqiti_rollback%'
     GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 50"""


def to_recycle(endpoint: Endpoint) -> list[dict[str, Any]] | None:
    """The sessions on the target right now by application, user and address, the most first; None where it
    can't be asked. It is asked right after the commit: who comes later prepares anew anyway."""
    try:
        with contextlib.closing(connect(endpoint)) as connection:
            return sessions(connection)
    except (ExecutorError, psycopg.Error) as error:
        log.warning("the sessions of %s can't be listed: %s", endpoint.dbname, type(error).__name__)
        return None


def sessions(connection: Connection) -> list[dict[str, Any]]:
    """`to_recycle` over a connection that is there. Raises psycopg.Error."""
    rows = connection.execute(_SESSIONS).fetchall()
    return [dict(zip(("application", "user", "client", "count"), row, strict=True)) for row in rows]
