"""Time that this process waits for PostgreSQL: connections, statements and pg_dump."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import psycopg


class Spent:
    """`seconds` grows while anything waits; what runs inside something that waits counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    @contextmanager
    def measured(self) -> Iterator[Spent]:
        """Measure all that this process asks of a server meanwhile."""
        with ExitStack() as stack:
            for owner, name in ((psycopg.Connection, "wait"), (subprocess, "run")):
                stack.enter_context(mock.patch.object(owner, name, self._timed(getattr(owner, name))))
            connect = self._timed(psycopg.Connection.connect)
            stack.enter_context(mock.patch.object(psycopg, "connect", connect))
            yield self

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return function(*arguments, **named)
            self._inside, started = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - started
                self._inside = False

        return timed
