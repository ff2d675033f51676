"""Reads for the pages of incidents: the lists, one incident's line of time, the clock of its post-mortem."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, OrderBy, Q, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext as _

from approvals import access
from approvals.incidents import POST_MORTEM_PERIOD
from approvals.models import AuditEvent, Incident, IncidentAction, PostMortem, User

from . import audit_trail

# Two kinds of events say nothing that the notes and the post-mortem don't say better.
SAID_ELSEWHERE = ("incident.note_added", "post_mortem.saved")
EVENTS_SHOWN = 1000
SORTS: dict[str, tuple[OrderBy | str, ...]] = {
    "oldest": ("id",),
    "due": (
        F("post_mortem__submitted_at").desc(nulls_first=True),
        F("post_mortem__due_at").asc(nulls_last=True),
    ),
    "service": ("service__name",),
}


def listed(user: User, *, text: str = "", state: str = "", sort: str = "") -> QuerySet[Incident]:
    """Visible incidents, newest first unless sorted. `state` is of the post-mortem: overdue, due, done or
    none."""
    found = access.incidents(user).select_related("post_mortem")
    if text:
        number = text.upper().removeprefix("INC-")
        labelled = Q(pk=int(number)) if number.isdecimal() and len(number) < 19 else Q(pk__in=[])
        found = found.filter(Q(title__icontains=text) | Q(service__name__icontains=text) | labelled)
    open_one = Q(post_mortem__isnull=False, post_mortem__submitted_at=None)
    now = timezone.now()
    states = {
        "overdue": open_one & Q(post_mortem__due_at__lt=now),
        "due": open_one & Q(post_mortem__due_at__gte=now),
        "done": Q(post_mortem__submitted_at__isnull=False),
        "none": Q(post_mortem=None),
    }
    return found.filter(states.get(state, Q())).order_by(*SORTS.get(sort, ()), "-id")


def actions(
    user: User, *, text: str = "", whose: str = "", state: str = "", sort: str = ""
) -> QuerySet[IncidentAction]:
    """Actions of visible incidents, this person's first; open ones unless `state` is done, all or overdue."""
    found = IncidentAction.objects.filter(incident__in=access.incidents(user).values("pk"))
    found = found.select_related("incident__service", "owner", "done_by")
    if text:
        inside = Q(incident__title__icontains=text) | Q(incident__service__name__icontains=text)
        found = found.filter(Q(text__icontains=text) | inside | Q(owner__username__icontains=text))
    if whose == "mine":
        found = found.filter(owner=user)
    overdue = Q(done_at=None, due_on__lt=timezone.localdate())
    states = {"": Q(done_at=None), "overdue": overdue, "done": Q(done_at__isnull=False), "all": Q()}
    mine = Case(When(owner=user, then=0), default=1)
    sorts: dict[str, tuple[str, ...]] = {
        "newest": ("-id",),
        "owner": ("owner__first_name", "owner__username", "due_on"),
    }
    return found.filter(states.get(state, states[""])).order_by(mine, *sorts.get(sort, ("due_on",)), "id")


@dataclass(frozen=True)
class Moment:
    """One entry of an incident's line of time: a fact the portal recorded, or what a person wrote."""

    at: datetime
    who: str
    says: str
    icon: str
    tone: str
    text: str = ""
    seq: int | None = None
    rollback: str = ""


def timeline(incident: Incident, rollbacks: list[int]) -> list[Moment]:
    """What happened, oldest first, from the audit trail of incident and rollbacks (primary keys), and from
    the notes; three queries."""
    about = Q(rollback__in=[f"RB-{key}" for key in rollbacks]) | Q(incident=incident.label)
    events = AuditEvent.objects.filter(about).exclude(action__in=SAID_ELSEWHERE).order_by("seq")
    facts = [
        Moment(
            line.at,
            line.body["actor_name"],
            line.words.says,
            line.words.icon,
            line.words.tone,
            line.text,
            line.seq,
            line.body.get("rollback", ""),
        )
        for line in audit_trail.lines(events[:EVENTS_SHOWN], audit_trail.texts_of(rollbacks))
    ]
    notes = [
        Moment(note.at, str(note.author), "", "talk", "", note.text)
        for note in incident.notes.select_related("author")
    ]
    return sorted([*facts, *notes], key=lambda moment: moment.at)


@dataclass(frozen=True)
class Clock:
    """How much of the 48 hours is gone, in percent, whether they are over, and how long they still or
    already are."""

    percent: int
    overdue: bool
    span: str


def clock(found: PostMortem) -> Clock:
    """The clock of a post-mortem; it stops when the post-mortem is handed in."""
    now = found.submitted_at or timezone.now()
    gone = (now - (found.due_at - POST_MORTEM_PERIOD)) / timedelta(seconds=1)
    percent = round(100 * gone / POST_MORTEM_PERIOD.total_seconds())
    return Clock(max(0, min(100, percent)), now > found.due_at, hours(abs(found.due_at - now)))


def hours(span: timedelta) -> str:
    """A span to the minute: `13 h 3 min`, `4 min`, `72 h`; from four days on in days."""
    minutes = round(span.total_seconds() / 60)
    if minutes < 60:
        return _("%(n)d min") % {"n": minutes}
    if minutes >= 4 * 24 * 60:
        return _("%(n)d days") % {"n": minutes // (24 * 60)}
    whole, rest = divmod(minutes, 60)
    return _("%(h)d h %(m)d min") % {"h": whole, "m": rest} if rest else _("%(h)d h") % {"h": whole}
