"""The one place that says which grade of backup a policy asks for, and whether one is worth it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .models import Evidence, Grade, PolicyRule, Scope


def asked(rule: PolicyRule) -> Grade:
    """The least that will do. Of the whole database: a full dump, or a point in time where it is too large
    for one; the worker knows the size and takes the better one that it can."""
    if not rule.backup_required:
        return Grade.NONE
    return Grade.TABLES if rule.backup_scope == Scope.TABLES else Grade.POINT


def worth(evidence: Evidence | None) -> Grade:
    """What the recorded backup is worth. Those without a grade were taken when there were full dumps only."""
    if evidence is None or not evidence.holds:
        return Grade.NONE
    return Grade(evidence.data.get("grade", Grade.FULL))


def holds_until(rule: PolicyRule, evidence: Evidence | None) -> datetime | None:
    """When the physical backup of a point in time is too old for the policy; None for anything else."""
    if worth(evidence) is not Grade.POINT or evidence is None:
        return None
    return too_old_from(rule, datetime.fromisoformat(evidence.data["base_taken_at"]))


def too_old_from(rule: PolicyRule, taken_at: datetime) -> datetime:
    """From when on a physical backup that was taken then is too old."""
    return taken_at + timedelta(hours=rule.base_backup_max_age_hours)


def lacking(rule: PolicyRule, evidence: Evidence | None, now: datetime) -> str:
    """Why the recorded backup is not what the policy asks for; empty where it is."""
    least, is_worth = asked(rule), worth(evidence)
    if least is Grade.NONE:
        return ""
    if evidence is None:
        return _("No backup yet; the rehearsal takes one.")
    if not evidence.holds:
        return evidence.sentence
    if is_worth < least:
        return _("It is of the grade “%(is)s”; the policy asks for “%(least)s” or better.") % {
            "is": is_worth.label,
            "least": least.label,
        }
    until = holds_until(rule, evidence)
    if until is not None and until <= now:
        return _("Its physical backup is older than the policy allows; make a new one and rehearse again.")
    return ""


# What of the worker's points says that the size rule asks for more than can be had.
BEYOND_REACH = ("above_limit", "archive")


def beyond_reach(evidence: Evidence) -> bool:
    """Did the worker find the target above its limit, and that what this asks for can't be had? Only then can
    there be an exception; a point in time that has grown too old is one of those, too."""
    return bool(evidence.data.get("above_limit")) or worth(evidence) is Grade.POINT


def always_below_the_limit() -> str:
    """Why there is no exception where no worker found that."""
    return _(
        "No worker found that this backup can't be had. Below a target's limit a verified dump always can, "
        "so what stops it is to be mended: ask for a rehearsal or a preflight, which says what it is."
    )


def later() -> str:
    """Where there is no rehearsal to take one: when it is taken."""
    return _("No backup yet: the execution takes and verifies one before it begins, or nothing runs.")


def told(rule: PolicyRule) -> list[str]:
    """What a rule asks of backups, as phrases for the page of policies."""
    least = asked(rule)
    if least is Grade.NONE:
        return []
    if least is Grade.TABLES:
        found = [_("backup of the touched tables, verified")]
    else:
        hours = rule.base_backup_max_age_hours
        age = ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
        if hours % 24 == 0:
            age = ngettext("%(n)d day", "%(n)d days", hours // 24) % {"n": hours // 24}
        found = [
            _("backup verified, or a point in time on a physical backup at most %(age)s old") % {"age": age}
        ]
    if rule.backup_gapless:
        found.append(_("taken while writers wait, so that nothing falls between it and the script"))
    return found
