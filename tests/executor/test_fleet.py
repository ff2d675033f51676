"""Runs over real shards by a real worker: waves, a failing canary, a killed worker, the end of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import Database

if TYPE_CHECKING:
    from tests.executor.fleet import Shards
    from tests.executor.portal import Portal

MARKERS = "SELECT count(*) FROM waqiti_rollback.execution_marker WHERE kind = 'claim'"
ROWS = "SELECT count(*) FROM flyway_schema_history WHERE version = '4'"
# Since it was read: a row that the key refuses when it is given back.
ORPHAN = "SET session_replication_role = replica; INSERT INTO wallets VALUES (998, 998, 1)"
# It waits for as long as the shard says so, and hears at once when it does not any more.
WHILE_SLOW = """
    DO $$ BEGIN
        WHILE (SELECT seconds > 0 FROM pace) LOOP PERFORM pg_sleep(0.02); END LOOP;
    END $$;
"""
SLEEPERS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'pg_sleep'
"""


@pytest.fixture
def shards(portal: Portal, fresh_database: Callable[..., Database]) -> Shards:
    from tests.executor.fleet import Shards

    return Shards(portal, fresh_database, 6)


def test_a_canary_then_waves_until_all_are_taken_back_each_once(portal: Portal, shards: Shards) -> None:
    from approvals import audit

    run = shards.start(shards.approved(), wave_size=3)
    shards.rests(run, "finished")
    assert shards.outcomes(run) == ["succeeded"] * 6
    assert shards.taken_back() == "aaaaaa"
    assert shards.each(MARKERS) == [1] * 6
    assert shards.each(ROWS) == [0] * 6
    assert portal.again(run.rollback).status == "executed"
    assert [run.executions.filter(wave=wave).count() for wave in range(3)] == [1, 3, 2]
    assert audit.verify().holds


def test_a_canary_that_fails_leaves_every_other_shard_untouched(portal: Portal, shards: Shards) -> None:
    rollback = shards.approved()
    shards.do(ORPHAN, 0)
    run = shards.rests(shards.start(rollback), "stopped")
    assert shards.outcomes(run) == ["rolled_back"]
    assert shards.taken_back() == "cccccc"
    assert shards.each(MARKERS) == [0] * 6
    assert run.sentence == "Stopped: the canary is not done. Nothing else began."


def test_it_stops_after_the_failures_that_were_said_and_goes_on_with_the_rest(
    portal: Portal, shards: Shards
) -> None:
    rollback = shards.approved()
    shards.do(ORPHAN, 1, 2)
    run = shards.rests(shards.start(rollback, wave_size=2, stop_after=2), "stopped")
    assert shards.outcomes(run) == ["succeeded", "rolled_back", "rolled_back"]
    assert shards.taken_back() == "accccc"
    run = shards.rests(shards.go_on(run, seen=2), "finished")
    assert shards.outcomes(run) == ["succeeded", *["rolled_back"] * 2, *["succeeded"] * 3]
    assert shards.taken_back() == "accaaa"
    assert portal.again(rollback).status == "partly_executed"


def test_two_workers_share_a_wave_and_when_one_is_killed_no_shard_is_in_doubt_or_done_twice(
    portal: Portal, shards: Shards
) -> None:
    from approvals import attempts
    from tests.executor.portal import UNDO_KEY, Worker, wait_for
    from waqiti_rollback.celery import app

    portal.write(WHILE_SLOW + UNDO_KEY)
    rollback = shards.approved()
    shards.do("UPDATE pace SET seconds = 1", 1, 2, 3, 4)
    log = portal.worker.log.with_name("other.log")
    other = Worker(portal.worker.environment, log, name="other").start()
    try:
        run = shards.start(rollback, wave_size=4)
        shards.run_on(run, 2, 3, 4, 5)
        wave = list(run.executions.filter(wave=1))
        lost = {each.pk for each in wave if other.has(each)}
        assert len(lost) == sum(portal.worker.has(each) for each in wave) == 2
    finally:
        other.kill()
    shards.do("UPDATE pace SET seconds = 0", 1, 2, 3, 4)
    wait_for("the silence of one", lambda: len(attempts.silent()) == len(lost) or None)
    app.send_task("executor.resolve_stale", queue="facts")
    run = shards.rests(run, "stopped")
    assert set(run.executions.filter(status="rolled_back").values_list("pk", flat=True)) == lost
    run = shards.rests(shards.go_on(run, seen=2), "finished")
    assert shards.each(SLEEPERS) == [0] * 6
    standing = "".join("c" if outcome == "rolled_back" else "a" for outcome in shards.outcomes(run))
    assert shards.taken_back() == standing
    assert standing.count("c") == 2
    assert shards.each(MARKERS) == [int(each == "a") for each in standing]


def test_ending_the_run_ends_the_backends_and_says_how_many_are_done(portal: Portal, shards: Shards) -> None:
    from approvals import fleets

    rollback = shards.approved()
    shards.do("UPDATE pace SET seconds = 120", 1, 2)
    run = shards.start(rollback, wave_size=3)
    shards.run_on(run, 2, 3)
    fleets.cancel(run, actor=portal.world.olga, reason="Enough for tonight.")
    run = shards.rests(run, "cancelled")
    assert shards.taken_back() == "accccc"
    assert shards.each(SLEEPERS) == [0] * 6
    assert shards.outcomes(run) == ["succeeded", "rolled_back", "rolled_back"]
    assert portal.again(rollback).status == "partly_executed"
    assert shards.each(MARKERS) == [1, 0, 0, 0, 0, 0]


def test_what_is_prepared_and_waits_for_its_turn_does_not_begin_in_a_run_that_is_held(
    portal: Portal, shards: Shards
) -> None:
    from approvals import fleets
    from approvals.models import ExecutionLog
    from tests.executor.portal import UNDO_KEY, Worker, wait_for

    portal.worker.stop()  # started again by whoever needs it next
    one_script = portal.worker.environment | {"WORKER_SCRIPTS_AT_ONCE": "1"}
    worker = Worker(one_script, portal.worker.log.with_name("one-script.log"), concurrency=3).start()
    try:
        portal.write(WHILE_SLOW + UNDO_KEY)
        rollback = shards.approved()
        shards.do("UPDATE pace SET seconds = 1", 1, 2, 3)
        run = shards.start(rollback, wave_size=3)
        waiting = ExecutionLog.objects.filter(execution__run=run, text__startswith="Waits for its turn")
        wait_for("two to wait for their turn", lambda: waiting.count() == 2 or None)
        assert run.executions.filter(status="running").count() == 1
        fleets.hold(run, actor=portal.world.olga, reason="Look first.")
        shards.do("UPDATE pace SET seconds = 0", 1, 2, 3)
        run = shards.rests(run, "held")
        assert shards.outcomes(run) == ["succeeded"] * 2
        assert shards.taken_back().count("c") == 4
        assert run.executions.filter(set_aside=True, claimed_at=None).count() == 2
        run = shards.rests(shards.go_on(run, seen=0), "finished")
    finally:
        worker.stop()
    assert shards.taken_back() == "aaaaaa"
    assert shards.each(MARKERS) == [1] * 6


def test_by_the_clock_each_target_begins_as_its_window_opens_and_one_that_missed_it_is_left_out(
    portal: Portal, fresh_database: Callable[..., Database], tmp_path: Path
) -> None:
    from django.utils import timezone

    from approvals.models import FleetRun
    from tests.executor.fleet import Shards, beat, opens, scheduled_soon
    from tests.executor.portal import UNDO_KEY, wait_for

    shards = Shards(portal, fresh_database, 3, zones=("Asia/Tokyo", "America/St_Johns", "Africa/Lagos"))
    portal.write(WHILE_SLOW + UNDO_KEY)
    shards.do("UPDATE pace SET seconds = 1", 0)
    _canary, later, missed = shards.targets
    with beat(portal, tmp_path / "beat"):
        begins, schedule = scheduled_soon(portal, shards, shards.approved())
        run = wait_for("the run to begin", FleetRun.objects.filter(schedule=schedule).first)
        shards.run_on(run, 1)
        window, too_short = opens(portal, later, 1.0), opens(portal, missed, 0.2, lasting=1.5)
        wait_for("a window to be over", lambda: timezone.now() > too_short.ends or None)
        shards.do("UPDATE pace SET seconds = 0", 0)
        run = shards.rests(run, "finished")
    first, second, left_out = run.executions.order_by("rollback_target__position")
    assert (first.queued_at >= begins, second.queued_at >= window.begins) == (True, True)
    assert [each.status for each in (first, second)] == ["succeeded"] * 2
    assert (left_out.status, left_out.missed, left_out.claimed_at) == ("no_effect", True, None)
    assert left_out.sentence.startswith("It missed its window, which closed ")
    assert shards.taken_back() == "aac"
    assert (run.started_by, portal.again(run.rollback).status) == (portal.world.olga, "partly_executed")
