"""When the targets of a fleet may begin, should its run be scheduled: those alike as one line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from approvals import fleet_windows, windows
from approvals.alike import listed
from approvals.known import Known
from approvals.models import Target
from approvals.openings import Span


@dataclass(frozen=True)
class Openings:
    """Targets that may begin at the same time: how many, their first names, and when, in a sentence."""

    count: int
    names: str
    says: str
    never: bool


def openings(known: Known, opening: Span | None) -> list[Openings]:
    """By when they open, the earliest first and those that would miss it last. `opening` is the next of the
    canary, None where that is open now. One query."""
    at = opening.begins if opening else known.now
    by = known.rollback.expires_at or at
    found = fleet_windows.chances(known.rollback_targets, at=at, by=by, now=known.now)
    groups: dict[tuple[bool, datetime, str], list[str]] = defaultdict(list)
    for each in known.rollback_targets:
        span = found[each.pk].span
        key = (span is None, span.begins if span else by, _says(span, each.target, Span(at, by)))
        groups[key].append(each.target.name)
    return [
        Openings(len(names), listed(names), says, never)
        for (never, _begins, says), names in sorted(groups.items())
    ]


def _says(span: Span | None, target: Target, always: Span) -> str:
    if span is None:
        return _("No window opens in the time to execute: the run would leave them out.")
    if span == always:
        return _("No window closes them: they begin when it is their turn.")
    words = {"from": windows.clock(span.begins, target), "until": windows.clock(span.ends, target)}
    return _("Open from %(from)s until %(until)s.") % words
