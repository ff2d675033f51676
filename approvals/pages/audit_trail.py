"""Reads of the audit trail for pages: events as lines, one event with its link checked, the chain's state.

Events hold free text by its digest only. Where the portal still has a text of that digest, a line shows it:
what is shown is then as certain as the chain, and what was redacted or changed is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

from approvals import audit
from approvals.models import (
    Approval,
    AuditEvent,
    Backup,
    BackupException,
    BreakGlass,
    ChecklistEntry,
    Evidence,
    Execution,
    RollbackRequest,
    Status,
)

from .audit_words import Words, role_words, words_for

# Counting stops here: more than a reader wants to know, and a count of everything takes its time.
COUNTED = 10_000


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
        (BreakGlass.objects.filter(rollback__in=rollbacks), "reason"),
        (BreakGlass.objects.filter(rollback__in=rollbacks), "review"),
        (BackupException.objects.filter(rollback__in=rollbacks), "reason"),
        (Execution.objects.filter(rollback_target__rollback__in=rollbacks), "sentence"),
        (Backup.objects.filter(execution__rollback_target__rollback__in=rollbacks), "sentence"),
    )
    first, *rest = (found.order_by().values_list(column, flat=True) for found, column in columns)
    return {audit.digest_of(text): text for text in first.union(*rest, all=True) if text}


def story(label: str) -> QuerySet[AuditEvent]:
    """Everything recorded about one rollback, oldest first."""
    return AuditEvent.objects.filter(rollback=label).order_by("seq")


@dataclass(frozen=True)
class Chapter:
    """What was recorded while a rollback stood in one status, and the day on which that began."""

    status: str
    lines: list[Line]

    @property
    def title(self) -> str:
        """The status in words; what came before the rollback had one has none."""
        return str(Status(self.status).label) if self.status in Status.values else ""

    @property
    def day(self) -> date:
        return timezone.localdate(self.lines[0].at)


def chapters(found: Iterable[Line]) -> list[Chapter]:
    """A story's lines by the status that the rollback had when each was recorded, in their order."""
    parts = groupby(found, key=lambda line: line.body.get("status", ""))
    return [Chapter(status, list(lines)) for status, lines in parts]


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


@dataclass(frozen=True)
class Chain:
    """The state of the chain: its newest event, the last time somebody verified it, and what was refused."""

    head: Line
    verified: Line | None
    refused: int

    @property
    def holds(self) -> bool:
        """True if the last verification found every link good."""
        return self.verified is not None and self.verified.body["action"] == "chain.verified"

    @property
    def upto(self) -> int:
        """The number of the last event that was found good."""
        return int(self.verified.body["facts"]["events"]) if self.verified else 0

    @property
    def since(self) -> int:
        """How many events were added since, the record of the verification among them."""
        return self.head.seq - self.upto


def chain() -> Chain:
    """The state of the chain as last verified; three queries, each by an index."""
    verified = AuditEvent.objects.filter(action__in=("chain.verified", "chain.found_broken"))
    newest = verified.order_by("-seq").first()
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    refused = AuditEvent.objects.filter(action__endswith=audit.DENIED, at__gte=audit.stamp(month))
    return Chain(head(), Line(newest) if newest else None, counted(refused))


def counted(found: QuerySet[AuditEvent]) -> int:
    """How many there are, up to one more than COUNTED."""
    return found.order_by()[: COUNTED + 1].count()
