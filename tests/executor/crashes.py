"""Attempts that are killed at a chosen point: each statement to the target and each word to the portal.

The points are found by running an attempt to its end, so a step that is new in the protocol is a point by
itself. A nursery process without threads forks a child for each attempt; the child dies as by kill -9.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from executor.alone import ENDED
from executor.connect import Endpoint
from executor.run import run
from executor.spec import RunSpec
from tests.executor.target import Recording

ROOT = Path(__file__).resolve().parents[2]
PORTAL_WORDS = frozenset(
    ("phase", "backend", "step_started", "step_done", "claimed", "settled", "check_done", "committing")
)


@dataclass(frozen=True)
class Order:
    """One attempt; dies at the point of that number, or that many seconds after it began, or not at all."""

    spec: RunSpec
    endpoint: Endpoint
    at: int | None = None
    after_s: float | None = None


@dataclass(frozen=True)
class Fate:
    """`outcome` is None where the child died; `points` are named where it lived. `before` is what the portal
    was told before each step that runs alone, `answered` are those that it knows to be done."""

    outcome: str | None
    points: tuple[str, ...] = ()
    before: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    answered: frozenset[int] = frozenset()


class Nursery:
    """A process that forks attempts. Use it as a context manager."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.executor.crashes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def attempt(self, order: Order) -> Fate:
        """Run it in a child and wait for its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        _send(self.process.stdin, order)
        fate = _receive(self.process.stdout)
        assert isinstance(fate, Fate), fate
        return fate


class _Points:
    """Counts the points of the attempt's own thread, and dies at one."""

    def __init__(self, die_at: int | None) -> None:
        self.die_at = die_at
        self.names: list[str] = []

    def here(self, name: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if len(self.names) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)


class _Telling(Recording):
    """`durably` is given what the portal must still know when this process is gone."""

    points: _Points
    durably: Callable[[str, tuple[Any, ...]], None]

    def _tell(self, name: str, *args: Any) -> None:
        if name in PORTAL_WORDS:
            self.points.here(f"before the portal is told: {name}")
        super()._tell(name, *args)
        if name in ("claimed", "settled"):
            self.durably(name, args)
        if name in PORTAL_WORDS:
            self.points.here(f"the portal knows: {name}")


def _child(order: Order, out: BinaryIO) -> Fate:
    points = _Points(order.at)
    execute = psycopg.Cursor.execute

    def watched(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        name = " ".join(text.split())[:60]
        points.here(f"before the target is sent: {name}")
        answer = execute(self, query, *args, **options)
        points.here(f"the target answered: {name}")
        return answer

    psycopg.Cursor.execute = watched  # type: ignore[method-assign]
    if order.after_s is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(order.after_s, 1e-6))
    recorder = _Telling()
    recorder.points = points
    recorder.durably = lambda *word: _send(out, word)
    outcome = run(order.spec, order.endpoint, recorder).outcome.value
    signal.setitimer(signal.ITIMER_REAL, 0)
    return Fate(outcome, tuple(points.names))


def _nursery() -> None:
    while (order := _receive(sys.stdin.buffer)) is not None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "wb") as out:
                _send(out, _child(order, out))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            fate = _fate(answer)
        os.waitpid(child, 0)
        _send(sys.stdout.buffer, fate)


def _fate(answer: BinaryIO) -> Fate:
    """What became of a child, by all that it said."""
    fate, before, answered = Fate(None), {}, set()
    while (said := _receive(answer)) is not None:
        match said:
            case ("claimed", (position, found, _undo)):
                before[position] = found
            case ("settled", (found, _ms, _tag)) if found.state in ENDED:
                answered.add(found.position)
            case Fate():
                fate = said
    return replace(fate, before=before, answered=frozenset(answered))


def _send(to: BinaryIO, value: object) -> None:
    data = pickle.dumps(value)
    to.write(struct.pack("!I", len(data)) + data)
    to.flush()


def _receive(source: BinaryIO) -> Any:
    """The next value; None where there is no more."""
    head = source.read(4)
    return pickle.loads(source.read(struct.unpack("!I", head)[0])) if len(head) == 4 else None


if __name__ == "__main__":
    from tests.executor import crashes  # what is pickled must not be called __main__

    crashes._nursery()
