"""How an attempt ends before its time: one exception that carries the outcome, and the words for errors."""

from __future__ import annotations

import psycopg

from executor.errors import plain
from executor.spec import Blocker, CheckSpec, Outcome


class Stop(Exception):
    """The attempt is over. `sentence` is for people; the rest goes into the Result as it is."""

    def __init__(
        self,
        outcome: Outcome,
        sentence: str,
        *,
        failed_step: int | None = None,
        failed_check: CheckSpec | None = None,
        sqlstate: str | None = None,
        blocker: Blocker | None = None,
    ) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence
        self.failed_step = failed_step
        self.failed_check = failed_check
        self.sqlstate = sqlstate
        self.blocker = blocker


class PortalFailed(Exception):
    """The portal could not record in time what it has to know before the target may go on."""


def why(error: psycopg.Error, blocker: Blocker | None) -> str:
    """What the server said, in a sentence, with the one who was in the way where that was it."""
    said = f"{plain(error)} ({error.sqlstate})" if error.sqlstate else plain(error)
    blocked = isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)
    return f"{said}, blocked by {blocker}" if blocked and blocker else said


def said(error: Exception) -> str:
    """The sentence of an error that has nothing more to say."""
    return plain(error) if isinstance(error, psycopg.Error) else str(error)


def lasted(seconds: float) -> str:
    """“40 ms”, “1.2 s”."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


def counted(number: int, noun: str) -> str:
    """“1 check”, “2 checks”."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
