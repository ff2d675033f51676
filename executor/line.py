"""The connection to a target beside the attempt's own: over one, a target is looked at before an execution,
the execution is watched, and what it has left behind is asked."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg

from approvals.flyway.history import Rows
from executor.connect import Connection, Endpoint, connect, renew, set_session
from executor.errors import ExecutorError
from executor.history import read_history
from executor.pools import sessions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """What a commit left behind on its target: the sessions to recycle and the history; None where it could
    not be read."""

    pools: list[dict[str, Any]] | None = None
    history: Rows | None = None


class Line(contextlib.AbstractContextManager["Line"]):
    """Opened when it is first needed, and anew where it was lost meanwhile; closed with the block. `endpoint`
    says where to and as whom: the executor's login."""

    def __init__(self, endpoint: Callable[[], Endpoint]) -> None:
        self._endpoint = endpoint
        self._connection: Connection | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def looking(self, search_path: str) -> Connection:
        """To look by: it changes nothing, and waits for nobody. Raises ExecutorError, psycopg.Error."""
        return self._with(
            {
                "default_transaction_read_only": "on",
                "statement_timeout": "15s",
                "lock_timeout": "1s",
                "search_path": f"{search_path}, pg_temp",
            }
        )

    def control(self) -> Connection:
        """To watch, to cancel and to resolve by, under the server's own settings. Raises ExecutorError,
        psycopg.Error."""
        return self._with({})

    def left(self, history_schema: str, history_table: str) -> Left:
        """What a commit has left there, asked right after it."""
        try:
            connection = self.looking("pg_catalog")
            set_session(connection, {"row_security": "off"})  # rather an error than rows that are hidden
            pools = sessions(connection)
            return Left(pools, Rows(read_history(connection, history_schema, history_table)))
        except (ExecutorError, psycopg.Error) as error:
            log.warning("What a commit left behind can't be read: %s", type(error).__name__)
            return Left()

    def _with(self, settings: dict[str, str]) -> Connection:
        """The connection under these settings; a new one where the old one doesn't answer any more."""
        if self._connection is not None:
            try:
                renew(self._connection)
            except psycopg.Error:
                self._connection.close()
                self._connection = None
        if self._connection is None:
            self._connection = connect(self._endpoint().named("waqiti_rollback control"))
        if settings:
            set_session(self._connection, settings)
        return self._connection
