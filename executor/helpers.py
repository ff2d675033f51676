"""Threads that tell the portal things beside the thread that works, each with a connection that it keeps from
one piece of work to the next: signing in costs more than what they write."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from django.db import close_old_connections, connections

IDLE_S = 60.0
"""A thread that had nothing to do for so long closes its connection and ends."""

_idle: list[_Helper] = []
_guard = threading.Lock()


def begin(work: Callable[[], None], name: str) -> Future[None]:
    """Let a helper do this now, under this name: one that rests, or else a new one. The future says when it
    is done, and what it raised."""
    with _guard:
        helper = _idle.pop() if _idle else None
    if helper is None:
        helper = _Helper()
        helper.start()
    done: Future[None] = Future()
    helper.wanted.put((work, name, done))
    return done


class _Helper(threading.Thread):
    """One thread, which rests in `_idle` whenever it has nothing to do."""

    def __init__(self) -> None:
        super().__init__(name="helper", daemon=True)
        self.wanted: queue.SimpleQueue[tuple[Callable[[], None], str, Future[None]]] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            while self._one():
                pass
        finally:
            connections.close_all()

    def _one(self) -> bool:
        """Do what comes next; False where nothing came for long."""
        try:
            work, self.name, done = self.wanted.get(timeout=IDLE_S)
        except queue.Empty:
            with _guard:
                if self not in _idle:  # somebody has just taken it: the work is on its way
                    return True
                _idle.remove(self)
            return False
        failed = _failure(work)
        with _guard:
            _idle.append(self)
        if failed is None:
            done.set_result(None)
        else:
            done.set_exception(failed)
        return True


def _failure(work: Callable[[], None]) -> Exception | None:
    """What the work raised."""
    try:
        close_old_connections()  # one that the server has closed meanwhile is noticed, and made anew
        work()
    except Exception as error:  # noqa: BLE001 (handed to whoever waits)
        return error
    return None
