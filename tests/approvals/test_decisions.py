"""Who may decide, on what, with which proof; and that one person never counts twice."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from approvals import decisions, policy, rollbacks
from approvals.analysis import Risk
from approvals.errors import Conflict, Denied, Refused
from approvals.models import Approval, Role, RollbackRequest, Status, User
from tests.approvals import factories
from tests.approvals.factories import World, again, body, decide, rollback_in, trail

pytestmark = pytest.mark.integration

APPROVE, REJECT, CHANGES = (
    Approval.Decision.APPROVE,
    Approval.Decision.REJECT,
    Approval.Decision.REQUEST_CHANGES,
)


VOIDED = {REJECT: "rejected", CHANGES: "changes requested"}


# One signature, two, three


def test_one_senior_dba_approves_a_low_risk_on_production(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert Risk(rollback.risk) <= Risk.MEDIUM
    before = timezone.now()
    approved = decide(world, rollback, world.dora)
    assert approved.status == Status.APPROVED
    assert approved.approved_at >= before
    assert approved.expires_at == approved.approved_at + timedelta(hours=24)
    facts = body("rollback.approved")["facts"]
    assert (facts["role"], facts["request"], facts["now"]) == (
        "senior_dba",
        rollback.request_digest,
        "approved",
    )


def test_a_high_risk_needs_two_senior_dbas(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    assert Risk(rollback.risk) == Risk.HIGH
    assert decide(world, rollback, world.dora).status == Status.IN_REVIEW
    assert policy.missing_signatures(again(rollback)) == [Role.SENIOR_DBA]
    assert decide(world, rollback, world.dan).status == Status.APPROVED


@pytest.mark.parametrize("order", list(itertools.permutations(("dora", "dan", "lea"))), ids="-".join)
def test_a_critical_risk_needs_two_senior_dbas_and_a_lead_in_any_order(
    order: tuple[str, ...], world: World
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    assert Risk(rollback.risk) == Risk.CRITICAL
    statuses = [decide(world, rollback, world.people[name]).status for name in order]
    assert statuses == [Status.IN_REVIEW, Status.IN_REVIEW, Status.APPROVED]


def test_a_lead_cannot_fill_a_dbas_line(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    with pytest.raises(Refused, match="No signature of a Platform lead is missing"):
        decide(world, rollback, world.lea)


def test_a_third_dba_is_not_needed(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    decide(world, rollback, world.dora)
    decide(world, rollback, world.dan)
    world.lea.groups.add(world.dan.groups.get())
    with pytest.raises(Refused, match="No signature of a Senior DBA is missing"):
        decide(world, rollback, world.again("lea"), role=Role.SENIOR_DBA)


# Who may


@pytest.mark.parametrize("decision", [APPROVE, REJECT, CHANGES])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("alice", "You asked for this rollback"),
        ("bob", "You are an author of a script"),
        ("eve", "Only a senior DBA or a platform lead"),
        ("olga", "Only a senior DBA or a platform lead"),
        ("axel", "Only a senior DBA or a platform lead"),
        ("adam", "Only a senior DBA or a platform lead"),
        ("ida", "Only a senior DBA or a platform lead"),
        ("nora", "Only a senior DBA or a platform lead"),
    ],
)
def test_nobody_else_decides_and_the_attempt_is_on_record(
    name: str, why: str, decision: Approval.Decision, world: World
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied, match=why) as denied:
        decide(world, rollback, world.people[name], decision)
    assert not rollback.approvals.exists()
    assert again(rollback).status == Status.IN_REVIEW
    verb = {APPROVE: "approved", REJECT: "rejected", CHANGES: "changes_requested"}[decision]
    event = body(f"rollback.{verb}.denied")
    assert (event["actor"], event["rollback"]) == (name, rollback.label)
    assert event["facts"] == {"why": str(denied.value)}


def test_a_denied_attempt_counts_even_where_nothing_could_be_decided(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    with pytest.raises(Denied):
        decide(world, rollback, world.alice)
    assert trail()[-1] == "rollback.approved.denied"


def test_a_requester_with_every_role_cannot_approve_their_own(world: World) -> None:
    for name in ("dora", "lea", "olga", "adam"):
        world.alice.groups.add(*world.people[name].groups.all())
    rollback = rollback_in(world, Status.IN_REVIEW)
    for role in (Role.SENIOR_DBA, Role.PLATFORM_LEAD):
        with pytest.raises(Denied, match="You asked for this rollback"):
            decide(world, rollback, world.again("alice"), role=role)


def by_ada(world: World, version: str) -> RollbackRequest:
    """A rollback whose script has a last revision by a senior DBA of the team."""
    factories.write_script(world, version, sql=factories.UNDO[version] + "-- by ada\n", actor=world.ada)
    return factories.in_review(world, {"3": "production", "4": "high"}[version])


def test_a_senior_dba_cannot_approve_what_they_wrote(world: World) -> None:
    rollback = by_ada(world, "3")
    with pytest.raises(Denied, match="You are an author of a script in this rollback"):
        decide(world, rollback, world.ada)
    assert trail()[-1] == "rollback.approved.denied"


def test_an_author_of_an_earlier_revision_of_the_script_is_an_author(world: World) -> None:
    factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n", actor=world.ada)
    factories.write_script(world, "3", sql=factories.UNDO["3"], actor=world.bob)
    rollback = factories.in_review(world)
    with pytest.raises(Denied, match="author"):
        decide(world, rollback, world.ada)


def test_an_author_of_a_check_alone_is_an_author(world: World) -> None:
    check = factories.CHECK["3"]
    factories.write_script(world, "3", checks=[check, check], actor=world.ada)
    rollback = factories.in_review(world)
    with pytest.raises(Denied, match="author"):
        decide(world, rollback, world.ada)


def test_an_author_of_another_script_may_decide(world: World) -> None:
    factories.write_script(world, "4", sql=factories.UNDO["4"] + "-- by ada\n", actor=world.ada)
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert decide(world, rollback, world.ada).status == Status.APPROVED


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("dora", Role.PLATFORM_LEAD),
        ("lea", Role.SENIOR_DBA),
        ("dora", Role.OPS),
        ("dora", Role.ENGINEER),
    ],
)
def test_nobody_signs_in_a_role_they_do_not_hold(name: str, role: Role, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied, match=f"You can't sign as {role.label}."):
        decide(world, rollback, world.people[name], role=role)
    assert trail()[-1] == "rollback.approved.denied"


# Distinct people


def test_the_same_person_approves_once(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    decide(world, rollback, world.dora)
    with pytest.raises(Conflict, match="You have already approved this"):
        decide(world, rollback, world.dora)
    assert rollback.approvals.count() == 1


def test_somebody_with_two_roles_fills_one_line_only(world: World) -> None:
    world.dora.groups.add(world.lea.groups.get())
    dora = world.again("dora")
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    assert decisions.roles_to_give(rollback, dora) == [Role.SENIOR_DBA, Role.PLATFORM_LEAD]
    decide(world, rollback, dora, role=Role.PLATFORM_LEAD)
    with pytest.raises(Conflict):
        decide(world, rollback, dora, role=Role.SENIOR_DBA)
    assert policy.missing_signatures(again(rollback)) == [Role.SENIOR_DBA, Role.SENIOR_DBA]


def test_the_role_that_is_missing_is_offered_first(world: World) -> None:
    world.lea.groups.add(world.dan.groups.get())
    lea = world.again("lea")
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    assert decisions.roles_to_give(again(rollback), lea) == [Role.SENIOR_DBA, Role.PLATFORM_LEAD]
    decide(world, rollback, world.dora)
    decide(world, rollback, world.dan)
    assert decisions.roles_to_give(again(rollback), lea) == [Role.PLATFORM_LEAD, Role.SENIOR_DBA]


def test_an_approval_counts_only_as_long_as_its_giver_may_give_it(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "high")
    assert policy.missing_signatures(rollback) == []
    world.dora.groups.clear()
    assert policy.missing_signatures(rollback) == [Role.SENIOR_DBA]
    User.objects.filter(username="dan").update(is_active=False)
    assert policy.missing_signatures(rollback) == [Role.SENIOR_DBA, Role.SENIOR_DBA]


# What is decided on


def test_a_decision_binds_to_the_digest_that_was_read(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    read = rollback.request_digest
    rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Another reason.")
    rollbacks.submit(rollback, actor=world.alice)
    with pytest.raises(Conflict, match="was changed since you opened the page"):
        decide(world, rollback, world.dora, digest=read)
    assert decide(world, rollback, world.dora).status == Status.APPROVED


def test_an_edit_voids_approvals_even_if_the_words_come_back_as_they_were(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    words, digest = rollback.reason, rollback.request_digest
    decide(world, rollback, world.dora)
    edited = rollbacks.edit(rollback, actor=world.alice, revision=1, reason="x")
    rollbacks.edit(edited, actor=world.alice, revision=2, reason=words)
    rollback = rollbacks.submit(rollback, actor=world.alice)
    assert rollback.request_digest != digest
    assert policy.missing_signatures(rollback) == [Role.SENIOR_DBA, Role.SENIOR_DBA]
    approval = rollback.approvals.get()
    assert (approval.void_reason, approval.voided_at is not None) == ("edited", True)
    assert decide(world, rollback, world.dora).status == Status.IN_REVIEW


@pytest.mark.parametrize("decision", [APPROVE, REJECT, CHANGES])
@pytest.mark.parametrize("status", Status)
def test_decisions_fit_statuses(status: Status, decision: Approval.Decision, world: World) -> None:
    rollback = rollback_in(world, status)
    fits = status == Status.IN_REVIEW or (status == Status.APPROVED and decision != APPROVE)
    if fits:
        goal = {APPROVE: "approved", REJECT: "rejected", CHANGES: "changes_requested"}[decision]
        assert decide(world, rollback, world.dan, decision).status == goal
    else:
        label = Status(status).label.lower()
        with pytest.raises(Refused, match=f"is {label} now, so this can't be done."):
            decide(world, rollback, world.dan, decision)
        assert again(rollback).status == status


def test_what_is_missing_is_named_before_anybody_signs(world: World) -> None:
    rollback = rollbacks.submit(factories.draft(world), actor=world.alice)
    with pytest.raises(Refused) as refused:
        decide(world, rollback, world.dora)
    assert "These exact bytes have not been rehearsed." in str(refused.value)
    assert "Nothing depends on what goes; Stakeholders are notified" in str(refused.value)
    factories.confirm_checklist(world, rollback)
    factories.rehearse(world, rollback)
    assert decide(world, rollback, world.dora).status == Status.APPROVED


def test_when_the_time_to_decide_is_over_nobody_approves(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    RollbackRequest.objects.filter(pk=rollback.pk).update(expires_at=timezone.now())
    with pytest.raises(Refused, match=f"The time to decide on {rollback.label} is over."):
        decide(world, rollback, world.dora)


# Proof of identity


@pytest.mark.parametrize("decision", [APPROVE, REJECT, CHANGES])
@pytest.mark.parametrize(
    "ago",
    [None, timedelta(minutes=5, seconds=1), timedelta(days=1), timedelta(seconds=-30)],
    ids=["never", "too long ago", "yesterday", "in the future"],
)
def test_without_a_fresh_proof_of_identity_nothing_is_decided(
    ago: timedelta | None, decision: Approval.Decision, world: World
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    confirmed_at = None if ago is None else timezone.now() - ago
    with pytest.raises(Refused, match="Confirm your password first; a confirmation lasts five minutes"):
        decide(world, rollback, world.dora, decision, confirmed_at=confirmed_at)
    assert not rollback.approvals.exists()


def test_a_proof_of_four_minutes_ago_is_kept_with_the_approval(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    confirmed_at = timezone.now() - timedelta(minutes=4)
    decide(world, rollback, world.dora, confirmed_at=confirmed_at)
    assert rollback.approvals.get().confirmed_at == confirmed_at


# Words


def test_below_high_nothing_has_to_be_acknowledged(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert decisions.acknowledgement(rollback) == ""
    assert decide(world, rollback, world.dora, acknowledged="").status == Status.APPROVED


def test_a_critical_approval_is_typed_with_what_goes(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    words = decisions.acknowledgement(rollback)
    assert words == "transactions: 120,000 rows"
    for wrong in ("", "transactions", "transactions: 120,001 rows", "yes"):
        with pytest.raises(
            Refused, match="Acknowledge what stays lost, in these words: transactions: 120,000 rows"
        ):
            decide(world, rollback, world.lea, acknowledged=wrong)
    decide(world, rollback, world.lea, acknowledged="  Transactions:\n120,000   ROWS ")
    assert rollback.approvals.get().acknowledged == "Transactions:\n120,000   ROWS"
    assert body("rollback.approved")["facts"]["acknowledged"] == "Transactions:\n120,000   ROWS"


def test_a_high_approval_acknowledges_that_no_data_goes(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    assert decisions.acknowledgement(rollback) == "no data goes"
    with pytest.raises(Refused, match="no data goes"):
        decide(world, rollback, world.dora, acknowledged="")


def test_an_unrated_rollback_is_acknowledged_like_a_critical_one(world: World) -> None:
    rollback = factories.draft(world)
    rollback.risk = None
    assert decisions.acknowledgement(rollback) == "no data goes"


@pytest.mark.parametrize("decision", [REJECT, CHANGES])
def test_whoever_says_no_says_why(decision: Approval.Decision, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Refused, match="Say why"):
        decide(world, rollback, world.dora, decision, comment="  ")


@pytest.mark.parametrize("decision", [REJECT, CHANGES])
def test_a_no_voids_the_yeses_and_stays_itself(decision: Approval.Decision, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "high")
    decide(world, rollback, world.lea, decision)
    found = list(rollback.approvals.order_by("at").values_list("decision", "void_reason"))
    assert found == [("approve", VOIDED[decision]), ("approve", VOIDED[decision]), (decision.value, "")]


@pytest.mark.parametrize("decision", [REJECT, CHANGES])
def test_an_approver_may_think_again(decision: Approval.Decision, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    decide(world, rollback, world.dora)
    decide(world, rollback, world.dora, decision)
    found = list(rollback.approvals.order_by("at").values_list("decision", "void_reason"))
    assert found == [("approve", VOIDED[decision]), (decision.value, "")]


# Races, in two real connections


def at_once(
    superuser: psycopg.Connection[Any], rollback: RollbackRequest, *actions: Callable[[], object]
) -> list[str]:
    """Let these run at the same time: all wait for the rollback's row, which is then set free."""
    outcomes: list[str] = [""] * len(actions)

    def act(number: int) -> None:
        try:
            actions[number]()
            outcomes[number] = "done"
        except Exception as error:  # noqa: BLE001 (told to the test)
            outcomes[number] = type(error).__name__
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(len(actions))]
    with superuser.transaction():
        superuser.execute("SELECT 1 FROM approvals_rollbackrequest WHERE id = %s FOR UPDATE", [rollback.pk])
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while waiting(superuser) < len(threads):
            assert time.monotonic() < deadline, outcomes
    for thread in threads:
        thread.join()
    return outcomes


def waiting(superuser: psycopg.Connection[Any]) -> int:
    """How many wait for a lock. Not from pg_stat_activity, which stands still within a transaction."""
    row = superuser.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").fetchone()
    return row[0] if row else 0


def test_one_person_approving_twice_at_once_is_counted_once(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    world = committed_world
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    outcomes = at_once(superuser, rollback, *[lambda: decide(world, rollback, world.dora)] * 2)
    assert sorted(outcomes) == ["Conflict", "done"]
    assert rollback.approvals.count() == 1
    assert again(rollback).status == Status.IN_REVIEW


def test_two_people_approving_at_once_both_count(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    world = committed_world
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    outcomes = at_once(
        superuser,
        rollback,
        lambda: decide(world, rollback, world.dora),
        lambda: decide(world, rollback, world.dan),
    )
    assert outcomes == ["done", "done"]
    assert again(rollback).status == Status.APPROVED


def test_an_approval_and_an_edit_at_once_never_leave_an_approved_edit(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    world = committed_world
    rollback = rollback_in(world, Status.IN_REVIEW)
    outcomes = at_once(
        superuser,
        rollback,
        lambda: decide(world, rollback, world.dora),
        lambda: rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Better words."),
    )
    assert outcomes in (["done", "done"], ["Refused", "done"])
    now = again(rollback)
    assert (now.status, now.reason) == (Status.DRAFT, "Better words.")
    assert not rollback.approvals.filter(voided_at=None).exists()


def test_two_starts_at_once_start_one_execution(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    world = committed_world
    rollback = rollback_in(world, Status.APPROVED)
    outcomes = at_once(superuser, rollback, *[lambda: factories.start(world, rollback)] * 2)
    assert sorted(outcomes) == ["Refused", "done"]
    assert again(rollback).attempts == 1
