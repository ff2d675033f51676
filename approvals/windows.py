"""Windows and freezes of targets: who asks for one, who confirms it, and whether a target is open now.

Two people make a window and two take one away. A freeze is in force at once, since waiting for a second
person could be what it should prevent; lifting it takes two. A window counts for every rollback from the
moment it is confirmed, those submitted before included: it says when something may run, not who signs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from . import audit, second_person
from .errors import Refused
from .models import CalendarEntry, Role, Target, User
from .openings import Calendar, Dated, Span, Weekly

Kind = CalendarEntry.Kind
PROPOSES_WINDOWS = frozenset({Role.ADMIN})
DECLARES_FREEZES = frozenset({Role.ADMIN, Role.OPS, Role.SENIOR_DBA, Role.PLATFORM_LEAD})
# The second person, for all of it.
CONFIRMS = DECLARES_FREEZES
# So many entries that are not over may a target have.
MOST = 100


@dataclass(frozen=True)
class Standing:
    """Whether executions may start on a target at a moment, as a sentence, and what comes next.

    `span` is the opening that holds the moment, else the next one; None where none comes within a year.
    `freeze` is the one that is in force.
    """

    is_open: bool
    sentence: str
    span: Span | None
    freeze: CalendarEntry | None = None

    @property
    def until(self) -> datetime | None:
        """When it closes by itself; None where it is closed, or always open."""
        return self.span.ends if self.is_open and self.span is not None else None


def proposers(kind: str) -> frozenset[Role]:
    """The roles that may ask for an entry of this kind, or for its end."""
    return DECLARES_FREEZES if kind == Kind.FREEZE else PROPOSES_WINDOWS


def propose(
    target: Target,
    kind: Kind,
    *,
    actor: User,
    days: Sequence[int] = (),
    starts: time | None = None,
    ends: time | None = None,
    begins_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str = "",
) -> CalendarEntry:
    """Ask for a window, or declare a freeze, which is in force at once.

    `days` (from 0, Monday), `starts` and `ends` are a weekly window's, on the clock of the target;
    `begins_at` and `ends_at` (aware) are those of a dated one. Raises Denied or Refused.
    """
    action = "freeze.declared" if kind == Kind.FREEZE else "window.proposed"
    with audit.unit_of_work(action, actor=actor, target=target) as facts:
        second_person.require(actor, proposers(kind))
        if kind == Kind.WEEKLY:
            if not days or starts is None or ends is None:
                raise Refused(_("A weekly window has at least one day, a start and an end."))
            begins_at = ends_at = None
        else:
            days, starts, ends = (), None, None
            _require_dates(begins_at, ends_at)
        if kind == Kind.FREEZE and not reason.strip():
            raise Refused(_("Say why nothing may run; whoever waits for it reads that."))
        zone_of(target)
        if kind != Kind.FREEZE or (begins_at or timezone.now()) > timezone.now():
            _require_room(target)  # a freeze from now on is never refused for that
        entry = CalendarEntry.objects.create(
            target=target,
            kind=kind,
            days=sorted(set(days)),
            starts=starts,
            ends=ends,
            begins_at=begins_at,
            ends_at=ends_at,
            reason=reason.strip(),
            proposed_by=actor,
        )
        facts |= _facts_of(entry)
    return entry


def _require_room(target: Target) -> None:
    """Nobody reads a longer calendar, and every page about the target has to."""
    standing = CalendarEntry.objects.filter(target=target, removed_at=None)
    if standing.exclude(ends_at__lte=timezone.now()).count() >= MOST:
        raise Refused(
            _("%(target)s has %(count)d windows and freezes that are not over. Take some away first.")
            % {"target": target, "count": MOST}
        )


def _require_dates(begins_at: datetime | None, ends_at: datetime | None) -> None:
    if begins_at is None or ends_at is None:
        raise Refused(_("Say from when and until when."))
    if ends_at <= begins_at:
        raise Refused(_("It must end after it begins."))
    if ends_at <= timezone.now():
        raise Refused(_("That is over already."))


def confirm(entry: CalendarEntry, *, actor: User) -> CalendarEntry:
    """The second person: what was asked for is in force, or what was to be taken away is gone.

    Raises Denied for whoever asked, and Refused where nothing waits for a second person.
    """
    removes = entry.removal_at is not None
    action = f"{_family(entry)}.{'removed' if removes else 'confirmed'}"
    with audit.unit_of_work(action, actor=actor, target=entry.target) as facts:
        entry = _locked(entry)
        second_person.confirm(entry, actor, CONFIRMS, removes=removes)
        entry.save()
        facts |= _facts_of(entry)
    return entry


def ask_to_remove(entry: CalendarEntry, *, actor: User, reason: str) -> CalendarEntry:
    """Ask for a window to be taken away or a freeze to be lifted; it stays in force until somebody else
    confirms that. Raises Denied or Refused."""
    with audit.unit_of_work(f"{_family(entry)}.removal_asked", actor=actor, target=entry.target) as facts:
        entry = _locked(entry)
        second_person.require(actor, proposers(entry.kind))
        if not entry.in_force or entry.removal_at is not None or (entry.is_freeze and entry.is_over):
            raise Refused(_("It is not in force, or somebody asked for its end already."))
        if not reason.strip():
            raise Refused(_("Say why; the second person reads it."))
        entry.removal_by, entry.removal_at = actor, timezone.now()
        entry.removal_reason = reason.strip()
        entry.save()
        facts |= _facts_of(entry)
    return entry


def dismiss(entry: CalendarEntry, *, actor: User) -> CalendarEntry:
    """Say no to what waits for a second person, or take one's own proposal back. Raises Denied or Refused."""
    with audit.unit_of_work(f"{_family(entry)}.dismissed", actor=actor, target=entry.target) as facts:
        entry = _locked(entry)
        facts["what"] = second_person.dismiss(entry, actor, CONFIRMS)
        entry.removal_reason = ""
        entry.save()
        facts |= _facts_of(entry)
    return entry


def why_not_confirm(entry: CalendarEntry, actor: User) -> str:
    """Why this person can't be the second one, as a sentence; empty if they can."""
    return second_person.why_not_confirm(entry, actor, CONFIRMS)


def why_not_propose(kind: str, actor: User) -> str:
    """Why this person can't ask for an entry of this kind, as a sentence; empty if they can."""
    wanted = proposers(kind)
    return "" if actor.roles & wanted else second_person.role_words(wanted)


def zone_of(target: Target) -> ZoneInfo:
    """The zone of a target's clock. Raises Refused for one that is not known here."""
    try:
        return ZoneInfo(target.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(
            _("%(zone)s is no time zone that is known here. Correct the settings of %(target)s.")
            % {"zone": target.time_zone, "target": target}
        ) from None


def in_force(target: Target) -> list[CalendarEntry]:
    """The entries that count, of the past none; one query."""
    found = CalendarEntry.objects.filter(target=target, removed_at=None).exclude(ends_at__lte=timezone.now())
    return [entry for entry in found if entry.in_force]


def in_force_on(targets: Iterable[Target]) -> dict[int, list[CalendarEntry]]:
    """`in_force` of several targets, by the target's key; one query."""
    found: dict[int, list[CalendarEntry]] = {target.pk: [] for target in targets}
    entries = CalendarEntry.objects.filter(target__in=found, removed_at=None)
    for entry in entries.exclude(ends_at__lte=timezone.now()):
        if entry.in_force:
            found[entry.target_id].append(entry)
    return found


def calendar(target: Target, entries: Iterable[CalendarEntry]) -> Calendar:
    """The entries that count as something that can be asked. Raises Refused for an unknown zone."""
    weekly: list[Weekly] = []
    dated: list[Dated] = []
    freezes: list[Dated] = []
    for entry in entries:
        if entry.kind == Kind.WEEKLY and entry.starts is not None and entry.ends is not None:
            weekly.append(Weekly(frozenset(entry.days), entry.starts, entry.ends))
        elif entry.begins_at is not None and entry.ends_at is not None:
            (freezes if entry.is_freeze else dated).append(Dated(entry.begins_at, entry.ends_at))
    return Calendar(zone_of(target), tuple(weekly), tuple(dated), tuple(freezes))


def standing(target: Target, entries: Sequence[CalendarEntry], now: datetime) -> Standing:
    """How it stands for a start at this moment. Never raises: what can't be read is closed."""
    if not entries:
        return Standing(True, _("It has no windows, so it is always open."), None)
    try:
        found = calendar(target, entries)
    except Refused as refused:
        return Standing(False, str(refused), None)
    span = found.next_span(now)
    if found.is_open(now):
        until = clock(span.ends, target) if span is not None and found.has_windows else ""
        said = _("Open until %(until)s.") % {"until": until} if until else _("Open; nothing is frozen now.")
        return Standing(True, said, span)
    freeze = next(
        (each for each in entries if each.is_freeze and Dated(*_dates(each)).covers(now)),
        None,
    )
    said = _("It opens %(at)s.") % {"at": clock(span.begins, target)} if span else _("No window comes.")
    if freeze is not None:
        words = {"until": clock(_dates(freeze)[1], target), "why": freeze.reason, "next": said}
        said = _("Frozen until %(until)s: %(why)s %(next)s") % words
    return Standing(False, said, span, freeze)


def frozen_since(entries: Iterable[CalendarEntry], now: datetime) -> datetime | None:
    """When the newest of the freezes that are in force at this moment was declared; None without one."""
    covering = (each for each in entries if each.is_freeze and Dated(*_dates(each)).covers(now))
    return max((each.proposed_at for each in covering), default=None)


def opens_before(target: Target, entries: Sequence[CalendarEntry], now: datetime, by: datetime) -> bool:
    """Is it open at any moment from now until before `by`?"""
    found = standing(target, entries, now)
    if not entries or found.is_open:
        return True
    return found.span is not None and found.span.begins < by


def clock(at: datetime, target: Target) -> str:
    """A moment as the target's clock shows it, unmistakable: `Sat 28 Nov, 22:00 (Berlin, UTC+1)`."""
    try:
        local = at.astimezone(zone_of(target))
    except Refused:
        local = at.astimezone(UTC)
    place = str(local.tzinfo).rpartition("/")[2].replace("_", " ")
    offset = local.strftime("%z")
    distance = "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:]}"
    zone = distance if place == "UTC" else f"{place}, {distance}"
    return f"{formats.date_format(local, 'D j M, H:i')} ({zone})"


def _dates(entry: CalendarEntry) -> tuple[datetime, datetime]:
    assert entry.begins_at is not None and entry.ends_at is not None  # noqa: S101, PT018 (held by the database)
    return entry.begins_at, entry.ends_at


def _locked(entry: CalendarEntry) -> CalendarEntry:
    locked = CalendarEntry.objects.select_for_update(of=("self",), no_key=True)
    return locked.select_related("target").get(pk=entry.pk)


def _family(entry: CalendarEntry) -> str:
    return "freeze" if entry.is_freeze else "window"


def _facts_of(entry: CalendarEntry) -> dict[str, object]:
    """What an entry says, as events keep it: free text by its digest."""
    said: dict[str, object] = {"entry": entry.pk, "kind": entry.kind, **audit.digests(entry, "reason")}
    if entry.kind == Kind.WEEKLY:
        return said | {"days": entry.days, "starts": f"{entry.starts:%H:%M}", "ends": f"{entry.ends:%H:%M}"}
    begins, ends = _dates(entry)
    return said | {"begins": audit.stamp(begins), "ends": audit.stamp(ends)}
