"""The phases of an execution in their order, each with its state, when it began and how long it took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from approvals.models import AuditEvent, Execution, ExecutionStatus

_Status = ExecutionStatus
# Between backup and script the worker tries for the locks. That is no status: nothing is decided by it.
LOCKING = "locking"
# What happens in which order. A rehearsal takes its backup first: the clone is made from it.
REAL = (
    _Status.CLAIMED.value,
    _Status.PREFLIGHT.value,
    _Status.BACKUP.value,
    LOCKING,
    _Status.RUNNING.value,
    _Status.COMMITTING.value,
    _Status.VERIFYING.value,
)
REHEARSAL = (REAL[0], REAL[2], REAL[1], *REAL[3:])
# Where it may stand for long: not phases of their own, but people want to know since when.
STANDING = (_Status.AWAITING_RESTART.value, _Status.UNRESOLVED.value)
FINAL = frozenset({_Status.COMMITTING.value, _Status.VERIFYING.value})
ENDED_AT = {
    _Status.UNRESOLVED: "lost",
    _Status.AWAITING_RESTART: "held",
    _Status.COMMITTED_CHECK_FAILED: "held",
    _Status.PARTIAL: "bad",
}


@dataclass(frozen=True)
class Phase:
    """One phase. `state` is done, now, bad, lost, held, undone or empty (not begun); `final`: no way back."""

    key: str
    label: str
    state: str
    began: datetime | None
    seconds: float | None
    final: bool = False


def began(execution: Execution) -> dict[str, datetime]:
    """When each phase began: as the audit trail has it, locks and steps that run alone as the worker said;
    and since when it waits for a restart, or is unresolved."""
    actions = [f"execution.{phase}" for phase in (*REAL, *STANDING)]
    events = AuditEvent.objects.filter(
        rollback=execution.rollback_target.rollback.label, action__in=actions
    ).order_by("seq")
    found: dict[str, datetime] = {}
    for action, body in events.values_list("action", "body"):
        event = json.loads(body)
        if event.get("execution") == str(execution.pk):
            found.setdefault(action.removeprefix("execution."), datetime.fromisoformat(event["at"]))
    if lock := execution.marks.get("lock"):
        found[LOCKING] = datetime.fromisoformat(lock)
    elif alone := execution.marks.get("alone"):  # it ended at steps that run before the transaction
        found.setdefault(_Status.RUNNING.value, datetime.fromisoformat(alone))
    return found


def phases(execution: Execution, began: Mapping[str, datetime]) -> list[Phase]:
    """The phases in their order. One that was left out (a staging target without backup) is not shown, nor is
    one after COMMIT where nothing is left to be asked."""
    restart = began.get(_Status.AWAITING_RESTART.value)
    if restart is not None:  # it belongs to what comes after COMMIT, which is behind it
        began = {**began, _Status.VERIFYING.value: restart}
    rehearsal = execution.purpose == Execution.Purpose.REHEARSAL
    order = REHEARSAL if rehearsal else REAL
    reached = [phase for phase in order if phase in began]
    last = order.index(reached[-1]) if reached else -1
    found = []
    for number, phase in enumerate(order):
        start = began.get(phase)
        if start is None and (number < last or execution.status == _Status.SUCCEEDED):
            continue
        follows = [began[later] for later in reached if order.index(later) > number]
        end = min(follows) if follows else execution.finished_at or timezone.now()
        found.append(
            Phase(
                key=phase,
                label=_label(phase, rehearsal=rehearsal, restart=restart is not None),
                state=_state(execution, phase, is_last=number == last) if start else "",
                began=start,
                seconds=max((end - start).total_seconds(), 0.0) if start else None,
                final=phase in FINAL,
            )
        )
    return found


def _label(phase: str, *, rehearsal: bool, restart: bool) -> str:
    return {
        _Status.CLAIMED.value: _("Claimed"),
        _Status.PREFLIGHT.value: _("Clone") if rehearsal else _("Preflight"),
        _Status.BACKUP.value: _("Backup"),
        LOCKING: _("Locks"),
        _Status.RUNNING.value: _("Script and checks"),
        _Status.COMMITTING.value: _("COMMIT"),
        _Status.VERIFYING.value: _("Restart and checks") if restart else _("Checks after it"),
    }[phase]


def _state(execution: Execution, phase: str, *, is_last: bool) -> str:
    """The state of a phase that was reached."""
    status = _Status(execution.status)
    if status in (_Status.ROLLED_BACK, _Status.NO_EFFECT):
        if is_last:
            return "bad"
        return "undone" if phase == _Status.RUNNING else "done"
    if status == _Status.SUCCEEDED or not is_last:
        return "done"
    return ENDED_AT.get(status, "now")
