"""Reads for the pages of incidents: the lists, one incident's line of time, the clock of its post-mortem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, overload

from django.db.models import Case, F, Func, OrderBy, Q, QuerySet, TextField, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from approvals import access
from approvals.incidents import POST_MORTEM_PERIOD
from approvals.models import AuditEvent, Incident, IncidentAction, IncidentNote, PostMortem, User
from approvals.queries import names_of

from . import audit_trail

# Two kinds of events say nothing that the notes and the post-mortem don't say better.
SAID_ELSEWHERE = ("incident.note_added", "post_mortem.saved")
# A note's moment as events keep theirs (`audit.stamp`), written by the database: there may be thousands.
STAMP = Func(
    F("at"),
    template="""to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""",
    output_field=TextField(),
)
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


class Timeline(Sequence[Moment]):
    """What happened, the newest first, from the audit trail of an incident and its rollbacks (primary keys),
    and from the notes. Five queries for a slice; only what is in it is read whole."""

    def __init__(self, incident: Incident, rollbacks: Iterable[int]) -> None:
        about = Q(rollback__in=[f"RB-{key}" for key in rollbacks]) | Q(incident=incident.label)
        self._events = AuditEvent.objects.filter(about).exclude(action__in=SAID_ELSEWHERE)
        self._notes = incident.notes.all()

    @cached_property
    def _keys(self) -> QuerySet[Any, tuple[str, bool, int]]:
        """When, whether it is a note, and its key, for everything that happened."""
        events = self._events.annotate(is_note=Value(False)).values_list("at", "is_note", "seq")
        notes = self._notes.order_by().annotate(stamp=STAMP, is_note=Value(True))
        both = events.order_by().union(notes.values_list("stamp", "is_note", "pk"), all=True)
        return both.order_by("-at", "-is_note", "-seq")

    @cached_property
    def _count(self) -> int:
        return self._events.order_by().count() + self._notes.count()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, wanted: int) -> Moment: ...

    @overload
    def __getitem__(self, wanted: slice) -> list[Moment]: ...

    def __getitem__(self, wanted: int | slice) -> Moment | list[Moment]:
        """These moments, in the same order."""
        if isinstance(wanted, int):
            return self[slice(wanted, wanted + 1)][0]
        backwards = wanted.step is not None  # a query knows no steps
        keys = list(self._keys)[wanted] if backwards else list(self._keys[wanted])
        # No event and no note has the key 0: asked for even where there is none, it is always a query.
        events = AuditEvent.objects.filter(seq__in=[0, *(key for _at, is_note, key in keys if not is_note)])
        notes = self._notes.filter(pk__in=[0, *(key for _at, is_note, key in keys if is_note)])
        found = {(False, moment.seq): moment for moment in _facts(list(events))}
        told = notes.select_related("author").only("incident_id", "at", "text", *names_of("author"))
        found |= {(True, note.pk): _said(note) for note in told}
        return [found[is_note, key] for _at, is_note, key in keys]


def _facts(events: list[AuditEvent]) -> Iterator[Moment]:
    lines = audit_trail.lines(events)
    rollbacks = {int(line.rollback_pk) for line in lines if line.rollback_pk}
    for line in audit_trail.lines(events, audit_trail.texts_of([0, *rollbacks])):
        words = line.words
        who, rollback = line.body["actor_name"], line.body.get("rollback", "")
        yield Moment(line.at, who, words.says, words.icon, words.tone, line.text, line.seq, rollback)


def _said(note: IncidentNote) -> Moment:
    return Moment(note.at, str(note.author), "", "talk", "", note.text)


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
