"""Watch an attempt over a second connection: heartbeat, cancelling, who blocks it, which locks it holds."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

import psycopg

from executor import locks
from executor.connect import Connection, SocketCut
from executor.errors import ConnectFailed
from executor.spec import Blocker, ObservedLock, Recorder, Waiters

log = logging.getLogger(__name__)

LOOK_S = 0.2
BEAT_S = 1.0
TERMINATE_AFTER_S = 3.0
"""A script may catch a cancel (EXCEPTION WHEN query_canceled), but not the end of its backend."""

UNANSWERED_S = 10.0
"""So long after COMMIT was sent to a backend that rests since then, its answer is given up."""

_LOCKS = """
    SELECT CASE WHEN relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'waqiti_rollback')
                THEN format('%%I.%%I', nspname, relname) END,
           upper(trim(regexp_replace(regexp_replace(mode, 'Lock$', ''), '([A-Z])', ' \\1', 'g'))),
           granted
      FROM pg_locks l
      LEFT JOIN pg_class c ON locktype = 'relation' AND c.oid = l.relation
      LEFT JOIN pg_namespace n ON n.oid = relnamespace
     WHERE pid = %s
"""


class Deadline(AbstractContextManager["Deadline"]):
    """After `seconds` all of `cuts` are called, from a thread of its own, and `expired` is true.

    It cuts sockets, so it works where the server's timeouts were switched off and where a proxy swallows
    every packet but acknowledges it.
    """

    def __init__(self, seconds: float, *cuts: Callable[[], None]) -> None:
        self.expired = False
        self._cuts = cuts
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()

    def _expire(self) -> None:
        self.expired = True
        for cut in self._cuts:
            cut()


@contextlib.contextmanager
def no_longer_than(seconds: float, connection: Connection) -> Iterator[None]:
    """What is asked over this connection within the block is answered by then, or given up: a network that
    swallows everything hangs up on nobody. Raises ConnectFailed then."""
    with SocketCut(connection) as cut, Deadline(seconds, cut) as deadline:
        try:
            yield
        except psycopg.Error as error:
            if not deadline.expired:
                raise
            raise ConnectFailed(f"The target did not answer to the end within {seconds:g} s.") from error


_RESTS = """SELECT state <> 'active' AND state_change < clock_timestamp() - make_interval(secs => %s::float)
              FROM pg_stat_activity WHERE pid = %s"""


@dataclass
class _Seen:
    """A relation lock in one mode, as it was last seen."""

    waited_from: float | None = None
    waited_s: float = 0.0
    held_from: datetime | None = None


class Watch(AbstractContextManager["Watch"]):
    """The thread that looks at backend `pid` through `control` until the block is left.

    `cut` closes the attempt's socket: the last resort of a cancel when `control` is lost.
    """

    def __init__(self, control: Connection, pid: int, recorder: Recorder, cut: Callable[[], None]) -> None:
        self.blocker: Blocker | None = None
        self.cancel_requested = False
        self._control = control
        self._pid = pid
        self._recorder = recorder
        self._cut = cut
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._guard = threading.RLock()
        self._blocks_now: Blocker | None = None
        self._told: Blocker | None = None
        self._waiters: tuple[Waiters, ...] = ()
        self._cancelled_at = 0.0
        self._past_return = False
        self._sent_at: float | None = None  # of COMMIT, until it is answered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch of backend {pid}", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread. Waits for it, but not for ever: it may hang on a dead network."""
        self._stop.set()
        self._thread.join(timeout=5)

    @property
    def hangs(self) -> bool:
        """Is it still at it, although it was stopped?"""
        return self._thread.is_alive()

    def forget(self) -> None:
        """A new try begins in a new transaction: nothing seen so far is held any more."""
        with self._guard:
            self._seen.clear()
            self.blocker = None

    def point_of_no_return(self) -> bool:
        """COMMIT comes next: from here on nothing is cancelled. False if a cancel was asked for before."""
        with self._guard:
            self._past_return = not self.cancel_requested
            self._sent_at = time.monotonic() if self._past_return else None
            return self._past_return

    def answered(self) -> None:
        """COMMIT was."""
        with self._guard:
            self._sent_at = None

    def observed(self, released_at: datetime | None = None) -> tuple[ObservedLock, ...]:
        """The locks of the current try; granted ones are held to `released_at`, the transaction's end."""
        with self._guard:
            return tuple(
                ObservedLock(name, mode, seen.held_from, seen.held_from and released_at, seen.waited_s)
                for (name, mode), seen in sorted(self._seen.items())
            )

    def sample(self) -> bool:
        """Look now; says whether a lock is new. All locks last until the transaction ends, so a sample right
        before COMMIT knows every table lock that was taken. Never raises for the server."""
        try:
            rows = self._control.execute(_LOCKS, (self._pid,)).fetchall()
            waits = not all(granted for _, _, granted in rows)  # for a row or an advisory lock, too
            blocker = locks.blocking(self._control, self._pid) if waits else None
        except psycopg.Error as error:
            log.warning("The watch of backend %s can't look: %s", self._pid, error.sqlstate)
            return False
        with self._guard:
            self._blocks_now = blocker
            self.blocker = blocker or self.blocker
        return self._note([(name, mode, granted) for name, mode, granted in rows if name is not None])

    def _look(self) -> None:
        if self.sample():
            self._recorder.locks(self.observed())
        if self._blocks_now != self._told:
            self._told = self._blocks_now
            self._recorder.waiting(self._told)

    def _look_behind(self) -> None:
        """Who waits for us: the harm that holding these locks does."""
        try:
            found = locks.waiting_for(self._control, self._pid)
        except psycopg.Error as error:
            log.warning("The watch of backend %s can't look behind: %s", self._pid, error.sqlstate)
            return
        if found or self._waiters:
            self._waiters = found
            self._recorder.waiters(found)

    def _note(self, rows: list[tuple[str, str, bool]]) -> bool:
        """Remember a sample; says whether anything is new in it."""
        now, ticks, new = datetime.now(UTC), time.monotonic(), False
        with self._guard:
            for name, mode, granted in rows:
                new |= (name, mode) not in self._seen
                seen = self._seen.setdefault((name, mode), _Seen())
                if not granted:
                    seen.waited_from = seen.waited_from or ticks
                elif seen.held_from is None:
                    seen.held_from, new = now, True
                if seen.waited_from is not None:
                    seen.waited_s = max(seen.waited_s, ticks - seen.waited_from)
                    seen.waited_from = None if granted else seen.waited_from
        return new

    def _run(self) -> None:
        next_beat = 0.0
        while not self._stop.wait(LOOK_S):
            self._safely(self._look)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_S
                self._safely(self._recorder.heartbeat)
                self._safely(self._look_behind)
                self._safely(self._cancel_if_asked)
                self._safely(self._hang_up_if_unanswered)
        self._safely(self._recorder.watch_ended)

    def _safely(self, step: Callable[[], None]) -> None:
        """The portal may be down for a moment: the attempt itself notices when it has to record."""
        try:
            step()
        except Exception:  # whatever a Recorder may raise
            log.warning("The watch of backend %s had an error and goes on", self._pid, exc_info=True)

    def _cancel_if_asked(self) -> None:
        if not self.cancel_requested and not self._recorder.cancelled():
            return
        with self._guard:
            if self._past_return:
                return
            first = not self.cancel_requested
            self.cancel_requested = True
            if first:
                self._cancelled_at = time.monotonic()
                self._signal("SELECT pg_cancel_backend(%s)")
            elif time.monotonic() - self._cancelled_at > TERMINATE_AFTER_S:
                self._signal("SELECT pg_terminate_backend(%s)")

    def _hang_up_if_unanswered(self) -> None:
        """A network that swallows COMMIT or its answer tells nobody. Where the backend has rested so long,
        nothing is on its way any more: hang up, then the target is asked."""
        with self._guard:
            waits = self._sent_at is not None and time.monotonic() - self._sent_at > UNANSWERED_S
        if not waits:
            return
        row = self._control.execute(_RESTS, (UNANSWERED_S, self._pid)).fetchone()
        with self._guard:
            if row is not None and row[0] and self._sent_at is not None:
                self._cut()

    def _signal(self, query: str) -> None:
        try:
            self._control.execute(query, (self._pid,))
        except psycopg.Error:
            self._cut()
