"""The record of rehearsal clones: from which backup one is made, what it is kept for, and which must go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from . import audit
from .models import Backup, Evidence, Execution, ExecutionStatus, Grade, RehearsalClone, Target

State = RehearsalClone.State
STANDING = (State.MAKING, State.READY)
# What an execution that may have changed the history ended as.
CHANGED = (
    ExecutionStatus.SUCCEEDED,
    ExecutionStatus.COMMITTED_CHECK_FAILED,
    ExecutionStatus.PARTIAL,
    ExecutionStatus.AWAITING_RESTART,
)


@dataclass(frozen=True)
class Key:
    """What has to be the same for a clone to be used again. `masking` is the digest of the rules, the last
    two say which server the clone is on."""

    target: Target
    backup: Backup
    masking: str
    server: Target
    server_version: int
    server_identifier: str

    def __str__(self) -> str:
        """For a lock that whoever makes, copies or drops it holds on the server."""
        return f"{self.backup.pk} {self.masking} {self.server_version}"

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "backup": self.backup,
            "masking": self.masking,
            "server": self.server,
            "server_version": self.server_version,
            "server_identifier": self.server_identifier,
        }


def of(clone: RehearsalClone) -> Key:
    """The key of a clone."""
    return Key(
        clone.target,
        clone.backup,
        clone.masking,
        clone.server,
        clone.server_version,
        clone.server_identifier,
    )


def newest_backup(target: Target, *, hours: float | None = None) -> Backup | None:
    """The newest backup of the whole database that was verified by a restore, if it is of the database that
    was read last and, where `hours` are given, not older."""
    if not target.system_identifier or target.database_oid is None:
        return None
    found = Backup.objects.filter(
        target=target,
        state=Backup.State.VERIFIED,
        grade=Grade.FULL,
        system_identifier=target.system_identifier,
        database_oid=target.database_oid,
    )
    if hours is not None:
        found = found.filter(created_at__gt=timezone.now() - timedelta(hours=hours))
    return found.order_by("-created_at").first()


def is_of_another_history(backup: Backup, pins: list[dict[str, Any]]) -> bool:
    """Is it known that other rows were in the history when this backup was taken: from a clone of it, or
    because a rollback was carried out since? Otherwise only a clone tells."""
    since = Execution.objects.filter(
        target=backup.target_id,
        purpose=Execution.Purpose.REAL,
        status__in=CHANGED,
        finished_at__gt=backup.created_at,
    )
    if since.exists():
        return True
    known = RehearsalClone.objects.filter(backup=backup).exclude(history=[]).first()
    return known is not None and known.history != pins


def rely_on(execution: Execution, backup: Backup, sentence: str) -> None:
    """Record a backup that was there as evidence for these bytes: no other was taken for this rehearsal."""
    with audit.unit_of_work("backup.relied_on", actor=None, execution=execution) as facts:
        facts |= {"backup": backup.pk, "sha256": backup.sha256, "change": execution.change_digest}
        Evidence.objects.create(
            rollback=execution.rollback_target.rollback,
            target=execution.target,
            kind=Evidence.Kind.BACKUP,
            change_digest=execution.change_digest,
            holds=True,
            sentence=sentence,
            data={"backup": backup.pk, "grade": int(backup.grade), "base_taken_at": ""},
        )


def ready(key: Key) -> RehearsalClone | None:
    """The clone that is kept for this."""
    return RehearsalClone.objects.filter(state=State.READY, **key.fields).first()


def begin(key: Key, *, worker: str) -> RehearsalClone:
    """A clone is about to be made."""
    return RehearsalClone.objects.create(worker=worker, **key.fields)


def made(
    clone: RehearsalClone, *, size: int, seconds: float, history: list[dict[str, Any]], filled: dict[str, Any]
) -> None:
    """It is there, masked and closed. `size` in bytes, `history` are the pins of its rows."""
    clone.state, clone.bytes, clone.seconds = State.READY, size, seconds
    clone.history, clone.filled = history, filled
    with audit.unit_of_work("clone.made", actor=None, target=clone.target) as facts:
        clone.save()
        facts |= _facts_of(clone) | {
            "masked_columns": filled["masked_columns"] if filled["with_rows"] else 0,
            "with_rows": filled["with_rows"],
        }


def failed(clone: RehearsalClone, sentence: str) -> None:
    """It could not be made, and nothing is left of it."""
    clone.state, clone.sentence, clone.dropped_at = State.FAILED, sentence, timezone.now()
    with audit.unit_of_work("clone.failed", actor=None, target=clone.target) as facts:
        clone.save()
        facts |= _facts_of(clone) | {"sentence_sha256": audit.digest_of(sentence)}


def used(clone: RehearsalClone) -> None:
    """A copy of it was made."""
    RehearsalClone.objects.filter(pk=clone.pk).update(used_at=timezone.now(), uses=F("uses") + 1)


def dropped(clone: RehearsalClone, why: str) -> None:
    """Its database is gone."""
    clone.state, clone.sentence, clone.dropped_at = State.DROPPED, why, timezone.now()
    with audit.unit_of_work("clone.dropped", actor=None, target=clone.target) as facts:
        clone.save(update_fields=["state", "sentence", "dropped_at"])
        facts |= _facts_of(clone)


def to_drop() -> list[tuple[RehearsalClone, str]]:
    """The clones that are kept and must go, each with the reason: what rests longer than
    REHEARSAL_KEEP_HOURS, what another has taken the place of, and, of all on one server together, the oldest
    unused above REHEARSAL_KEEP_BYTES. With them those whose maker may have died."""
    standing = RehearsalClone.objects.filter(state__in=STANDING)
    kept = list(standing.select_related("target", "server", "backup", "target__service").order_by("-used_at"))
    oldest = timezone.now() - timedelta(hours=settings.REHEARSAL_KEEP_HOURS)
    found: list[tuple[RehearsalClone, str]] = []
    room: dict[int, int] = {}
    newest: dict[int, Backup | None] = {}
    for clone in kept:
        if clone.target_id not in newest:
            newest[clone.target_id] = newest_backup(clone.target)
        latest = newest[clone.target_id]
        room[clone.server_id] = room.get(clone.server_id, 0) + clone.bytes
        if clone.state == State.MAKING:
            found.append((clone, "Its worker ended while it was made."))
        elif clone.used_at < oldest:
            found.append((clone, f"Not used for {settings.REHEARSAL_KEEP_HOURS:g} hours."))
        elif latest is None or latest.created_at > clone.backup.created_at:
            found.append((clone, "There is a newer backup."))
        elif room[clone.server_id] > settings.REHEARSAL_KEEP_BYTES:
            found.append((clone, f"All together took more than {settings.REHEARSAL_KEEP_BYTES:,} bytes."))
    return found


def _facts_of(clone: RehearsalClone) -> dict[str, object]:
    return {
        "clone": str(clone.pk),
        "backup": clone.backup_id,
        "masking": clone.masking,
        "server": clone.server.name,
        "bytes": clone.bytes,
        "milliseconds": round((clone.seconds or 0) * 1000),
    }
