"""So many scripts at once in one worker: its other processes prepare what comes next meanwhile, and wait.

A slot is a byte of a file without a name that the worker's processes share. The system keeps who has locked
which byte, and lets go of it when that process ends, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import tempfile
import time
from collections.abc import Callable
from types import TracebackType

from django.conf import settings

POLL_S = 0.02
SAY_S = 1.0
"""Whoever waits for longer says so."""

_shared = tempfile.TemporaryFile()  # noqa: SIM115 (opened before the pool forks, and kept as long as the worker)
atexit.register(_shared.close)


class Slot(contextlib.AbstractContextManager["Slot"]):
    """One of `count` places, had from `take` on until the block is left; 0: as many as there are processes.
    A process has one at a time."""

    def __init__(self, count: int | None = None) -> None:
        self._count = settings.WORKER_SCRIPTS_AT_ONCE if count is None else count
        self._taken: int | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()

    def give(self) -> None:
        """Give the place back, if it is had."""
        if self._taken is not None:
            fcntl.lockf(_shared, fcntl.LOCK_UN, 1, self._taken)
            self._taken = None

    def take(self, give_up: Callable[[], bool], say: Callable[[], object]) -> float:
        """Wait for a free place, or until it is given up, which is asked all the while; `say` is called once,
        after a second. Returns how many seconds it took; 0 where one was free, or is had already."""
        began, said = time.monotonic(), False
        if self._is_had():
            return 0.0
        while not (give_up() or self._is_had()):
            time.sleep(POLL_S)
            if not said and time.monotonic() - began > SAY_S:
                said = True
                say()
        return time.monotonic() - began

    def _is_had(self) -> bool:
        """Take the first free place."""
        if self._count == 0 or self._taken is not None:
            return True
        for place in range(self._count):
            try:
                fcntl.lockf(_shared, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:  # another process has it
                continue
            self._taken = place
            return True
        return False
