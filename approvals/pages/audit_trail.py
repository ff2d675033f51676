"""Reads of the audit trail for pages: events as lines, one event with its link checked, the whole chain.

Events hold free text by its digest only. Where the portal still has a text of that digest, a line shows it:
what is shown is then as certain as the chain, and what was redacted or changed is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.functional import cached_property

from approvals import audit
from approvals.models import (
    Approval,
    AuditEvent,
    Backup,
    ChecklistEntry,
    Evidence,
    Execution,
    RollbackRequest,
)

from .audit_words import DENIALS, DENIED, Words, role_words, words_for

# A page verifies chains up to this length: some seconds. Longer ones are for the command.
VERIFIED_BY_PAGE = 200_000


@dataclass(frozen=True)
class Line:
    """One event, read back from the text that was hashed. `texts` are free texts by their SHA-256."""

    event: AuditEvent
    texts: Mapping[str, str] = field(default_factory=dict)

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
        return words_for(self.body)

    @property
    def roles(self) -> str:
        return role_words(self.body["roles"])

    @property
    def text(self) -> str:
        """Why an attempt was refused, or the free text whose digest this event holds."""
        digests = [value for name, value in self.body["facts"].items() if name.endswith("_sha256")]
        return self.words.why or next((self.texts[each] for each in digests if each in self.texts), "")

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


def lines(events: Iterable[AuditEvent], texts: Mapping[str, str] | None = None) -> list[Line]:
    """Events as lines, in the same order."""
    return [Line(event, texts or {}) for event in events]


def texts_of(rollbacks: Sequence[int]) -> dict[str, str]:
    """The free texts that belong to these rollbacks (primary keys), by their SHA-256; one query."""
    columns: tuple[tuple[QuerySet[Any], str], ...] = (
        (RollbackRequest.objects.filter(pk__in=rollbacks), "reason"),
        (ChecklistEntry.objects.filter(rollback__in=rollbacks), "note"),
        (Approval.objects.filter(rollback__in=rollbacks), "comment"),
        (Evidence.objects.filter(rollback__in=rollbacks), "sentence"),
        (Execution.objects.filter(rollback_target__rollback__in=rollbacks), "sentence"),
        (Backup.objects.filter(execution__rollback_target__rollback__in=rollbacks), "sentence"),
    )
    first, *rest = (found.order_by().values_list(column, flat=True) for found, column in columns)
    return {audit.digest_of(text): text for text in first.union(*rest, all=True) if text}


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
    events = AuditEvent.objects.filter(rollback=label).order_by("seq")[:limit]
    return lines(events, texts_of([int(label.removeprefix("RB-"))]))


def one(event: AuditEvent) -> Line:
    """One event with the free text of its rollback, if it is about one."""
    label = event.rollback or ""
    return Line(event, texts_of([int(label.removeprefix("RB-"))]) if label else {})


def link_holds(event: AuditEvent) -> bool:
    """True if this event hashes to what is stored and follows from the one before it."""
    before = AuditEvent.objects.filter(seq=event.seq - 1).values_list("hash", flat=True).first()
    expected = bytes(before) if before is not None else audit.NOTHING
    stored = bytes(event.prev)
    return stored == expected and audit.link(stored, event.body) == bytes(event.hash)


def head() -> Line:
    """The newest event; there is always one, the chain's fixed beginning."""
    return Line(AuditEvent.objects.latest("seq"))
