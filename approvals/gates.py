"""The conditions a rollback must meet: each says whether it holds, what is missing and who can supply it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import checklist, digests, history, policy
from .errors import Refused
from .models import Evidence, FileFate, RollbackRequest


class Needed(enum.IntEnum):
    """From when on a gate must hold; it must keep holding from there on."""

    SUBMIT = 1
    APPROVE = 2
    EXECUTE = 3


@dataclass(frozen=True)
class Gate:
    """One condition. `detail` says what holds or what is missing; `who` can supply it (empty when it holds)."""

    key: str
    title: str
    holds: bool
    detail: str
    who: str
    needed: Needed


Judge = Callable[[RollbackRequest], Gate]


def gates(rollback: RollbackRequest) -> list[Gate]:
    """Every gate of this rollback, judged from the records as they are now; what is missing comes first."""
    return sorted((judge(rollback) for judge in JUDGES), key=lambda gate: gate.holds)


def missing(rollback: RollbackRequest, needed: Needed) -> list[Gate]:
    """The gates that must hold at this point and do not."""
    return [gate for gate in gates(rollback) if gate.needed <= needed and not gate.holds]


def _gate(
    key: str, title: str, *, holds: bool, yes: str, no: str, who: str, needed: Needed = Needed.SUBMIT
) -> Gate:
    return Gate(key, title, holds, yes if holds else no, "" if holds else who, needed)


def _script_readable(rollback: RollbackRequest) -> Gate:
    lacking, refused = [], []
    for item in rollback.items.select_related("migration", "script"):
        if item.script is None:
            lacking.append(str(item.migration))
        elif problems := item.script.plan.get("problems"):
            first = problems[0]
            refused.append(
                f"{item.migration}, line {first['line']}, column {first['column']}: {first['message']}"
            )
    if not rollback.items.exists():
        no = _("The request names no migration.")
    elif refused:
        no = _("Refused: %(first)s") % {"first": refused[0]}
    else:
        no = _("No rollback script for %(migrations)s.") % {"migrations": ", ".join(lacking)}
    return _gate(
        "script",
        _("Scripts are readable"),
        holds=rollback.items.exists() and not lacking and not refused,
        yes=_("Every statement was read and may run."),
        no=no,
        who=_("the requester"),
    )


def _checks_present(rollback: RollbackRequest) -> Gate:
    items = list(rollback.items.select_related("migration", "script"))
    without = [
        str(item.migration)
        for item in items
        if item.script is None or not any(check["stage"] == "before commit" for check in item.script.checks)
    ]
    return _gate(
        "checks",
        _("Checks decide the commit"),
        holds=bool(items) and not without,
        yes=_("Every script has at least one check that runs before commit."),
        no=_("No check before commit for %(migrations)s.")
        % {"migrations": ", ".join(without) or _("any migration")},
        who=_("the requester"),
    )


def _reasons(rollback: RollbackRequest) -> Gate:
    return _gate(
        "reason",
        _("Incident and reason"),
        holds=bool(rollback.reason.strip()) and rollback.incident_id is not None,
        yes=_("%(incident)s, with a reason.")
        % {"incident": rollback.incident.label if rollback.incident else ""},
        no=_("Name the incident and say why the migration must go."),
        who=_("the requester"),
    )


def _forward_fix(rollback: RollbackRequest) -> Gate:
    return _gate(
        "forward_fix",
        _("A forward fix was considered"),
        holds=bool(rollback.forward_fix.strip()),
        yes=_("The requester wrote why a forward fix will not do."),
        no=_("Write why a corrective forward migration will not do."),
        who=_("the requester"),
    )


def _facts_read(rollback: RollbackRequest) -> Gate:
    facts = latest_evidence(rollback, Evidence.Kind.FACTS)
    return _gate(
        "facts",
        _("Facts were read from the target"),
        holds=facts is not None and facts.holds,
        yes=facts.sentence if facts else "",
        no=facts.sentence if facts else _("The worker has not read the target for this change yet."),
        who=_("the worker; ask for it on this page"),
    )


def _history_pinned(rollback: RollbackRequest) -> Gate:
    """Asked again before every step: a deployment between approval and execution must not go unnoticed."""
    no = ""
    pinned = list(rollback.rollback_targets.select_related("target"))
    try:
        for rollback_target in pinned:
            history.require_pinned(rollback_target.target, rollback_target.pins)
    except Refused as refused:
        no = str(refused)
    return _gate(
        "history",
        _("The history is as it was pinned"),
        holds=bool(pinned) and not no,
        yes=_("The rows to delete are there as pinned, and nothing newer is applied above them."),
        no=no or _("The request names no target."),
        who=_("the requester; newer migrations have to go along"),
        needed=Needed.APPROVE,
    )


def _checklist_done(rollback: RollbackRequest) -> Gate:
    open_points = [point.label for point in checklist.points(rollback) if not point.done]
    return _gate(
        "checklist",
        _("Pre-rollback checklist"),
        holds=not open_points,
        yes=_("All five points are filled."),
        no=_("Open: %(points)s.") % {"points": "; ".join(str(point) for point in open_points)},
        who=_("the requester and the worker"),
        needed=Needed.APPROVE,
    )


def _file_settled(rollback: RollbackRequest) -> Gate:
    lacking = []
    if not (rollback.frozen_by and rollback.frozen_until):
        lacking.append(_("who froze deployments and until when"))
    elif rollback.frozen_until <= timezone.now():
        lacking.append(_("a freeze that is not over yet"))
    if rollback.file_fate == FileFate.UNDECIDED:
        lacking.append(_("what becomes of the migration file"))
    if not rollback.app_version.strip():
        lacking.append(_("the application version that fits the old schema"))
    return _gate(
        "file",
        _("Deployments frozen, the file's fate settled"),
        holds=not lacking,
        yes=_("%(who)s froze deployments until %(until)s; the file is %(fate)s.")
        % {
            "who": rollback.frozen_by,
            "until": rollback.frozen_until and f"{rollback.frozen_until:%Y-%m-%d %H:%M} UTC",
            "fate": rollback.get_file_fate_display(),
        },
        no=_("Missing: %(what)s. Without it the next deployment applies the migration again.")
        % {"what": ", ".join(lacking)},
        who=_("the requester"),
    )


def _rehearsed(rollback: RollbackRequest) -> Gate:
    rule = policy.rule_for(rollback)
    rehearsal = latest_evidence(rollback, Evidence.Kind.REHEARSAL)
    limit = timedelta(hours=rule.rehearsal_max_age_hours) if rule.rehearsal_max_age_hours else None
    too_old = rehearsal is not None and limit is not None and timezone.now() - rehearsal.at > limit
    if not rule.rehearsal_required:
        yes, no = _("The policy asks for none here."), ""
    elif rehearsal is None:
        yes, no = "", _("These exact bytes have not been rehearsed.")
    elif too_old:
        hours = rule.rehearsal_max_age_hours or 0
        yes, no = (
            "",
            ngettext(
                "The rehearsal is older than the %(hours)d hour the policy allows.",
                "The rehearsal is older than the %(hours)d hours the policy allows.",
                hours,
            )
            % {"hours": hours},
        )
    else:
        yes = no = rehearsal.sentence
    return _gate(
        "rehearsal",
        _("Rehearsal passed with these exact bytes"),
        holds=not rule.rehearsal_required or (rehearsal is not None and rehearsal.holds and not too_old),
        yes=yes,
        no=no,
        who=_("the worker; ask for a rehearsal on this page"),
        needed=Needed.APPROVE,
    )


def _backup_evidence(rollback: RollbackRequest) -> Gate:
    rule = policy.rule_for(rollback)
    backup = latest_evidence(rollback, Evidence.Kind.BACKUP)
    return _gate(
        "backup",
        _("A backup of this target was verified by restore"),
        holds=not rule.backup_required or (backup is not None and backup.holds),
        yes=backup.sentence if backup else _("The policy asks for none here."),
        no=backup.sentence if backup else _("No verified backup yet; the rehearsal takes one."),
        who=_("the worker; ask for a rehearsal on this page"),
        needed=Needed.APPROVE,
    )


def _approved(rollback: RollbackRequest) -> Gate:
    lacking = [str(role.label) for role in policy.missing_signatures(rollback)]
    return _gate(
        "approvals",
        _("Approved by enough people"),
        holds=not lacking,
        yes=_("Every signature that the policy asks for was given."),
        no=_("Missing: %(roles)s.") % {"roles": ", ".join(lacking)},
        who=_("people with these roles who neither asked nor wrote"),
        needed=Needed.EXECUTE,
    )


def _transactional(rollback: RollbackRequest) -> Gate:
    outside = [
        str(item.migration)
        for item in rollback.items.select_related("migration", "script")
        if item.script and any(step["kind"] != "transactional" for step in item.script.plan.get("steps", []))
    ]
    return _gate(
        "transactional",
        _("Everything runs in one transaction"),
        holds=not outside,
        yes=_("No step leaves the transaction."),
        no=_(
            "%(migrations)s has steps that PostgreSQL refuses inside a transaction. They are planned and rated, "
            "but this version does not run them yet."
        )
        % {"migrations": ", ".join(outside)},
        who=_("a DBA, by hand, outside the portal"),
        needed=Needed.EXECUTE,
    )


def latest_evidence(rollback: RollbackRequest, kind: Evidence.Kind) -> Evidence | None:
    """The newest evidence of this kind for the change as it is now; older bytes prove nothing."""
    digest = rollback.change_digest or digests.change_digest(rollback)
    return rollback.evidence.filter(kind=kind, change_digest=digest).first()


JUDGES: tuple[Judge, ...] = (
    _script_readable,
    _checks_present,
    _reasons,
    _forward_fix,
    _facts_read,
    _history_pinned,
    _file_settled,
    _checklist_done,
    _rehearsed,
    _backup_evidence,
    _approved,
    _transactional,
)
