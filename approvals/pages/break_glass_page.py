"""Uses of break-glass as pages tell them: how each stands, and what its reader may do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from approvals import access, break_glass
from approvals.incidents import WRITES
from approvals.models import BreakGlass, Role, RollbackRequest, User
from approvals.queries import names_of


@dataclass(frozen=True)
class Line:
    """One use, to one reader. `tone` is a colour's name."""

    glass: BreakGlass
    rollback: RollbackRequest
    reader: User
    now: datetime

    @property
    def waits(self) -> bool:
        """Does it wait for a second person, for the request as it is?"""
        asked = self.rollback.status in break_glass.ASKABLE
        return asked and self.glass.waits and self.glass.counts_for(self.rollback)

    @property
    def in_force(self) -> bool:
        return self.glass.in_force(self.rollback, self.now)

    @property
    def state(self) -> tuple[str, str, str]:
        """How it stands: shape, tone and word."""
        if self.waits:
            return "wait", "warn", _("waits for a second person")
        if self.glass.removed_at is not None:
            return "void", "idle", _("taken back")
        if self.glass.confirmed_at is None:
            return "void", "idle", _("nobody confirmed it in time")
        if self.in_force:
            return "forced", "fail", _("in force")
        if self.now < self.glass.expires_at:
            return "void", "idle", _("void: the request was changed")
        return "void", "idle", _("over")

    @property
    def why_not_confirm(self) -> str:
        return break_glass.why_not_confirm(self.glass, self.rollback, self.reader)

    @property
    def may_dismiss(self) -> bool:
        return bool(self.reader.roles & (break_glass.ASKS | break_glass.CONFIRMS))

    @property
    def why_not_close(self) -> str:
        return break_glass.why_not_close(self.glass, self.reader)


def lines(rollback: RollbackRequest, found: Iterable[BreakGlass], reader: User, now: datetime) -> list[Line]:
    """These uses, in the same order."""
    return [Line(glass, rollback, reader, now) for glass in found]


SHOWN = (
    "rollback_id",
    "change_digest",
    "skips",
    "reason",
    "proposed_at",
    "expires_at",
    "confirmed_at",
    "removed_at",
    "due_at",
    "closed_at",
    *names_of("proposed_by", "confirmed_by"),
)


def pending(user: User, now: datetime) -> QuerySet[BreakGlass]:
    """What of it is left to do on rollbacks that this person sees: first what they can confirm, then reviews
    that are open, the most overdue first. Auditors watch all of the latter."""
    if not user.roles & (WRITES | {Role.AUDITOR}):
        return BreakGlass.objects.none()
    left = Q(confirmed_at__isnull=False, closed_at=None)
    if user.roles & break_glass.CONFIRMS:
        written = RollbackRequest.objects.filter(items__script__authors=user).values("pk")
        left |= Q(
            confirmed_at=None,
            expires_at__gt=now,
            rollback__status__in=break_glass.ASKABLE,
            change_digest=F("rollback__change_digest"),
            proposed_at__gte=F("rollback__submitted_at"),
        ) & ~Q(Q(proposed_by=user) | Q(rollback__requester=user) | Q(rollback__in=written))
    visible = access.rollbacks(user).select_related(None)
    found = BreakGlass.objects.filter(left, removed_at=None, rollback__in=visible.values("pk"))
    return (
        found.select_related("proposed_by", "confirmed_by")
        .only(*SHOWN)
        .order_by(F("due_at").asc(nulls_first=True), "id")
    )
