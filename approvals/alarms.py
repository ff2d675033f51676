"""The alarm after a rollback: for a day its history is watched for the migration coming back unplanned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, history
from .attempts import locked
from .errors import Denied, Refused
from .flyway import history as flyway_history
from .flyway.versions import Version
from .models import Execution, FileFate, Role, Target, User

# Who may say that an alarm was seen and what is done about it.
ANSWERS = frozenset({Role.OPS, Role.SENIOR_DBA})

Applied = Mapping[Version, flyway_history.HistoryRow]


def watched(target: Target | None = None) -> list[Execution]:
    """Executed rollbacks whose history is still watched for the migration coming back; those of one target,
    or all."""
    found = Execution.objects.filter(watch_until__gt=timezone.now(), reappeared_at=None)
    if target is not None:
        # Asked of every reading, and nearly always there is none: what is of it is read where there is one.
        return list(found.filter(target=target))
    return list(found.select_related("target", "rollback_target__rollback"))


def ringing() -> QuerySet[Execution]:
    """Executions whose alarm nobody has answered for, the newest first."""
    return Execution.objects.filter(reappeared_at__isnull=False, alarm_answered_at=None).order_by(
        "-reappeared_at"
    )


def check_reappeared(target: Target, rows: flyway_history.Rows | None = None) -> int:
    """Raise the alarm for every watched migration that the target's history (as just read, `rows`) shows
    again, other than as it was planned. Returns how many."""
    applied = flyway_history.applied(history.rows_of(target) if rows is None else rows)
    raised = 0
    for execution in watched(target):
        fate = FileFate(execution.rollback_target.rollback.file_fate)
        back = [pin for pin in execution.rollback_target.pins if _unplanned(pin, fate, applied)]
        if back:
            with audit.unit_of_work("alarm.migration_came_back", actor=None, execution=execution) as facts:
                fresh = locked(execution)
                fresh.reappeared_at = timezone.now()
                fresh.save(update_fields=["reappeared_at"])
                facts["versions"] = [pin["version"] for pin in back]
            raised += 1
    return raised


def _unplanned(pin: dict[str, Any], fate: FileFate, applied: Applied) -> bool:
    """Is what was taken back applied again, although the request said that it would not be?

    A replaced file comes back with the same version and other bytes; one that a higher version corrects comes
    back together with that.
    """
    row = applied.get(Version.parse(pin["version"]))
    if row is None:
        return False
    if fate == FileFate.REPLACED:
        return bool(row.checksum == pin["checksum"])
    if fate == FileFate.SUPERSEDED:
        return not any(version > Version.parse(pin["version"]) for version in applied)
    return True


def why_not_answer(execution: Execution, user: User) -> str:
    """Why this person can't answer for the alarm, as a sentence; empty if they can."""
    if execution.reappeared_at is None:
        return _("No alarm was raised for %(execution)s.") % {"execution": execution}
    if execution.alarm_answered_at is not None:
        return _("%(who)s has answered for it already.") % {"who": execution.alarm_answered_by}
    if not user.roles & ANSWERS:
        return _("Only ops or a senior DBA can answer for an alarm.")
    return ""


def answer(execution: Execution, *, actor: User, reason: str) -> Execution:
    """Say that the alarm was seen and what is done about it; it no longer shows above everything else.

    Raises Denied for who may not, Refused without a reason or where there is nothing to answer.
    """
    with audit.unit_of_work("alarm.answered", actor=actor, execution=execution) as facts:
        execution = locked(execution)
        why_not = why_not_answer(execution, actor)
        if why_not and not actor.roles & ANSWERS:
            raise Denied(why_not)
        if why_not:
            raise Refused(why_not)
        if not reason.strip():
            raise Refused(_("Say what is done about it."))
        execution.alarm_answered_at, execution.alarm_answered_by = timezone.now(), actor
        execution.alarm_answer = reason.strip()
        execution.save(update_fields=["alarm_answered_at", "alarm_answered_by", "alarm_answer"])
        facts["reason_sha256"] = audit.digest_of(execution.alarm_answer)
    return execution
