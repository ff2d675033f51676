"""Who must approve what, read from the policy version that a rollback was submitted under."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from .models import Approval, Environment, PolicyRule, PolicyVersion, Role, RollbackRequest


def current() -> PolicyVersion:
    """The newest policy version: what a rollback submitted now is held to."""
    return PolicyVersion.objects.order_by("-number")[:1].get()


def rule_for(rollback: RollbackRequest) -> PolicyRule:
    """The rule for the rollback's risk on its strictest target, under its own or else the current policy version.

    A rollback without a rating is held to the rule for CRITICAL.
    """
    environments = set(rollback.rollback_targets.values_list("target__environment", flat=True))
    environment = Environment.STAGING if environments == {Environment.STAGING} else Environment.PRODUCTION
    policy = rollback.policy_version or current()
    return policy.rules.get(environment=environment, risk=rollback.risk or 5)


@dataclass(frozen=True)
class Signature:
    """One signature the policy asks for, given or still missing."""

    role: Role
    approval: Approval | None


def signatures(rule: PolicyRule, approvals: Iterable[Approval]) -> list[Signature]:
    """The signatures that `rule` asks for, each filled by at most one of the valid approvals, roles in any order.

    One person fills one line only, whichever roles they hold.
    """
    given: dict[str, list[Approval]] = {Role.SENIOR_DBA.value: [], Role.PLATFORM_LEAD.value: []}
    seen: set[int] = set()
    for approval in approvals:
        if approval.approver_id not in seen:
            seen.add(approval.approver_id)
            given[approval.role].append(approval)
    lines = []
    for role, count in ((Role.SENIOR_DBA, rule.senior_dbas), (Role.PLATFORM_LEAD, rule.platform_leads)):
        have = given[role.value][:count]
        lines += [Signature(role, approval) for approval in have]
        lines += [Signature(role, None)] * (count - len(have))
    return lines


def valid_approvals(rollback: RollbackRequest) -> list[Approval]:
    """Approvals that count now: not voided, of the present request digest, by people who may still approve."""
    found = (
        rollback.approvals.filter(
            decision=Approval.Decision.APPROVE,
            voided_at=None,
            request_digest=rollback.request_digest,
            approver__is_active=True,
        )
        .select_related("approver")
        .prefetch_related("approver__groups")
        .order_by("at", "id")
    )
    return [a for a in found if a.role in {group.name for group in a.approver.groups.all()}]


def missing_signatures(rollback: RollbackRequest) -> list[Role]:
    """The roles whose signatures are still missing, one entry per missing signature."""
    lines = signatures(rule_for(rollback), valid_approvals(rollback))
    return [line.role for line in lines if line.approval is None]


def review_period(rule: PolicyRule) -> timedelta:
    """How long a submitted rollback may wait for its decisions."""
    return timedelta(hours=rule.review_hours)


def execution_period(rule: PolicyRule) -> timedelta:
    """How long an approved rollback may wait for its execution."""
    return timedelta(hours=rule.execution_hours)
