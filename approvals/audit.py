"""The audit trail: every change of state ends with one link of an append-only, hash-chained record.

    with audit.unit_of_work("rollback.submitted", actor=user, rollback=rollback) as facts:
        ...                       # the change
        facts["risk"] = "HIGH"    # goes into the event

The event is the last act of the transaction: what cannot be recorded does not happen. A `Denied` raised inside
rolls the change back and is recorded in a transaction of its own.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import rfc8785
from django.db import connection, transaction
from django.utils import timezone

from .errors import Denied
from .models import AuditEvent, Execution, Incident, RollbackRequest, Target, User

DOMAIN = b"waqiti-audit/v1\0"
GENESIS = bytes(32)
CHAIN = "portal"
# Any fixed number: it makes appenders queue. Taken in a statement of its own before the head is read.
LOCK = 0x77617169

request_id: ContextVar[str] = ContextVar("request_id", default="")


def digest_of(text: str) -> str:
    """SHA-256 of free text. The chain holds the digest, so that the text itself can be redacted."""
    return hashlib.sha256(text.encode()).hexdigest()


def link(prev: bytes, body: str) -> bytes:
    """The 32-byte hash of the event whose canonical text is `body` and whose predecessor's hash is `prev`."""
    return hashlib.sha256(DOMAIN + prev + body.encode()).digest()


@contextmanager
def unit_of_work(
    action: str,
    *,
    actor: User | None,
    rollback: RollbackRequest | None = None,
    target: Target | None = None,
    execution: Execution | None = None,
    incident: Incident | None = None,
) -> Iterator[dict[str, Any]]:
    """Run a change of state and its audit event in one durable transaction. `actor` None means the portal itself.

    Yields the dict of facts that goes into the event. Raises whatever the body raises; a `Denied` is recorded.
    """
    subjects = {"rollback": rollback, "target": target, "execution": execution, "incident": incident}
    facts: dict[str, Any] = {}
    try:
        with transaction.atomic(durable=True):
            yield facts
            append(action, actor=actor, subjects=subjects, facts=facts)
    except Denied as denied:
        with transaction.atomic(durable=True):
            append(f"{action}.denied", actor=actor, subjects=subjects, facts={"why": str(denied)})
        raise


def record_denial(action: str, *, actor: User, why: str, **subjects: Any) -> None:
    """Record an attempt that was refused before any domain function was reached (a page, a direct request)."""
    with transaction.atomic(durable=True):
        append(f"{action}.denied", actor=actor, subjects=subjects, facts={"why": why})


def append(action: str, *, actor: User | None, subjects: dict[str, Any], facts: dict[str, Any]) -> AuditEvent:
    """Add one event to the chain. Must be the last statement of a transaction, since it holds the chain's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    head = AuditEvent.objects.order_by("-seq").values_list("seq", "hash").first()
    seq, prev = (head[0] + 1, bytes(head[1])) if head else (1, GENESIS)
    body = {
        "seq": seq,
        "chain": CHAIN,
        "at": timezone.now().isoformat(timespec="microseconds"),
        "action": action,
        "actor": actor.username if actor else "portal",
        "actor_name": str(actor) if actor else "Waqiti Rollback",
        "roles": sorted(actor.roles) if actor else [],
        "request_id": request_id.get(),
        "facts": facts,
    }
    body |= _labels(subjects)
    text = rfc8785.dumps(body).decode()
    return AuditEvent.objects.create(seq=seq, body=text, prev=prev, hash=link(prev, text))


def _labels(subjects: dict[str, Any]) -> dict[str, str]:
    """Subjects as text, so that the event still reads when the row is gone; an execution names the rest."""
    execution, rollback, target = subjects.get("execution"), subjects.get("rollback"), subjects.get("target")
    if execution is not None:
        rollback = rollback or execution.rollback_target.rollback
        target = target or execution.target
    if rollback is not None and target is None:
        first = rollback.rollback_targets.select_related("target").first()
        target = first.target if first else None
    labels = {}
    if rollback is not None:
        labels |= {"rollback": rollback.label, "status": rollback.status}
    if target is not None:
        labels["target"] = target.name
    if execution is not None:
        labels |= {"execution": str(execution.pk), "purpose": execution.purpose}
    if incident := subjects.get("incident"):
        labels["incident"] = incident.label
    return labels


@dataclass(frozen=True)
class Verdict:
    """What a walk over the chain found: how many links hold, and the first that does not, if any."""

    events: int
    head: str
    bad_seq: int | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        return self.bad_seq is None


def verify(events: Iterable[tuple[int, str, bytes, bytes]] | None = None) -> Verdict:
    """Walk (seq, body, prev, hash) in order and recompute every link. Stops at the first bad one.

    Without an argument it reads the portal's chain. Stored bytes are hashed as they are, never made canonical anew.
    """
    if events is None:
        rows = AuditEvent.objects.order_by("seq").values_list("seq", "body", "prev", "hash")
        events = rows.iterator(chunk_size=5000)
    prev, expected = GENESIS, 1
    for seq, body, stored_prev, stored_hash in events:
        if problem := _problem(expected, prev, seq, body, bytes(stored_prev), bytes(stored_hash)):
            return Verdict(expected - 1, prev.hex(), seq, problem)
        prev, expected = bytes(stored_hash), expected + 1
    return Verdict(expected - 1, prev.hex())


def _problem(expected: int, prev: bytes, seq: int, body: str, stored_prev: bytes, stored_hash: bytes) -> str:
    if seq != expected:
        return f"event {expected} is missing: {seq} follows {expected - 1}"
    if stored_prev != prev:
        return f"event {seq} does not follow from event {seq - 1}"
    if link(prev, body) != stored_hash:
        return f"event {seq} was changed after it was written"
    try:
        inner = json.loads(body)["seq"]
    except (ValueError, KeyError, TypeError):
        inner = None
    return "" if inner == seq else f"event {seq} carries another event's number inside"


def new_request_id() -> str:
    """A random id that ties the events of one HTTP request or one task together."""
    return uuid.uuid4().hex[:16]
