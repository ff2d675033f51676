"""How far an execution is, from its records: phases with times, the backup, the locks it was seen with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from approvals.actions import Action, execution_actions
from approvals.models import (
    BUSY,
    AuditEvent,
    Backup,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    ExecutionStep,
    PostMortem,
    User,
)

from . import outcomes
from .lockchart import LockChart, lock_chart

# The newest lines of the log that the page shows; the rest is counted.
LOG_LINES = 300

_Status = ExecutionStatus
# What happens in which order. A rehearsal takes its backup first: the clone is made from it.
REAL = (
    _Status.CLAIMED,
    _Status.PREFLIGHT,
    _Status.BACKUP,
    _Status.RUNNING,
    _Status.COMMITTING,
    _Status.VERIFYING,
)
REHEARSAL = (REAL[0], _Status.BACKUP, _Status.PREFLIGHT, *REAL[3:])


@dataclass(frozen=True)
class Phase:
    """One phase. `state` is done, now, bad, lost, held, undone or empty (not begun); `final`: no way back."""

    key: str
    label: str
    state: str
    began: datetime | None
    seconds: float | None
    final: bool = False


@dataclass(frozen=True)
class Progress:
    """Everything the page of an execution shows, live and afterwards."""

    execution: Execution
    story: outcomes.Story
    phases: list[Phase]
    steps: list[ExecutionStep]
    checks: list[dict[str, Any]]
    log: list[ExecutionLog]
    log_left_out: int
    backups: list[Backup]
    locks: LockChart
    actions: dict[str, Action]
    post_mortem_due: datetime | None
    silent_for: int
    watched: bool
    read_at: datetime

    @property
    def live(self) -> bool:
        """Does the page go on asking? An unresolved one does: its outcome shows by itself."""
        return self.execution.is_open

    @property
    def working(self) -> bool:
        """Is a worker at it, or about to be? If not, it came to an end, though perhaps not to its last."""
        return self.execution.status in ("queued", *BUSY)

    @property
    def every(self) -> str:
        """How often the page asks, for htmx: a waiting one less often than a running one."""
        waiting = (_Status.QUEUED, _Status.UNRESOLVED, _Status.AWAITING_RESTART)
        return "2s" if self.execution.status in waiting else "1s"

    @property
    def taken_back(self) -> bool:
        """Steps that ran were taken back by the server."""
        return self.execution.status in (_Status.ROLLED_BACK, _Status.NO_EFFECT)

    @property
    def uncertain(self) -> bool:
        """Steps that ran may stay or may be taken back: nobody knows yet."""
        return self.execution.status == _Status.UNRESOLVED

    @property
    def blocking_since(self) -> datetime | None:
        """When the query of whoever blocks it began."""
        since = (self.execution.blocker or {}).get("query_start")
        return datetime.fromisoformat(since) if since else None

    @property
    def done(self) -> int:
        return sum(1 for step in self.steps if step.state == ExecutionStep.State.DONE)


def progress(execution: Execution, user: User) -> Progress:
    """Read everything about an execution; a fixed number of queries, however many steps and lines it has."""
    steps = list(execution.steps.order_by("position"))
    lines = execution.log.count()
    log = list(execution.log.order_by("-id")[:LOG_LINES])[::-1]
    now, due = timezone.now(), _post_mortem_due(execution)
    return Progress(
        execution=execution,
        story=outcomes.story(execution, steps, post_mortem_due=due),
        post_mortem_due=due,
        phases=phases(execution, _began(execution)),
        steps=steps,
        checks=list(execution.checks),
        log=log,
        log_left_out=lines - len(log),
        backups=list(execution.backups.order_by("created_at")),
        locks=lock_chart(execution.locks, until=execution.finished_at or now),
        actions=execution_actions(execution, user),
        silent_for=outcomes.silence(execution),
        watched=bool(execution.watch_until and execution.watch_until > now),
        read_at=now,
    )


def _post_mortem_due(execution: Execution) -> datetime | None:
    incident = execution.rollback_target.rollback.incident_id
    if incident is None:
        return None
    return (
        PostMortem.objects.filter(incident=incident, submitted_at=None)
        .values_list("due_at", flat=True)
        .first()
    )


def _began(execution: Execution) -> dict[str, datetime]:
    """When each phase began, as the audit trail has it."""
    actions = [f"execution.{phase}" for phase in REAL]
    events = AuditEvent.objects.filter(
        rollback=execution.rollback_target.rollback.label, action__in=actions
    ).order_by("seq")
    began: dict[str, datetime] = {}
    for action, body in events.values_list("action", "body"):
        event = json.loads(body)
        if event.get("execution") == str(execution.pk):
            began.setdefault(action.removeprefix("execution."), datetime.fromisoformat(event["at"]))
    return began


def phases(execution: Execution, began: dict[str, datetime]) -> list[Phase]:
    """The phases in their order, each with its state, when it began and how long it took (so far)."""
    rehearsal = execution.purpose == Execution.Purpose.REHEARSAL
    order = REHEARSAL if rehearsal else REAL
    labels = {
        _Status.CLAIMED: _("Claimed"),
        _Status.PREFLIGHT: _("Clone") if rehearsal else _("Preflight"),
        _Status.BACKUP: _("Backup"),
        _Status.RUNNING: _("Script and checks"),
        _Status.COMMITTING: _("COMMIT"),
        _Status.VERIFYING: _("After"),
    }
    reached = [phase for phase in order if phase in began]
    found = []
    for phase in order:
        start = began.get(phase)
        follows = [began[later] for later in reached if order.index(later) > order.index(phase)]
        end = min(follows) if follows else execution.finished_at or timezone.now()
        found.append(
            Phase(
                key=phase.value,
                label=labels[phase],
                state=_phase_state(execution, phase, is_last=bool(reached) and phase == reached[-1])
                if start
                else "",
                began=start,
                seconds=(end - start).total_seconds() if start else None,
                final=phase in (_Status.COMMITTING, _Status.VERIFYING),
            )
        )
    return found


def _phase_state(execution: Execution, phase: str, *, is_last: bool) -> str:
    """The state of a phase that was reached."""
    status = _Status(execution.status)
    if status in (_Status.ROLLED_BACK, _Status.NO_EFFECT):
        if is_last:
            return "bad"
        return "undone" if phase == _Status.RUNNING else "done"
    if status == _Status.SUCCEEDED or not is_last:
        return "done"
    return ENDED_AT.get(status, "now")


ENDED_AT = {
    _Status.UNRESOLVED: "lost",
    _Status.AWAITING_RESTART: "held",
    _Status.COMMITTED_CHECK_FAILED: "held",
    _Status.PARTIAL: "bad",
}
