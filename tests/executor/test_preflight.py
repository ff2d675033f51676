"""A preflight by a real worker: what is in the way is named before anybody starts, and stops who does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import preflights, schedules, windows
from approvals.errors import Refused
from approvals.models import (
    CalendarEntry,
    Evidence,
    Execution,
    ExecutionStatus,
    Job,
    RollbackRequest,
    Schedule,
    Status,
)
from tests.executor.portal import Portal

pytestmark = pytest.mark.integration


def looked(portal: Portal, rollback: RollbackRequest) -> Evidence:
    """The preflight that ops have just asked for."""
    preflights.ask(rollback, actor=portal.world.olga)
    assert portal.done(Job.Kind.PREFLIGHT, rollback.pk).state == Job.State.DONE
    return newest(rollback)


def newest(rollback: RollbackRequest) -> Evidence:
    return Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.PREFLIGHT).latest("at")


def verdicts(found: Evidence) -> dict[str, Any]:
    return {point["key"]: point["verdict"] for point in found.data["points"]}


def test_what_stops_it_is_named_before_it_is_started_and_when_it_is(portal: Portal) -> None:
    rollback = portal.ready()
    found = looked(portal, rollback)
    assert found.holds, found.sentence
    assert verdicts(found)["gates"] == "go"
    locks = next(point for point in found.data["points"] if point["key"] == "locks")
    assert "public.wallets: ACCESS EXCLUSIVE" in locks["who"]
    with portal.superuser() as somebody:
        somebody.execute("SET application_name = 'pg_dump'")
        somebody.execute("BEGIN")
        somebody.execute("LOCK TABLE wallets IN ACCESS SHARE MODE")
        execution = portal.ended(portal.start(rollback))
        assert execution.status == ExecutionStatus.NO_EFFECT
        assert execution.sentence.startswith("No-go. A dump of what the plan touches runs, and fails if it")
        assert "user postgres, pg_dump" in execution.sentence
        assert newest(rollback).data["execution"] == str(execution.pk)
        assert portal.again(rollback).status == Status.APPROVED
        found = looked(portal, rollback)
        assert not found.holds
        assert verdicts(found)["maintenance"] == "stop"
    with pytest.raises(Refused, match="says no-go: A dump of what the plan touches runs"):
        portal.start(rollback)
    assert portal.again(rollback).attempts == 1
    assert looked(portal, rollback).holds, "it is over"
    assert portal.ended(portal.start(rollback)).status == ExecutionStatus.SUCCEEDED
    assert newest(rollback).holds


def test_a_scheduled_start_runs_in_its_window_and_a_freeze_stops_it_on_the_server(portal: Portal) -> None:
    rollback = portal.ready()
    world, now = portal.world, timezone.now()
    made = schedules.schedule(
        rollback,
        actor=world.olga,
        digest=rollback.request_digest,
        confirmed_at=now,
        at=now + timedelta(hours=1),
    )
    hour = timedelta(minutes=61)  # everything about it was an hour earlier: it is due
    Schedule.objects.filter(pk=made.pk).update(
        at=made.at - hour, until=made.until - hour + timedelta(days=1), made_at=made.made_at - hour,
        confirmed_at=made.confirmed_at - hour,
    )  # fmt: skip
    freeze = windows.propose(
        portal.target,
        CalendarEntry.Kind.FREEZE,
        actor=world.olga,
        begins_at=now - hour,
        ends_at=now + timedelta(minutes=30),
        reason="Month end.",
    )
    assert schedules.carry_out_due() == 0
    made.refresh_from_db()
    assert "Month end." in made.sentence
    asked = windows.ask_to_remove(freeze, actor=world.olga, reason="Closed early.")
    windows.confirm(asked, actor=world.dora)
    schedules.carry_out_due()  # or a worker's beat was faster
    made.refresh_from_db()
    assert made.state == Schedule.State.STARTED
    execution = Execution.objects.get(pk=made.execution_id)
    assert execution.requested_by == world.olga
    assert portal.ended(execution).status == ExecutionStatus.SUCCEEDED
