"""Run our own programs (web server, worker, beat) side by side, as children of one process."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from executor.children import end, spawn

from .places import EmbeddedError
from .server import Say, quiet

PATIENCE = 15.0  # seconds that a program gets to stop by itself


class ChildEnded(EmbeddedError):
    """A program that should run has ended, or never answered; the message has the end of its log."""


class Child:
    """A running program: its name for people, its process and its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def wait_until(self, answers: Callable[[], bool], *, seconds: float) -> None:
        """Return as soon as `answers()` is true. Raises ChildEnded if it ends before, or takes too long."""
        deadline = time.monotonic() + seconds
        while not answers():
            self.must_run()
            if time.monotonic() > deadline:
                raise ChildEnded(f"{self.name} did not answer within {seconds:.0f} s.\n{self._log_tail()}")
            time.sleep(0.05)

    def must_run(self) -> None:
        """Raises ChildEnded if it does not run any more."""
        code = self.process.poll()
        if code is not None:
            raise ChildEnded(f"{self.name} ended with code {code}.\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return "\n".join([*self.log.read_text(errors="replace").splitlines()[-15:], f"(from {self.log})"])


class Children:
    """Programs that are started one after the other and stopped in reverse order; none outlives us.

    A context manager: leaving it, by an error or Ctrl-C too, stops them all.
    """

    def __init__(self, logs: Path, *, say: Say = quiet) -> None:
        self.logs = logs
        self._say = say
        self._children: list[Child] = []

    def start(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Child:
        """Start a program whose output goes to `<logs>/<name>.log`; `env` is added to our environment."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{name}.log"
        with path.open("wb") as log:
            process = spawn(argv, env=os.environ | (env or {}), stdout=log, stderr=log)
        child = Child(name, process, path)
        self._children.append(child)
        return child

    def wait(self) -> None:
        """Stay until Ctrl-C or SIGTERM. Raises ChildEnded as soon as one of them ends."""
        try:
            with _sigterm_as_ctrl_c():
                while True:
                    for child in self._children:
                        child.must_run()
                    time.sleep(0.2)
        except KeyboardInterrupt:
            return

    def stop(self) -> None:
        """Stop all, the youngest first; each has 15 seconds before it is killed."""
        while self._children:
            child = self._children.pop()
            if child.process.poll() is None:
                self._say(f"Stopping {child.name} …")
                end(child.process, PATIENCE)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def http_answers(url: str) -> bool:
    """Whether a web server answers this http:// URL with anything but its own failure."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
