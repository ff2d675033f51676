"""Going on with what an execution left partly done, taking it back, or settling it by hand: asked for by ops,
signed by as many as the policy asks for, carried out by ops."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from . import attempts, audit, continuable, halfway, jobs, workflow
from .attempts import locked
from .decisions import DECIDES, require_confirmed
from .errors import Conflict, Denied, Refused
from .halfway import Offer
from .models import (
    OPEN,
    Continuation,
    ContinuationApproval,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    Job,
    Role,
    User,
)

Course, _How = Execution.Course, ExecutionStep.How
_SAY = {
    Course.GO_ON: _l("Say why."),
    Course.TAKE_BACK: _l("Say why."),
    Course.BY_HAND: _l("Say what was done by hand, and how it stands now."),
}


def open_one(execution: Execution) -> Continuation | None:
    """What somebody asked for and nobody has carried out or given up yet."""
    return execution.continuations.filter(voided_at=None, carried_out=None).select_related("asked_by").first()


def ask(
    execution: Execution, *, course: str, digest: str, reason: str, actor: User, confirmed_at: datetime | None
) -> Continuation:
    """Ask to send exactly what `halfway.offer` shows, whose digest was read; or to call it settled by hand,
    with what people did as the reason. Ops only. What was asked for before is given up.

    Raises Denied, Refused, or Conflict where it would send something else by now.
    """
    with audit.unit_of_work(f"execution.{course}_asked", actor=actor, execution=execution) as facts:
        execution = _unsettled(execution, actor)
        require_confirmed(confirmed_at)
        if not (reason := reason.strip()):
            raise Refused(_SAY[Course(course)])
        offered = halfway.offer(execution, course)
        if offered.why_not:
            raise Refused(offered.why_not)
        if halfway.digest_of(execution, course, offered.steps) != digest:
            raise Conflict(_("It stands differently by now. Read again what would run, then ask."))
        _give_up(execution, why="asked anew")
        steps = offered.signed(reason)
        continuation = Continuation.objects.create(
            execution=execution,
            course=course,
            steps=steps,
            digest=halfway.digest_of(execution, course, steps),
            reason=reason,
            asked_by=actor,
        )
        facts |= {"digest": continuation.digest, "reason_sha256": audit.digest_of(reason)}
        facts["signatures"] = len(halfway.missing_roles(continuation))
    return continuation


def _unsettled(execution: Execution, actor: User) -> Execution:
    """The execution, locked, if this person may continue it and there is something to continue."""
    execution = locked(execution, ending=True)
    workflow.locked(execution.rollback_target.rollback)
    if Role.OPS not in actor.roles:
        raise Denied(_("Only ops can go on with what is partly done, or have it taken back."))
    if not execution.is_unsettled:
        raise Refused(_("%(execution)s is not partly done any more.") % {"execution": execution})
    if (running := execution.continued_by.filter(status__in=OPEN).first()) is not None:
        raise Refused(_("%(running)s continues it at this moment.") % {"running": running})
    return execution


def _give_up(execution: Execution, *, why: str) -> None:
    execution.continuations.filter(voided_at=None, carried_out=None).update(
        voided_at=timezone.now(), void_reason=why
    )


def why_not_sign(continuation: Continuation, user: User) -> str:
    """Why this person can't sign, as a sentence; empty if they can."""
    rollback = continuation.execution.rollback_target.rollback
    if not user.roles & set(DECIDES):
        return _("Only a senior DBA or a platform lead can sign.")
    if user.pk in (rollback.requester_id, continuation.asked_by_id):
        return _("You asked for it, so you can't sign.")
    if workflow.is_author(rollback, user):
        return _("You are an author of a script in this rollback, so you can't sign.")
    if continuation.approvals.filter(approver=user).exists():
        return _("You have signed already.")
    if not roles_to_give(continuation, user):
        return _("No signature of yours is missing.")
    return ""


def roles_to_give(continuation: Continuation, user: User) -> list[Role]:
    """The missing roles in which this person could sign."""
    return [role for role in dict.fromkeys(halfway.missing_roles(continuation)) if role in user.roles]


def sign(
    continuation: Continuation,
    *,
    actor: User,
    role: Role,
    digest: str,
    confirmed_at: datetime | None,
    comment: str = "",
) -> Continuation:
    """One person's signature under exactly these statements. Raises Denied, Refused or Conflict."""
    execution = continuation.execution
    with audit.unit_of_work("execution.continuing_signed", actor=actor, execution=execution) as facts:
        locked(execution)
        continuation = Continuation.objects.select_for_update(no_key=True).get(pk=continuation.pk)
        if why_not := why_not_sign(continuation, actor):
            raise Denied(why_not)
        if continuation.voided_at or continuation.carried_out_id:
            raise Refused(_("This is not asked for any more."))
        if digest != continuation.digest:
            raise Conflict(_("Something else is asked for by now. Read it again, then sign."))
        if role not in roles_to_give(continuation, actor):
            raise Refused(_("No signature of a %(role)s is missing.") % {"role": Role(role).label})
        confirmed_at, now = require_confirmed(confirmed_at)
        ContinuationApproval.objects.create(
            continuation=continuation,
            approver=actor,
            role=role,
            digest=digest,
            comment=comment.strip(),
            confirmed_at=confirmed_at,
            at=now,
        )
        facts |= {
            "course": continuation.course,
            "role": Role(role).value,
            "digest": digest,
            "comment_sha256": audit.digest_of(comment.strip()),
        }
    return continuation


def start(continuation: Continuation, *, actor: User, confirmed_at: datetime | None) -> Execution:
    """Queue what was asked and signed for, as an execution of its own, and return that; settling by hand
    queues nothing. Ops only. What ends without effect may be started again, up to `halfway.ATTEMPTS` times.

    Raises Denied, Refused, as where going on finds the target's windows closed (see `continuable`), or
    Conflict where it would send something else by now.
    """
    execution = continuation.execution
    with audit.unit_of_work(f"execution.{continuation.course}", actor=actor, execution=execution) as facts:
        execution = _unsettled(execution, actor)
        continuation = Continuation.objects.select_for_update(no_key=True).get(pk=continuation.pk)
        if continuation.voided_at or continuation.carried_out_id:
            raise Refused(_("This is not asked for any more."))
        require_confirmed(confirmed_at)
        if missing := halfway.missing_roles(continuation):
            roles = ", ".join(str(role.label) for role in missing)
            raise Refused(_("Signatures are missing: %(roles)s.") % {"roles": roles})
        _require_in_time(continuation)
        if not_now := continuable.missing(execution, continuation.course):
            raise Refused(continuable.sentence(not_now))
        offered = halfway.offer(execution, continuation.course)
        steps = offered.signed(continuation.reason)
        if halfway.digest_of(execution, continuation.course, steps) != continuation.digest:
            raise Conflict(_("It stands differently by now. Ask anew."))
        facts["digest"] = continuation.digest
        if continuation.course == Course.BY_HAND:
            return _settle_by_hand(execution, continuation, actor, facts)
        made = _queue(execution, continuation, offered, actor)
        Continuation.objects.filter(pk=continuation.pk).update(carried_out=made)
        digest = execution.rollback_target.rollback.request_digest
        jobs.ask(Job.Kind.EXECUTE, subject=made.pk, actor=actor, digest=digest)
        facts |= {"continued_by": str(made.pk), "attempt": continuation.attempts.count()}
    return made


def _require_in_time(continuation: Continuation) -> None:
    """Raises Refused where signatures are older than those of an approved rollback may be."""
    if over := continuable.over(continuation):
        raise Refused(over)


def _queue(execution: Execution, continuation: Continuation, offered: Offer, actor: User) -> Execution:
    made = Execution.objects.create(
        rollback_target=execution.rollback_target,
        target=execution.target,
        purpose=Execution.Purpose.REAL,
        change_digest=execution.change_digest,
        request_digest=execution.request_digest,
        requested_by=actor,
        run=execution.run,
        wave=execution.wave,
        continues=execution,
        course=continuation.course,
        continuation=continuation,
    )
    standing = {stand.step.position: stand for stand in halfway.stands(execution)}
    sent = [entry for entry in offered.entries if entry["statements"]]
    ExecutionStep.objects.bulk_create(
        _step(made, number, entry, standing[entry["of"]]) for number, entry in enumerate(sent, start=1)
    )
    return made


def _step(execution: Execution, position: int, entry: dict[str, Any], stand: halfway.Stand) -> ExecutionStep:
    alone = entry["how"] == _How.ALONE
    # Running again what was answered before, such as a reload, begins with a look of its own.
    fresh = entry["does"] == "run" and stand.in_place
    return ExecutionStep(
        execution=execution,
        position=position,
        item_position=stand.step.item_position,
        kind=entry["kind"],
        says=_("Takes back: %(says)s") % {"says": entry["says"]}
        if entry["does"] == "take back"
        else entry["says"],
        sql=";\n".join(entry["statements"]),
        statements=entry["statements"] if alone else [],
        how=entry["how"],
        claim=uuid.uuid4() if alone else None,
        of=stand.step,
        before=None if fresh else stand.before,
    )


def _settle_by_hand(
    execution: Execution, continuation: Continuation, actor: User, facts: audit.Facts
) -> Execution:
    """People have seen to it outside the portal: the rollback failed, and its target is free again."""
    execution.settled_at, execution.settled_as = timezone.now(), Execution.Settled.BY_HAND
    execution.settled_by, execution.settled_because = actor, continuation.reason
    execution.save(update_fields=["settled_at", "settled_as", "settled_by", "settled_because"])
    _give_up(execution, why="settled by hand")
    facts |= attempts.settled_by_hand(execution)
    jobs.ask(Job.Kind.SYNC, subject=execution.target_id, actor=actor)
    return execution


def confirm_restart(execution: Execution, *, actor: User) -> Execution:
    """Ops say that they restarted the server. A worker looks by itself whether it did; this is for the record
    and for whoever reads the page meanwhile."""
    with audit.unit_of_work("execution.restart_confirmed", actor=actor, execution=execution):
        execution = locked(execution)
        if Role.OPS not in actor.roles:
            raise Denied(_("Only ops can confirm a restart."))
        if execution.status != ExecutionStatus.AWAITING_RESTART:
            raise Refused(_("%(execution)s does not wait for a restart.") % {"execution": execution})
        execution.restart_confirmed_at, execution.restart_confirmed_by = timezone.now(), actor
        execution.save(update_fields=["restart_confirmed_at", "restart_confirmed_by"])
    return execution
