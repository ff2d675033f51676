"""Where a rollback may go and who may send it there: THE transition table, and what moves it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access
from .errors import Conflict, Denied, Refused
from .models import Role, RollbackRequest, Status, User


class Party(enum.StrEnum):
    """Who somebody is to a rollback, as the table below counts them."""

    REQUESTER = "requester"  # who asked, as long as they are an engineer of the owning team
    APPROVER = "approver"  # a senior DBA or platform lead who is neither requester nor author
    OPS = "ops"
    PORTAL = "portal"  # the worker and the clock


R, A, OPS, P = Party.REQUESTER, Party.APPROVER, Party.OPS, Party.PORTAL

MOVES: dict[tuple[Status, Status], frozenset[Party]] = {
    (Status.DRAFT, Status.IN_REVIEW): frozenset({R}),
    (Status.DRAFT, Status.CANCELLED): frozenset({R}),
    (Status.IN_REVIEW, Status.DRAFT): frozenset({R}),  # an edit
    (Status.IN_REVIEW, Status.APPROVED): frozenset({A, P}),  # the portal where the policy asks for nobody
    (Status.IN_REVIEW, Status.CHANGES_REQUESTED): frozenset({A}),
    (Status.IN_REVIEW, Status.REJECTED): frozenset({A}),
    (Status.IN_REVIEW, Status.CANCELLED): frozenset({R}),
    (Status.IN_REVIEW, Status.EXPIRED): frozenset({P}),
    (Status.CHANGES_REQUESTED, Status.DRAFT): frozenset({R}),
    (Status.CHANGES_REQUESTED, Status.CANCELLED): frozenset({R}),
    (Status.APPROVED, Status.DRAFT): frozenset({R}),  # an edit
    (Status.APPROVED, Status.CHANGES_REQUESTED): frozenset({A}),
    (Status.APPROVED, Status.REJECTED): frozenset({A}),
    (Status.APPROVED, Status.CANCELLED): frozenset({R}),
    (Status.APPROVED, Status.EXPIRED): frozenset({P}),
    (Status.APPROVED, Status.EXECUTING): frozenset({OPS}),
    (Status.EXECUTING, Status.APPROVED): frozenset({P}),  # the attempt had no effect
    (Status.EXECUTING, Status.EXECUTED): frozenset({P}),
    (Status.EXECUTING, Status.PARTLY_EXECUTED): frozenset({P}),  # a fleet: on some of its targets
    (Status.EXECUTING, Status.FAILED): frozenset({P}),
    (Status.FAILED, Status.DRAFT): frozenset({R}),
    (Status.EXPIRED, Status.DRAFT): frozenset({R}),
}

ENDED = frozenset(
    {
        Status.EXECUTED,
        Status.PARTLY_EXECUTED,
        Status.REJECTED,
        Status.CANCELLED,
        Status.EXPIRED,
        Status.FAILED,
    }
)
EDITABLE = frozenset(source for (source, goal), who in MOVES.items() if goal == Status.DRAFT and R in who) | {
    Status.DRAFT
}


def parties(rollback: RollbackRequest, actor: User | None) -> frozenset[Party]:
    """Who `actor` is to this rollback; None is the portal itself. An approver is never requester or
    author."""
    if actor is None:
        return frozenset({Party.PORTAL})
    found = set()
    requester = actor.pk == rollback.requester_id
    if requester and access.owns(actor, rollback.service_id):
        found.add(Party.REQUESTER)
    if Role.OPS in actor.roles:
        found.add(Party.OPS)
    if (
        actor.roles & {Role.SENIOR_DBA, Role.PLATFORM_LEAD}
        and not requester
        and not is_author(rollback, actor)
    ):
        found.add(Party.APPROVER)
    return frozenset(found)


def is_author(rollback: RollbackRequest, actor: User) -> bool:
    """True if this person wrote any script or check of the request."""
    return rollback.items.filter(script__authors=actor).exists()


def may_move(rollback: RollbackRequest, goal: Status, actor: User | None) -> bool:
    """True if the table lets this person send the rollback there from where it stands."""
    allowed = MOVES.get((Status(rollback.status), Status(goal)), frozenset())
    return bool(allowed & parties(rollback, actor))


def locked(rollback: RollbackRequest) -> RollbackRequest:
    """Read the rollback anew and lock its row until the transaction ends. Rows that refer to it may still
    be added."""
    return (
        RollbackRequest.objects.select_for_update(of=("self",), no_key=True)
        .select_related("service", "requester")
        .get(pk=rollback.pk)
    )


def require_party(rollback: RollbackRequest, actor: User | None, *wanted: Party) -> None:
    """Raise Denied unless this person is one of these to the rollback."""
    if not parties(rollback, actor) & set(wanted):
        raise Denied(_why_not(rollback, frozenset(wanted), actor))


def require(rollback: RollbackRequest, statuses: Iterable[Status], *, digest: str | None = None) -> None:
    """Raise unless the (locked) rollback stands in one of these statuses and, if given, still has this
    digest."""
    if Status(rollback.status) not in set(statuses):
        raise Refused(
            _("%(label)s is %(status)s now, so this can't be done.")
            % {"label": rollback.label, "status": rollback.get_status_display().lower()}
        )
    if digest is not None and digest != rollback.request_digest:
        raise Conflict(
            _("%(label)s was changed since you opened the page. Read it again, then decide.")
            % {"label": rollback.label}
        )


def move(rollback: RollbackRequest, goal: Status, *, actor: User | None, saving: Sequence[str] = ()) -> None:
    """Change the status of a rollback whose row the caller holds locked. The only place that does.

    `saving` names fields that may change with this move only. Raises Refused where the table knows no such
    move, Denied where it knows it for somebody else.
    """
    source, goal = Status(rollback.status), Status(goal)
    allowed = MOVES.get((source, goal))
    if allowed is None:
        raise Refused(
            _("%(label)s is %(source)s and can't become %(goal)s.")
            % {"label": rollback.label, "source": source.label.lower(), "goal": goal.label.lower()}
        )
    require_party(rollback, actor, *allowed)
    rollback.status = goal
    rollback.ended_at = timezone.now() if goal in ENDED else None
    rollback.save(update_fields=["status", "ended_at", "updated_at", *saving])


def _why_not(rollback: RollbackRequest, allowed: frozenset[Party], actor: User | None) -> str:
    if Party.APPROVER in allowed and actor is not None:
        if actor.pk == rollback.requester_id:
            return _("You asked for this rollback, so you can't decide on it.")
        if is_author(rollback, actor):
            return _("You are an author of a script in this rollback, so you can't decide on it.")
        return _("Only a senior DBA or a platform lead can decide on this rollback.")
    if Party.OPS in allowed:
        return _("Only ops can start this rollback.")
    if Party.REQUESTER in allowed:
        return _("Only %(name)s, who asked for this rollback, can do this.") % {"name": rollback.requester}
    return _("Only the portal itself does this.")
