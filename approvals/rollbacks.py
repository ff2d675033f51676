"""The requester's verbs: ask for a rollback, edit it, submit it, withdraw it; and what time does to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, alike, audit, digests, gates, history, jobs, policy, proofs, rating, workflow
from .analysis import Risk
from .errors import Conflict, Denied, Refused
from .models import (
    Approval,
    Evidence,
    HistoryTreatment,
    Job,
    Migration,
    RollbackItem,
    RollbackRequest,
    RollbackScript,
    RollbackTarget,
    Status,
    Target,
    User,
)

# What the requester fills in; everything else is worked out.
FIELDS = frozenset(
    {"incident", "urgency", "reason", "forward_fix", "history_treatment", "file_fate"}
    | {"frozen_by", "frozen_until", "app_version"}
)


def create(target: Target, migrations: Sequence[Migration], *, actor: User, **fields: Any) -> RollbackRequest:
    """Make a draft that takes back `migrations` on `target`, newest first, and ask the worker for the facts.

    Takes the newest script of each migration. Raises Denied for anybody but an engineer of the owning team,
    and Refused where a migration is not applied, differs from its file, or newer ones above it are not
    included.
    """
    with audit.unit_of_work("rollback.created", actor=actor, target=target) as facts:
        if not access.owns(actor, target.service_id):
            raise Denied(
                _("Only an engineer of the team that owns %(service)s can ask.") % {"service": target.service}
            )
        rollback = RollbackRequest(service=target.service, requester=actor)
        _assign(rollback, fields)
        rollback.save()
        _choose(rollback, [target], history.require_newest_on([target], migrations))
        _reckon(rollback)
        _ask_for_facts(rollback, actor)
        _ask_for_proofs(rollback, actor)
        facts.about(rollback=rollback)
        facts |= {"versions": _versions(rollback), "change": rollback.change_digest}
    return rollback


def edit(
    rollback: RollbackRequest,
    *,
    actor: User,
    revision: int,
    migrations: Sequence[Migration] | None = None,
    scripts: Iterable[RollbackScript] = (),
    targets: Sequence[Target] | None = None,
    **fields: Any,
) -> RollbackRequest:
    """Change a request. It becomes a draft again and every approval given so far is void.

    `revision` is the one the page showed: a different one now raises Conflict. `scripts` replace the scripts
    of their migrations' items. `targets`, the canary first, make it a fleet. Raises Denied for anybody but
    the requester, Refused for a script of another migration, and for targets that are not alike.
    """
    with audit.unit_of_work("rollback.edited", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.REQUESTER)
        workflow.require(rollback, workflow.EDITABLE)
        if revision != rollback.revision:
            raise Conflict(
                _("Somebody edited %(label)s meanwhile. Your text is kept below.") % {"label": rollback.label}
            )
        facts["voided"] = void_approvals(rollback, why="edited")
        if rollback.status != Status.DRAFT:
            workflow.move(rollback, Status.DRAFT, actor=actor)
        _assign(rollback, fields)
        rollback.revision += 1
        rollback.request_digest, rollback.policy_version = "", None
        rollback.submitted_at = rollback.approved_at = rollback.expires_at = None
        rollback.save()
        if migrations is not None or targets is not None:
            _choose_anew(rollback, migrations, targets)
        for script in scripts:
            if not rollback.items.filter(migration_id=script.migration_id).update(script=script):
                raise Refused(_("%(migration)s is not in this request.") % {"migration": script.migration})
        before = rollback.change_digest
        _reckon(rollback)
        if rollback.change_digest != before or targets is not None:
            _ask_for_facts(rollback, actor)
        _ask_for_proofs(rollback, actor)
        facts |= {"fields": sorted(fields), "versions": _versions(rollback), "change": rollback.change_digest}
        if targets is not None:
            facts["targets"] = [target.name for target in targets]
    return rollback


def submit(rollback: RollbackRequest, *, actor: User) -> RollbackRequest:
    """Send a draft to its approvers: risk, policy and both digests are fixed from here on.

    Raises Refused naming the first gate that is missing. Where the policy asks for no signature it is
    approved.
    """
    with audit.unit_of_work("rollback.submitted", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.REQUESTER)
        workflow.require(rollback, [Status.DRAFT])
        _pin(rollback)
        _reckon(rollback)
        rollback.attempts = 0
        rollback.policy_version = policy.current()
        rollback.request_digest = digests.request_digest(rollback)
        rule = policy.rule_for(rollback)
        needs_people = bool(rule.senior_dbas + rule.platform_leads)
        _require_gates(rollback, gates.Needed.SUBMIT if needs_people else gates.Needed.APPROVE)
        now = timezone.now()
        rollback.submitted_at, rollback.expires_at = now, now + policy.review_period(rule)
        rollback.save()
        workflow.move(rollback, Status.IN_REVIEW, actor=actor)
        if not needs_people:
            mark_approved(rollback, actor=None)
        facts |= {
            "risk": Risk(rollback.risk or Risk.CRITICAL).name,
            "request": rollback.request_digest,
            "change": rollback.change_digest,
            "policy": rollback.policy_version.number,
            "urgency": rollback.urgency,
            "history_treatment": rollback.history_treatment,
            "file_fate": rollback.file_fate,
            **audit.digests(rollback, "reason", "forward_fix", "frozen_by", "app_version"),
        }
    return rollback


def withdraw(rollback: RollbackRequest, *, actor: User, reason: str) -> RollbackRequest:
    """Cancel a request before its execution begins. Raises Refused without a reason."""
    with audit.unit_of_work("rollback.withdrawn", actor=actor, rollback=rollback) as facts:
        rollback = workflow.locked(rollback)
        workflow.require_party(rollback, actor, workflow.Party.REQUESTER)
        if not reason.strip():
            raise Refused(_("Say why you withdraw it; the approvers will read it."))
        void_approvals(rollback, why="withdrawn")
        rollback.withdrawn_because = reason.strip()
        workflow.move(rollback, Status.CANCELLED, actor=actor, saving=["withdrawn_because"])
        facts["reason_sha256"] = audit.digest_of(rollback.withdrawn_because)
    return rollback


def read_facts_again(rollback: RollbackRequest, *, actor: User) -> Job:
    """Ask the worker to read the target anew. Whoever sees the rollback may ask, but for auditors."""
    with audit.unit_of_work("rollback.facts_requested", actor=actor, rollback=rollback):
        rollback = workflow.locked(rollback)
        if not access.rollbacks(actor).filter(pk=rollback.pk).exists():
            raise Denied(_("You do not see this rollback."))
        if not access.writes(actor):
            raise Denied(_("Auditors read everything and change nothing."))
        workflow.require(rollback, workflow.EDITABLE)
        bring_up_to_date(rollback)
        _ask_for_proofs(rollback, actor)
        return _ask_for_facts(rollback, actor)


def record_facts(
    rollback: RollbackRequest,
    *,
    change_digest: str,
    holds: bool,
    sentence: str,
    data: dict[str, Any],
    rollback_target: RollbackTarget | None = None,
    more: bool = False,
) -> Evidence | None:
    """The worker's answer: what it read from this target, or else from the first. None if the request changed
    while it was reading. `more`: other targets' answers follow, so that it is not worked out anew yet."""
    of = rollback_target.target if rollback_target else None
    with audit.unit_of_work("rollback.facts_read", actor=None, rollback=rollback, target=of) as facts:
        rollback = workflow.locked(rollback)
        facts |= {"change": change_digest, "holds": holds}
        if change_digest != rollback.change_digest:
            facts["stale"] = True
            return None
        evidence = Evidence.objects.create(
            rollback=rollback,
            target=(rollback_target or rollback.representative()).target,
            kind=Evidence.Kind.FACTS,
            change_digest=change_digest,
            holds=holds,
            sentence=sentence,
            data=data,
        )
        if not more:
            bring_up_to_date(rollback)
        if rollback.change_digest != change_digest:
            _ask_for_facts(rollback, None)
        return evidence


def mark_approved(rollback: RollbackRequest, *, actor: User | None) -> None:
    """Move a (locked) rollback in review to approved; from now on the time to execute it runs."""
    rollback.approved_at = timezone.now()
    rollback.expires_at = rollback.approved_at + policy.execution_period(policy.rule_for(rollback))
    rollback.save(update_fields=["approved_at", "expires_at"])
    workflow.move(rollback, Status.APPROVED, actor=actor)


def void_approvals(rollback: RollbackRequest, *, why: str) -> int:
    """Void every approval that still counts; returns how many. Refusals stay: they count for nothing."""
    return Approval.objects.filter(
        rollback=rollback, decision=Approval.Decision.APPROVE, voided_at=None
    ).update(voided_at=timezone.now(), void_reason=why)


def expire_due(now: datetime | None = None) -> int:
    """Expire what waited too long for its decisions or its execution. Returns how many."""
    due = RollbackRequest.objects.filter(
        status__in=[Status.IN_REVIEW, Status.APPROVED], expires_at__lte=now or timezone.now()
    )
    expired = 0
    for found in due:
        # Refused: somebody was faster, and there is nothing left to expire or to record.
        with suppress(Refused), audit.unit_of_work("rollback.expired", actor=None, rollback=found) as facts:
            rollback = workflow.locked(found)
            if rollback.expires_at != found.expires_at:
                raise Conflict(_("%(label)s has more time now.") % {"label": rollback.label})
            facts["was"] = rollback.status
            facts["voided"] = void_approvals(rollback, why="expired")
            workflow.move(rollback, Status.EXPIRED, actor=None)
            expired += 1
    return expired


def _assign(rollback: RollbackRequest, fields: dict[str, Any]) -> None:
    if unknown := set(fields) - FIELDS:
        raise TypeError(f"not fields of a request: {', '.join(sorted(unknown))}")
    incident = fields.get("incident")
    if incident is not None and incident.service_id != rollback.service_id:
        raise Refused(_("%(incident)s belongs to another service.") % {"incident": incident.label})
    treatment = fields.get("history_treatment", HistoryTreatment.DELETE)
    if treatment not in HistoryTreatment.values:
        raise Refused(_("Unknown treatment of the history: %(word)s.") % {"word": treatment})
    for name, value in fields.items():
        setattr(rollback, name, value)


def _choose_anew(
    rollback: RollbackRequest, migrations: Sequence[Migration] | None, targets: Sequence[Target] | None
) -> None:
    """Other migrations, or other targets; what is not given stays as it is."""
    if targets is None:
        targets = _targets_of(rollback)
    else:
        _require_fleet(rollback, targets)
    if migrations is None:
        migrations = [item.migration for item in rollback.items.select_related("migration")]
    _choose(rollback, targets, history.require_newest_on(targets, migrations))


def _targets_of(rollback: RollbackRequest) -> list[Target]:
    return [each.target for each in rollback.rollback_targets.select_related("target__service")]


def _require_fleet(rollback: RollbackRequest, targets: Sequence[Target]) -> None:
    """Raise Refused unless the service's targets may be in one request, and none that must stay leaves."""
    if not targets:
        raise Refused(_("Choose at least one target."))
    if len(targets) > alike.MOST:
        raise Refused(_("A request has at most %(most)d targets.") % {"most": alike.MOST})
    if any(target.service_id != rollback.service_id for target in targets):
        raise Refused(_("All targets of a request belong to its service."))
    for target in targets:
        if words := alike.unlike(target, targets[0]):
            raise Refused(
                _("%(target)s differs in: %(words)s.") % {"target": target, "words": ", ".join(words)}
            )
    gone = rollback.rollback_targets.exclude(target__in=targets).select_related("target")
    if stays := gone.filter(executions__isnull=False).first():
        raise Refused(_("It was rehearsed on %(target)s, which therefore stays.") % {"target": stays.target})
    gone.delete()


def _choose(
    rollback: RollbackRequest, targets: Sequence[Target], applied_on: Sequence[Sequence[history.Applied]]
) -> None:
    """Write the items, newest applied first, each with the revision that is applied and its newest script;
    and what of each target's history goes."""
    applied = applied_on[0]
    kept = {item.migration_id: item.script for item in rollback.items.select_related("script")}
    rollback.items.all().delete()
    for position, row in enumerate(applied, start=1):
        script = kept.get(row.migration.pk) or row.migration.scripts.order_by("-number").first()
        RollbackItem.objects.create(
            rollback=rollback,
            position=position,
            migration=row.migration,
            revision=row.revision,
            script=script,
        )
    # Kept where it is there: rehearsals belong to it.
    RollbackTarget.objects.bulk_create(
        [
            RollbackTarget(
                rollback=rollback, target=target, position=position, pins=[row.pin for row in found]
            )
            for position, (target, found) in enumerate(zip(targets, applied_on, strict=True), start=1)
        ],
        update_conflicts=True,
        unique_fields=["rollback", "target"],
        update_fields=["position", "pins"],
    )


def _pin(rollback: RollbackRequest) -> None:
    """Take revisions and pins from the history as last read: it may have changed since the draft was made."""
    items = list(rollback.items.select_related("migration"))
    found = list(rollback.rollback_targets.select_related("target__service"))
    targets = [each.target for each in found]
    applied = history.require_newest_on(targets, [item.migration for item in items])
    chosen = [(item.migration_id, item.revision_id) for item in items]
    if chosen != [(row.migration.pk, row.revision.pk) for row in applied[0]] or (
        [each.pins for each in found] != [[row.pin for row in rows] for rows in applied]
    ):
        _choose(rollback, targets, applied)


def bring_up_to_date(rollback: RollbackRequest) -> None:
    """Work out a (locked) draft's pins, digest and risk anew: history, files or placeholders may have
    changed.

    Where its migrations can't be taken back any more, the pins stay as they are, and the gate says why.
    """
    if rollback.status == Status.DRAFT:
        with suppress(Refused):
            _pin(rollback)
        _reckon(rollback)


def _reckon(rollback: RollbackRequest) -> None:
    """Work out the change digest, the risk and what rests on it anew, and store them."""
    rollback.change_digest = digests.change_digest(rollback)
    rated = rating.rate(rollback, gates.latest_evidence(rollback, Evidence.Kind.FACTS))
    rollback.risk, rollback.rating = int(rated.risk), rated.reasons
    rollback.automatic_checks = rated.automatic_checks
    rollback.save()


def _require_gates(rollback: RollbackRequest, needed: gates.Needed) -> None:
    if missing := gates.missing(rollback, needed):
        raise Refused(" ".join(f"{gate.title}: {gate.detail}" for gate in missing))


def _ask_for_facts(rollback: RollbackRequest, actor: User | None) -> Job:
    return jobs.ask(Job.Kind.FACTS, subject=rollback.pk, actor=actor, digest=rollback.change_digest)


def _ask_for_proofs(rollback: RollbackRequest, actor: User) -> None:
    """Of scripts that nobody examined yet: imported ones are examined when somebody needs them."""
    items = rollback.items.select_related("migration__service", "revision", "script__migration__service")
    proofs.ask_where_missing(items, target=rollback.representative().target, actor=actor)


def _versions(rollback: RollbackRequest) -> list[str]:
    return [str(item.migration) for item in rollback.items.select_related("migration")]
