"""What an auditor takes away: events as CSV or JSON lines, and one row per rollback. Taking is on record.

Rows are read in slices by a rising key up to an end that is fixed at the start. What is only ever added to
needs no snapshot for that: no transaction stays open, and memory does not grow with the length.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet

from . import audit
from .models import Approval, AuditEvent, BackupException, BreakGlass, Execution, RollbackRequest, User

SLICE = 1000
# How a cell begins that a spreadsheet would run as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

EVENT_COLUMNS = (
    "seq", "at_utc", "action", "refused", "actor", "actor_name", "roles", "rollback", "status", "target",
    "incident", "execution", "purpose", "forced", "excepted", "request_id", "facts", "prev", "hash",
)  # fmt: skip
ROLLBACK_COLUMNS = (
    "rollback", "service", "targets", "environments", "migrations", "risk", "urgency", "status", "forced",
    "requested_by", "requested_at_utc", "reason", "why_not_forward", "incident", "incident_title",
    "change_record", "submitted_at_utc", "approvals", "other_decisions", "acknowledged", "attempts",
    "started_by", "started_at_utc", "ended_at_utc", "duration_seconds", "outcome", "outcome_says",
    "post_mortem_due_utc", "post_mortem_handed_in_utc", "break_glass", "backup_exception", "request_digest",
)  # fmt: skip


def record(actor: User, form: str, wanted: Mapping[str, Any]) -> int:
    """Put on record that somebody takes events away and which; returns the last event to take. What they
    typed is free text, so it is chained by its digest."""
    with audit.unit_of_work("trail.exported", actor=actor) as facts:
        facts |= {"format": form, "filter_sha256": audit.digest_of(json.dumps(wanted, sort_keys=True))}
        facts |= {name: wanted[name] for name in ("action", "denied", "since", "before") if name in wanted}
        upto: int = AuditEvent.objects.latest("seq").seq
        facts["upto"] = upto
    return upto


def record_report(actor: User) -> int:
    """Put on record that somebody takes the report of rollbacks away; returns the last rollback's key."""
    with audit.unit_of_work("trail.report_exported", actor=actor) as facts:
        newest = RollbackRequest.objects.order_by("-pk").first()
        facts["upto"] = newest.label if newest else ""
    return newest.pk if newest else 0


def events_as_csv(found: QuerySet[AuditEvent], upto: int) -> Iterator[str]:
    """Events up to a number, oldest first, as parts of a CSV file."""
    return _csv(EVENT_COLUMNS, _slices(found, "seq", upto), _event_row)


def events_as_json_lines(found: QuerySet[AuditEvent], upto: int) -> Iterator[str]:
    """The same as JSON lines. `body` is the text that was hashed, so that each line can be verified offline:
    hash = SHA-256("waqiti-audit/v1" + one zero byte + prev + body), prev and hash in hex."""
    for events in _slices(found, "seq", upto):
        yield "".join(json.dumps(_event_line(event), ensure_ascii=False) + "\n" for event in events)


def rollbacks_as_csv(since: datetime | None, before: datetime | None, upto: int) -> Iterator[str]:
    """One row per rollback asked for in a span of time: who, why, approved by whom, outcome, duration."""
    wanted = {"created_at__gte": since, "created_at__lt": before}
    asked = RollbackRequest.objects.filter(**{name: at for name, at in wanted.items() if at})
    real = Execution.objects.filter(purpose=Execution.Purpose.REAL).order_by("queued_at")
    confirmed = BreakGlass.objects.filter(confirmed_at__isnull=False)
    granted = BackupException.objects.filter(granted_at__isnull=False).order_by("id")
    granted = granted.select_related("proposed_by").prefetch_related("signatures__person")
    full = asked.select_related("service", "requester", "incident__post_mortem").prefetch_related(
        "items__migration",
        "approvals__approver",
        Prefetch("break_glass", confirmed.order_by("id").select_related(*BreakGlass.PEOPLE)),
        Prefetch("backup_exceptions", granted),
        "rollback_targets__target",
        Prefetch("rollback_targets__executions", real.select_related("requested_by"), to_attr="real_ones"),
    )
    return _csv(ROLLBACK_COLUMNS, _slices(full, "pk", upto), _rollback_row)


def _slices(found: QuerySet[Any], key: str, upto: int) -> Iterator[list[Any]]:
    ordered = found.filter(**{f"{key}__lte": upto}).order_by(key)
    part = list(ordered[:SLICE])
    while part:
        yield part
        part = list(ordered.filter(**{f"{key}__gt": getattr(part[-1], key)})[:SLICE])


def _csv(
    columns: Iterable[str], slices: Iterator[list[Any]], row: Callable[[Any], list[Any]]
) -> Iterator[str]:
    yield _written([list(columns)])
    for part in slices:
        yield _written(row(each) for each in part)


def _written(rows: Iterable[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """A value as text that no spreadsheet runs: what looks like a formula gets an apostrophe in front."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(FORMULA) else text


def _event_row(event: AuditEvent) -> list[Any]:
    body = json.loads(event.body)
    refused = "yes" if body["action"].endswith(audit.DENIED) else "no"
    facts = json.dumps(body["facts"], ensure_ascii=False, sort_keys=True)
    subjects = ("rollback", "status", "target", "incident", "execution", "purpose", "forced", "excepted")
    about = [body.get(name) for name in subjects]
    who = [body["actor"], body["actor_name"], " ".join(body["roles"])]
    links = [bytes(event.prev).hex(), bytes(event.hash).hex()]
    return [event.seq, body["at"], body["action"], refused, *who, *about, body["request_id"], facts, *links]


def _event_line(event: AuditEvent) -> dict[str, Any]:
    prev, link = bytes(event.prev).hex(), bytes(event.hash).hex()
    return {"seq": event.seq, "prev": prev, "hash": link, "body": event.body}


def _rollback_row(rollback: RollbackRequest) -> list[Any]:
    targets = [each.target for each in rollback.rollback_targets.all()]
    incident = rollback.incident
    return [
        rollback.label,
        rollback.service.name,
        _joined(target.name for target in targets),
        _joined(target.environment for target in targets),
        _joined(f"{item.migration} {item.migration.description}" for item in rollback.items.all()),
        rollback.risk,
        rollback.urgency,
        rollback.status,
        "yes" if rollback.forced else "no",
        rollback.requester.username,
        _utc(rollback.created_at),
        rollback.reason,
        rollback.forward_fix,
        incident.label if incident else "",
        incident.title if incident else "",
        incident.change_record if incident else "",
        _utc(rollback.submitted_at),
        *_decisions(list(rollback.approvals.all())),
        *_outcome(_attempts(rollback)),
        *_review(getattr(incident, "post_mortem", None)),
        _joined(map(_forced, rollback.break_glass.all())),
        _joined(map(_excepted, rollback.backup_exceptions.all())),
        rollback.request_digest,
    ]


def _decisions(decisions: list[Approval]) -> list[str]:
    """Approvals that count, decisions against or voided ones, and what approvers acknowledged as lost."""
    counting = [each for each in decisions if each.decision == "approve" and each.voided_at is None]
    others = [each for each in decisions if each not in counting]
    lost = dict.fromkeys(each.acknowledged for each in counting if each.acknowledged)
    return [_joined(map(_signature, counting)), _joined(map(_signature, others)), _joined(lost)]


def _signature(approval: Approval) -> str:
    voided = f", voided {_utc(approval.voided_at)}" if approval.voided_at else ""
    return f"{approval.approver.username} ({approval.role}) {approval.decision} {_utc(approval.at)}{voided}"


def _forced(glass: BreakGlass) -> str:
    """Of a use of break-glass that was confirmed: what it skipped, who, when, and who reviewed it."""
    asked, confirmed = glass.proposed_by.username, glass.confirmed_by.username if glass.confirmed_by else ""
    closed = (
        f"reviewed by {glass.closed_by.username} {_utc(glass.closed_at)}"
        if glass.closed_by
        else "review open"
    )
    skipped = " and ".join(glass.skips)
    return f"{skipped}, asked {asked}, confirmed {confirmed} {_utc(glass.confirmed_at)}, {closed}"


def _excepted(exception: BackupException) -> str:
    """Of an exception instead of a backup that was granted: who asked, who signed as what, until when."""
    signed = ", ".join(f"{each.person.username} ({each.role})" for each in exception.signatures.all())
    asked, until = exception.proposed_by.username, _utc(exception.expires_at)
    return f"no backup: asked {asked}, signed {signed}, until {until}, because {exception.reason}"


def _attempts(rollback: RollbackRequest) -> list[Execution]:
    """Executions that are not rehearsals, oldest first, as `rollbacks_as_csv` has read them."""
    return [found for each in rollback.rollback_targets.all() for found in getattr(each, "real_ones")]  # noqa: B009


def _outcome(executions: list[Execution]) -> list[Any]:
    """Attempts, and of the last of them: who, when, how long from claim to end, how it ended."""
    if not executions:
        return [0, "", "", "", "", "", ""]
    last = executions[-1]
    seconds = (
        (last.finished_at - last.claimed_at).total_seconds() if last.claimed_at and last.finished_at else ""
    )
    when = [_utc(last.claimed_at or last.queued_at), _utc(last.finished_at), seconds]
    return [len(executions), last.requested_by.username, *when, last.status, last.sentence]


def _review(found: Any) -> list[str]:
    return [_utc(found.due_at), _utc(found.submitted_at)] if found else ["", ""]


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def _utc(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""
