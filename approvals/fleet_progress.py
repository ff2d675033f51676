"""A run goes on: how its targets stand, what begins next, and what the rollback is when all of it has ended.

Called in the transaction in which an execution of it ends, and by whoever starts, holds, goes on or cancels;
each holds the run locked. What comes next is `approvals.waves`' to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import audit, fleet_windows, halfway, incidents, queueing, rollbacks, waves, workflow
from .errors import Refused
from .fleet_windows import Opening
from .models import (
    OPEN,
    Execution,
    ExecutionStatus,
    FleetRun,
    Job,
    RollbackRequest,
    RollbackTarget,
    Status,
)
from .waves import Next, Stand, Why

CANARY = 1
_S = ExecutionStatus
COMMITTED = (_S.SUCCEEDED, _S.COMMITTED_CHECK_FAILED)
# What is read of an execution to know how its target stands, and to say so: all of them are read whenever one
# of hundreds ends.
_TELLING = (
    *("run", "rollback_target", "purpose", "status", "set_aside", "course", "settled_at"),
    *("wave", "claimed_at", "sentence", "continues", "missed"),
)


def lock(run: int) -> FleetRun:
    """Read the run of this key anew and lock it until the transaction ends: before any execution of it, and
    before its rollback, so that nobody waits in a circle."""
    return FleetRun.objects.select_for_update(no_key=True).get(pk=run)


def tries_of(run: FleetRun) -> dict[int, list[Execution]]:
    """The executions of a run by the key of their rollback target, the newest last; one query, which leaves
    out what does not tell how a target stands."""
    found: dict[int, list[Execution]] = defaultdict(list)
    for execution in run.executions.only(*_TELLING).order_by("queued_at", "pk"):
        found[execution.rollback_target_id].append(execution)
    return found


def newest(tries: Iterable[Execution]) -> Execution | None:
    """The one that tells how a target stands: the last that was not set aside."""
    return next((each for each in reversed(list(tries)) if not each.set_aside), None)


def stand(tries: Sequence[Execution]) -> Stand:
    """How a target stands after these tries."""
    last = newest(tries)
    if last is None:
        return Stand.WAITING
    if last.status == _S.UNRESOLVED or any(each.is_unsettled for each in tries):
        return Stand.UNSURE
    if last.is_open:
        return Stand.OPEN
    if last.missed:
        return Stand.MISSED
    back = last.course == Execution.Course.TAKE_BACK
    return Stand.DONE if last.status == _S.SUCCEEDED and not back else Stand.FAILED


def is_committed(tries: Sequence[Execution]) -> bool:
    """Was the rollback committed there, whatever a check after it said?"""
    last = newest(tries)
    return last is not None and last.status in COMMITTED and last.course != Execution.Course.TAKE_BACK


def in_order(run: FleetRun) -> list[RollbackTarget]:
    """The targets of a run, the canary first."""
    return list(run.rollback.rollback_targets.select_related("target"))


def advance(run: FleetRun) -> dict[str, Any]:
    """Let a run that the caller holds locked do what comes next. Returns what it did, for the event.

    Safe to be called at any time and by anybody: what began is not waiting any more.
    """
    order = list(RollbackTarget.objects.filter(rollback=run.rollback_id).values_list("pk", flat=True))
    tries = tries_of(run)
    stands = [stand(tries[each]) for each in order]
    closed, missed = _by_windows(run, order, stands)
    if missed:
        queueing.record_missed(run, missed)
        tries = tries_of(run)
        stands = [stand(tries[each]) for each in order]
    found = _decide(run, stands, closed)
    if found.start:
        targets = in_order(run)
        found = _begin(run, [targets[place] for place in found.start]) or found
    if found.state != run.state:
        _enter(run, found, stands)
    if run.is_over and not {Stand.OPEN, Stand.UNSURE} & set(stands):
        _conclude(run, [tries[each] for each in order])
    done = {"run": run.pk, "run_state": run.state, "wave": run.wave, "began": len(found.start)}
    return done | ({"missed": len(missed)} if missed else {})


def _decide(run: FleetRun, stands: Sequence[Stand], closed: Collection[int]) -> Next:
    return waves.decide(
        waves.State(run.state),
        stands,
        wave_size=run.wave_size,
        stop_after=run.stop_after,
        accepted=run.accepted,
        closed=closed,
    )


def _by_windows(
    run: FleetRun, order: Sequence[int], stands: Sequence[Stand]
) -> tuple[set[int], dict[RollbackTarget, str]]:
    """Of a run that the clock started: the places of the targets that wait for their windows, and those that
    have missed theirs, with a sentence each. Nobody has missed anything before the canary is done."""
    if run.schedule is None or run.state != FleetRun.State.RUNNING or Stand.WAITING not in stands:
        return set(), {}
    waiting = {each: place for place, each in enumerate(order) if stands[place] is Stand.WAITING}
    targets = run.rollback.rollback_targets.filter(pk__in=waiting).select_related("target")
    found = fleet_windows.of_run(run, list(targets))
    closed, missed = set(), {}
    for each in targets:
        here = found[each.pk]
        if here.opening is Opening.MISSED and stands[0] is Stand.DONE:
            missed[each] = fleet_windows.missed(each.target, here)
        elif here.opening is not Opening.NOW:
            closed.add(waiting[each.pk])
    return closed, missed


def wake() -> int:
    """Let runs that rest until a window opens go on, or say what was missed. Returns how many did something.

    Called by beat, and safe to be called by several at once: a run is locked before anything is done.
    """
    resting = FleetRun.objects.filter(state=FleetRun.State.RUNNING, schedule__isnull=False, ended_at=None)
    resting = resting.exclude(executions__status__in=OPEN)
    return sum(map(_woken, resting.select_related("schedule", "rollback")))


def _woken(run: FleetRun) -> bool:
    order = list(RollbackTarget.objects.filter(rollback=run.rollback_id).values_list("pk", flat=True))
    tries = tries_of(run)
    stands = [stand(tries[each]) for each in order]
    closed, missed = _by_windows(run, order, stands)
    found = _decide(run, stands, closed)
    if not (missed or found.start or found.state != run.state):
        return False
    with audit.unit_of_work("fleet.woke", actor=None, rollback=run.rollback) as facts:
        facts |= advance(lock(run.pk))
    return True


def _begin(run: FleetRun, targets: Sequence[RollbackTarget]) -> Next | None:
    """Queue one wave, the canary's or the next. Where one of its targets is held by another execution none
    of it begins, and the run is held."""
    run.sentence = _holder(targets)
    if not run.sentence:
        if targets[0].position != CANARY:
            run.wave += 1
        try:
            queueing.queue_wave(run, targets)
        except Refused as refused:  # somebody was faster
            run.wave -= targets[0].position != CANARY
            run.sentence = str(refused)
    run.save(update_fields=["wave", "sentence"])
    return Next(waves.State.HELD) if run.sentence else None


def _holder(targets: Sequence[RollbackTarget]) -> str:
    """Which of these targets another execution holds, as a sentence; empty if none is held."""
    real = Execution.objects.filter(queueing.HOLDS_TARGET, purpose=Execution.Purpose.REAL)
    held = real.filter(target__in=[each.target_id for each in targets])
    if (found := held.select_related("target", "rollback_target__rollback").first()) is None:
        return ""
    return _("%(execution)s of %(label)s is %(status)s on %(target)s. Only one may run there at a time.") % {
        "execution": found,
        "label": found.rollback_target.rollback.label,
        "status": found.get_status_display().lower(),
        "target": found.target,
    }


def _enter(run: FleetRun, found: Next, stands: Sequence[Stand]) -> None:
    """Write the state that the run takes by itself, and why."""
    failed = stands.count(Stand.FAILED)
    says = {
        Why.UNSURE: _("Held: of a target nobody can say yet how it stands, or it is partly done."),
        Why.CANARY: _("Stopped: the canary is not done. Nothing else began."),
        Why.FAILURES: ngettext(
            "Stopped after %(count)d failure.", "Stopped after %(count)d failures.", failed
        )
        % {"count": failed},
    }
    run.state = FleetRun.State(found.state.value)
    run.sentence = says.get(found.why, run.sentence if found.state is waves.State.HELD else "")
    run.changed_at = timezone.now()
    run.save(update_fields=["state", "sentence", "changed_at"])
    if run.state != FleetRun.State.RUNNING:
        call_off(run)


def call_off(run: FleetRun) -> int:
    """End what is queued and no worker has taken: it counts as not begun. Returns how many; the caller holds
    the run locked, so that none is taken meanwhile."""
    queued = [str(pk) for pk in run.executions.filter(status=_S.QUEUED).values_list("pk", flat=True)]
    said = _("Not begun: the run did not go on. Nothing was sent to the target.")
    run.executions.filter(pk__in=queued).update(
        status=_S.NO_EFFECT, set_aside=True, finished_at=timezone.now(), sentence=said
    )
    Job.objects.filter(kind=Job.Kind.EXECUTE, subject__in=queued, state=Job.State.WAITING).update(
        state=Job.State.DONE, finished_at=timezone.now(), sentence=said
    )
    for execution in run.executions.filter(pk__in=queued, continues__isnull=False):
        halfway.stand_again(execution)
    return len(queued)


def set_aside(execution: Execution, sentence: str) -> None:
    """End an execution that a worker was given too late, or that waited there for its turn: its target counts
    as not begun, and as not tried."""
    execution.status, execution.set_aside, execution.sentence = _S.NO_EFFECT, True, sentence
    execution.finished_at, execution.claimed_at = timezone.now(), None
    execution.save(update_fields=["status", "set_aside", "sentence", "finished_at", "claimed_at"])


def _conclude(run: FleetRun, by_target: Sequence[Sequence[Execution]]) -> None:
    """Nothing of it is open any more: what the rollback is, by how many of its targets are done."""
    if run.ended_at is not None:
        return
    run.ended_at = timezone.now()
    run.save(update_fields=["ended_at"])
    rollback = workflow.locked(run.rollback)
    done = sum(map(is_committed, by_target))
    if done:
        incidents.post_mortem_due(rollback)
    if done == len(by_target):
        workflow.move(rollback, Status.EXECUTED, actor=None)
        return
    rollbacks.void_approvals(rollback, why="the run ended")
    workflow.move(rollback, Status.PARTLY_EXECUTED if done else Status.FAILED, actor=None)


def why_not_begin(execution: Execution) -> str:
    """Why a worker may not begin what it was given, as a sentence; empty if it may. The caller holds the run
    locked. What continues another execution was signed for by itself."""
    run = execution.run
    if run is None or execution.continues_id is not None or run.state == FleetRun.State.RUNNING:
        return ""
    return _("Not begun: its run is %(state)s.") % {"state": run.get_state_display().lower()}


def require_run(rollback: RollbackRequest) -> FleetRun:
    """The run of a rollback that was started last. Raises Refused where it has none."""
    run = rollback.runs.select_related("rollback").first()
    if run is None:
        raise Refused(_("%(label)s has no run.") % {"label": rollback.label})
    return run
