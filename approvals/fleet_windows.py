"""When each target of a scheduled run may begin: in its own window, by its own clock, and not after that."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from . import windows
from .errors import Refused
from .models import CalendarEntry, FleetRun, RollbackTarget, Target
from .openings import Span


class Opening(enum.Enum):
    """How the opening of one target stands."""

    LATER = "later"
    NOW = "now"
    MISSED = "missed"  # it is over, or none comes in the time to execute


@dataclass(frozen=True)
class Chance:
    """How it stands for one target, and the opening that is meant; None where none comes in time."""

    opening: Opening
    span: Span | None


def chances(
    targets: Iterable[RollbackTarget], *, at: datetime, by: datetime, now: datetime
) -> dict[int, Chance]:
    """How it stands for each of these (with their targets) now, by the key of the rollback target: its first
    opening from `at` on is the one that counts, and it must begin before `by`. One query.

    What was confirmed or declared meanwhile counts at once, as it does for every start.
    """
    found = list(targets)
    entries = _entries([each.target for each in found], at)
    return {each.pk: chance(each.target, entries[each.target_id], at=at, by=by, now=now) for each in found}


def of_run(run: FleetRun, targets: Sequence[RollbackTarget]) -> dict[int, Chance]:
    """`chances` now for a run that the clock started; none for one that a person did."""
    if run.schedule is None:
        return {}
    by = run.rollback.expires_at or run.schedule.at
    return chances(targets, at=run.schedule.at, by=by, now=timezone.now())


def missed(target: Target, chance: Chance) -> str:
    """What is put on record where a target's opening is over, or none comes."""
    if chance.span is None:
        return _("No window opened in the time to execute. Nothing was sent to the target.")
    said = _("It missed its window, which closed %(at)s. Nothing was sent to the target.")
    return said % {"at": windows.clock(chance.span.ends, target)}


def chance(
    target: Target, entries: Sequence[CalendarEntry], *, at: datetime, by: datetime, now: datetime
) -> Chance:
    """How it stands for one target by these entries. Never raises: what can't be read is no opening."""
    try:
        calendar = windows.calendar(target, entries)
    except Refused:
        return Chance(Opening.MISSED, None)
    # Without windows nothing closes it for good: a freeze makes it wait, and the time to execute ends it.
    span = calendar.next_span(at) if calendar.has_windows else Span(at, by)
    if span is None or span.begins >= by:
        return Chance(Opening.MISSED, None)
    span = Span(span.begins, min(span.ends, by))
    if now >= span.ends:
        return Chance(Opening.MISSED, span)
    is_open = span.begins <= now and calendar.is_open(now)
    return Chance(Opening.NOW if is_open else Opening.LATER, span)


def _entries(targets: Sequence[Target], at: datetime) -> Mapping[int, list[CalendarEntry]]:
    """What counts from `at` on, what is over meanwhile included: a window that closed is one that was missed,
    not one that never was."""
    found: dict[int, list[CalendarEntry]] = {target.pk: [] for target in targets}
    entries = CalendarEntry.objects.filter(target__in=found, removed_at=None).exclude(ends_at__lte=at)
    for entry in entries:
        if entry.in_force:
            found[entry.target_id].append(entry)
    return found
