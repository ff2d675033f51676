"""Tell the portal what an execution does: durable writes in time or not at all, the rest in the background.

All writes leave through one thread, in order, so that the thread that runs the script never waits for
somebody's progress bar while it holds locks on a target. Only `backend` and `committing` are waited for.
"""

from __future__ import annotations

import contextvars
import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from django.db import close_old_connections, connections, transaction
from django.utils import timezone

from approvals import attempts
from approvals.models import BUSY, Execution, ExecutionLog, ExecutionStatus, ExecutionStep
from executor import helpers
from executor.errors import ExecutorError, masked
from executor.spec import (
    Backend,
    Blocker,
    CheckResult,
    CheckSpec,
    Level,
    Limits,
    LoneFound,
    ObservedLock,
    Phase,
    Restart,
    Waiters,
)

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
GATHER_S = 0.1
"""So long what is only shown may wait for more of it, so that it is written at once."""


class PortalTooSlow(ExecutorError):
    """The portal's database did not take a write in time while locks were held on the target."""


@dataclass
class _Write:
    """One write to the portal: something to do, or what can go together with its neighbours: fields of the
    execution and of its steps (by position), and lines of the log."""

    do: Callable[[], Any] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    lines: list[ExecutionLog] = field(default_factory=list)
    done: Future[None] = field(default_factory=Future)

    def take_in(self, later: _Write) -> None:
        """Be this write and the later one."""
        self.fields |= later.fields
        self.lines += later.lines
        for position, fields in later.steps.items():
            self.steps.setdefault(position, {}).update(fields)

    def carry_out(self, execution: Execution) -> None:
        """Write it: what can go together in one transaction. Where the resolver has put on record by now how
        the execution stands, what a late worker shows must not cover that."""
        if self.do is not None:
            self.do()
            return
        with transaction.atomic():
            if self.fields:
                Execution.objects.filter(pk=execution.pk, status__in=BUSY).update(**self.fields)
            for position, fields in self.steps.items():
                mine = execution.steps.filter(position=position, execution__status__in=BUSY)
                mine.update(**fields)
            if self.lines:
                ExecutionLog.objects.bulk_create(self.lines)


class PortalRecorder:
    """The `executor.spec.Recorder` of real executions and rehearsals. Use as a context manager.

    `secrets` never reach the log. Leaving the block waits until everything was written.
    """

    def __init__(
        self, execution: Execution, pulse: Pulse, *, secrets: Sequence[str] = (), limits: Limits | None = None
    ) -> None:
        self.execution = execution
        self._pulse = pulse
        self._secrets = tuple(secrets)
        self._marks: dict[str, str] = {}
        self._phase: Phase = "connect"
        self._blocker: dict[str, Any] | None = None
        self._limits = limits or Limits()
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._held: deque[_Write | None] = deque()  # the writer's: what it has taken and comes next
        self._written: Future[None] | None = None

    def __enter__(self) -> PortalRecorder:
        context = contextvars.copy_context()
        self._written = helpers.begin(partial(context.run, self._write), "portal-writer")
        self._update(limits=asdict(self._limits))
        return self

    def __exit__(self, *_error: object) -> None:
        self._queue.put(None)
        if self._written is not None:
            self._written.result()

    # --- durable ---

    def backend(self, backend: Backend) -> None:
        """Durable before it returns: which backend runs the script."""
        self._now(
            lambda: attempts.record_backend(
                self.execution,
                xid=str(backend.xid),
                pid=backend.pid,
                backend_start=backend.backend_start,
                system_identifier=backend.system_identifier,
                timeline=backend.timeline,
                postmaster_start=backend.postmaster_start,
            )
        )

    def committing(self) -> None:
        """Durable before it returns: COMMIT is about to be sent."""
        self._now(lambda: attempts.enter(self.execution, ExecutionStatus.COMMITTING))

    def claimed(self, position: int, before: Mapping[str, Any], undo: Sequence[str]) -> None:
        """Durable before it returns: a step is about to run alone."""
        self._now(lambda: attempts.step_claimed(self.execution, position, before=dict(before), undo=undo))

    def settled(self, found: LoneFound, ms: float | None = None, tag: str = "") -> None:
        """Durable before it returns: how a step that ran alone stands."""
        self._now(
            lambda: attempts.step_settled(
                self.execution,
                found.position,
                state=found.state.value,
                found=found.says,
                leftover=found.leftover,
                milliseconds=ms,
                tag=tag,
            )
        )

    # --- in the background ---

    def phase(self, name: Phase) -> None:
        """A line of the log, and when it began; after the commit the execution is verifying."""
        left, self._phase = self._phase, name
        self._marks.setdefault(name, timezone.now().isoformat())
        self._update(marks=dict(self._marks))
        if left == "lock" and name != "lock":
            self._blocked_by(None)
        if name == "after commit":
            self._queue.put(_Write(lambda: attempts.enter(self.execution, ExecutionStatus.VERIFYING)))
        self.log("info", f"— {name} —")

    def log(self, level: Level, text: str) -> None:
        """One line, without secrets."""
        line = ExecutionLog(execution=self.execution, level=level, text=masked(text, *self._secrets))
        self._queue.put(_Write(lines=[line]))

    def step_started(self, position: int) -> None:
        """The step runs now."""
        self._step(position, state=ExecutionStep.State.RUNNING)

    def step_done(self, position: int, rows: int | None, ms: float, tag: str) -> None:
        """The step was answered."""
        self._step(position, state=ExecutionStep.State.DONE, rows=rows, milliseconds=ms, tag=tag)

    def step_failed(self, position: int) -> None:
        """The step is the one at which the attempt ended; one that ran alone has its own record."""
        steps = self.execution.steps.filter(
            position=position, how=ExecutionStep.How.TRANSACTIONAL, execution__status__in=BUSY
        )
        self._queue.put(_Write(lambda: steps.update(state=ExecutionStep.State.FAILED)))

    def check_done(self, check: CheckSpec, passed: bool, actual: str | None, ms: float) -> None:
        """The check was evaluated; its answer goes into the outcome."""
        word = "passed" if passed else "not passed"
        text = f"Check “{check.name}”: {word}, expected {check.expected}, got {actual}."
        self.log("info" if passed else "error", text)

    def waiting(self, blocker: Blocker | None) -> None:
        """Who stands in the way, for the page."""
        # Between two tries for the locks nobody is waited for, for a moment: that is no news.
        if blocker is None and self._phase == "lock":
            return
        if self._blocked_by(blocker_json(blocker)):
            self.log("warning", f"Waiting for a lock: {blocker}.")

    def waiters(self, found: Sequence[Waiters]) -> None:
        """Who waits for us, for the page."""
        self._update(waiters=[asdict(each) for each in found])

    def locks(self, observed: Sequence[ObservedLock]) -> None:
        """The locks seen so far."""
        self._update(locks=[lock_json(lock) for lock in observed])

    def heartbeat(self) -> None:
        """Left to `alive`, which covers the backup too."""

    def cancelled(self) -> bool:
        """Has somebody asked to end it? Heard with the last heartbeat."""
        return self._pulse.cancelled

    def watch_ended(self) -> None:
        """The watch thread has no connection to the portal."""

    def _blocked_by(self, found: dict[str, Any] | None) -> bool:
        """Show who stands in the way and since when; says whether that is somebody new."""
        before, new = self._blocker, False
        if found is not None:
            new = before is None or before["pid"] != found["pid"] or before["relation"] != found["relation"]
            found["since"] = timezone.now().isoformat() if new or before is None else before["since"]
        self._blocker = found
        self._update(blocker=found)
        return new

    def _step(self, position: int, **fields: Any) -> None:
        self._queue.put(_Write(steps={position: fields}))

    def _update(self, **fields: Any) -> None:
        self._queue.put(_Write(fields=fields))

    # --- the writer ---

    def _now(self, do: Callable[[], Any]) -> None:
        write = _Write(do)
        self._queue.put(write)
        try:
            write.done.result(self._limits.portal_write_s)
        except TimeoutError:
            write.done.cancel()
            limit = self._limits.portal_write_s
            raise PortalTooSlow(
                f"The portal's database took longer than {limit:g} s while locks were held."
            ) from None

    def _write(self) -> None:
        for write in iter(self._next, None):
            if not write.done.set_running_or_notify_cancel():
                continue
            try:
                write.carry_out(self.execution)
            except Exception as error:  # noqa: BLE001 (handed to whoever waits)
                write.done.set_exception(error)
                close_old_connections()
                log.warning("%s: a write to the portal failed: %s", self.execution, type(error).__name__)
            else:
                write.done.set_result(None)

    def _next(self) -> _Write | None:
        """What to write next, in the order in which it was told: what nobody waits for rests a moment, so
        that more can go along. None: that was all."""
        if self._held:
            return self._held.popleft()
        write, until = self._queue.get(), time.monotonic() + GATHER_S
        while write is not None and write.do is None:
            try:
                more = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if more is None or more.do is not None:
                self._held.append(more)
                break
            write.take_in(more)
        return write


def worker_name() -> str:
    """Which process on which machine has a job or an execution."""
    return f"{socket.gethostname()}/{os.getpid()}"


@dataclass
class Pulse:
    """What was heard when this worker last said that it lives: whether somebody has asked to end the work."""

    cancelled: bool = False


@contextmanager
def alive(execution: Execution) -> Iterator[Pulse]:
    """Say every second that this worker lives, for as long as the block runs, and hear of a cancel."""
    pulse = Pulse()

    def beat() -> None:
        pulse.cancelled = attempts.heartbeat(execution.pk) or pulse.cancelled

    with beating(beat, execution):
        yield pulse


@contextmanager
def beating(beat: Callable[[], object], about: object) -> Iterator[None]:
    """Call `beat` every second in a thread of its own, for as long as the block runs; `about` is what the log
    names."""
    stop = threading.Event()

    def beats() -> None:
        while not stop.wait(HEARTBEAT_S):
            try:
                beat()
            except Exception as error:  # noqa: BLE001 (the portal is away: who waits will notice)
                log.warning("%s: no heartbeat: %s", about, type(error).__name__)
                connections.close_all()

    done = helpers.begin(beats, "heartbeat")
    try:
        yield
    finally:
        stop.set()
        done.result()


def blocker_json(blocker: Blocker | None) -> dict[str, Any] | None:
    """A blocker as the page reads it."""
    if blocker is None:
        return None
    found = asdict(blocker)
    for name in ("query_start", "state_since"):
        found[name] = found[name].isoformat() if found[name] else None
    return found


def lock_json(lock: ObservedLock) -> dict[str, Any]:
    """An observed lock as the page reads it."""
    found = asdict(lock)
    for name in ("held_from", "held_to"):
        found[name] = found[name].isoformat() if found[name] else None
    return found


def check_json(result: CheckResult) -> dict[str, Any]:
    """A check and what it answered, as the page reads it."""
    return {
        "name": result.check.name,
        "sql": result.check.sql,
        "expected": result.check.expected,
        "stage": result.check.stage,
        "actual": result.actual,
        "passed": result.passed,
        "error": result.error,
        "ms": result.ms,
    }


def restart_json(restart: Restart | None) -> dict[str, Any] | None:
    """What a restart is waited for, as the page reads it."""
    if restart is None:
        return None
    settings = [{"name": name, "now": now, "then": then} for name, now, then in restart.settings]
    return {"postmaster_start": restart.postmaster_start.isoformat(), "settings": settings}
