"""The audit trail: every change of state ends with one link of an append-only, hash-chained record.

    with audit.unit_of_work("rollback.created", actor=user, target=target) as facts:
        ...                               # the change
        facts["risk"] = "HIGH"            # goes into the event
        facts.about(rollback=rollback)    # what the event is about, where that is only known now

The event is the last act of the transaction: what cannot be recorded does not happen. A `Denied` raised
inside rolls the change back and is recorded in a transaction of its own. Facts hold no free text: that is
chained by its digest, so that it can be redacted, and what a database or a person wrote can't carry a secret
in here.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import rfc8785
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from . import models
from .errors import Denied
from .models import AuditEvent, Execution, Incident, RollbackRequest, Target, User

# How the action of an attempt that was refused ends.
DENIED = models.audit.DENIED
DOMAIN = b"waqiti-audit/v1\0"
CHAIN = "portal"
# The fixed first event, written by the migration: a chain that was emptied lacks it.
GENESIS = (
    '{"action":"chain.began","actor":"portal","actor_name":"Waqiti Rollback",'
    '"at":"1970-01-01T00:00:00.000000+00:00","chain":"portal","facts":{},"request_id":"","roles":[],"seq":0}'
)
NOTHING = bytes(32)
# Any fixed number: it makes appenders queue. Taken in a statement of its own before the head is read.
LOCK = 0x77617169
HEAD = (
    "SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_advisory_xact_lock(%s);"
    " SELECT seq, hash, status, forced, excepted"
    " FROM approvals_auditevent LEFT JOIN approvals_rollbackrequest ON id = %s ORDER BY seq DESC LIMIT 1"
)
# Written as it is and by no model: this is asked ten times for each target of a fleet, under the lock.
LINK = "INSERT INTO approvals_auditevent (seq, body, prev, hash) VALUES (%s, %s, %s, %s)"

request_id: ContextVar[str] = ContextVar("request_id", default="")


def digest_of(text: str) -> str:
    """SHA-256 of free text. The chain holds the digest, so that the text itself can be redacted."""
    return hashlib.sha256(text.encode()).hexdigest()


def digests(row: Model, *names: str) -> dict[str, str]:
    """`digest_of` these texts of a row as they are stored, each under its name with `_sha256`."""
    return {f"{name}_sha256": digest_of(getattr(row, name)) for name in names}


def link(prev: bytes, body: str) -> bytes:
    """The 32-byte hash of the event whose canonical text is `body` and whose predecessor's hash is `prev`."""
    return hashlib.sha256(DOMAIN + prev + body.encode()).digest()


class Facts(dict[str, Any]):
    """What one event says. The body of a unit of work fills it."""

    def __init__(self, action: str, **subjects: Any) -> None:
        super().__init__()
        self.action = action
        self.subjects = subjects

    def about(self, **subjects: Any) -> None:
        """Name a subject (rollback, target, execution, incident) that came to be inside the unit of work."""
        self.subjects |= subjects


@contextmanager
def unit_of_work(
    action: str,
    *,
    actor: User | None,
    rollback: RollbackRequest | None = None,
    target: Target | None = None,
    execution: Execution | None = None,
    incident: Incident | None = None,
) -> Iterator[Facts]:
    """Run a change of state and its audit event in one durable transaction. `actor` None is the portal.

    Yields the facts that go into the event; `facts.action` may be set where the outcome has another name.
    Raises whatever the body raises; a `Denied` is recorded.
    """
    subjects = {"rollback": rollback, "target": target, "execution": execution, "incident": incident}
    facts = Facts(action, **subjects)
    try:
        with transaction.atomic(durable=True):
            yield facts
            append(facts.action, actor=actor, subjects=facts.subjects, facts=facts)
    except Denied as denied:
        with transaction.atomic(durable=True):
            append(f"{action}{DENIED}", actor=actor, subjects=subjects, facts={"why": str(denied)})
        raise


def record_denial(action: str, *, actor: User | None, why: str, **subjects: Any) -> None:
    """Record an attempt that was refused before any domain function was reached, as by a page."""
    with transaction.atomic(durable=True):
        append(f"{action}{DENIED}", actor=actor, subjects=subjects, facts={"why": why})


def append(action: str, *, actor: User | None, subjects: dict[str, Any], facts: dict[str, Any]) -> None:
    """Add one event to the chain: the last act of a transaction, since it holds the chain's lock.

    Foreign keys are checked before the lock is taken: at commit they would wait for rows, and whoever holds
    one of those may be waiting for the chain.
    """
    labels, rollback = _labels(subjects)
    with connection.cursor() as cursor:
        # Three statements in one message: each sees what was committed before it, so the last one, which has
        # waited for the lock, sees the head of the chain as it is now.
        cursor.execute(HEAD, [LOCK, None if rollback is None else rollback.pk])
        while cursor.nextset():
            pass
        last_seq, last_hash, status, forced, excepted = cursor.fetchone()
        if rollback is not None:  # as it is now: the caller's instance may be from before the change
            labels["status"] = status
        if forced:  # by break-glass; said of everything that happens to it from then on
            labels["forced"] = "yes"
        if excepted:  # from the backup that the policy asks for; likewise
            labels["excepted"] = "yes"
        seq, prev = last_seq + 1, bytes(last_hash)
        text = _body(seq, action, actor, facts, labels)
        cursor.execute(LINK, [seq, text, prev, link(prev, text)])


def _body(seq: int, action: str, actor: User | None, facts: dict[str, Any], labels: dict[str, str]) -> str:
    """The canonical text of an event."""
    body: dict[str, Any] = {
        "seq": seq,
        "chain": CHAIN,
        "at": stamp(timezone.now()),
        "action": action,
        "actor": actor.username if actor else "portal",
        "actor_name": str(actor) if actor else "Waqiti Rollback",
        "roles": sorted(actor.roles) if actor else [],
        "request_id": request_id.get(),
        "facts": facts,
    }
    return rfc8785.dumps(body | labels).decode()


def _labels(subjects: dict[str, Any]) -> tuple[dict[str, str], RollbackRequest | None]:
    """Subjects as text, so that the event still reads when the row is gone, and the rollback among them; an
    execution names the rest."""
    execution, rollback, target = subjects.get("execution"), subjects.get("rollback"), subjects.get("target")
    if execution is not None:
        rollback = rollback or execution.rollback_target.rollback
        target = target or execution.target
    if rollback is not None and target is None:
        # What concerns several targets is told of none of them.
        found = rollback.rollback_targets.select_related("target")[:2]
        target = found[0].target if len(found) == 1 else None
    labels = {}
    if rollback is not None:
        labels["rollback"] = rollback.label
    if target is not None:
        labels["target"] = target.name
    if execution is not None:
        labels |= {"execution": str(execution.pk), "purpose": execution.purpose}
    if incident := subjects.get("incident"):
        labels["incident"] = incident.label
    return labels, rollback


@dataclass(frozen=True)
class Verdict:
    """What a walk over the chain found: how many events hold (without the fixed first one), the hash of
    the last of them in hex, and the first that does not hold, if any. `complete` is False where the walk
    stopped before the end and can go on from here."""

    events: int
    head: str
    bad_seq: int | None = None
    problem: str = ""
    complete: bool = True

    @property
    def holds(self) -> bool:
        return self.bad_seq is None


def verify(events: Iterable[tuple[int, str, bytes, bytes]] | None = None) -> Verdict:
    """Walk (seq, body, prev, hash) in order and recompute every link. Stops at the first bad one.

    Without an argument it reads the portal's chain. Stored bytes are hashed as they are.
    """
    return _walk(_stored(0).iterator(chunk_size=5000) if events is None else events, NOTHING, 0)


def verify_slice(after: Verdict | None = None, *, limit: int) -> Verdict:
    """Verify at most `limit` stored events, from the first or from where an earlier slice stopped: a chain of
    any length in pieces of bounded time. `after` must be what this function returned, untouched."""
    prev, expected = (bytes.fromhex(after.head), after.events + 1) if after else (NOTHING, 0)
    if after and not AuditEvent.objects.filter(seq=after.events, hash=prev).exists():
        problem = f"event {after.events} was changed or taken away while the chain was being verified"
        return Verdict(after.events - 1, after.head, after.events, problem)
    verdict = _walk(_stored(expected)[:limit].iterator(chunk_size=5000), prev, expected)
    more = verdict.holds and AuditEvent.objects.filter(seq__gt=verdict.events).exists()
    return replace(verdict, complete=not more)


def _stored(first: int) -> QuerySet[AuditEvent, tuple[int, str, Any, Any]]:
    rows = AuditEvent.objects.filter(seq__gte=first).order_by("seq")
    return rows.values_list("seq", "body", "prev", "hash")


def _walk(events: Iterable[tuple[int, str, Any, Any]], prev: bytes, expected: int) -> Verdict:
    for seq, body, stored_prev, stored_hash in events:
        if problem := _problem(expected, prev, seq, body, bytes(stored_prev), bytes(stored_hash)):
            return Verdict(max(expected - 1, 0), prev.hex(), seq, problem)
        prev, expected = bytes(stored_hash), expected + 1
    if expected == 0:
        return Verdict(0, prev.hex(), 0, "the chain is empty: not even its fixed first event is there")
    return Verdict(expected - 1, prev.hex())


def record_verdict(verdict: Verdict, *, actor: User) -> None:
    """Put on record that somebody verified the chain, up to which event, and what was found."""
    with unit_of_work("chain.verified" if verdict.holds else "chain.found_broken", actor=actor) as facts:
        facts |= {"events": verdict.events, "head": verdict.head}
        if verdict.bad_seq is not None:
            facts["bad_seq"] = verdict.bad_seq


def _problem(expected: int, prev: bytes, seq: int, body: str, stored_prev: bytes, stored_hash: bytes) -> str:
    if seq != expected:
        return f"event {expected} is missing: {seq} is in its place"
    if seq == 0 and body != GENESIS:
        return "event 0 is not the fixed first event"
    if stored_prev != prev:
        return f"event {seq} does not follow from event {seq - 1}"
    if link(prev, body) != stored_hash:
        return f"event {seq} was changed after it was written"
    try:
        inner = json.loads(body)["seq"]
    except (ValueError, KeyError, TypeError):
        inner = None
    return "" if inner == seq else f"event {seq} carries another event's number inside"


def stamp(at: datetime) -> str:
    """A moment as events keep it: text in UTC that sorts as time does."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def new_request_id() -> str:
    """A random id that ties the events of one HTTP request or one task together."""
    return uuid.uuid4().hex[:16]
