"""A target's calendar as people read it: what each entry says, whom it waits for, and how it stands now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F, Q, QuerySet
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from approvals import access, windows
from approvals.forms.windows import DAYS
from approvals.models import CalendarEntry, Schedule, Target, User

Kind = CalendarEntry.Kind
# What the shape of an entry's state is, by its colour.
ICONS = {"ok": "ok", "warn": "warn", "idle": "void"}
PEOPLE = ("proposed_by", "confirmed_by", "removal_by", "removed_by")


@dataclass(frozen=True)
class Reading:
    """How a target stands: `entries` are those that count, `schedules` the starts that wait for it."""

    standing: windows.Standing
    entries: list[CalendarEntry]
    schedules: list[Schedule]
    waiting: int

    @property
    def has_windows(self) -> bool:
        return any(not entry.is_freeze for entry in self.entries)


@dataclass(frozen=True)
class Line:
    """One entry: what it says, how it stands, and what this person may do with it."""

    entry: CalendarEntry
    says: str
    state: str
    tone: str
    icon: str
    why_not_confirm: str
    may_confirm: bool
    may_dismiss: bool
    may_remove: bool


def read(target: Target) -> Reading:
    """The calendar now; three queries."""
    entries = windows.in_force(target)
    scheduled = Schedule.objects.filter(
        state=Schedule.State.WAITING, rollback__rollback_targets__target=target
    )
    return Reading(
        standing=windows.standing(target, entries, timezone.now()),
        entries=entries,
        schedules=list(scheduled.select_related("rollback", "by").order_by("at")[:10]),
        waiting=CalendarEntry.objects.filter(_waiting(), target=target).count(),
    )


def may_propose(user: User) -> list[tuple[str, str]]:
    """The kinds of entries that this person may ask for, each with its words."""
    words = {
        Kind.WEEKLY: _("Weekly window…"),
        Kind.DATED: _("Window on a date…"),
        Kind.FREEZE: _("Freeze…"),
    }
    return [(kind.value, word) for kind, word in words.items() if user.roles & windows.proposers(kind)]


def entries(target: Target, show: str, text: str) -> QuerySet[CalendarEntry]:
    """The entries of a view with this text in their reasons, what waits for somebody first."""
    found = CalendarEntry.objects.filter(target=target)
    if show == "waiting":
        found = found.filter(_waiting())
    elif show == "freezes":
        found = found.filter(kind=Kind.FREEZE)
    elif show != "all":
        over = Q(kind=Kind.FREEZE, ends_at__lte=timezone.now())
        found = found.filter(removed_at=None).exclude(over)
    if text:
        found = found.filter(reason__icontains=text)
    return found.select_related("target", *PEOPLE).order_by(F("removed_at").desc(nulls_first=True), "-id")


def lines(found: Iterable[CalendarEntry], user: User) -> list[Line]:
    """Entries as this person reads them."""
    return [line(entry, user) for entry in found]


def line(entry: CalendarEntry, user: User) -> Line:
    """One entry as this person reads it; no query but for their roles."""
    state, tone = _state(entry)
    why_not = windows.why_not_confirm(entry, user) if entry.waits else ""
    second = entry.waits and bool(user.roles & windows.CONFIRMS)
    ended = entry.removed_at is not None or entry.is_over
    ends = entry.in_force and entry.removal_at is None and not (entry.is_freeze and entry.is_over)
    return Line(
        entry=entry,
        says=says(entry),
        state=state,
        tone=tone,
        icon=ICONS[tone] if ended or tone != "idle" else "wait",
        why_not_confirm=why_not if second else "",
        may_confirm=second and not why_not,
        may_dismiss=second,
        may_remove=ends and bool(user.roles & windows.proposers(entry.kind)),
    )


def says(entry: CalendarEntry) -> str:
    """What an entry says, on the clock of its target: `Saturday, Sunday 22:00 to 02:00 on the next day`."""
    if entry.kind == Kind.WEEKLY and entry.starts is not None and entry.ends is not None:
        words = dict(DAYS)
        given = {
            "days": ", ".join(str(words[day]) for day in entry.days)
            if len(entry.days) < len(DAYS)
            else _("Every day"),
            "starts": formats.time_format(entry.starts, "H:i"),
            "ends": formats.time_format(entry.ends, "H:i"),
        }
        if entry.ends > entry.starts:
            return _("%(days)s, %(starts)s to %(ends)s") % given
        return _("%(days)s, %(starts)s to %(ends)s on the next day") % given
    if entry.begins_at is None or entry.ends_at is None:
        return ""
    return _("%(begins)s to %(ends)s") % {
        "begins": windows.clock(entry.begins_at, entry.target),
        "ends": windows.clock(entry.ends_at, entry.target),
    }


def _state(entry: CalendarEntry) -> tuple[str, str]:
    if entry.removed_at is not None:
        if entry.confirmed_at is None and not entry.is_freeze:
            return _("not confirmed"), "idle"
        return (_("lifted") if entry.is_freeze else _("taken away")), "idle"
    if not entry.in_force:
        return _("waits for a second person"), "warn"
    if entry.is_over:
        return _("over"), "idle"
    if entry.removal_at is not None:
        return _("in force; its end waits for a second person"), "warn"
    if entry.is_freeze:
        begun = entry.begins_at is not None and entry.begins_at <= timezone.now()
        return (_("nothing may start") if begun else _("to come")), "warn" if begun else "idle"
    return _("in force"), "ok"


def _waiting() -> Q:
    return Q(removed_at=None) & (Q(removal_at__isnull=False) | Q(confirmed_at=None) & ~Q(kind=Kind.FREEZE))


def for_second_person(user: User) -> QuerySet[CalendarEntry]:
    """What waits for somebody else than who asked for it, where this person could be that one."""
    mine = Q(removal_at=None, proposed_by=user) | Q(removal_at__isnull=False, removal_by=user)
    found = CalendarEntry.objects.filter(_waiting(), target__in=access.targets(user).values("pk"))
    return found.exclude(mine).select_related("target", *PEOPLE).order_by("id")
