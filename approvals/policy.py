"""Who must approve what, read from the policy version that a rollback was submitted under."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from .models import (
    Approval,
    ContinuationApproval,
    Environment,
    PolicyRule,
    PolicyVersion,
    Role,
    RollbackRequest,
    RollbackTarget,
    User,
)


def current() -> PolicyVersion:
    """The newest policy version: what a rollback submitted now is held to."""
    return PolicyVersion.objects.order_by("-number")[:1].get()


def rule_for(rollback: RollbackRequest, environments: set[str] | None = None) -> PolicyRule:
    """The rule for the rollback's risk on its strictest target, under its own or else the current policy
    version.

    A rollback without a rating is held to the rule for CRITICAL. `environments` spares reading those of its
    targets.
    """
    if environments is None:
        found = rollback.rollback_targets.order_by().values_list("target__environment", flat=True)
        environments = set(found.distinct())
    policy = rollback.policy_version or current()
    return policy.rules.get(environment=strictest(environments), risk=rollback.risk or 5)


def strictest(environments: set[str]) -> Environment:
    """The environment whose rules count where a rollback has targets in these."""
    return Environment.STAGING if environments == {Environment.STAGING} else Environment.PRODUCTION


Given = TypeVar("Given", Approval, ContinuationApproval)


@dataclass(frozen=True)
class Signature(Generic[Given]):
    """One signature the policy asks for, given or still missing."""

    role: Role
    approval: Given | None


def signatures(rule: PolicyRule, approvals: Iterable[Given]) -> list[Signature[Given]]:
    """The signatures that `rule` asks for, each filled by at most one of the valid approvals, roles in any
    order.

    One person fills one line only, whichever roles they hold.
    """
    given: dict[str, list[Given]] = {Role.SENIOR_DBA.value: [], Role.PLATFORM_LEAD.value: []}
    seen: set[int] = set()
    for approval in approvals:
        if approval.approver_id not in seen:
            seen.add(approval.approver_id)
            given[approval.role].append(approval)
    lines: list[Signature[Given]] = []
    for role, count in ((Role.SENIOR_DBA, rule.senior_dbas), (Role.PLATFORM_LEAD, rule.platform_leads)):
        have = given[role.value][:count]
        lines += [Signature(role, approval) for approval in have]
        lines += [Signature(role, None)] * (count - len(have))
    return lines


def valid_approvals(rollback: RollbackRequest) -> list[Approval]:
    """Approvals that count now: not voided, of the present request digest, by people who may still
    approve."""
    return list(_counting().filter(rollback=rollback, request_digest=rollback.request_digest))


def _counting() -> QuerySet[Approval]:
    """Approvals that were not voided, by people who still hold the role they signed in."""
    return Approval.objects.filter(_counts()).select_related("approver").order_by("at", "id")


def judged() -> QuerySet[Approval]:
    """All decisions, the oldest first, each with whether it `counts`."""
    # The model names what is added here, so that pages can rely on it.
    found: QuerySet[Approval] = Approval.objects.annotate(  # type: ignore[no-redef]
        counts=Case(When(_counts(), then=True), default=False)
    )
    return found.select_related("approver").order_by("at", "id")


def _counts() -> Q:
    roles = User.groups.through.objects.filter(user=OuterRef("approver"), group__name=OuterRef("role"))
    return Q(Exists(roles), decision=Approval.Decision.APPROVE, voided_at=None, approver__is_active=True)


def valid_of(rollback: RollbackRequest, decisions: Iterable[Approval]) -> list[Approval]:
    """`valid_approvals` of decisions that were read already, from `judged`."""
    return [each for each in decisions if each.counts and each.request_digest == rollback.request_digest]


def missing_signatures(rollback: RollbackRequest, rule: PolicyRule | None = None) -> list[Role]:
    """The roles whose signatures are still missing, one entry per missing signature. `rule` (of `rule_for`)
    spares reading it."""
    lines = signatures(rule or rule_for(rollback), valid_approvals(rollback))
    return [line.role for line in lines if line.approval is None]


def missing_by_rollback(rollbacks: Sequence[RollbackRequest]) -> dict[int, list[Role]]:
    """`missing_signatures` of many submitted rollbacks at once, by primary key; three queries."""
    rules = {(r.policy_id, r.environment, r.risk): r for r in PolicyRule.objects.all()}
    environments: dict[int, set[str]] = defaultdict(set)
    keys = [0, *(rollback.pk for rollback in rollbacks)]  # as many queries for none as for many
    pairs = RollbackTarget.objects.filter(rollback__in=keys)
    for rollback_id, environment in pairs.values_list("rollback_id", "target__environment"):
        environments[rollback_id].add(environment)
    given: dict[int, list[Approval]] = defaultdict(list)
    for approval in _counting().filter(rollback__in=keys, request_digest=F("rollback__request_digest")):
        given[approval.rollback_id].append(approval)
    missing = {}
    for rollback in rollbacks:
        policy_id = rollback.policy_version_id or 0  # 0 is no policy's: a submitted rollback has one
        rule = rules[policy_id, strictest(environments[rollback.pk]), rollback.risk or 5]
        lines = signatures(rule, given[rollback.pk])
        missing[rollback.pk] = [line.role for line in lines if line.approval is None]
    return missing


def review_period(rule: PolicyRule) -> timedelta:
    """How long a submitted rollback may wait for its decisions."""
    return timedelta(hours=rule.review_hours)


def execution_period(rule: PolicyRule) -> timedelta:
    """How long an approved rollback may wait for its execution."""
    return timedelta(hours=rule.execution_hours)
