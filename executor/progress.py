"""How far an attempt has come, what it was doing, and how long each part took."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from executor.spec import Backend, CheckResult, ObservedLock, Timings


class At(enum.IntEnum):
    """The parts of an attempt in which an error means something different."""

    LOCKING = 1  # nothing has happened yet
    SCRIPT = 2  # all of it can be rolled back
    COMMIT = 3  # only the target knows


@dataclass
class Progress:
    """Moments are time.monotonic seconds; what ends in `_s` is a duration. `doing` begins a sentence."""

    at: At = At.LOCKING
    doing: str = "Taking the locks"
    step: int | None = None
    backend: Backend | None = None
    results: list[CheckResult] = field(default_factory=list)
    observed: tuple[ObservedLock, ...] = ()
    started: float = field(default_factory=time.monotonic)
    lock_tries: int = 0
    locks_wanted: float | None = None
    locks_had: float | None = None
    locked: float | None = None
    released: float | None = None
    script_s: float = 0.0
    checks_s: float = 0.0
    commit_s: float = 0.0

    def timings(self) -> Timings:
        """The durations up to now."""
        now = time.monotonic()
        return Timings(
            total_s=now - self.started,
            lock_phase_s=_between(self.locks_wanted, self.locks_had, now),
            lock_attempts=self.lock_tries,
            lock_held_s=_between(self.locked, self.released, now),
            script_s=self.script_s,
            checks_s=self.checks_s,
            commit_s=self.commit_s,
        )


def _between(begin: float | None, end: float | None, now: float) -> float:
    return 0.0 if begin is None else (end or now) - begin
