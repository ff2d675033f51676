"""The record of backups: that one is taken, how far it is, and whether it was verified."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.utils import timezone

from . import audit, workflow
from .models import Backup, BackupException, Evidence, Execution, Grade

# How the event of a verified backup is called by what it is worth: a point in time is no verified dump.
VERIFIED_AS = {
    Grade.FULL: "backup.verified",
    Grade.POINT: "backup.point_in_time",
    Grade.TABLES: "backup.tables",
}


def begin(execution: Execution, *, gapless: bool = False) -> Backup:
    """Record that a backup of the execution's target begins; `gapless`: within the script's transaction."""
    with audit.unit_of_work("backup.started", actor=None, execution=execution):
        return Backup.objects.create(
            target=execution.target,
            execution=execution,
            gapless=gapless,
            system_identifier=execution.target.system_identifier,
            database_oid=execution.target.database_oid,
        )


def begin_by_exception(backup: Backup, exception: BackupException) -> None:
    """From here on it is less than the policy asks for, in the name of an exception that is in force: the
    database asks that once more. Raises IntegrityError where it is not."""
    with transaction.atomic():
        Backup.objects.filter(pk=backup.pk).update(exception=exception, grade=Grade.NONE)
    backup.exception, backup.grade = exception, Grade.NONE


def progress(backup: Backup, stage: str, done: int, of: int, *, ended: bool = False) -> None:
    """How far a stage is, for the page: of the dump and its restore in bytes, of the comparison in tables;
    `of` is an estimate of the whole. No event, since nothing changed hands."""
    now = timezone.now().isoformat()
    for name, known in backup.progress.items():
        if name != stage and known["ended"] is None:
            known["ended"] = now
    known = backup.progress.setdefault(stage, {"began": now})
    known |= {"done": done, "of": of, "ended": now if ended else None}
    changed: dict[str, Any] = {"progress": backup.progress}
    if stage == "dump":
        changed["bytes"] = done
    Backup.objects.filter(pk=backup.pk).update(**changed)


def record(
    backup: Backup, state: Backup.State, sentence: str, *, above_limit: bool = False, **fields: Any
) -> Backup:
    """How the backup ended. Evidence for the gate is recorded with it: only a verified one holds, and none
    that was taken by exception. `above_limit`: the target is too large for what the policy asks for."""
    execution = backup.execution
    grade, base = Grade(fields.get("grade", backup.grade)), fields.get("base")
    verified = state == Backup.State.VERIFIED
    exception = backup.exception
    action = f"backup.{state}"
    if verified:
        action = "backup.by_exception" if exception else VERIFIED_AS[grade]
    with audit.unit_of_work(action, actor=None, execution=execution) as facts:
        Backup.objects.filter(pk=backup.pk).update(
            state=state,
            sentence=sentence,
            verified_at=timezone.now() if verified else None,
            **fields,
        )
        facts |= {"sentence_sha256": audit.digest_of(sentence), "sha256": fields.get("sha256", "")}
        if point := fields.get("point"):
            facts |= {"restore_point": point["name"], "lsn": point["lsn"], "base_backup": base and base.pk}
        if exception:
            facts["backup_exception"] = exception.pk
        if execution is not None:
            Evidence.objects.create(
                rollback=execution.rollback_target.rollback,
                target=execution.target,
                kind=Evidence.Kind.BACKUP,
                change_digest=execution.change_digest,
                holds=verified and exception is None,
                sentence=sentence,
                data={
                    "backup": backup.pk,
                    "grade": int(grade),
                    "above_limit": above_limit or (verified and exception is not None),
                    "base_taken_at": base.taken_at.isoformat() if base else "",
                },
            )
    backup.refresh_from_db()
    return backup


def fetched(backup: Backup) -> None:
    """Somebody on the worker's machine took a dump out of the storage, in the clear."""
    with audit.unit_of_work("backup.fetched", actor=None, execution=backup.execution) as facts:
        facts |= {"backup": backup.pk, "target": backup.target.name, "sha256": backup.sha256}


def to_remove() -> list[Backup]:
    """Backups whose files have rested long enough (BACKUP_KEEP_DAYS): never the newest verified one of each
    grade of a target, and none of a rollback that is still under way or that a rehearsal of one relies on."""
    old = timezone.now() - timedelta(days=settings.BACKUP_KEEP_DAYS)
    verified = Backup.objects.filter(state=Backup.State.VERIFIED, exception=None)
    newest = verified.order_by("target_id", "grade", "-created_at")
    kept = newest.distinct("target_id", "grade").values("pk")
    under_way = Evidence.objects.filter(kind=Evidence.Kind.BACKUP, holds=True)
    under_way = under_way.exclude(rollback__status__in=workflow.ENDED)
    relied_on = under_way.values_list(Cast(KeyTextTransform("backup", "data"), BigIntegerField()))
    return list(
        Backup.objects.filter(created_at__lt=old)
        .exclude(path="")
        .exclude(state__in=(Backup.State.REMOVED, Backup.State.RUNNING))
        .exclude(pk__in=kept)
        .exclude(pk__in=[each for (each,) in relied_on])
        .filter(Q(execution=None) | Q(execution__rollback_target__rollback__status__in=workflow.ENDED))
        .select_related("target", "execution")
        .order_by("pk")
    )


def removed(backup: Backup) -> None:
    """Record that the file is gone; what was known of it stays."""
    with audit.unit_of_work("backup.removed", actor=None, execution=backup.execution) as facts:
        Backup.objects.filter(pk=backup.pk).update(state=Backup.State.REMOVED)
        facts |= {"backup": backup.pk, "target": backup.target.name, "days": settings.BACKUP_KEEP_DAYS}
