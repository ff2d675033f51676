"""What pages offer is what the domain accepts: every action × status × person is tried for real."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import checklist, comments, decisions, executions, rollbacks, schedules
from approvals.actions import available_actions, execution_actions, why_nothing
from approvals.errors import Denied, Refused
from approvals.models import (
    Approval,
    ChecklistEntry,
    Execution,
    ExecutionStatus,
    Job,
    RollbackRequest,
    Status,
    User,
)
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in, taken_back

pytestmark = pytest.mark.integration

# bob, who wrote the scripts, is made a senior DBA as well.
PEOPLE = ("alice", "bob", "dora", "lea", "olga", "axel")
EDIT = {"edit", "facts", "rehearse", "confirm", "withdraw"}
AGAINST = {"request_changes", "reject"}
DEAD = {Status.EXECUTING, Status.EXECUTED, Status.PARTLY_EXECUTED, Status.REJECTED, Status.CANCELLED}

# Written by hand: what each may do besides speaking and asking for facts (everybody but auditors) and for a
# rehearsal (approvers and ops).
ALLOWED: dict[Status, dict[str, set[str]]] = {
    Status.DRAFT: {"alice": {"submit"} | EDIT},
    Status.IN_REVIEW: {
        "alice": EDIT,
        "dora": {"approve"} | AGAINST,
        "lea": AGAINST,
    },
    Status.APPROVED: {"alice": EDIT, "dora": AGAINST, "lea": AGAINST, "olga": {"start", "schedule"}},
    Status.CHANGES_REQUESTED: {"alice": EDIT},
    Status.EXPIRED: {"alice": {"reopen", "facts", "rehearse", "confirm"}},
    Status.FAILED: {"alice": {"reopen", "facts", "rehearse", "confirm"}},
}


def expected(status: Status, name: str) -> set[str]:
    if name == "axel":
        return set()
    if status in DEAD:
        return {"comment"}
    asks = {"facts", "rehearse"} if name in {"dora", "lea", "olga"} else {"facts"}
    return ALLOWED[status].get(name, set()) | asks | {"comment"}


@pytest.fixture
def busy_world(world: World) -> World:
    """bob is a senior DBA too, and the worker has answered whatever it was asked."""
    world.bob.groups.add(*world.dora.groups.all())
    world.again("bob")
    Job.objects.update(state=Job.State.DONE)
    return world


def attempts(world: World, rollback: RollbackRequest, actor: User) -> dict[str, Callable[[], object]]:
    """Every action as its button does it."""

    def decision(kind: Approval.Decision) -> Callable[[], object]:
        def decide() -> object:
            roles = decisions.roles_to_give(rollback, actor)
            if not roles:
                raise Denied("no role to sign in")
            return factories.decide(world, rollback, actor, kind, role=roles[0])

        return decide

    return {
        "submit": lambda: rollbacks.submit(rollback, actor=actor),
        "withdraw": lambda: rollbacks.withdraw(rollback, actor=actor, reason="Not needed."),
        "edit": lambda: rollbacks.edit(rollback, actor=actor, revision=rollback.revision),
        "reopen": lambda: rollbacks.edit(rollback, actor=actor, revision=rollback.revision),
        "rehearse": lambda: executions.ask_for_rehearsal(rollback, actor=actor),
        "facts": lambda: rollbacks.read_facts_again(rollback, actor=actor),
        "comment": lambda: comments.open_thread(rollback, actor=actor, text="Why so?"),
        "confirm": lambda: checklist.confirm(
            rollback, ChecklistEntry.Point.STAKEHOLDERS, note="Told them.", actor=actor
        ),
        "approve": decision(Approval.Decision.APPROVE),
        "request_changes": decision(Approval.Decision.REQUEST_CHANGES),
        "reject": decision(Approval.Decision.REJECT),
        "start": lambda: executions.start(
            rollback, actor=actor, digest=rollback.request_digest, confirmed_at=timezone.now()
        ),
        "schedule": lambda: schedules.schedule(
            rollback,
            actor=actor,
            digest=rollback.request_digest,
            confirmed_at=timezone.now(),
            at=timezone.now() + timedelta(hours=1),
        ),
    }


# Two buttons that stand for the same function in different statuses.
TWINS = {"edit": "reopen", "reopen": "edit"}


@pytest.mark.parametrize("status", Status)
def test_what_is_offered_is_what_the_domain_accepts(status: Status, busy_world: World) -> None:
    world = busy_world
    found = rollback_in(world, status, "high")
    Job.objects.update(state=Job.State.DONE)
    for name in PEOPLE:
        rollback = factories.again(found)
        actions = available_actions(rollback, world.people[name])
        offered = {key for key, action in actions.items() if action.allowed}
        assert offered == expected(status, name), f"{name} in {status}"
        for key, act in attempts(world, rollback, world.people[name]).items():
            accepted = accepts(act)
            assert accepted == (key in offered or TWINS.get(key) in offered), f"{name}: {key} in {status}"


def accepts(act: Callable[[], object]) -> bool:
    """Does the domain do it? Taken back either way."""
    with taken_back():
        try:
            act()
        except (Denied, Refused):
            return False
    return True


def why(rollback: RollbackRequest, person: User, key: str) -> str:
    """Why this person can't do what they would expect to; fails if they would not expect it."""
    action = available_actions(factories.again(rollback), person).get(key)
    assert action is not None, f"{key} is not expected"
    return action.why_not


def test_an_expected_button_that_is_missing_says_why(world: World) -> None:
    draft, review = rollback_in(world, Status.DRAFT), rollback_in(world, Status.IN_REVIEW)
    assert why(draft, world.dora, "approve") == "It has not been submitted for review."
    assert why(review, world.lea, "approve") == "Your signature is not the one that is missing: Senior DBA."
    assert why(review, world.olga, "start") == "It is not approved yet: 1 signature is missing."
    executions.ask_for_rehearsal(draft, actor=world.alice)
    assert why(draft, world.dora, "rehearse") == "A rehearsal is under way."
    running = rollback_in(world, Status.EXECUTING, "high")
    assert why(running, world.alice, "withdraw") == "Its execution has begun; ops can cancel that."


def test_an_empty_draft_says_all_that_is_missing(world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    sentence = why(bare, world.alice, "submit")
    assert sentence.startswith("Missing: Incident and reason; A forward fix was considered; Facts were read")
    assert why(bare, world.alice, "facts") == "A worker has been asked to read them and has not answered yet."


def test_requesters_and_authors_read_why_they_can_never_approve(busy_world: World) -> None:
    busy_world.alice.groups.add(*busy_world.dora.groups.all())
    review = rollback_in(busy_world, Status.IN_REVIEW)
    own = "You asked for this rollback, so you can't decide on it."
    author = "You are an author of a script in this rollback, so you can't decide on it."
    for key in ("approve", "request_changes", "reject"):
        assert why(review, busy_world.again("alice"), key) == own
        assert why(review, busy_world.bob, key) == author


def test_a_second_signature_is_not_offered_to_the_same_person(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    factories.decide(world, rollback, world.dora)
    assert why(rollback, world.dora, "approve") == "You have approved it already."
    assert available_actions(factories.again(rollback), world.dan)["approve"].allowed


def test_a_target_that_is_in_use_keeps_the_start_away_and_names_the_holder(world: World) -> None:
    waiting = rollback_in(world, Status.APPROVED)
    running = factories.approved(world, factories.in_review(world))
    holder = factories.start(world, running)
    sentence = why(waiting, world.olga, "start")
    assert sentence.startswith(f"{holder} of {running.label} is queued on wallet-service-production.")


def test_what_changed_after_the_approval_is_not_offered_for_execution(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert why(rollback, world.olga, "start") == ""
    world.service.placeholders = {"owner": "somebody else"}
    world.service.save()
    sentence = "The change is not the one that was approved: its digest differs."
    assert why(rollback, world.olga, "start") == sentence


def test_who_can_do_nothing_but_speak_reads_who_can(world: World) -> None:
    rejected = rollback_in(world, Status.REJECTED)
    assert available_actions(rejected, world.axel) == {}
    assert list(available_actions(rejected, world.adam)) == ["comment"]
    assert why_nothing(world.axel) == "As an auditor you read everything here and decide nothing."
    assert why_nothing(world.adam).startswith("You may read this.")


def test_the_number_of_queries_does_not_depend_on_the_number_of_migrations(world: World) -> None:
    one = rollback_in(world, Status.IN_REVIEW, "critical")
    three = factories.submitted(world, factories.draft(world, "5", "4", "3", where=world.critical))
    assert asked(one, world.dora) == asked(three, world.again("dora"))


def asked(rollback: RollbackRequest, user: User) -> int:
    assert user.roles  # read once per person
    with CaptureQueriesContext(connection) as captured:
        available_actions(factories.again(rollback), user)
    return len(captured)


@pytest.mark.parametrize(
    ("status", "olga"),
    [
        ("queued", True),
        ("running", True),
        ("committing", "It can't be cancelled any more: COMMIT was sent."),
        ("unresolved", "It can't be cancelled: first the target has to say how it ended."),
        ("succeeded", None),
        ("no_effect", None),
    ],
)
def test_ops_may_cancel_what_still_can_be_cancelled(status: ExecutionStatus, olga: object) -> None:
    ops, engineer = _with_roles(1, "ops"), _with_roles(2, "engineer")
    execution = Execution(status=status, purpose="real", requested_by_id=2)
    found = execution_actions(execution, ops)
    assert (found["cancel"].why_not or True if found else None) == olga
    assert execution_actions(execution, engineer) == {}


def test_who_asked_for_a_rehearsal_may_cancel_it() -> None:
    execution = Execution(status="running", purpose="rehearsal", requested_by_id=2)
    assert execution_actions(execution, _with_roles(2, "engineer"))["cancel"].allowed
    assert execution_actions(execution, _with_roles(3, "engineer")) == {}


def test_what_was_cancelled_is_not_cancelled_again() -> None:
    execution = Execution(status="running", purpose="real", cancel_requested_at=timezone.now())
    assert "cancelled it already" in execution_actions(execution, _with_roles(1, "ops"))["cancel"].why_not


def _with_roles(pk: int, *roles: str) -> User:
    user = User(pk=pk, username=f"user{pk}")
    user.__dict__["roles"] = frozenset(roles)
    return user
