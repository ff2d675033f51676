"""The exception instead of a backup: somebody asks for it, two senior DBAs and a platform lead sign.

Only where a worker found that the target is above its limit and that what the policy then asks for can't be
had; below the limit a verified dump always can. Whatever lesser backup can be had is taken all the same, no
other gate is skipped, and what passes by it is shown as forced (`approvals.gates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, grades, second_person, workflow
from .decisions import require_confirmed
from .errors import Denied, Refused
from .known import Known
from .models import (
    BackupException,
    ExceptionSignature,
    Execution,
    Role,
    RollbackRequest,
    Status,
    User,
)

ASKS = frozenset({Role.ENGINEER, Role.OPS})
SIGNS = frozenset(BackupException.SIGNATURES)
# Also while it runs: over a fleet, or partly done, the next backup may turn out not to be had.
ASKABLE = (Status.IN_REVIEW, Status.APPROVED, Status.EXECUTING)
LONGEST_HOURS = 72


def lasts() -> timedelta:
    """How long it counts from asking on; nothing where it is switched off. The database allows three days."""
    return timedelta(hours=min(max(settings.BACKUP_EXCEPTION_HOURS, 0), LONGEST_HOURS))


def why_not_ask(rollback: RollbackRequest, actor: User, known: Known | None = None) -> str:
    """Why this person can't ask now, as a sentence; empty if they can."""
    known = known or Known(rollback)
    if not lasts():
        return _("There is no exception from backups here: that is switched off.")
    if why := _why_not_theirs(rollback, actor):
        return why
    if rollback.status not in ASKABLE:
        return _("An exception is only for what is in review, approved or under way.")
    if any(each.waits and each.counts_for(rollback) for each in known.backup_exceptions):
        return _("Somebody asked already; it waits for signatures.")
    if any(each.in_force(rollback, known.now) for each in known.backup_exceptions):
        return _("One is in force already.")
    if not known.rule.backup_required:
        return _("The policy asks for no backup here.")
    return "" if known.beyond_reach else grades.always_below_the_limit()


def _why_not_theirs(rollback: RollbackRequest, actor: User) -> str:
    if Role.OPS in actor.roles or access.owns(actor, rollback.service_id):
        return ""
    return _("Only ops, or an engineer of the team that owns %(service)s, can ask for that.") % {
        "service": rollback.service
    }


def ask(rollback: RollbackRequest, *, reason: str, digest: str, actor: User) -> BackupException:
    """Ask that this rollback, as it was read (`digest` of the request), may run without the backup that can't
    be had. Nothing changes before three others sign. Raises Denied, Refused or Conflict."""
    with audit.unit_of_work("backup_exception.asked", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        if why := _why_not_theirs(rollback, actor):
            raise Denied(why)
        workflow.require(rollback, ASKABLE, digest=digest)
        known = Known(rollback)
        if why := why_not_ask(rollback, actor, known):
            raise Refused(why)
        if not reason.strip():
            raise Refused(_("Say why it can't wait for a backup; whoever signs reads it."))
        asked = BackupException.objects.create(
            rollback=rollback,
            change_digest=rollback.change_digest,
            evidence=known.beyond_reach[0],
            reason=reason.strip(),
            proposed_by=actor,
            proposed_at=known.now,
            expires_at=known.now + lasts(),
        )
        facts |= _facts_of(asked)
    return asked


def why_not_sign(asked: BackupException, rollback: RollbackRequest, actor: User) -> str:
    """Why this person can't be one of the three, as a sentence; empty if they can."""
    if not actor.roles & SIGNS:
        return second_person.role_words(SIGNS)
    if actor.pk == asked.proposed_by_id:
        return _("You asked for it, so others have to sign it.")
    if actor.pk == rollback.requester_id:
        return _("You asked for this rollback, so others have to sign it.")
    if workflow.is_author(rollback, actor):
        return _("You are an author of a script in this rollback, so others have to sign it.")
    if any(each.person_id == actor.pk for each in asked.signatures.all()):
        return _("You have signed it; the others have to be other people.")
    if _role_of(asked, actor) is None:
        return _("The signature of your role was given.")
    return ""


def _role_of(asked: BackupException, actor: User) -> Role | None:
    """As what this person would sign, the scarcer role first; None where none of theirs is missing."""
    missing = set(asked.missing) & actor.roles
    return next((role for role in (Role.PLATFORM_LEAD, Role.SENIOR_DBA) if role in missing), None)


def sign(
    asked: BackupException, *, actor: User, confirmed_at: datetime | None, label: str = ""
) -> BackupException:
    """One of the three signatures; with the last of them it is in force, until it is over.

    `confirmed_at` is when they proved who they are, at most five minutes ago; `label` is the rollback's, as
    they typed it to say that they have read what will not come back. Raises Denied or Refused.
    """
    with audit.unit_of_work("backup_exception.signed", actor=actor, rollback=asked.rollback) as facts:
        rollback, asked = _locked(asked)
        if why := why_not_sign(asked, rollback, actor):
            raise Denied(why)
        workflow.require(rollback, ASKABLE)
        if not asked.waits:
            raise Refused(_("It waits for no signature any more."))
        if not asked.counts_for(rollback):
            raise Refused(_("%(label)s was changed since somebody asked.") % {"label": rollback.label})
        if label.strip().upper() != rollback.label:
            raise Refused(
                _("Type %(label)s to say that you read what will not come back.") % {"label": rollback.label}
            )
        proved_at, now = require_confirmed(confirmed_at)
        role = _role_of(asked, actor)
        assert role is not None  # noqa: S101 (the reason not to sign says so)
        ExceptionSignature.objects.create(
            exception=asked, person=actor, role=role, signed_at=now, proved_at=proved_at
        )
        asked.refresh_from_db(fields=["granted_at"])
        facts |= _facts_of(asked) | {"as": role, "granted": asked.granted_at is not None}
    return of(rollback).get(pk=asked.pk)


def dismiss(asked: BackupException, *, actor: User) -> BackupException:
    """Say no to what lacks a signature, or take back what one asked for. Raises Denied or Refused."""
    with audit.unit_of_work("backup_exception.dismissed", actor=actor, rollback=asked.rollback) as facts:
        _rollback, asked = _locked(asked)
        second_person.require(actor, ASKS | SIGNS)
        if not asked.waits:
            raise Refused(_("It waits for no signature any more."))
        asked.removed_by, asked.removed_at = actor, timezone.now()
        asked.save()
        facts |= _facts_of(asked)
    return asked


def of(rollback: RollbackRequest) -> QuerySet[BackupException]:
    """Every exception of a rollback, newest first, with the people in it and its signatures."""
    found = rollback.backup_exceptions.select_related(*BackupException.PEOPLE)
    return found.prefetch_related("signatures__person")


def granted(rollback: RollbackRequest) -> Sequence[BackupException]:
    """Those that were granted, whether they are over or not; no query where there never was one."""
    return list(of(rollback).filter(granted_at__isnull=False)) if rollback.excepted else []


def behind(execution: Execution) -> Sequence[BackupException]:
    """Those in whose name an execution's backups are less than the policy asks for; no query where its
    rollback never had one."""
    rollback = execution.rollback_target.rollback
    if not rollback.excepted:
        return []
    return list(of(rollback).filter(backups__execution=execution).distinct())


def in_force(pk: int, change: str) -> BackupException | None:
    """The one that lets this change of a rollback run without that backup, as the database has it now."""
    rollback = RollbackRequest.objects.get(pk=pk)
    if change != rollback.change_digest or not rollback.excepted:
        return None
    now = timezone.now()
    return next((each for each in of(rollback) if each.in_force(rollback, now)), None)


def _locked(asked: BackupException) -> tuple[RollbackRequest, BackupException]:
    """The rollback and this, both locked, in the order in which everybody locks them."""
    rollback = workflow.locked(asked.rollback)
    fresh = BackupException.objects.select_for_update(of=("self",), no_key=True).get(pk=asked.pk)
    fresh.rollback = rollback
    return rollback, fresh


def _facts_of(asked: BackupException) -> dict[str, object]:
    """What it says, as events keep it: free text by its digest."""
    return {
        "backup_exception": asked.pk,
        "change": asked.change_digest,
        "until": audit.stamp(asked.expires_at),
        **audit.digests(asked, "reason"),
    }
