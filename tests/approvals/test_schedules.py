"""Scheduled starts: into an opening, by the same gates as any start, in the name of who scheduled it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from approvals import executions, rollbacks, schedules, windows
from approvals.errors import Conflict, Denied, Refused
from approvals.models import CalendarEntry, Execution, Job, RollbackRequest, Schedule, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
State = Schedule.State


@pytest.fixture
def tonight(world: World) -> datetime:
    """A window of the production target, from two hours from now for an hour."""
    begins = timezone.now() + 2 * HOUR
    entry = windows.propose(
        world.production,
        CalendarEntry.Kind.DATED,
        actor=world.adam,
        begins_at=begins,
        ends_at=begins + HOUR,
    )
    windows.confirm(entry, actor=world.dora)
    return begins


def scheduled(world: World, rollback: RollbackRequest, at: datetime | None = None) -> Schedule:
    """Ops schedule it, with a fresh proof of identity."""
    now = timezone.now()
    digest = again(rollback).request_digest
    return schedules.schedule(rollback, actor=world.olga, digest=digest, confirmed_at=now, at=at)


def earlier(found: Schedule, by: timedelta) -> None:
    """All of it was so much earlier: made, due and over."""
    Schedule.objects.filter(pk=found.pk).update(
        at=found.at - by, until=found.until - by, made_at=found.made_at - by,
        confirmed_at=found.confirmed_at - by,
    )  # fmt: skip


def open_now(world: World) -> None:
    """The window has come: a freeze-free one from a minute ago."""
    entry = windows.propose(
        world.production,
        CalendarEntry.Kind.DATED,
        actor=world.adam,
        begins_at=timezone.now() - HOUR,
        ends_at=timezone.now() + HOUR,
    )
    windows.confirm(entry, actor=world.dora)


def test_it_starts_in_its_window_in_the_name_of_who_scheduled_it(world: World, tonight: datetime) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    found = scheduled(world, rollback)
    assert (found.at, found.until) == (tonight, tonight + HOUR)
    assert Job.objects.filter(kind=Job.Kind.PREFLIGHT, subject=rollback.pk).exists()
    assert schedules.carry_out_due() == 0, "it is not due"
    open_now(world)
    earlier(found, timedelta(hours=2, minutes=1))
    assert schedules.carry_out_due() == 1
    found.refresh_from_db()
    execution = Execution.objects.get(pk=found.execution_id)
    assert (found.state, execution.requested_by) == (State.STARTED, world.olga)
    assert again(rollback).status == Status.EXECUTING
    assert factories.body("execution.requested")["facts"]["schedule"] == found.pk
    assert schedules.carry_out_due() == 0, "once"


def test_one_that_breaks_does_not_keep_others_from_their_windows(
    world: World, tonight: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scheduled(world, rollback_in(world, Status.APPROVED))
    open_now(world)
    earlier(found, timedelta(hours=2, minutes=1))
    start, broken = executions.start_scheduled, [found.pk]

    def breaks_once(schedule: Schedule) -> Execution:
        if broken:
            raise KeyError(broken.pop())
        return start(schedule)

    monkeypatch.setattr(executions, "start_scheduled", breaks_once)
    assert schedules.carry_out_due() == 0
    assert schedules.carry_out_due() == 1, "and it is tried again"


def test_what_misses_its_window_expires_and_says_why(world: World, tonight: datetime) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    found = scheduled(world, rollback)
    earlier(found, timedelta(hours=2, minutes=30))  # due half an hour ago, and the target is closed
    assert schedules.carry_out_due() == 0
    found.refresh_from_db()
    assert found.state == State.WAITING
    assert "The target is open now" in found.sentence
    earlier(found, HOUR)
    assert schedules.carry_out_due() == 0
    found.refresh_from_db()
    assert found.state == State.MISSED
    assert found.sentence.startswith("It missed its window")
    assert "The target is open now" in found.sentence
    rollback = again(rollback)
    assert rollback.status == Status.EXPIRED
    assert not rollback.approvals.filter(voided_at=None).exists()


def test_a_cancelled_start_leaves_the_approvals_as_they_are(world: World, tonight: datetime) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    expires_at = rollback.expires_at
    found = scheduled(world, rollback)
    with pytest.raises(Refused, match="scheduled already"):
        scheduled(world, rollback)
    for name in ("alice", "dora", "adam"):
        with pytest.raises(Denied):
            schedules.cancel(found, actor=world.people[name])
    schedules.cancel(found, actor=world.olga)
    with pytest.raises(Conflict):
        schedules.cancel(found, actor=world.olga)
    rollback = again(rollback)
    assert (rollback.status, rollback.expires_at) == (Status.APPROVED, expires_at)
    assert scheduled(world, rollback, tonight + timedelta(minutes=30)).until == tonight + HOUR


def test_only_a_moment_ahead_in_an_opening_and_in_time_will_do(world: World, tonight: datetime) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert rollback.expires_at is not None
    for at, says in (
        (tonight - HOUR, "is closed at"),
        (tonight + HOUR, "is closed at"),
        (timezone.now() - HOUR, "over already"),
        (rollback.expires_at, "The time to execute"),
    ):
        with pytest.raises(Refused, match=says):
            scheduled(world, rollback, at)
    now = timezone.now()
    with pytest.raises(Denied, match="Only ops"):
        schedules.schedule(rollback, actor=world.dora, digest=rollback.request_digest, confirmed_at=now)
    with pytest.raises(Refused, match="Confirm your password"):
        schedules.schedule(
            rollback,
            actor=world.olga,
            digest=rollback.request_digest,
            confirmed_at=timezone.now() - timedelta(minutes=6),
        )


def test_a_target_that_is_open_is_started_and_not_scheduled(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    with pytest.raises(Refused, match="is open now"):
        scheduled(world, rollback)
    at = timezone.now() + HOUR
    assert scheduled(world, rollback, at).until == at + schedules.GRACE


def test_who_lost_the_role_starts_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    found = scheduled(world, rollback, timezone.now() + HOUR)
    earlier(found, timedelta(minutes=61))
    world.olga.groups.clear()
    assert schedules.carry_out_due() == 0
    found.refresh_from_db()
    assert (found.state, again(rollback).status) == (State.CANCELLED, Status.APPROVED)
    assert "may not start it any more" in found.sentence


def test_an_edit_and_a_start_by_hand_end_what_was_scheduled(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    first = scheduled(world, rollback, timezone.now() + HOUR)
    execution = factories.start(world, rollback)
    first.refresh_from_db()
    assert (first.state, first.execution_id) == (State.STARTED, execution.pk)
    other = rollback_in(world, Status.APPROVED, "high")
    second = scheduled(world, other, timezone.now() + HOUR)
    rollbacks.edit(other, actor=world.alice, revision=other.revision, reason="Another one.")
    earlier(second, timedelta(minutes=61))
    assert schedules.carry_out_due() == 0
    second.refresh_from_db()
    assert second.state == State.CANCELLED
    with pytest.raises(Refused):
        executions.start_scheduled(second)
