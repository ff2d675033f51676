"""Runs over fleets that the clock starts: each target in its own window, and what misses it stays as is."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from approvals import fleet_progress, fleet_windows, fleets, gates, schedules, windows
from approvals.errors import Refused
from approvals.fleet_progress import stand, tries_of
from approvals.fleet_windows import Opening
from approvals.models import (
    CalendarEntry,
    ExecutionStatus,
    FleetRun,
    RollbackRequest,
    Schedule,
    Status,
    Target,
)
from tests.approvals import factories
from tests.approvals.factories import World, again, body, claimed
from tests.approvals.test_schedules import earlier
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


def window(world: World, target: Target, begins: timedelta, ends: timedelta) -> None:
    """A dated window from then to then, counted from now; one that is over was confirmed when it was not."""
    now = timezone.now()
    CalendarEntry.objects.create(
        target=target,
        kind=CalendarEntry.Kind.DATED,
        begins_at=now + begins,
        ends_at=now + ends,
        proposed_by=world.adam,
        proposed_at=now + begins - HOUR,
        confirmed_by=world.dora,
        confirmed_at=now + begins - HOUR,
    )


@pytest.fixture
def shards(world: World) -> list[Target]:
    """The canary, which is open; one that always is; one whose window comes later, one whose window is over
    when anything begins, and one more that is always open."""
    made = factories.shards(world, 5)
    window(world, made[0], -5 * HOUR, 5 * HOUR)
    window(world, made[2], 2 * HOUR, 3 * HOUR)
    window(world, made[3], -2 * HOUR, -HOUR)
    return made


@pytest.fixture
def rollback(world: World, shards: list[Target]) -> RollbackRequest:
    found = factories.fleet(world, shards)
    return factories.approved(world, factories.submitted(world, found))


def scheduled(world: World, rollback: RollbackRequest, **fields: int) -> Schedule:
    now = timezone.now()
    given = {"wave_size": 2, "stop_after": 1} | fields
    digest = again(rollback).request_digest
    return schedules.schedule(
        rollback, actor=world.olga, digest=digest, confirmed_at=now, at=now + HOUR, **given
    )


def begun(world: World, rollback: RollbackRequest) -> FleetRun:
    """Scheduled for three hours ago, and due."""
    found = scheduled(world, rollback)
    earlier(found, 4 * HOUR)
    assert schedules.carry_out_due() == 1
    return FleetRun.objects.get(schedule=found)


def stands(run: FleetRun) -> str:
    tries = tries_of(run)
    return "".join(stand(tries[each.pk]).value[0] for each in run.rollback.rollback_targets.all())


def end_all(run: FleetRun) -> None:
    """What is queued is taken, and succeeds."""
    for execution in run.executions.filter(status="queued").order_by("rollback_target__position"):
        taken = claimed(execution)
        factories.run(taken)
        factories.end(taken, ExecutionStatus.SUCCEEDED)


def test_each_target_begins_in_its_own_window_and_what_misses_it_is_left_out_and_said_so(
    world: World, rollback: RollbackRequest, shards: list[Target]
) -> None:
    run = begun(world, rollback)
    assert (stands(run), run.started_by) == ("owwww", world.olga)
    assert body("fleet.started")["facts"]["schedule"] == run.schedule_id
    assert schedules.carry_out_due() == 0, "once"
    assert Schedule.objects.get(pk=run.schedule_id).state == Schedule.State.STARTED
    end_all(run)
    assert stands(run) == "dowmo", "nobody waits for what is closed"
    end_all(run)
    run.refresh_from_db()
    assert (stands(run), run.state) == ("ddwmd", "running")
    assert fleet_progress.wake() == 0, "its window has not come"
    assert not run.executions.filter(rollback_target__target=shards[2]).exists()
    window(world, shards[2], -HOUR, HOUR)
    assert fleet_progress.wake() == 1
    assert fleet_progress.wake() == 0, "it is under way"
    assert body("fleet.woke")["facts"]["began"] == 1
    end_all(run)
    run.refresh_from_db()
    assert (stands(run), run.state) == ("dddmd", "finished")
    assert again(rollback).status == Status.PARTLY_EXECUTED
    missed = run.executions.get(rollback_target__target=shards[3])
    assert (missed.status, missed.missed, missed.claimed_at) == (ExecutionStatus.NO_EFFECT, True, None)
    assert missed.sentence.startswith("It missed its window, which closed ")


def test_what_missed_its_window_neither_stops_the_run_nor_is_tried_again(
    world: World, rollback: RollbackRequest
) -> None:
    run = begun(world, rollback)
    end_all(run)
    first, _second = run.executions.filter(status="queued").order_by("rollback_target__position")
    factories.end(claimed(first), ExecutionStatus.NO_EFFECT)
    run.refresh_from_db()
    assert (stands(run), run.state) == ("dfwmw", "stopped"), "for the one that failed"
    assert fleets.why_not_go_on(run, again=True) == ""
    went_on = fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1, again=True)
    assert stands(went_on) == "dowmo", "the one that failed, and not the one that missed it"


def test_nobody_missed_anything_before_the_canary_is_done(world: World, rollback: RollbackRequest) -> None:
    run = begun(world, rollback)
    assert fleet_progress.wake() == 0
    factories.end(claimed(run.executions.get()), ExecutionStatus.NO_EFFECT)
    run.refresh_from_db()
    assert (stands(run), run.state) == ("fwwww", "stopped")


def test_a_fleet_is_scheduled_with_its_waves_and_by_hand_it_overtakes_the_clock(
    world: World, rollback: RollbackRequest
) -> None:
    with pytest.raises(Refused, match="A wave has 1 to 4 targets"):
        scheduled(world, rollback, wave_size=5)
    found = scheduled(world, rollback)
    assert schedules.carry_out_due() == 0, "it is not due"
    run = factories.started_run(world, rollback)
    assert run.schedule is None, "each target must be open when it is its turn"
    found.refresh_from_db()
    assert found.state == Schedule.State.STARTED
    assert fleet_progress.wake() == 0
    with pytest.raises(IntegrityError, match="does not change"), transaction.atomic():
        FleetRun.objects.filter(pk=run.pk).update(schedule=found)


def test_the_target_whose_window_does_not_come_in_time_is_named(world: World) -> None:
    first, second = factories.shards(world, 2)
    window(world, second, timedelta(days=400), timedelta(days=401))
    found = {
        gate.key: gate
        for gate in gates.gates(factories.submitted(world, factories.fleet(world, [first, second])))
    }
    ahead = found["window_ahead"]
    assert not ahead.holds
    assert f"{second}: " in ahead.detail
    assert "always open" not in ahead.detail, "which is true of the canary"


def test_the_opening_that_counts_is_by_the_targets_own_clock(world: World) -> None:
    lagos, tokyo = factories.shards(world, 2)
    entry = CalendarEntry(kind=CalendarEntry.Kind.WEEKLY, days=list(range(7)), starts=time(22), ends=time(23))
    at = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
    for target, zone, begins in ((lagos, "Africa/Lagos", 21), (tokyo, "Asia/Tokyo", 13)):
        target.time_zone = zone
        for hour, wanted in (
            (begins - 1, Opening.LATER),
            (begins, Opening.NOW),
            (begins + 1, Opening.MISSED),
        ):
            now = at.replace(hour=hour, minute=30)
            found = fleet_windows.chance(target, [entry], at=at, by=at + 24 * HOUR, now=now)
            assert (found.opening, found.span and found.span.begins.hour) == (wanted, begins), zone
    late = fleet_windows.chance(lagos, [entry], at=at, by=at + HOUR, now=at)
    assert (late.opening, late.span) == (Opening.MISSED, None), "after the time to execute"
    lagos.time_zone = "Atlantis/Capital"
    unread = fleet_windows.chance(lagos, [entry], at=at, by=at + 24 * HOUR, now=at)
    assert unread.opening is Opening.MISSED, "what can't be read is no opening"


def test_the_pages_say_when_each_begins_and_which_missed_it(world: World, rollback: RollbackRequest) -> None:
    olga, where = as_(world.olga, confirmed=True), reverse("rollback_schedule", args=[rollback.pk])
    page = see(olga, where)
    assert "When is the rollback of V4 to start on 5 targets?" in page
    assert "No window closes them: they begin when it is their turn." in page
    clock = windows.zone_of(rollback.representative().target)
    at = f"{timezone.now().astimezone(clock) + HOUR:%Y-%m-%dT%H:%M}"
    form = {"digest": rollback.request_digest, "at": at, "wave_size": 9, "stop_after": 1}
    assert "less than or equal to 4" in send(olga, where, **form)
    assert "It is scheduled to start" in send(olga, where, **(form | {"wave_size": 2}))
    found = rollback.schedules.get()
    assert (found.wave_size, found.stop_after, found.by) == (2, 1, world.olga)
    page = see(olga, reverse("fleet_detail", args=[rollback.pk]))
    begins = windows.clock(found.at, rollback.representative().target)
    assert f"The canary wallet-service-shard-001 begins {begins}, each other target in its own" in page
    assert "Nothing: it starts by itself." in page
    earlier(found, 4 * HOUR)
    schedules.carry_out_due()
    run = FleetRun.objects.get()
    end_all(run)
    end_all(run)
    matrix = reverse("fleet_detail", args=[rollback.pk])
    page = see(olga, matrix)
    assert "3 of 5 taken back, 1 missed its window, 1 not begun." in page
    assert "Nothing is under way: the rest waits for its windows." in page
    assert "wallet-service-shard-003: waits for its window, which opens" in page
    assert "wallet-service-shard-004: missed its window" in page
    assert page.text.index("Missed the window 1 target") < page.text.index("Not begun 1 target")
    assert "Nothing: each begins by itself when its window opens, also if nobody watches." in page
    assert "Waits for windows" in page
    assert 'href="/rollbacks/" aria-current="page"' in page.html
    missed = run.executions.get(missed=True)
    page = see(olga, reverse("execution_detail", args=[missed.pk]))
    assert "Not begun on wallet-service-shard-004: it missed its window" in page
    assert "left out of the run of" in page


def test_a_freeze_makes_a_target_without_windows_wait(world: World) -> None:
    (target,) = factories.shards(world, 1)
    now = timezone.now()
    windows.propose(
        target,
        CalendarEntry.Kind.FREEZE,
        actor=world.olga,
        begins_at=now - HOUR,
        ends_at=now + HOUR,
        reason="Month end.",
    )
    entries = windows.in_force(target)
    frozen = fleet_windows.chance(target, entries, at=now - 2 * HOUR, by=now + 9 * HOUR, now=now)
    assert frozen.opening is Opening.LATER
    later = now + 2 * HOUR
    assert fleet_windows.chance(target, entries, at=now, by=now + 9 * HOUR, now=later).opening is Opening.NOW
    over = fleet_windows.chance(target, entries, at=now, by=now + HOUR, now=later)
    assert over.opening is Opening.MISSED
