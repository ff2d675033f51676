"""Break-glass: somebody asks to skip window or rehearsal, a senior DBA confirms it, a third one reviews it.

It replaces no signature and no other gate. What it skips is shown as forced (`approvals.gates`), the rollback
is marked for good, and the review that it opens has to be closed in 48 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, gates, second_person, workflow
from .decisions import require_confirmed
from .errors import Denied, Refused
from .gates import Needed
from .incidents import POST_MORTEM_PERIOD
from .known import Known
from .models import BreakGlass, Execution, Role, RollbackRequest, Status, User

Skip = BreakGlass.Skip
ASKS = frozenset({Role.ENGINEER, Role.OPS})
CONFIRMS = frozenset({Role.SENIOR_DBA})
CLOSES = frozenset({Role.SENIOR_DBA, Role.PLATFORM_LEAD})
ASKABLE = (Status.IN_REVIEW, Status.APPROVED)
LONGEST_HOURS = 24
# The gates that each skips.
GATES = {Skip.WINDOW: ("window", "window_ahead"), Skip.REHEARSAL: ("rehearsal",)}


def lasts() -> timedelta:
    """How long it counts from asking on; nothing where it is switched off. The database allows a day."""
    return timedelta(hours=min(max(settings.BREAK_GLASS_HOURS, 0), LONGEST_HOURS))


def skippable(rollback: RollbackRequest, known: Known | None = None) -> list[BreakGlass.Skip]:
    """What is in the way now that could be skipped and is not. `known` spares reading its records."""
    lacking = {g.key for g in gates.gates(rollback, known) if g.needed <= Needed.EXECUTE and not g.holds}
    return [skip for skip in Skip if lacking & set(GATES[skip])]


def why_not_ask(rollback: RollbackRequest, actor: User, known: Known | None = None) -> str:
    """Why this person can't ask now, as a sentence; empty if they can."""
    known = known or Known(rollback)
    if not lasts():
        return _("Nobody can break the glass here: that is switched off.")
    if why := _why_not_theirs(rollback, actor):
        return why
    if rollback.status not in ASKABLE:
        return _("Glass is broken only for what is in review or approved.")
    if any(each.waits and each.counts_for(rollback) for each in known.break_glass):
        return _("Somebody asked already; it waits for a second person.")
    if not skippable(rollback, known):
        return _("No window, freeze or rehearsal is in the way, and nothing else can be skipped.")
    return ""


def _why_not_theirs(rollback: RollbackRequest, actor: User) -> str:
    if Role.OPS in actor.roles or access.owns(actor, rollback.service_id):
        return ""
    return _("Only ops, or an engineer of the team that owns %(service)s, can ask for that.") % {
        "service": rollback.service
    }


def ask(
    rollback: RollbackRequest, *, skips: Iterable[str], reason: str, digest: str, actor: User
) -> BreakGlass:
    """Ask that this rollback, as it was read (`digest` of the request), may skip what is in its way.

    Nothing is skipped before somebody else confirms it. Raises Denied, Refused or Conflict.
    """
    with audit.unit_of_work("break_glass.asked", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        if why := _why_not_theirs(rollback, actor):
            raise Denied(why)
        workflow.require(rollback, ASKABLE, digest=digest)
        known = Known(rollback)
        if why := why_not_ask(rollback, actor, known):
            raise Refused(why)
        chosen = [skip.value for skip in Skip if skip.value in set(skips)]
        if not chosen or set(chosen) - {skip.value for skip in skippable(rollback, known)}:
            raise Refused(_("Choose of what is in the way what is to be skipped."))
        if not reason.strip():
            raise Refused(_("Say why it can't wait; the second person and the reviewer read it."))
        glass = BreakGlass.objects.create(
            rollback=rollback,
            change_digest=rollback.change_digest,
            skips=chosen,
            reason=reason.strip(),
            proposed_by=actor,
            proposed_at=known.now,
            expires_at=known.now + lasts(),
        )
        facts |= _facts_of(glass)
    return glass


def why_not_confirm(glass: BreakGlass, rollback: RollbackRequest, actor: User) -> str:
    """Why this person can't be the second one, as a sentence; empty if they can."""
    if why := second_person.why_not_confirm(glass, actor, CONFIRMS):
        return why
    if actor.pk == rollback.requester_id:
        return _("You asked for this rollback, so somebody else has to confirm it.")
    if workflow.is_author(rollback, actor):
        return _("You are an author of a script in this rollback, so somebody else has to confirm it.")
    return ""


def confirm(glass: BreakGlass, *, actor: User, confirmed_at: datetime | None) -> BreakGlass:
    """The second person: from now on, and until it is over, those gates are forced. Opens the review.

    `confirmed_at` is when they proved who they are, at most five minutes ago. Raises Denied or Refused.
    """
    with audit.unit_of_work("break_glass.confirmed", actor=actor, rollback=glass.rollback) as facts:
        rollback, glass = _locked(glass)
        if why := why_not_confirm(glass, rollback, actor):
            raise Denied(why)
        workflow.require(rollback, ASKABLE)
        if not glass.counts_for(rollback):
            raise Refused(_("%(label)s was changed since somebody asked.") % {"label": rollback.label})
        proved_at, _now = require_confirmed(confirmed_at)
        second_person.confirm(glass, actor, CONFIRMS, removes=False)
        assert glass.confirmed_at is not None  # noqa: S101 (set by the line above)
        glass.proved_at, glass.due_at = proved_at, glass.confirmed_at + POST_MORTEM_PERIOD
        glass.save()
        facts |= _facts_of(glass)
    return glass


def dismiss(glass: BreakGlass, *, actor: User) -> BreakGlass:
    """Say no to what waits for a second person, or take back what one asked for. Raises Denied or Refused."""
    with audit.unit_of_work("break_glass.dismissed", actor=actor, rollback=glass.rollback) as facts:
        _rollback, glass = _locked(glass)
        second_person.dismiss(glass, actor, ASKS | CONFIRMS)
        glass.save()
        facts |= _facts_of(glass)
    return glass


def why_not_close(glass: BreakGlass, actor: User) -> str:
    """Why this person can't close the review, as a sentence; empty if they can."""
    if not actor.roles & CLOSES:
        return second_person.role_words(CLOSES)
    if actor.pk in (glass.proposed_by_id, glass.confirmed_by_id):
        return _("You asked for it or confirmed it, so somebody else has to review it.")
    return ""


def close_review(glass: BreakGlass, *, actor: User, text: str) -> BreakGlass:
    """Close its review with what was found: was it right to force it, and what changes so that it need not be
    again. Raises Denied or Refused."""
    with audit.unit_of_work("break_glass.reviewed", actor=actor, rollback=glass.rollback) as facts:
        _rollback, glass = _locked(glass)
        if why := why_not_close(glass, actor):
            raise Denied(why)
        if not glass.is_open:
            raise Refused(_("There is no review to close, or somebody closed it."))
        if not text.strip():
            raise Refused(_("Say what you found; a review without words is none."))
        facts["late"] = glass.overdue
        glass.closed_by, glass.closed_at, glass.review = actor, timezone.now(), text.strip()
        glass.save()
        facts |= _facts_of(glass) | audit.digests(glass, "review")
    return glass


def of(rollback: RollbackRequest) -> QuerySet[BreakGlass]:
    """Every use of it for a rollback, newest first, with the people in it."""
    return rollback.break_glass.select_related(*BreakGlass.PEOPLE)


def confirmed(rollback: RollbackRequest) -> Sequence[BreakGlass]:
    """Those that were confirmed, whether they are over or not; no query where there never was one."""
    return list(of(rollback).filter(confirmed_at__isnull=False)) if rollback.forced else []


def behind(execution: Execution) -> Sequence[BreakGlass]:
    """What was in force as a real execution was asked for; no query where its rollback never was forced."""
    rollback = execution.rollback_target.rollback
    if not rollback.forced or execution.purpose != Execution.Purpose.REAL:
        return []
    at = execution.queued_at
    found = of(rollback).filter(
        change_digest=execution.change_digest, confirmed_at__lte=at, expires_at__gt=at
    )
    return list(found)


def _locked(glass: BreakGlass) -> tuple[RollbackRequest, BreakGlass]:
    """The rollback and this, both locked, in the order in which everybody locks them."""
    rollback = workflow.locked(glass.rollback)
    fresh = BreakGlass.objects.select_for_update(of=("self",), no_key=True).get(pk=glass.pk)
    fresh.rollback = rollback
    return rollback, fresh


def _facts_of(glass: BreakGlass) -> dict[str, object]:
    """What it says, as events keep it: free text by its digest."""
    return {
        "break_glass": glass.pk,
        "skips": glass.skips,
        "change": glass.change_digest,
        "until": audit.stamp(glass.expires_at),
        **audit.digests(glass, "reason"),
    }
