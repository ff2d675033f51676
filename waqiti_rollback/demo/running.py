"""Start web server, worker and beat as children, and know when each of them answers."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from waqiti_rollback.embedded import HOST
from waqiti_rollback.embedded.processes import Child, Children

from .estate import PortalEstate

START_SECONDS = 60.0
SIGN_IN = "/accounts/login/"


@contextmanager
def stopping_in_peace() -> Iterator[None]:
    """The innermost block of a program: once it is left, for whatever reason, Ctrl-C is ignored.

    Somebody who presses it twice would otherwise cut the stopping short, and leave a mess.
    """
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_worker(children: Children, estate: PortalEstate, name: str = "worker") -> Child:
    """Start a Celery worker; see `await_worker`."""
    return children.start(name, estate.worker_argv(name=name), env=estate.environment("worker"))


@contextmanager
def worker(estate: PortalEstate, name: str = "worker") -> Iterator[Child]:
    """A worker that answers, for as long as the block lasts. Raises ChildEnded. Needs Django set up."""
    with Children(estate.logs) as children:
        child = start_worker(children, estate, name)
        await_worker(child)
        yield child


def start_beat(children: Children, estate: PortalEstate) -> Child:
    """Start Celery's clock; see `await_beat`."""
    return children.start("beat", estate.beat_argv(), env=estate.environment("beat"))


def start_web(children: Children, estate: PortalEstate, port: int) -> Child:
    """Start the web server; see `await_web`."""
    return children.start("web", estate.web_argv(port), env=estate.environment("web"))


def await_worker(worker: Child) -> None:
    """Return when the worker answers a ping. Raises ChildEnded. Needs Django set up for the estate."""
    from waqiti_rollback.celery import app

    def answers() -> bool:
        replies = app.control.ping(timeout=0.5) or []
        return any(name.startswith(f"{worker.name}@") for reply in replies for name in reply)

    worker.wait_until(answers, seconds=START_SECONDS)


def await_beat(beat: Child) -> None:
    """Return when beat has sent its first task. Raises ChildEnded."""
    beat.wait_until(lambda: "Sending due task" in beat.log.read_text(errors="replace"), seconds=START_SECONDS)


def await_web(web: Child, port: int) -> None:
    """Return when the sign-in page is served. Raises ChildEnded."""
    web.wait_until(lambda: _status(port) == 200, seconds=START_SECONDS)


def _status(port: int) -> int | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", SIGN_IN)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
