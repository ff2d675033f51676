"""Every status × every status × everybody: who may send a rollback where, and nobody anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from approvals import workflow
from approvals.errors import Conflict, Denied, Refused
from approvals.models import RollbackRequest, Status, User
from approvals.workflow import ENDED, Party
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

pytestmark = pytest.mark.integration

# By hand from the design, not from the table: R the requester, A approvers, O ops, P the portal itself.
GRID = """
                  draft in_review approved executing executed partly_executed changes_requested rejected cancelled expired failed
draft             .     R         .        .         .        .               .                 .        R         .       .
in_review         R     .         AP       .         .        .               A                 A        R         P       .
approved          R     .         .        O         .        .               A                 A        R         P       .
executing         .     .         P        .         P        P               .                 .        .         .       P
executed          .     .         .        .         .        .               .                 .        .         .       .
partly_executed   .     .         .        .         .        .               .                 .        .         .       .
changes_requested R     .         .        .         .        .               .                 .        R         .       .
rejected          .     .         .        .         .        .               .                 .        .         .       .
cancelled         .     .         .        .         .        .               .                 .        .         .       .
expired           R     .         .        .         .        .               .                 .        .         .       .
failed            R     .         .        .         .        .               .                 .        .         .       .
"""  # noqa: E501
WHO = {"R": {"alice"}, "A": {"dora", "dan", "lea"}, "O": {"olga"}, "P": {"the portal"}}
# bob is a colleague, ada a DBA who wrote the script, eve a foreign engineer, ida disabled, nora without role.
EVERYBODY = (
    *("alice", "bob", "ada", "dora", "dan", "lea", "olga", "axel", "adam", "eve", "ida", "nora"),
    "the portal",
)


def grid() -> dict[tuple[Status, Status], set[str]]:
    """The grid as source and goal → who may."""
    head, *lines = [line.split() for line in GRID.strip().splitlines()]
    cells = {
        (Status(source), Status(goal)): cell
        for source, *row in lines
        for goal, cell in zip(head, row, strict=True)
    }
    return {
        pair: set().union(*(WHO[letter] for letter in cell if letter != ".")) for pair, cell in cells.items()
    }


EXPECTED = grid()
Everywhere = tuple[World, dict[Status, RollbackRequest]]


@pytest.fixture(scope="module")
def everywhere(
    in_prepared: Any, django_db_blocker: Any
) -> Iterator[tuple[World, dict[Status, RollbackRequest]]]:
    """One rollback in every status, on staging and of a risk that one DBA signs; ada wrote the script."""
    with django_db_blocker.unblock(), factories.taken_back():
        world = factories.load_world()
        factories.apply(world, world.staging, "1234")
        factories.write_script(world, "4", sql=factories.UNDO["4"] + "-- by ada\n", actor=world.ada)
        # Time expires whatever waits, and an execution occupies the target.
        first, last = Status.EXPIRED, Status.EXECUTING
        order = sorted(Status, key=lambda status: (status != first, status == last))
        yield world, {status: rollback_in(world, status, "staging") for status in order}


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize("goal", Status)
def test_only_these_people_may_move_a_rollback(source: Status, goal: Status, everywhere: Everywhere) -> None:
    world, rollbacks = everywhere
    outcomes = {name: attempt(rollbacks[source], goal, world.people.get(name)) for name in EVERYBODY}
    others = "denied" if EXPECTED[source, goal] else "no such move"
    expected = {name: "moves" if name in EXPECTED[source, goal] else others for name in EVERYBODY}
    assert outcomes == expected


def attempt(rollback: RollbackRequest, goal: Status, actor: User | None) -> str:
    """What comes of it when this person tries; the database is as before afterwards."""
    with transaction.atomic():
        fresh = workflow.locked(rollback)
        may = workflow.may_move(fresh, goal, actor)
        try:
            workflow.move(fresh, goal, actor=actor)
        except Denied:
            outcome = "denied"
        except Refused:
            outcome = "no such move"
        else:
            outcome = "moves"
            stored = factories.again(rollback)
            assert stored.status == goal
            assert (stored.ended_at is not None) == (goal in ENDED)
        assert may == (outcome == "moves")
        assert outcome == "moves" or factories.again(rollback).status == rollback.status
        transaction.set_rollback(True)
    return outcome


def test_the_table_is_the_grid() -> None:
    letters = {"R": Party.REQUESTER, "A": Party.APPROVER, "O": Party.OPS, "P": Party.PORTAL}
    head, *lines = [line.split() for line in GRID.strip().splitlines()]
    told = {
        (Status(source), Status(goal)): frozenset(letters[letter] for letter in cell)
        for source, *row in lines
        for goal, cell in zip(head, row, strict=True)
        if cell != "."
    }
    assert told == workflow.MOVES


def test_nothing_leads_out_of_executed_partly_executed_rejected_and_cancelled() -> None:
    assert {source for source, _goal in workflow.MOVES} == set(Status) - {
        Status.EXECUTED,
        Status.PARTLY_EXECUTED,
        Status.REJECTED,
        Status.CANCELLED,
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("alice", "You asked for this rollback, so you can't decide on it."),
        ("ada", "You are an author of a script in this rollback, so you can't decide on it."),
        ("axel", "Only a senior DBA or a platform lead can decide on this rollback."),
    ],
)
def test_whoever_may_not_decide_is_told_why(name: str, sentence: str, everywhere: Everywhere) -> None:
    world, rollbacks = everywhere
    with pytest.raises(Denied) as denied:
        workflow.move(rollbacks[Status.IN_REVIEW], Status.REJECTED, actor=world.people[name])
    assert str(denied.value) == sentence


def test_others_are_told_who_may(everywhere: Everywhere) -> None:
    world, rollbacks = everywhere
    told = {}
    for source, goal in [
        (Status.DRAFT, Status.IN_REVIEW),
        (Status.APPROVED, Status.EXECUTING),
        (Status.APPROVED, Status.EXPIRED),
    ]:
        with pytest.raises(Denied) as denied:
            workflow.move(rollbacks[source], goal, actor=world.axel)
        told[goal] = str(denied.value)
    assert told == {
        Status.IN_REVIEW: "Only Alice, who asked for this rollback, can do this.",
        Status.EXECUTING: "Only ops can start this rollback.",
        Status.EXPIRED: "Only the portal itself does this.",
    }


def test_a_move_that_does_not_exist_says_both_statuses(
    everywhere: Everywhere,
) -> None:
    _world, rollbacks = everywhere
    executed = rollbacks[Status.EXECUTED]
    with pytest.raises(Refused, match=f"^{executed.label} is executed and can't become draft.$"):
        workflow.move(executed, Status.DRAFT, actor=None)


def test_a_requester_who_is_a_senior_dba_as_well_is_no_approver_of_their_own(
    everywhere: Everywhere,
) -> None:
    world, rollbacks = everywhere
    with transaction.atomic():
        world.alice.groups.add(world.dora.groups.get())
        alice = User.objects.get(username="alice")
        assert workflow.parties(rollbacks[Status.IN_REVIEW], alice) == {Party.REQUESTER}
        transaction.set_rollback(True)


def test_a_requester_who_left_the_team_is_the_requester_no_more(
    everywhere: Everywhere,
) -> None:
    world, rollbacks = everywhere
    with transaction.atomic():
        world.service.team.members.remove(world.alice)
        assert workflow.parties(rollbacks[Status.DRAFT], world.alice) == frozenset()
        transaction.set_rollback(True)


def test_a_person_with_several_roles_is_all_of_them(
    everywhere: Everywhere,
) -> None:
    world, rollbacks = everywhere
    with transaction.atomic():
        world.dora.groups.add(world.olga.groups.get())
        dora = User.objects.get(username="dora")
        assert workflow.parties(rollbacks[Status.IN_REVIEW], dora) == {Party.APPROVER, Party.OPS}
        transaction.set_rollback(True)


def test_require_names_the_present_status(everywhere: Everywhere) -> None:
    _world, rollbacks = everywhere
    rejected = rollbacks[Status.REJECTED]
    with pytest.raises(Refused, match=f"{rejected.label} is rejected now, so this can't be done."):
        workflow.require(rejected, [Status.DRAFT])


def test_require_refuses_another_digest_as_a_conflict(
    everywhere: Everywhere,
) -> None:
    _world, rollbacks = everywhere
    in_review = rollbacks[Status.IN_REVIEW]
    workflow.require(in_review, [Status.IN_REVIEW], digest=in_review.request_digest)
    with pytest.raises(Conflict, match="changed since you opened the page"):
        workflow.require(in_review, [Status.IN_REVIEW], digest="0" * 64)
