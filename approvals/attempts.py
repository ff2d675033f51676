"""What the worker answers about an execution: how far it is, how it ended, and what follows from that."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import CharField, Exists, OuterRef, Q
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from . import (
    audit,
    fleet_progress,
    halfway,
    history,
    incidents,
    jobs,
    preflights,
    rollbacks,
    signed,
    workflow,
)
from .errors import Refused
from .flyway.history import Rows
from .models import (
    BUSY,
    OPEN,
    Evidence,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    FleetRun,
    Job,
    RollbackRequest,
    Status,
)

# A rollback whose attempts had no effect keeps its approvals this many times.
ATTEMPTS = halfway.ATTEMPTS
WATCH = timedelta(hours=24)

# How far a worker has come. A rehearsal takes its backup before it looks at the clone, an execution after.
PHASES = {
    ExecutionStatus.CLAIMED: 1,
    ExecutionStatus.PREFLIGHT: 2,
    ExecutionStatus.BACKUP: 2,
    ExecutionStatus.RUNNING: 3,
    ExecutionStatus.COMMITTING: 4,
    ExecutionStatus.VERIFYING: 5,
}

REAL = Execution.Purpose.REAL
ENDED_WELL = (ExecutionStatus.SUCCEEDED, ExecutionStatus.COMMITTED_CHECK_FAILED)
_Step = ExecutionStep.State
_KINDS = {REAL.value: Job.Kind.EXECUTE, Execution.Purpose.REHEARSAL.value: Job.Kind.REHEARSE}


def locked(execution: Execution, *, ending: bool = False) -> Execution:
    """Read the execution anew and lock its row until the transaction ends. Whoever begins or ends one of a
    run (`ending`) locks the run before it: that decides about others."""
    run = fleet_progress.lock(execution.run_id) if ending and execution.run_id is not None else None
    found = (
        Execution.objects.select_for_update(of=("self",), no_key=True)
        .select_related("target", "rollback_target__rollback")
        .get(pk=execution.pk)
    )
    found.rollback_target.target = found.target
    if run is not None:
        found.run = run
    return found


# All that a worker asks of an execution's rollback, read with it.
_CLAIMED = (
    "target",
    "continues",
    *(f"rollback_target__rollback__{name}" for name in ("service", "requester", "incident")),
    "rollback_target__rollback__policy_version",
)


def claim(execution_id: uuid.UUID, *, worker: str, reading: signed.Reading | None = None) -> Execution | None:
    """Take a queued execution by compare-and-set; None (and an event) if somebody has it already.

    The bytes about to run are hashed again here: if they are not the approved ones it ends without effect.
    `reading` keeps what was read for that.
    """
    execution = Execution.objects.select_related(*_CLAIMED).get(pk=execution_id)
    execution.rollback_target.target = execution.target
    with audit.unit_of_work("execution.claimed", actor=None, execution=execution) as facts:
        facts["worker"] = worker
        # Before any lock is taken: whoever begins or ends another of its run waits for that.
        problem = _unapproved(execution, reading) if execution.status == ExecutionStatus.QUEUED else ""
        if execution.run_id is not None:
            execution.run = fleet_progress.lock(execution.run_id)
        why_not = fleet_progress.why_not_begin(execution)
        if why_not and _held(execution).status == ExecutionStatus.QUEUED:
            facts["refused"] = why_not
            fleet_progress.set_aside(execution, why_not)
            return None
        if not _take(execution, worker):
            facts.action = "execution.duplicate_claim_ignored"
            return None
        if problem:
            facts["refused"] = problem
            facts |= end(locked(execution, ending=True), ExecutionStatus.NO_EFFECT, problem)
            return None
    return execution


def _take(execution: Execution, worker: str) -> bool:
    """The compare-and-set of a claim: is it this worker's now?"""
    now = timezone.now()
    claimed = {"status": ExecutionStatus.CLAIMED, "worker": worker, "claimed_at": now, "heartbeat_at": now}
    for name, value in claimed.items():
        setattr(execution, name, value)
    queued = Execution.objects.filter(pk=execution.pk, status=ExecutionStatus.QUEUED)
    return bool(queued.update(**claimed))


def set_aside_if_held(execution: Execution) -> str:
    """Asked by a worker that has prepared an execution and waited for its turn: where its run does not go on
    by now, its target counts as not begun. Returns why, as a sentence; empty where it may begin."""
    if execution.run_id is None:
        return ""
    execution.run = FleetRun.objects.get(pk=execution.run_id)
    if not (why_not := fleet_progress.why_not_begin(execution)):
        return ""
    with audit.unit_of_work("execution.set_aside", actor=None, execution=execution) as facts:
        fresh = locked(execution, ending=True)
        facts["refused"] = why_not
        if not fresh.is_open or fresh.run is None:
            facts.action = "execution.late_outcome_ignored"
            return why_not
        fleet_progress.set_aside(fresh, why_not)
        facts |= fleet_progress.advance(fresh.run)
    return why_not


def _unapproved(execution: Execution, reading: signed.Reading | None) -> str:
    """Why what would run is not what people signed, as a sentence; empty if it is."""
    problem = signed.unapproved(execution, reading)
    if not problem and execution.continues_id is not None:
        problem = halfway.unsigned(execution)
    return problem


def preflight(execution: Execution) -> list[str]:
    """Every gate again, and the rating with the newest facts; the reasons for no-go, none if it may go. Of
    what continues another: what that asks."""
    target = execution.rollback_target
    if execution.continues_id is not None:
        found = preflights.objections_to_continuing(execution)
    else:
        found = preflights.objections(target.rollback, only=target)
    return preflights.sentences([point for point in found if point["verdict"] == "stop"])


def _held(execution: Execution) -> Execution:
    """Lock the execution's row until the transaction ends, and read of it anew what lets a worker act: locks
    on a target may be waiting for this."""
    found = Execution.objects.select_for_update(of=("self",), no_key=True)
    return found.only("status", "purpose").get(pk=execution.pk)


def enter(execution: Execution, status: ExecutionStatus) -> None:
    """The worker entered a phase: preflight, backup, running, committing, verifying.

    Raises Refused for a step back: once the script runs there is no preflight any more, after COMMIT no
    script.
    """
    before = [each for each in BUSY if PHASES[ExecutionStatus(each)] <= PHASES.get(status, 0)]
    with audit.unit_of_work(f"execution.{status}", actor=None, execution=execution):
        if not Execution.objects.filter(pk=execution.pk, status__in=before).update(status=status):
            fresh = _held(execution)
            _require_busy(fresh)
            raise Refused(
                _("%(execution)s is %(status)s and can't become %(goal)s.")
                % {
                    "execution": fresh,
                    "status": fresh.get_status_display().lower(),
                    "goal": ExecutionStatus(status).label.lower(),
                }
            )
    execution.status = status


def record_backend(
    execution: Execution,
    *,
    xid: str,
    pid: int,
    backend_start: datetime,
    system_identifier: str,
    timeline: int,
    postmaster_start: datetime | None = None,
) -> None:
    """Which backend is about to run the script: evidence for the resolver, written before it begins."""
    with audit.unit_of_work("execution.running", actor=None, execution=execution) as facts:
        written = Execution.objects.filter(pk=execution.pk, status__in=BUSY).update(
            status=ExecutionStatus.RUNNING,
            xid=xid,
            pid=pid,
            backend_start=backend_start,
            system_identifier=system_identifier,
            timeline=timeline,
            postmaster_start=postmaster_start,
        )
        if not written:
            _require_busy(_held(execution))
        facts |= {"xid": xid, "pid": pid, "system_identifier": system_identifier, "timeline": timeline}


def step_claimed(execution: Execution, position: int, *, before: dict[str, Any], undo: Sequence[str]) -> None:
    """A step is about to run alone: what was there before it and what takes it back, before it begins.

    Raises Refused where the execution is nobody's to act on any more, or the step was claimed before.
    """
    with audit.unit_of_work("execution.step_claimed", actor=None, execution=execution) as facts:
        fresh = locked(execution)
        _require_busy(fresh)
        if PHASES[ExecutionStatus(fresh.status)] < PHASES[ExecutionStatus.RUNNING]:
            fresh.status = ExecutionStatus.RUNNING
            fresh.save(update_fields=["status"])
        claimed = fresh.steps.filter(position=position, state=_Step.PENDING).update(
            state=_Step.CLAIMED, before=before, undo=list(undo), claimed_at=timezone.now()
        )
        if not claimed:
            raise Refused(_("Step %(step)d was claimed before.") % {"step": position})
        facts |= {"step": position}


def step_settled(
    execution: Execution,
    position: int,
    *,
    state: str,
    found: str,
    leftover: Sequence[str] = (),
    milliseconds: float | None = None,
    tag: str = "",
) -> None:
    """How a step that ran alone stands on the target, as the target was asked."""
    with audit.unit_of_work(f"execution.step_{state}", actor=None, execution=execution) as facts:
        fresh = locked(execution)
        if not fresh.is_open:
            facts.action = "execution.late_step_ignored"
        else:
            fresh.steps.filter(position=position).update(
                state=state,
                found=found,
                leftover=list(leftover),
                milliseconds=milliseconds,
                tag=tag,
                settled_at=timezone.now(),
            )
        facts |= {"step": position, "found_sha256": audit.digest_of(found)}


def _require_busy(execution: Execution) -> None:
    if execution.status not in BUSY:
        raise Refused(
            _("%(execution)s is %(status)s; a worker may no longer act on it.")
            % {
                "execution": execution,
                "status": execution.get_status_display().lower(),
            }
        )


BEAT = """UPDATE approvals_execution SET heartbeat_at = %s WHERE id = %s
          RETURNING cancel_requested_at IS NOT NULL"""


def heartbeat(execution_id: uuid.UUID) -> bool:
    """The worker lives. Says whether somebody has asked to end it."""
    with connection.cursor() as cursor:
        cursor.execute(BEAT, [timezone.now(), execution_id])
        row = cursor.fetchone()
    return row is not None and bool(row[0])


def cancel_requested(execution_id: uuid.UUID) -> bool:
    """Has somebody asked to end it?"""
    return Execution.objects.filter(pk=execution_id, cancel_requested_at__isnull=False).exists()


def silence() -> timedelta:
    """How long a worker may be quiet before the target is asked what became of its execution."""
    return timedelta(seconds=settings.WORKER_SILENCE_SECONDS)


def silent() -> list[Execution]:
    """Open executions whose worker has not been heard of for a while, and unresolved ones.

    One that is still queued counts if its job was claimed: the worker ended between the two.
    """
    limit = timezone.now() - silence()
    job_taken = Job.objects.filter(
        kind__in=[Job.Kind.EXECUTE, Job.Kind.REHEARSE],
        subject=Cast(OuterRef("pk"), CharField()),
        claimed_at__lt=limit,
    )
    return list(
        Execution.objects.filter(
            Q(status__in=[*BUSY, ExecutionStatus.UNRESOLVED], heartbeat_at__lt=limit)
            | Q(status=ExecutionStatus.QUEUED) & Exists(job_taken)
        ).select_related("target__rehearsal_target", "rollback_target__rollback")
    )


def awaiting_restart() -> list[Execution]:
    """Executions that wait for a restart of their target's server."""
    waiting = Execution.objects.filter(status=ExecutionStatus.AWAITING_RESTART)
    return list(waiting.select_related("target__rehearsal_target", "rollback_target__rollback"))


def record_outcome(
    execution: Execution,
    status: ExecutionStatus,
    sentence: str,
    *,
    resolved: bool = False,
    sqlstate: str = "",
    blocker: dict[str, Any] | None = None,
    checks: Sequence[dict[str, Any]] | None = None,
    timings: dict[str, Any] | None = None,
    locks: Sequence[dict[str, Any]] | None = None,
    pools: Sequence[dict[str, Any]] | None = None,
    restart: dict[str, Any] | None = None,
    committed: bool = False,
    history_rows: Rows | None = None,
) -> Execution | None:
    """The outcome and what follows from it, in one transaction with its event. None if it had one already.

    `resolved`: the outcome was read from the target by the resolver, not seen by the worker that ran it.
    `committed`: its transaction is, whatever became of the steps that run alone. `history_rows` were read
    right after it; without them a reading of the history is asked for.
    """
    with audit.unit_of_work(f"execution.{status}", actor=None, execution=execution) as facts:
        fresh = locked(execution, ending=True)
        facts |= {"sentence_sha256": audit.digest_of(sentence), "resolved": resolved, "sqlstate": sqlstate}
        # Whoever resolved it before it was recorded which backend runs has asked about something else.
        if not fresh.is_open or (resolved and fresh.xid != execution.xid):
            facts.action = "execution.late_outcome_ignored"
            facts |= {"said": status, "is": fresh.status}
            return None
        fresh.sqlstate, fresh.blocker = sqlstate, blocker
        seen = {"checks": checks, "timings": timings, "locks": locks, "pools": pools, "restart": restart}
        for name, value in seen.items():
            if value is not None:
                setattr(fresh, name, value)
        if committed:
            fresh.marks[halfway.COMMITTED] = timezone.now().isoformat()
        if resolved:
            fresh.marks["resolved"] = timezone.now().isoformat()
        facts |= end(fresh, status, sentence, history_rows)
        if resolved and not fresh.is_open:
            jobs.end_lost(_KINDS[fresh.purpose], fresh.pk)
        facts |= {
            "rollback_status": fresh.rollback_target.rollback.status,
            "timings": timings and _whole(timings),
        }
    return fresh


def _whole(timings: dict[str, Any]) -> dict[str, int]:
    """Seconds as whole milliseconds: canonical JSON and floats are no friends."""
    return {name: round(value * 1000) for name, value in timings.items() if isinstance(value, int | float)}


def end(
    execution: Execution, status: ExecutionStatus, sentence: str, history_rows: Rows | None = None
) -> dict[str, Any]:
    """Write an execution's outcome and carry it over to its rollback; the caller holds the execution, and
    the run it is of, locked. Returns what its run did and what the history is, for the event."""
    execution.status, execution.sentence, execution.waiters = status, sentence, []
    if status not in OPEN:
        execution.finished_at = timezone.now()
    took_back = execution.course == Execution.Course.TAKE_BACK
    undone = status in ENDED_WELL or halfway.COMMITTED in execution.marks  # whatever else is still to come
    if execution.purpose == REAL and undone and not took_back:
        execution.watch_until = timezone.now() + WATCH
    execution.save()
    if execution.purpose != REAL:
        return {}
    done: dict[str, Any] = {}
    if execution.run is not None:
        done = _carry_over_to_run(execution, execution.run)
    else:
        _carry_over(execution)
    return done | _bring_history(execution, history_rows)


def _bring_history(execution: Execution, rows: Rows | None) -> dict[str, Any]:
    """Where it may have changed the history: that of now, or a reading of it."""
    if execution.status not in (*ENDED_WELL, ExecutionStatus.PARTIAL, ExecutionStatus.AWAITING_RESTART):
        return {}
    if rows is None:
        jobs.ask(Job.Kind.SYNC, subject=execution.target_id, actor=None)
        return {}
    history.store_after(execution.target_id, rows)
    return {"history_rows": len(rows)}


def _carry_over_to_run(execution: Execution, run: FleetRun) -> dict[str, Any]:
    """What the outcome on one of several targets means: its run, which `locked` read, goes on or does not."""
    if execution.continues_id is not None:
        _settle_continued(execution, execution.continues_id)
    done = fleet_progress.advance(run)
    if run.ended_at is not None:
        execution.rollback_target.rollback.refresh_from_db(fields=["status"])
    return done


def _carry_over(execution: Execution) -> None:
    """What the outcome of a real execution means for the rollback, its approvals, its incident and its
    target. What is partly done, or waits for a restart, keeps the rollback executing."""
    rollback = workflow.locked(execution.rollback_target.rollback)
    status = ExecutionStatus(execution.status)
    if execution.continues_id is not None:
        _settle_continued(execution, execution.continues_id)
    if status in ENDED_WELL and execution.course == Execution.Course.TAKE_BACK:
        fail(rollback, why="taken back")
    elif status in ENDED_WELL:
        workflow.move(rollback, Status.EXECUTED, actor=None)
        incidents.post_mortem_due(rollback)
    elif execution.continues_id is not None:
        pass  # what it was to continue is as partly done as before
    elif status == ExecutionStatus.NO_EFFECT and rollback.attempts < ATTEMPTS:
        workflow.move(rollback, Status.APPROVED, actor=None)
    elif status in (ExecutionStatus.NO_EFFECT, ExecutionStatus.ROLLED_BACK):
        fail(rollback, why=f"execution {status}")
    execution.rollback_target.rollback = rollback


def fail(rollback: RollbackRequest, *, why: str) -> None:
    """The rollback did not come to its end; the caller holds it locked."""
    rollbacks.void_approvals(rollback, why=why)
    workflow.move(rollback, Status.FAILED, actor=None)


def settled_by_hand(execution: Execution) -> dict[str, Any]:
    """People have seen to what was partly done: the rollback failed, or its run may go on without this
    target. The caller holds execution, run and rollback locked."""
    if execution.run_id is not None:
        return fleet_progress.advance(fleet_progress.lock(execution.run_id))
    fail(workflow.locked(execution.rollback_target.rollback), why="settled by hand")
    return {}


def _settle_continued(execution: Execution, continued: uuid.UUID) -> None:
    """What was left partly done is settled once somebody went on to the end, or it is left to the next; what
    had no effect may be tried again."""
    status = ExecutionStatus(execution.status)
    if status == ExecutionStatus.NO_EFFECT:
        halfway.stand_again(execution)
    if status not in (*ENDED_WELL, ExecutionStatus.AWAITING_RESTART, ExecutionStatus.PARTIAL):
        return
    back = execution.course == Execution.Course.TAKE_BACK
    Execution.objects.filter(pk=continued, settled_at=None).update(
        settled_at=timezone.now(),
        settled_as=Execution.Settled.TAKEN_BACK if back else Execution.Settled.GONE_ON,
    )


def record_rehearsal(execution: Execution, *, holds: bool, sentence: str, data: dict[str, Any]) -> Evidence:
    """Evidence that these exact bytes did (or did not) take a copy of production back."""
    rollback = execution.rollback_target.rollback
    with audit.unit_of_work("rehearsal.recorded", actor=None, execution=execution) as facts:
        facts |= {
            "holds": holds,
            "sentence_sha256": audit.digest_of(sentence),
            "change": execution.change_digest,
        }
        return Evidence.objects.create(
            rollback=rollback,
            target=execution.target,
            kind=Evidence.Kind.REHEARSAL,
            change_digest=execution.change_digest,
            holds=holds,
            sentence=sentence,
            data={"execution": str(execution.pk), **data},
        )
