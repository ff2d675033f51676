"""Executions: people ask for them here, and the worker answers here. All of it is in the audit trail."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import CharField, Exists, OuterRef, Q
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, digests, gates, history, incidents, jobs, policy, rating, rollbacks, workflow
from .decisions import require_confirmed
from .errors import Denied, Refused
from .models import (
    BUSY,
    OPEN,
    Backup,
    Evidence,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    Job,
    Role,
    RollbackRequest,
    RollbackTarget,
    Status,
    Target,
    User,
)

# A rollback whose attempts had no effect keeps its approvals this many times.
ATTEMPTS = 3
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

REAL, REHEARSAL = Execution.Purpose.REAL, Execution.Purpose.REHEARSAL


# --- what people ask for
# ---------------------------------------------------------------------------------------


def ask_for_rehearsal(rollback: RollbackRequest, *, actor: User) -> Execution:
    """Queue a rehearsal of the change as it is now. The requester, approvers and ops may ask.

    Raises Refused while another rehearsal of this rollback is open, or where the target names no staging
    server.
    """
    with audit.unit_of_work("rehearsal.requested", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        if not workflow.parties(rollback, actor):
            raise Denied(_("Only the requester, an approver or ops can ask for a rehearsal."))
        workflow.require(rollback, workflow.EDITABLE)
        rollbacks.bring_up_to_date(rollback)
        if missing := [gate for gate in gates.gates(rollback) if gate.key == "script" and not gate.holds]:
            raise Refused(f"{missing[0].title}: {missing[0].detail}")
        rollback_target = rollback.rollback_targets.select_related("target__rehearsal_target").get()
        if rollback_target.target.is_production and rollback_target.target.rehearsal_target is None:
            raise Refused(
                _("%(target)s names no staging server to rehearse on.") % {"target": rollback_target.target}
            )
        if rollback_target.executions.filter(purpose=REHEARSAL, status__in=OPEN).exists():
            raise Refused(_("A rehearsal of %(label)s is under way.") % {"label": rollback.label})
        execution = _queue(rollback_target, REHEARSAL, actor)
        jobs.ask(Job.Kind.REHEARSE, subject=execution.pk, actor=actor, digest=rollback.change_digest)
        facts |= {"execution": str(execution.pk), "change": rollback.change_digest}
    return execution


def start(rollback: RollbackRequest, *, actor: User, digest: str, confirmed_at: datetime | None) -> Execution:
    """Queue the real execution of an approved rollback. Ops only; every gate is asked again here and by the
    worker.

    Raises Denied, Refused or Conflict; one open execution per target is a constraint of the database.
    """
    with audit.unit_of_work("execution.requested", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.OPS)
        workflow.require(rollback, [Status.APPROVED], digest=digest)
        require_confirmed(confirmed_at)
        if rollback.overdue_expiry:
            raise Refused(_("The time to execute %(label)s is over.") % {"label": rollback.label})
        if problem := changed(rollback):
            raise Refused(problem)
        if missing := gates.missing(rollback, gates.Needed.EXECUTE):
            raise Refused(" ".join(f"{gate.title}: {gate.detail}" for gate in missing))
        rollback_target = rollback.rollback_targets.select_related("target").get()
        holder = Execution.objects.filter(
            target=rollback_target.target, purpose=REAL, status__in=OPEN
        ).first()
        if holder:
            raise Refused(
                _("%(execution)s of %(label)s is %(status)s on %(target)s. Only one may run there at a time.")
                % {
                    "execution": holder,
                    "label": holder.rollback_target.rollback.label,
                    "status": holder.get_status_display().lower(),
                    "target": holder.target,
                }
            )
        workflow.move(rollback, Status.EXECUTING, actor=actor)
        rollback.attempts += 1
        rollback.save(update_fields=["attempts"])
        execution = _queue(rollback_target, REAL, actor)
        jobs.ask(Job.Kind.EXECUTE, subject=execution.pk, actor=actor, digest=rollback.request_digest)
        facts |= {
            "execution": str(execution.pk),
            "request": rollback.request_digest,
            "attempt": rollback.attempts,
        }
    return execution


def cancel(execution: Execution, *, actor: User, reason: str) -> Execution:
    """Ask the worker to end an open execution; its backend on the target is ended, the target tells the
    outcome.

    Ops may cancel any, whoever asked for a rehearsal their own. One that no worker has taken yet ends at
    once.
    """
    with audit.unit_of_work("execution.cancel_requested", actor=actor, execution=execution) as facts:
        execution = locked(execution)
        own_rehearsal = execution.purpose == REHEARSAL and execution.requested_by_id == actor.pk
        if Role.OPS not in actor.roles and not own_rehearsal:
            raise Denied(_("Only ops can cancel an execution."))
        if not reason.strip():
            raise Refused(_("Say why you cancel it."))
        if not execution.is_open:
            raise Refused(_("%(execution)s has ended already.") % {"execution": execution})
        execution.cancel_requested_at, execution.cancel_requested_by = timezone.now(), actor
        execution.cancelled_because = reason.strip()
        execution.save(update_fields=["cancel_requested_at", "cancel_requested_by", "cancelled_because"])
        facts["reason_sha256"] = audit.digest_of(execution.cancelled_because)
        if execution.status == ExecutionStatus.QUEUED:
            facts["ended"] = True
            _end(
                execution,
                ExecutionStatus.NO_EFFECT,
                _("Cancelled by %(who)s before a worker took it.") % {"who": actor},
            )
    return execution


def _queue(rollback_target: RollbackTarget, purpose: Execution.Purpose, actor: User) -> Execution:
    rollback = rollback_target.rollback
    try:
        execution = Execution.objects.create(
            rollback_target=rollback_target,
            target=rollback_target.target,
            purpose=purpose,
            change_digest=rollback.change_digest,
            request_digest=rollback.request_digest,
            requested_by=actor,
        )
    except IntegrityError as error:
        if "one_open_execution_per_target" not in str(error):
            raise
        raise Refused(
            _("Another execution is open on %(target)s.") % {"target": rollback_target.target}
        ) from error
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution=execution, **step) for step in planned_steps(rollback)
    )
    return execution


def planned_steps(rollback: RollbackRequest) -> list[dict[str, Any]]:
    """The steps of all items in the order in which they run, from the plans stored with the scripts."""
    steps: list[dict[str, Any]] = []
    for item in rollback.items.select_related("script"):
        for step in item.script.plan.get("steps", []) if item.script else []:
            statement = step["statement"]
            steps.append(
                {
                    "position": len(steps) + 1,
                    "item_position": item.position,
                    "kind": statement["kind"],
                    "says": statement["says"],
                    "sql": statement["sql"],
                }
            )
    return steps


# --- what the worker answers
# -----------------------------------------------------------------------------------


def locked(execution: Execution) -> Execution:
    """Read the execution anew and lock its row until the transaction ends."""
    return (
        Execution.objects.select_for_update(of=("self",), no_key=True)
        .select_related("target", "rollback_target__rollback", "requested_by")
        .get(pk=execution.pk)
    )


def claim(execution_id: uuid.UUID, *, worker: str) -> Execution | None:
    """Take a queued execution by compare-and-set; None (and an event) if somebody has it already.

    The bytes about to run are hashed again here: if they are not the approved ones it ends without effect.
    """
    found = Execution.objects.get(pk=execution_id)
    with audit.unit_of_work("execution.claimed", actor=None, execution=found) as facts:
        execution = locked(found)
        facts["worker"] = worker
        if execution.status != ExecutionStatus.QUEUED:
            facts.action = "execution.duplicate_claim_ignored"
            return None
        now = timezone.now()
        execution.status, execution.worker = ExecutionStatus.CLAIMED, worker
        execution.claimed_at = execution.heartbeat_at = now
        execution.save(update_fields=["status", "worker", "claimed_at", "heartbeat_at"])
        if problem := unapproved(execution):
            facts["refused"] = problem
            _end(execution, ExecutionStatus.NO_EFFECT, problem)
            return None
    return execution


def unapproved(execution: Execution) -> str:
    """Why what is stored now is not what was asked for and approved, as a sentence; empty if it is."""
    rollback = execution.rollback_target.rollback
    if problem := _other_script(rollback):
        return problem
    if digests.change_digest(rollback) != execution.change_digest:
        return _("The change is not the one that was asked for: its digest differs.")
    if execution.purpose == REHEARSAL:
        return ""
    if rollback.request_digest != execution.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    if problem := changed(rollback):
        return problem
    if policy.missing_signatures(rollback):
        return _("An approval is missing or no longer counts.")
    return ""


def changed(rollback: RollbackRequest) -> str:
    """How a submitted rollback, worked out anew, differs from what people signed, as a sentence; empty if it
    doesn't.

    Its own records can't have changed, but the service's placeholders or the target's settings can.
    """
    if problem := _other_script(rollback):
        return problem
    if digests.change_digest(rollback) != rollback.change_digest:
        return _("The change is not the one that was approved: its digest differs.")
    if digests.request_digest(rollback) != rollback.request_digest:
        return _("The request is not the one that was approved: its digest differs.")
    return ""


def _other_script(rollback: RollbackRequest) -> str:
    for item in rollback.items.select_related("script", "migration"):
        if item.script is None or digests.text_sha256(item.script.sql) != item.script.sha256:
            return _("The script of %(migration)s is not the one whose digest was recorded.") % {
                "migration": item.migration
            }
    return ""


def preflight(execution: Execution) -> list[str]:
    """Every gate again, and the rating with the newest facts; the reasons for no-go, none if it may go."""
    rollback = execution.rollback_target.rollback
    reasons = [f"{gate.title}: {gate.detail}" for gate in gates.missing(rollback, gates.Needed.EXECUTE)]
    if rollback.overdue_expiry:
        reasons.append(_("The time to execute %(label)s is over.") % {"label": rollback.label})
    now = rating.rate(rollback, gates.latest_evidence(rollback, Evidence.Kind.FACTS))
    if now.risk > (rollback.risk or 0):
        reasons.append(
            _("The risk is %(now)s now, more than was approved: %(why)s")
            % {"now": now.risk.name, "why": now.reasons[0]["text"] if now.reasons else ""}
        )
    return reasons


def enter(execution: Execution, status: ExecutionStatus) -> None:
    """The worker entered a phase: preflight, backup, running, committing, verifying.

    Raises Refused for a step back: once the script runs there is no preflight any more, after COMMIT no
    script.
    """
    with audit.unit_of_work(f"execution.{status}", actor=None, execution=execution):
        fresh = locked(execution)
        _require_busy(fresh)
        if PHASES.get(status, 0) < PHASES[ExecutionStatus(fresh.status)]:
            raise Refused(
                _("%(execution)s is %(status)s and can't become %(goal)s.")
                % {
                    "execution": fresh,
                    "status": fresh.get_status_display().lower(),
                    "goal": ExecutionStatus(status).label.lower(),
                }
            )
        fresh.status = status
        fresh.save(update_fields=["status"])
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
        fresh = locked(execution)
        _require_busy(fresh)
        fresh.status = ExecutionStatus.RUNNING
        fresh.xid, fresh.pid, fresh.backend_start = xid, pid, backend_start
        fresh.system_identifier, fresh.timeline = system_identifier, timeline
        fresh.postmaster_start = postmaster_start
        fresh.save()
        facts |= {"xid": xid, "pid": pid, "system_identifier": system_identifier, "timeline": timeline}


def _require_busy(execution: Execution) -> None:
    if execution.status not in BUSY:
        raise Refused(
            _("%(execution)s is %(status)s; a worker may no longer act on it.")
            % {
                "execution": execution,
                "status": execution.get_status_display().lower(),
            }
        )


def heartbeat(execution_id: uuid.UUID) -> None:
    """The worker lives."""
    Execution.objects.filter(pk=execution_id).update(heartbeat_at=timezone.now())


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
) -> Execution | None:
    """The outcome and what follows from it, in one transaction with its event. None if it had one already.

    `resolved`: the outcome was read from the target by the resolver, not seen by the worker that ran it.
    """
    with audit.unit_of_work(f"execution.{status}", actor=None, execution=execution) as facts:
        fresh = locked(execution)
        facts |= {"sentence_sha256": audit.digest_of(sentence), "resolved": resolved, "sqlstate": sqlstate}
        if not fresh.is_open:
            facts.action = "execution.late_outcome_ignored"
            facts |= {"said": status, "is": fresh.status}
            return None
        fresh.sqlstate, fresh.blocker = sqlstate, blocker
        for name, value in (("checks", checks), ("timings", timings), ("locks", locks)):
            if value is not None:
                setattr(fresh, name, value)
        _end(fresh, status, sentence)
        facts |= {
            "rollback_status": fresh.rollback_target.rollback.status,
            "timings": timings and _whole(timings),
        }
    return fresh


def _whole(timings: dict[str, Any]) -> dict[str, int]:
    """Seconds as whole milliseconds: canonical JSON and floats are no friends."""
    return {name: round(value * 1000) for name, value in timings.items() if isinstance(value, int | float)}


def _end(execution: Execution, status: ExecutionStatus, sentence: str) -> None:
    """Write an execution's outcome and carry it over to its rollback; the caller holds the execution
    locked."""
    execution.status, execution.sentence = status, sentence
    if status not in OPEN:
        execution.finished_at = timezone.now()
    if execution.purpose == REAL and status in (
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.COMMITTED_CHECK_FAILED,
    ):
        execution.watch_until = timezone.now() + WATCH
    execution.save()
    if execution.purpose == REAL:
        _carry_over(execution)


def _carry_over(execution: Execution) -> None:
    """What the outcome of a real execution means for the rollback, its approvals, its incident and its
    target."""
    rollback = workflow.locked(execution.rollback_target.rollback)
    status = ExecutionStatus(execution.status)
    if status in (ExecutionStatus.SUCCEEDED, ExecutionStatus.COMMITTED_CHECK_FAILED):
        workflow.move(rollback, Status.EXECUTED, actor=None)
        incidents.post_mortem_due(rollback)
        jobs.ask(Job.Kind.SYNC, subject=execution.target_id, actor=None)
    elif status == ExecutionStatus.NO_EFFECT and rollback.attempts < ATTEMPTS:
        workflow.move(rollback, Status.APPROVED, actor=None)
    elif status in (ExecutionStatus.NO_EFFECT, ExecutionStatus.ROLLED_BACK, ExecutionStatus.PARTIAL):
        rollbacks.void_approvals(rollback, why=f"execution {status}")
        workflow.move(rollback, Status.FAILED, actor=None)
    execution.rollback_target.rollback = rollback


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
            kind=Evidence.Kind.REHEARSAL,
            change_digest=execution.change_digest,
            holds=holds,
            sentence=sentence,
            data={"execution": str(execution.pk), **data},
        )


def begin_backup(execution: Execution) -> Backup:
    """Record that a dump of the execution's target begins."""
    with audit.unit_of_work("backup.started", actor=None, execution=execution):
        return Backup.objects.create(target=execution.target, execution=execution)


def record_backup_progress(backup: Backup, size: int) -> None:
    """Bytes written so far, for the page; no event, since nothing changed hands."""
    Backup.objects.filter(pk=backup.pk).update(bytes=size)


def record_backup(backup: Backup, state: Backup.State, sentence: str, **fields: Any) -> Backup:
    """How the backup ended. Evidence for the gate is recorded with it: only a verified one holds."""
    execution = backup.execution
    with audit.unit_of_work(f"backup.{state}", actor=None, execution=execution) as facts:
        Backup.objects.filter(pk=backup.pk).update(
            state=state,
            sentence=sentence,
            verified_at=timezone.now() if state == Backup.State.VERIFIED else None,
            **fields,
        )
        facts |= {"sentence_sha256": audit.digest_of(sentence), "sha256": fields.get("sha256", "")}
        if execution is not None:
            Evidence.objects.create(
                rollback=execution.rollback_target.rollback,
                kind=Evidence.Kind.BACKUP,
                change_digest=execution.change_digest,
                holds=state == Backup.State.VERIFIED,
                sentence=sentence,
                data={"backup": backup.pk},
            )
    backup.refresh_from_db()
    return backup


def watched() -> list[Execution]:
    """Executed rollbacks whose history is still watched for the migration coming back."""
    return list(
        Execution.objects.filter(watch_until__gt=timezone.now(), reappeared_at=None).select_related(
            "target", "rollback_target__rollback"
        )
    )


def check_reappeared(target: Target) -> int:
    """Raise the alarm for every watched migration that the target's history (as just read) shows again."""
    from .flyway import history as flyway_history
    from .flyway.versions import Version

    applied = {version.parts for version in flyway_history.applied(history.rows_of(target))}
    raised = 0
    for execution in watched():
        if execution.target_id != target.pk:
            continue
        pins = execution.rollback_target.pins
        back = [pin["version"] for pin in pins if Version.parse(pin["version"]).parts in applied]
        if back:
            with audit.unit_of_work("alarm.migration_came_back", actor=None, execution=execution) as facts:
                fresh = locked(execution)
                fresh.reappeared_at = timezone.now()
                fresh.save(update_fields=["reappeared_at"])
                facts["versions"] = back
            raised += 1
    return raised
