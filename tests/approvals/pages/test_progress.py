"""How far an execution is: phases and their times from the audit trail, observed locks as bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from approvals import attempts
from approvals.models import Execution, ExecutionLog, ExecutionStatus, ExecutionStep, Status
from approvals.pages import phases, progress
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def states(execution: Execution, **began: float) -> list[str]:
    found = phases.phases(execution, {name: at(second) for name, second in began.items()})
    return [phase.state for phase in found]


def test_phases_are_done_up_to_the_one_that_runs_now() -> None:
    running = Execution(status="running", purpose="real")
    assert states(running, claimed=0, preflight=1, backup=2, locking=7, running=9) == [
        "done",
        "done",
        "done",
        "done",
        "now",
        "",
        "",
    ]


def test_each_phase_lasts_until_the_next_begins() -> None:
    done = Execution(status="succeeded", purpose="real", finished_at=at(20))
    began = {
        "claimed": at(0),
        "preflight": at(1),
        "backup": at(2),
        "locking": at(7),
        "running": at(9),
        "committing": at(19),
        "verifying": at(19.5),
    }
    seconds = [phase.seconds for phase in phases.phases(done, began)]
    assert seconds == [1, 1, 5, 2, 10, 0.5, 0.5]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("rolled_back", ["done", "done", "done", "bad", "", ""]),
        ("no_effect", ["done", "done", "done", "bad", "", ""]),
        ("partial", ["done", "done", "done", "bad", "", ""]),
        ("awaiting_restart", ["done", "done", "done", "held", "", ""]),
    ],
)
def test_where_it_ended_is_marked(status: str, expected: list[str]) -> None:
    ended = Execution(status=status, purpose="real", finished_at=at(20))
    assert states(ended, claimed=0, preflight=1, backup=2, running=9) == expected


def test_what_failed_after_the_script_marks_the_script_as_taken_back() -> None:
    ended = Execution(status="rolled_back", purpose="real", finished_at=at(20))
    assert states(ended, claimed=0, running=9, committing=10) == ["done", "undone", "bad", ""]


def test_an_unanswered_commit_is_marked_as_not_known() -> None:
    lost = Execution(status="unresolved", purpose="real")
    assert states(lost, claimed=0, running=9, committing=10) == ["done", "done", "lost", ""]


def test_a_phase_that_was_left_out_is_not_shown_and_one_that_gave_up_is_where_it_ended() -> None:
    ended = Execution(status="no_effect", purpose="real", finished_at=at(20))
    assert states(ended, claimed=0, preflight=1, locking=2) == ["done", "done", "bad", "", "", ""]


def test_after_a_commit_only_what_is_left_to_ask_is_shown() -> None:
    done = Execution(status="succeeded", purpose="real", finished_at=at(20))
    assert states(done, claimed=0, running=9, committing=10) == ["done", "done", "done"]
    waits = Execution(status="awaiting_restart", purpose="real")
    began = {"claimed": at(0), "running": at(9), "committing": at(10), "awaiting_restart": at(11)}
    found = phases.phases(waits, began)
    assert [phase.state for phase in found] == ["done", "done", "done", "held"]
    assert (found[-1].label, found[-2].seconds) == ("Restart and checks", 1)


def test_a_rehearsal_takes_its_backup_before_it_makes_the_clone() -> None:
    found = phases.phases(
        Execution(status="running", purpose="rehearsal"),
        {"claimed": at(0), "backup": at(1), "preflight": at(5)},
    )
    assert [phase.label for phase in found[:3]] == ["Claimed", "Backup", "Clone"]
    assert [phase.seconds for phase in found[:2]] == [1, 4]


@pytest.mark.integration
def test_the_times_of_the_phases_are_those_of_this_execution_only(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    first = factories.executed(world, rollback, ExecutionStatus.NO_EFFECT)
    second = factories.claimed(factories.start(world, factories.again(rollback)))
    found = progress.progress(Execution.objects.get(pk=second.pk), world.olga)
    assert [phase.state for phase in found.phases] == ["now", *[""] * 6]
    before = progress.progress(Execution.objects.get(pk=first.pk), world.olga)
    assert [phase.state for phase in before.phases] == ["done", "done", "done", "bad", "", ""]


@pytest.mark.integration
def test_a_thousand_steps_and_lines_take_as_many_queries_as_one(world: World) -> None:
    rollback_in(world, Status.EXECUTING)
    execution = Execution.objects.get(purpose="real")
    few = asked(execution, world)
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution=execution, position=n, item_position=1, kind="X", says="x", sql="SELECT 1")
        for n in range(2, 1001)
    )
    ExecutionLog.objects.bulk_create(ExecutionLog(execution=execution, text="x") for _n in range(1000))
    assert asked(execution, world) == few
    found = progress.progress(Execution.objects.get(pk=execution.pk), world.olga)
    assert (len(found.log), found.log_left_out) == (progress.LOG_LINES, 800)
    assert (found.steps.paginator.count, len(found.steps), found.steps.number) == (1000, 50, 1)


@pytest.mark.integration
def test_many_steps_stand_in_pages_and_the_first_page_shown_has_the_step_that_runs(world: World) -> None:
    rollback_in(world, Status.EXECUTING)
    execution = Execution.objects.get(purpose="real")
    assert execution.steps.count() == 1
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution=execution, position=n, kind="X", says="x", sql=f"SELECT {n}", item_position=1)
        for n in range(2, 121)
    )
    execution.steps.filter(position__lt=70).update(state=ExecutionStep.State.DONE)
    execution.steps.filter(position=70).update(state=ExecutionStep.State.RUNNING)
    found = progress.progress(execution, world.olga)
    assert (found.done, found.steps.number, found.steps.paginator.num_pages) == (69, 2, 3)
    assert [step.sql for step in found.steps][:2] == ["SELECT 51", "SELECT 52"]
    last = progress.progress(execution, world.olga, RequestFactory().get("/", {"steps": "3"}))
    assert [step.position for step in last.steps] == list(range(101, 121))


def asked(execution: Execution, world: World) -> int:
    assert world.olga.roles
    fresh = Execution.objects.select_related("target__service", "rollback_target__rollback").get(
        pk=execution.pk
    )
    with CaptureQueriesContext(connection) as captured:
        progress.progress(fresh, world.olga)
    return len(captured)


@pytest.mark.integration
def test_it_asks_often_while_it_runs_seldom_while_it_waits_and_not_when_it_ended(world: World) -> None:
    rollback_in(world, Status.EXECUTING)
    execution = Execution.objects.get(purpose="real")
    found = progress.progress(execution, world.olga)
    assert (found.live, found.every) == (True, 2)
    factories.claimed(execution)
    found = progress.progress(Execution.objects.get(pk=execution.pk), world.olga)
    assert (found.live, found.every) == (True, 1)
    attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, "Cancelled.")
    assert not progress.progress(Execution.objects.get(pk=execution.pk), world.olga).live
