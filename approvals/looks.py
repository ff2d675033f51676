"""Where each reader of a rollback left off, and what others have done to it since.

A look is a private bookmark, no change of state: nothing is decided by it and no event tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from .gates import Gate
from .known import Known
from .models import BUSY, AuditEvent, ExecutionStatus, Look, RollbackRequest, User

# Loading the page anew within this time, with nothing new on it, belongs to the same look.
ONE_LOOK = timedelta(minutes=10)
# So often at most is an unchanged look written again.
REMEMBERED = timedelta(minutes=5)
# So many events are told; nobody reads more of them in a panel.
TOLD = 50
# What somebody should read before they sign, though it changes nothing that is signed.
SAID = ("comment.added", "comment.replied", "thread.reopened")
PORTAL = "portal"
# Of what the portal does by itself, only how it ended is told.
ENDINGS = (
    "rehearsal.recorded",
    "rollback.facts_read",
    "rollback.expired",
    "backup.failed",
    "alarm.migration_came_back",
    *(f"execution.{status}" for status in ExecutionStatus if status not in BUSY),
)


@dataclass(frozen=True)
class Since:
    """What happened since a reader's last look at `at`: how it stood then and how it stands, and the events
    by others since then, newest first."""

    at: datetime
    before: dict[str, Any]
    now: dict[str, Any]
    events: list[AuditEvent]


@dataclass(frozen=True)
class Reading:
    """One opening of the page: what is new (None at the first look), the look to be kept (None where it says
    nothing new), and the newest event by somebody else that the page knows of."""

    since: Since | None
    look: Look | None
    newest: int


def state(known: Known, judged: Sequence[Gate], newest_event: int) -> dict[str, Any]:
    """How a rollback stands, as far as a reader would want to know that it stood otherwise before."""
    rollback = known.rollback
    return {
        "status": rollback.status,
        "request": rollback.request_digest,
        "change": rollback.change_digest,
        "risk": rollback.risk,
        "scripts": {str(item.migration_id): item.script_id for item in known.items},
        # Signatures are told one by one.
        "holds": sorted(g.key for g in judged if g.holds and not g.forced and g.key != "approvals"),
        "event": newest_event,
    }


def since_last(known: Known, judged: Sequence[Gate], *, reader: User) -> Reading:
    """What is new since this reader's last look.

    Two queries. What the reader did themselves is nothing new, and does not end what is told already.
    """
    rollback, now = known.rollback, known.now
    look = Look.objects.filter(rollback=rollback, reader=reader).first()
    if look is None:
        newest = _by_others(rollback, reader).values_list("seq", flat=True).first() or 0
        first = Look(rollback=rollback, reader=reader, at=now, state=state(known, judged, newest))
        return Reading(None, first, newest)
    last, last_at = look.state, look.at
    from_then = (look.before or last)["event"]
    events = list(_by_others(rollback, reader).filter(seq__gt=from_then)[:TOLD])
    present = state(known, judged, events[0].seq if events else last["event"])
    fell = set(last["holds"]) - set(present["holds"])
    if present["event"] > last["event"] or fell or now - last_at > ONE_LOOK:
        look.before, look.before_at = last, last_at
    look.at, look.state = now, present
    changed = present != last or now - last_at > REMEMBERED
    since = None
    if look.before is not None and look.before_at is not None:
        events = [event for event in events if event.seq > look.before["event"]]
        since = Since(look.before_at, look.before, present, events)
    return Reading(since, look if changed else None, present["event"])


def keep(look: Look) -> None:
    """Write a look down in one statement, whoever else writes it at the same time."""
    Look.objects.bulk_create(
        [
            Look(
                rollback_id=look.rollback_id,
                reader_id=look.reader_id,
                at=look.at,
                state=look.state,
                before_at=look.before_at,
                before=look.before,
            )
        ],
        update_conflicts=True,
        unique_fields=["rollback", "reader"],
        update_fields=["at", "state", "before_at", "before"],
    )


def seen_with(rollback: RollbackRequest, digest: str, *, reader: User) -> dict[str, Any] | None:
    """How the rollback stood when this reader looked at it with this request digest, if that is kept."""
    look = Look.objects.filter(rollback=rollback, reader=reader).first()
    if look is None:
        return None
    states: list[dict[str, Any] | None] = [look.state, look.before]
    return next((each for each in states if each is not None and each["request"] == digest), None)


def events_since(rollback: RollbackRequest, seq: int, *, reader: User) -> list[AuditEvent]:
    """What others did to a rollback after an event, newest first."""
    return list(_by_others(rollback, reader).filter(seq__gt=seq)[:TOLD])


def said_since(rollback: RollbackRequest, seq: int, *, reader: User) -> bool:
    """True if others said anything about the rollback after an event, which a reader wants to know."""
    return _by_others(rollback, reader).filter(seq__gt=seq, action__in=SAID).exists()


def newest_event(rollback: RollbackRequest) -> int:
    """The number of the newest event of a rollback; what a page shows is from before any later one."""
    found = AuditEvent.objects.filter(rollback=rollback.label).order_by("-seq")
    return found.values_list("seq", flat=True).first() or 0


def _by_others(rollback: RollbackRequest, reader: User) -> QuerySet[AuditEvent]:
    """What is news about a rollback: what people did, and how the portal's own work ended."""
    events = AuditEvent.objects.filter(rollback=rollback.label).exclude(actor=reader.username)
    told = ~Q(actor=PORTAL) | Q(action__in=ENDINGS)
    # Attempts that were denied changed nothing.
    return events.filter(told).exclude(action__endswith=".denied").defer("prev", "hash").order_by("-seq")
