"""A real web server: what pages and streams cost the database, and that it still stops when told to."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.servers import ROOT, Database
from waqiti_rollback.embedded import HOST, free_port

if TYPE_CHECKING:
    from tests.approvals.factories import World

PATIENCE_S = 30.0


@pytest.fixture
def server(committed: Database, tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """uvicorn as it is deployed, with the committed world; its port and its process."""
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "waqiti_rollback.asgi:application"]
    argv += ["--host", HOST, "--port", str(port), "--log-level", "warning"]
    environment = os.environ | {"DATABASE_URL": committed.url("waqiti_web"), "PYTHONWARNINGS": "ignore"}
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        until = time.monotonic() + PATIENCE_S
        while _status(port) != 200:
            assert time.monotonic() < until
            time.sleep(0.1)
        yield port, process
    finally:
        process.kill()
        process.wait()


def _status(port: int) -> int | None:
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        try:
            connection.request("GET", "/accounts/login/")
            return connection.getresponse().status
        except OSError:
            return None


def listen(stack: ExitStack, port: int, cookie: str) -> http.client.HTTPResponse:
    """The dashboard's stream, read up to its first message."""
    connection = stack.enter_context(closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)))
    connection.request("GET", "/changes/", headers={"Cookie": f"sessionid={cookie}"})
    answer = stack.enter_context(closing(connection.getresponse()))
    assert answer.status == 200
    assert answer.getheader("X-Accel-Buffering") == "no"
    until_line(answer, b"event: beat")
    return answer


def until_line(answer: http.client.HTTPResponse, wanted: bytes) -> None:
    """Read on until this line."""
    while (line := answer.readline()) != wanted + b"\n":
        assert line, "the stream ended"


def test_many_open_pages_cost_one_connection_and_a_server_that_is_told_to_stop_stops(
    committed_world: World, server: tuple[int, Any], superuser: psycopg.Connection[Any]
) -> None:
    from tests.approvals.views.visits import as_

    port, process = server
    cookie = as_(committed_world.olga).cookies["sessionid"].value
    with ExitStack() as stack:
        streams = [listen(stack, port, cookie) for _n in range(5)]
        ours = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        names = [row[0] for row in superuser.execute(f"{ours} AND usename = 'waqiti_web'").fetchall()]
        # The one that listens for all five.
        assert names == ["waqiti-rollback live"]

        name = f"target:{committed_world.production.name}"
        superuser.execute("SELECT pg_notify('waqiti_changes', %s)", [name])
        for stream in streams:
            until_line(stream, b"event: changed")

        process.send_signal(signal.SIGTERM)
        process.wait(15)


def test_pages_share_connections_and_replace_those_that_the_database_ended(
    committed_world: World, server: tuple[int, Any], superuser: psycopg.Connection[Any]
) -> None:
    from django.db import connection

    from tests.approvals.views.visits import as_

    port, _process = server
    cookie = as_(committed_world.olga).cookies["sessionid"].value
    connection.ensure_connection()
    there = (
        "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'waqiti_web' AND pid <> %s"
    )
    own = [connection.connection.info.backend_pid]
    seen: set[int] = set()
    for _n in range(10):
        assert open_dashboard(port, cookie) == 200
        seen |= {row[0] for row in superuser.execute(f"SELECT pid {there}", own).fetchall()}
    # One or two: a request may begin before the thread of the last one rests.
    assert 0 < len(seen) <= 3

    superuser.execute(f"SELECT pg_terminate_backend(pid) {there}", own)
    assert open_dashboard(port, cookie) == 200


def open_dashboard(port: int, cookie: str) -> int:
    """The status of the dashboard, which is read to its end."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/", headers={"Cookie": f"sessionid={cookie}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
