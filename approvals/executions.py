"""Executions: people ask for rehearsals and for the real thing, and end them. `attempts` has the answers."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, gates, jobs, preflights, rollbacks, signed, workflow
from .attempts import end, locked
from .decisions import require_confirmed
from .errors import Conflict, Denied, Refused
from .models import (
    OPEN,
    Execution,
    ExecutionStatus,
    Job,
    Role,
    RollbackRequest,
    Schedule,
    Status,
    User,
)
from .queueing import HOLDS_TARGET, queue

REAL, REHEARSAL = Execution.Purpose.REAL, Execution.Purpose.REHEARSAL


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
        rollback_target = rollback.representative()
        if rollback_target.target.is_production and rollback_target.target.rehearsal_target is None:
            raise Refused(
                _("%(target)s names no staging server to rehearse on.") % {"target": rollback_target.target}
            )
        if rollback_target.executions.filter(purpose=REHEARSAL, status__in=OPEN).exists():
            raise Refused(_("A rehearsal of %(label)s is under way.") % {"label": rollback.label})
        execution = queue(rollback_target, REHEARSAL, actor)
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
        preflights.require_no_no_go(rollback)
        return _begin(rollback, actor, facts)


def start_scheduled(schedule: Schedule) -> Execution:
    """Queue the real execution that ops have scheduled, in the name of who did: like `start`, only that they
    proved who they are when they scheduled it.

    Raises Denied, Refused or Conflict, as where somebody has started or cancelled it meanwhile.
    """
    actor = User.objects.get(pk=schedule.by_id)  # as they are now: they may have lost the role
    with audit.unit_of_work("execution.requested", actor=actor, rollback=schedule.rollback) as facts:
        rollback = require_scheduled(schedule, actor)
        facts["schedule"] = schedule.pk
        return _begin(rollback, actor, facts)


def require_scheduled(schedule: Schedule, actor: User) -> RollbackRequest:
    """Lock the rollback of a scheduled start and raise Denied, Refused or Conflict unless it waits and may
    begin in this person's name."""
    rollback = workflow.locked(schedule.rollback)
    workflow.require_party(rollback, actor, workflow.Party.OPS)
    workflow.require(rollback, [Status.APPROVED], digest=schedule.request_digest)
    if not rollback.schedules.filter(pk=schedule.pk, state=Schedule.State.WAITING).exists():
        raise Conflict(_("This start does not wait any more."))
    return rollback


def require_startable(rollback: RollbackRequest) -> None:
    """Raise Refused unless it is in time, unchanged since people signed, and every gate holds."""
    if rollback.overdue_expiry:
        raise Refused(_("The time to execute %(label)s is over.") % {"label": rollback.label})
    if problem := signed.changed(rollback):
        raise Refused(problem)
    if missing := gates.missing(rollback, gates.Needed.EXECUTE):
        raise Refused(" ".join(f"{gate.title}: {gate.detail}" for gate in missing))


def _begin(rollback: RollbackRequest, actor: User, facts: audit.Facts) -> Execution:
    """What every start is: nothing has changed, all gates hold, nothing else runs there. The caller holds the
    rollback locked and has seen that this person may."""
    require_startable(rollback)
    if rollback.rollback_targets.count() > 1:
        raise Refused(_("%(label)s is a fleet: start its run.") % {"label": rollback.label})
    rollback_target = rollback.representative()
    here = Execution.objects.filter(target=rollback_target.target, purpose=REAL)
    holder = here.filter(HOLDS_TARGET).first()
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
    execution = queue(rollback_target, REAL, actor)
    # Whoever was faster than the clock: what was scheduled has begun.
    rollback.schedules.filter(state=Schedule.State.WAITING).update(
        state=Schedule.State.STARTED, execution=execution, ended_at=timezone.now(), ended_by=actor
    )
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
        execution = locked(execution, ending=True)
        own_rehearsal = execution.purpose == REHEARSAL and execution.requested_by_id == actor.pk
        if Role.OPS not in actor.roles and not own_rehearsal:
            raise Denied(_("Only ops can cancel an execution."))
        if not reason.strip():
            raise Refused(_("Say why you cancel it."))
        if why_not := past_cancelling(execution):
            raise Refused(why_not)
        execution.cancel_requested_at, execution.cancel_requested_by = timezone.now(), actor
        execution.cancelled_because = reason.strip()
        execution.save(update_fields=["cancel_requested_at", "cancel_requested_by", "cancelled_because"])
        facts["reason_sha256"] = audit.digest_of(execution.cancelled_because)
        if execution.status == ExecutionStatus.QUEUED:
            facts["ended"] = True
            facts |= end(
                execution,
                ExecutionStatus.NO_EFFECT,
                _("Cancelled by %(who)s before a worker took it.") % {"who": actor},
            )
    return execution


def past_cancelling(execution: Execution) -> str:
    """Why nobody can cancel this execution any more, as a sentence; empty if ops still can."""
    if not execution.is_open:
        return _("%(execution)s has ended already.") % {"execution": execution}
    if execution.cancel_requested_at is not None:
        return _("Somebody cancelled it already; the target tells how it ended.")
    if execution.status in (ExecutionStatus.COMMITTING, ExecutionStatus.VERIFYING):
        return _("It can't be cancelled any more: COMMIT was sent.")
    if execution.status == ExecutionStatus.UNRESOLVED:
        return _("It can't be cancelled: first the target has to say how it ended.")
    if execution.status == ExecutionStatus.AWAITING_RESTART:
        return _("It can't be cancelled: nothing of it runs any more.")
    return ""
