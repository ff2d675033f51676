"""Reads for the pages of incidents: the list, and one incident's line of time from facts and notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from approvals import access
from approvals.incidents import POST_MORTEM_PERIOD
from approvals.models import AuditEvent, Incident, PostMortem, RollbackRequest, User
from approvals.queries import with_subjects

from . import audit_trail

# Two kinds of events say nothing that the notes and the post-mortem don't say better.
SAID_ELSEWHERE = ("incident.note_added", "post_mortem.saved")
EVENTS_SHOWN = 1000


def listed(user: User, *, text: str = "", state: str = "") -> QuerySet[Incident]:
    """Visible incidents, newest first. `state` is of the post-mortem: overdue, due, done or none."""
    found = access.incidents(user).select_related("post_mortem")
    if text:
        found = found.filter(Q(title__icontains=text) | Q(service__name__icontains=text))
    open_one = Q(post_mortem__isnull=False, post_mortem__submitted_at=None)
    now = timezone.now()
    states = {
        "overdue": open_one & Q(post_mortem__due_at__lt=now),
        "due": open_one & Q(post_mortem__due_at__gte=now),
        "done": Q(post_mortem__submitted_at__isnull=False),
        "none": Q(post_mortem=None),
    }
    return found.filter(states.get(state, Q())).order_by("-id")


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


def timeline(incident: Incident) -> list[Moment]:
    """What happened, oldest first, from the audit trail and the notes; four queries."""
    keys = list(incident.rollbacks.values_list("pk", flat=True))
    about = Q(rollback__in=[f"RB-{key}" for key in keys]) | Q(incident=incident.label)
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
        for line in audit_trail.lines(events[:EVENTS_SHOWN], audit_trail.texts_of(keys))
    ]
    notes = [
        Moment(note.at, str(note.author), "", "talk", "", note.text)
        for note in incident.notes.select_related("author")
    ]
    return sorted([*facts, *notes], key=lambda moment: moment.at)


def rollbacks(incident: Incident) -> QuerySet[RollbackRequest]:
    """The rollbacks that this incident gave rise to."""
    return with_subjects(incident.rollbacks.order_by("-id"))


@dataclass(frozen=True)
class Clock:
    """How much of the 48 hours is gone, in percent, and whether they are over."""

    percent: int
    overdue: bool


def clock(found: PostMortem) -> Clock:
    """The clock of a post-mortem; it stops when the post-mortem is handed in."""
    now = found.submitted_at or timezone.now()
    gone = (now - (found.due_at - POST_MORTEM_PERIOD)) / timedelta(seconds=1)
    percent = round(100 * gone / POST_MORTEM_PERIOD.total_seconds())
    return Clock(max(0, min(100, percent)), now > found.due_at)
