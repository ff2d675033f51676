"""The policy: who must approve what by risk and environment, and whose signature fills which line."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from approvals import policy, rollbacks
from approvals.analysis import Risk
from approvals.models import Approval, Environment, PolicyRule, PolicyVersion, Role, RollbackRequest, Status
from tests.approvals.factories import World, again, decide, rollback_in

DBA, LEAD = Role.SENIOR_DBA, Role.PLATFORM_LEAD

# environment, risk → the signatures, the age a rehearsal may have, whether it and a backup are needed
TABLE: dict[tuple[str, Risk], tuple[list[Role], timedelta | None, bool]] = {
    ("production", Risk.MINIMAL): ([DBA], None, True),
    ("production", Risk.LOW): ([DBA], None, True),
    ("production", Risk.MEDIUM): ([DBA], None, True),
    ("production", Risk.HIGH): ([DBA, DBA], timedelta(days=7), True),
    ("production", Risk.CRITICAL): ([DBA, DBA, LEAD], timedelta(hours=24), True),
    ("staging", Risk.MINIMAL): ([], None, False),
    ("staging", Risk.LOW): ([], None, False),
    ("staging", Risk.MEDIUM): ([], None, False),
    ("staging", Risk.HIGH): ([DBA], None, False),
    ("staging", Risk.CRITICAL): ([DBA], None, False),
}


@pytest.mark.integration
@pytest.mark.parametrize("risk", list(Risk))
@pytest.mark.parametrize("environment", Environment.values)
def test_the_first_policy_asks_for_what_was_agreed(environment: str, risk: Risk, world: World) -> None:
    where = {"production": "production", "staging": "staging"}[environment]
    rollback = rollback_in(world, Status.DRAFT, where)
    rollback.risk = risk
    signatures, age, backup = TABLE[environment, risk]
    rule = policy.rule_for(rollback)
    assert policy.missing_signatures(rollback) == signatures
    hours = rule.rehearsal_max_age_hours
    assert (timedelta(hours=hours) if hours else None) == age
    assert (rule.rehearsal_required, rule.backup_required) == (backup, backup)
    assert (policy.review_period(rule), policy.execution_period(rule)) == (
        timedelta(hours=72),
        timedelta(hours=24),
    )


@pytest.mark.integration
def test_what_is_not_rated_is_held_to_the_rule_for_critical(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollback.risk = None
    assert policy.missing_signatures(rollback) == [DBA, DBA, LEAD]


@pytest.mark.integration
def test_a_request_without_a_target_is_held_to_the_rule_for_production(world: World) -> None:
    rollback = RollbackRequest(service=world.service, requester=world.alice, risk=1)
    rollback.save()
    assert policy.rule_for(rollback).environment == "production"


@pytest.mark.integration
def test_a_submitted_rollback_keeps_its_policy_and_a_new_one_gets_the_new(world: World) -> None:
    submitted = rollback_in(world, Status.IN_REVIEW)
    stricter = PolicyVersion.objects.create(number=2, note="Two for everything")
    for rule in PolicyRule.objects.filter(policy__number=1):
        two = max(rule.senior_dbas, 2) if rule.environment == "production" else rule.senior_dbas
        PolicyRule.objects.create(
            policy=stricter,
            environment=rule.environment,
            risk=rule.risk,
            senior_dbas=two,
            platform_leads=rule.platform_leads,
            rehearsal_required=rule.rehearsal_required,
            backup_required=rule.backup_required,
        )
    assert policy.current() == stricter
    assert policy.missing_signatures(submitted) == [DBA]
    new = rollbacks.submit(rollback_in(world, Status.DRAFT), actor=world.alice)
    assert (new.policy_version, policy.missing_signatures(new)) == (stricter, [DBA, DBA])


# Whose signature fills which line


def rule(dbas: int, leads: int) -> PolicyRule:
    return PolicyRule(senior_dbas=dbas, platform_leads=leads)


def filled(lines: list[policy.Signature]) -> list[tuple[Role, int | None]]:
    return [(line.role, line.approval.approver_id if line.approval else None) for line in lines]


@pytest.mark.parametrize("order", list(itertools.permutations([(1, DBA), (2, DBA), (3, LEAD)])))
def test_roles_sign_in_any_order(order: tuple[tuple[int, Role], ...]) -> None:
    approvals = [Approval(approver_id=person, role=role) for person, role in order]
    lines = policy.signatures(rule(2, 1), approvals)
    assert sorted(filled(lines), key=str) == sorted([(DBA, 1), (DBA, 2), (LEAD, 3)], key=str)


def test_what_is_missing_stays_a_line() -> None:
    lines = policy.signatures(rule(2, 1), [Approval(approver_id=3, role=LEAD)])
    assert filled(lines) == [(DBA, None), (DBA, None), (LEAD, 3)]


def test_one_person_with_two_roles_fills_the_first_line_they_signed() -> None:
    approvals = [Approval(approver_id=1, role=LEAD), Approval(approver_id=1, role=DBA)]
    assert filled(policy.signatures(rule(1, 1), approvals)) == [(DBA, None), (LEAD, 1)]


@given(
    dbas=st.integers(0, 4),
    leads=st.integers(0, 2),
    given_=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([DBA, LEAD])), max_size=8),
)
def test_nobody_fills_two_lines_whatever_they_sign(
    dbas: int, leads: int, given_: list[tuple[int, Role]]
) -> None:
    lines = policy.signatures(rule(dbas, leads), [Approval(approver_id=p, role=r) for p, r in given_])
    people = [line.approval.approver_id for line in lines if line.approval]
    assert len(people) == len(set(people))
    assert [line.role for line in lines] == [DBA] * dbas + [LEAD] * leads
    assert all(line.approval is None or line.approval.role == line.role for line in lines)
    enough = len({p for p, _ in given_}) >= dbas + leads
    assert enough or any(line.approval is None for line in lines) or dbas + leads == 0


@pytest.mark.integration
def test_the_missing_of_many_rollbacks_is_that_of_each(world: World) -> None:
    one_of_two = decide(world, rollback_in(world, Status.IN_REVIEW, "high"), world.dora)
    found = [
        again(one_of_two),
        *(rollback_in(world, Status.IN_REVIEW, on) for on in ("production", "critical")),
        *(rollback_in(world, Status.APPROVED, on) for on in ("production", "high", "critical")),
    ]
    assert policy.missing_by_rollback(found) == {each.pk: policy.missing_signatures(each) for each in found}


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["voided", "another digest", "a refusal"])
def test_what_does_not_count(kind: str, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    if kind == "voided":
        rollbacks.void_approvals(rollback, why="test")
    if kind == "another digest":
        rollback.request_digest = "0" * 64
    if kind == "a refusal":
        rollback = decide(
            world, rollback_in(world, Status.IN_REVIEW, "high"), world.dora, Approval.Decision.REQUEST_CHANGES
        )
    assert policy.valid_approvals(rollback) == []


# The floors below every policy, held by the database


@pytest.mark.integration
@pytest.mark.parametrize(
    ("environment", "risk", "fields", "constraint"),
    [
        ("production", 1, {"senior_dbas": 0}, "floor_production_one_approver"),
        ("production", 3, {"senior_dbas": 0}, "floor_production_one_approver"),
        ("production", 4, {"senior_dbas": 1}, "floor_high_two_approvers"),
        ("production", 5, {"senior_dbas": 1, "platform_leads": 0}, "floor_high_two_approvers"),
        ("production", 1, {"rehearsal_required": False}, "floor_production_rehearsed_and_backed_up"),
        ("production", 1, {"backup_required": False}, "floor_production_rehearsed_and_backed_up"),
        ("production", 0, {}, "rule_for_a_known_risk"),
        ("staging", 6, {}, "rule_for_a_known_risk"),
        ("production", 2, {"senior_dbas": 0, "platform_leads": 1}, ""),
        ("production", 4, {"senior_dbas": 1, "platform_leads": 1}, ""),
        ("staging", 5, {"senior_dbas": 0, "rehearsal_required": False, "backup_required": False}, ""),
    ],
)
def test_no_policy_goes_below_the_floors(
    environment: str, risk: int, fields: dict[str, object], constraint: str, world: World
) -> None:
    version = PolicyVersion.objects.create(number=2)
    enough: dict[str, object] = {"senior_dbas": 2, "rehearsal_required": True, "backup_required": True}
    new = PolicyRule(policy=version, environment=environment, risk=risk, **(enough | fields))
    if not constraint:
        new.save()
        return
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        new.save()
    assert error.value.__cause__.diag.constraint_name == constraint  # type: ignore[union-attr]


def test_every_rule_of_the_table_is_named() -> None:
    assert set(TABLE) == {(environment, risk) for environment in Environment.values for risk in Risk}
