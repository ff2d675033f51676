"""Gates that look at windows and freezes: does the target open in time, and is it open."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from approvals import policy, windows
from approvals.known import Known
from approvals.models import BreakGlass, RollbackTarget

from .gate import Gate, Needed, judged, or_forced


def window_ahead(known: Known) -> Gate:
    """Nobody signs what can't run before its time to execute is over."""
    rollback = known.rollback
    by = rollback.expires_at if rollback.approved_at else None
    by = by or known.now + policy.execution_period(known.rule)
    never = next((each for each in known.concerned if not _opens(known, each, by)), None)
    says = said = known.standing.sentence if known.standing else _("The request names no target.")
    if never is not None and never is not known.concerned[0]:
        standing = windows.standing(never.target, known.calendars[never.target_id], known.now)
        said = f"{never.target}: {standing.sentence}"
    late = _("No window opens in the time to execute. %(says)s") % {"says": said}
    found = judged(
        "window_ahead",
        _("The target opens in time"),
        holds=bool(known.rollback_targets) and never is None,
        yes=says,
        no=late,
        who=_("an admin and a second person, on the page of the target"),
        needed=Needed.APPROVE,
    )
    return or_forced(known, found, BreakGlass.Skip.WINDOW, since=_frozen_since(known))


def _opens(known: Known, where: RollbackTarget, by: datetime) -> bool:
    return windows.opens_before(where.target, known.calendars[where.target_id], known.now, by)


def window(known: Known) -> Gate:
    """Asked when it is started, and by the worker right before it runs."""
    standing = known.standing
    found = judged(
        "window",
        _("The target is open now"),
        holds=standing is not None and standing.is_open,
        yes=standing.sentence if standing else "",
        no=standing.sentence if standing else _("The request names no target."),
        who=_("ops, who can schedule it into the next window"),
        needed=Needed.EXECUTE,
        until=standing.until if standing else None,
    )
    return or_forced(known, found, BreakGlass.Skip.WINDOW, since=_frozen_since(known))


def _frozen_since(known: Known) -> datetime | None:
    """When the newest freeze in force was declared, on any target: it stops what was forced before it."""
    found = (windows.frozen_since(known.calendars[each.target_id], known.now) for each in known.concerned)
    return max((at for at in found if at is not None), default=None)
