"""Requests of tests are answered with the database rights of the web process, and no others.

Tests themselves may do what a web process and a worker may (tests/servers.py), since one test is often both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse
from psycopg.pq import TransactionStatus

from approvals.dbroles import WEB


class WebRights:
    """The outermost middleware: every statement of a request is one of `waqiti_web`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request so; a test without a database isn't given one for it."""
        try:
            with connection.execute_wrapper(_as_web):
                return self.get_response(request)
        finally:
            _as_the_test_again()


def _as_web(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Each time, since a savepoint that is taken back takes the role back, too. Past Django's counting."""
    _become(f"SET ROLE {WEB}")
    return execute(sql, params, many, context)


def _as_the_test_again() -> None:
    if connection.connection is not None and not connection.connection.closed:
        _become("RESET ROLE")


def _become(statement: str) -> None:
    # A failed transaction can only be taken back.
    if connection.connection.info.transaction_status != TransactionStatus.INERROR:
        with connection.wrap_database_errors:
            connection.connection.execute(statement)
