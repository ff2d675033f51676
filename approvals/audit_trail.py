"""Reads of the audit trail for pages: events as lines, one event with its link checked, the whole chain."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.functional import cached_property

from . import audit
from .audit_words import DENIALS, DENIED, Words, words_for
from .models import AuditEvent

# A page verifies chains up to this length: some seconds. Longer ones are for the command.
VERIFIED_BY_PAGE = 200_000


@dataclass(frozen=True)
class Line:
    """One event, read back from the text that was hashed."""

    event: AuditEvent

    @property
    def seq(self) -> int:
        return self.event.seq

    @cached_property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.event.body)
        return found

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.body["at"])

    @cached_property
    def words(self) -> Words:
        return words_for(self.body["action"], self.body["facts"])

    @property
    def rollback_pk(self) -> str:
        """The primary key inside a label such as RB-142."""
        return str(self.body.get("rollback", "")).removeprefix("RB-")

    @property
    def incident_pk(self) -> str:
        return str(self.body.get("incident", "")).removeprefix("INC-")

    @property
    def hash(self) -> str:
        return bytes(self.event.hash).hex()

    @property
    def prev(self) -> str:
        return bytes(self.event.prev).hex()


def lines(events: Iterable[AuditEvent]) -> list[Line]:
    """Events as lines, in the same order."""
    return [Line(event) for event in events]


def events(
    *,
    person: str = "",
    target: str = "",
    rollback: str = "",
    action: str = "",
    since: str = "",
    before: str = "",
) -> QuerySet[AuditEvent]:
    """Events that match everything given. Times are ISO texts in UTC, as events keep theirs."""
    wanted = {"actor": person, "target": target, "rollback": rollback, "at__gte": since, "at__lt": before}
    found = AuditEvent.objects.filter(**{name: value for name, value in wanted.items() if value})
    if action == DENIALS:
        return found.filter(action__endswith=DENIED)
    if action:
        return found.filter(Q(action=action) | Q(action=action + DENIED))
    return found


def story(label: str, *, limit: int = 2000) -> list[Line]:
    """Everything recorded about one rollback, oldest first."""
    return lines(AuditEvent.objects.filter(rollback=label).order_by("seq")[:limit])


def link_holds(event: AuditEvent) -> bool:
    """True if this event hashes to what is stored and follows from the one before it."""
    before = AuditEvent.objects.filter(seq=event.seq - 1).values_list("hash", flat=True).first()
    expected = bytes(before) if before is not None else audit.NOTHING
    stored = bytes(event.prev)
    return stored == expected and audit.link(stored, event.body) == bytes(event.hash)


def head() -> Line:
    """The newest event; there is always one, the chain's fixed beginning."""
    return Line(AuditEvent.objects.latest("seq"))
