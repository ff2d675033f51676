"""What approvers decide: approve, ask for changes, reject. Never the requester or an author, each once."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, gates, goes, looks, policy, proofs, rollbacks, workflow
from .analysis import Risk
from .errors import Conflict, Denied, Refused
from .known import Known
from .models import Approval, Evidence, Role, RollbackRequest, Status, User

DECIDES = (Role.SENIOR_DBA, Role.PLATFORM_LEAD)


def acknowledgement(rollback: RollbackRequest, known: Known | None = None) -> str:
    """What an approver must tick, or type where it is CRITICAL: from HIGH on what stays lost, and at any risk
    what the authors declare, in words. Empty where there is neither. `known` spares reading its records."""
    known = known or Known(rollback)
    declared = proofs.declared(known.items)
    if (rollback.risk or Risk.CRITICAL) < Risk.HIGH:
        return "; ".join(declared)
    gone = goes.phrases(rollback, known.evidence(Evidence.Kind.FACTS), known.items)
    return "; ".join([*(gone or [_("no data goes")]), *declared])


def decide(
    rollback: RollbackRequest,
    decision: Approval.Decision,
    *,
    actor: User,
    role: Role,
    digest: str,
    confirmed_at: datetime | None,
    comment: str = "",
    acknowledged: str = "",
    seen: int | None = None,
) -> RollbackRequest:
    """Record one person's decision on the digest they read, and move the rollback on if that completes it.

    In this order: the actor must be entitled, the rollback decidable and unchanged, the actor's identity
    confirmed within five minutes, reasons given, gates open, losses acknowledged. Raises Denied, Refused or
    Conflict. `seen` is the newest event that the page knew of: who approves reads first what others have
    said since.
    """
    with audit.unit_of_work(f"rollback.{_verb(decision)}", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.APPROVER)
        if role not in DECIDES or role not in actor.roles:
            raise Denied(_("You can't sign as %(role)s.") % {"role": Role(role).label})
        workflow.require(rollback, _decidable(decision), digest=digest)
        confirmed_at, now = require_confirmed(confirmed_at)
        if decision != Approval.Decision.APPROVE and not comment.strip():
            raise Refused(_("Say why; the requester needs to know what to do."))
        if decision == Approval.Decision.APPROVE:
            if seen is not None and looks.said_since(rollback, seen, reader=actor):
                raise Conflict(_("Somebody commented since you opened this page. Read it, then decide."))
            _require_open(rollback, actor, role, acknowledged)
        else:  # first of all: one of them may be the actor's own
            rollbacks.void_approvals(rollback, why=_verb(decision).replace("_", " "))
        Approval.objects.create(
            rollback=rollback,
            approver=actor,
            role=role,
            decision=decision,
            request_digest=rollback.request_digest,
            comment=comment.strip(),
            acknowledged=acknowledged.strip(),
            confirmed_at=confirmed_at,
            at=now,
        )
        _carry_out(rollback, decision, actor)
        facts |= {
            "role": role.value,
            "request": rollback.request_digest,
            "comment_sha256": audit.digest_of(comment.strip()),
            "acknowledged": acknowledged.strip(),
            "now": rollback.status,
        }
    return rollback


def require_confirmed(confirmed_at: datetime | None) -> tuple[datetime, datetime]:
    """When this person last proved who they are, and the present time. Raises Refused unless that is less
    than five minutes apart."""
    now, limit = timezone.now(), timedelta(seconds=settings.STEP_UP_SECONDS)
    if confirmed_at is None or not timedelta(0) <= now - confirmed_at <= limit:
        raise Refused(_("Confirm your password first; a confirmation lasts five minutes."))
    return confirmed_at, now


def roles_to_give(rollback: RollbackRequest, actor: User, known: Known | None = None) -> list[Role]:
    """The roles in which this person could sign now, those still missing first. `known` spares reading its
    records."""
    missing = (known or Known(rollback)).missing_roles
    return sorted((role for role in DECIDES if role in actor.roles), key=lambda role: role not in missing)


def _verb(decision: Approval.Decision) -> str:
    return {"approve": "approved", "reject": "rejected", "request_changes": "changes_requested"}[decision]


def _decidable(decision: Approval.Decision) -> set[Status]:
    return (
        {Status.IN_REVIEW} if decision == Approval.Decision.APPROVE else {Status.IN_REVIEW, Status.APPROVED}
    )


def _require_open(rollback: RollbackRequest, actor: User, role: Role, acknowledged: str) -> None:
    if rollback.overdue_expiry:
        raise Refused(_("The time to decide on %(label)s is over.") % {"label": rollback.label})
    if missing := gates.missing(rollback, gates.Needed.APPROVE):
        raise Refused(" ".join(f"{gate.title}: {gate.detail}" for gate in missing))
    if any(approval.approver_id == actor.pk for approval in policy.valid_approvals(rollback)):
        raise Conflict(_("You have already approved this."))
    if role not in policy.missing_signatures(rollback):
        raise Refused(_("No signature of a %(role)s is missing.") % {"role": role.label})
    wanted = acknowledgement(rollback)
    if wanted and " ".join(acknowledged.split()).casefold() != " ".join(wanted.split()).casefold():
        raise Refused(_("Acknowledge what stays lost, in these words: %(words)s") % {"words": wanted})


def _carry_out(rollback: RollbackRequest, decision: Approval.Decision, actor: User) -> None:
    if decision == Approval.Decision.REJECT:
        workflow.move(rollback, Status.REJECTED, actor=actor)
    elif decision == Approval.Decision.REQUEST_CHANGES:
        workflow.move(rollback, Status.CHANGES_REQUESTED, actor=actor)
    elif not policy.missing_signatures(rollback):
        rollbacks.mark_approved(rollback, actor=actor)
