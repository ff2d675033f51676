"""The watch tells and cancels, and nothing that goes wrong in it ends an attempt by itself."""

from __future__ import annotations

import threading

from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, Recording, Target, spec

SLOW = ("SELECT pg_sleep(2.5)", "SELECT")


def test_heartbeats_come_while_a_statement_runs(target: Target) -> None:
    recorder = Recording()
    assert target.run(spec(DROP_STATUS, SLOW), recorder).outcome is Outcome.SUCCEEDED
    assert len(recorder.told("heartbeat")) >= 2
    assert recorder.events[-1][0] == "watch_ended"


def test_locks_are_told_while_they_are_held(target: Target) -> None:
    recorder = Recording()
    assert target.run(spec(DROP_STATUS, SLOW), recorder).outcome is Outcome.SUCCEEDED
    (last,) = recorder.told("locks")[-1]
    assert ("public.users", "ACCESS EXCLUSIVE") in {(lock.relation, lock.mode) for lock in last}
    assert all(lock.held_to is None for lock in last)


def test_who_waits_for_the_attempt_is_told_and_that_nobody_does_any_more(target: Target) -> None:
    recorder = Recording()
    waiting: list[threading.Thread] = []

    def somebody_waits(position: int) -> None:
        if position == 2:
            waiting.append(threading.Thread(target=target.do, args=("SELECT count(*) FROM users",)))
            waiting[0].start()

    recorder.on["step_started"] = somebody_waits
    assert target.run(spec(DROP_STATUS, SLOW), recorder).outcome is Outcome.SUCCEEDED
    waiting[0].join()
    ((one,),) = [found for (found,) in recorder.told("waiters") if found][-1:]
    assert one.count == 1
    assert 0 <= one.longest_s < 60


def test_a_portal_that_fails_the_watch_does_not_end_the_attempt(target: Target) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("the portal is down for a moment")

    moments = ("heartbeat", "locks", "waiting", "waiters", "watch_ended")
    recorder = Recording(on=dict.fromkeys(moments, fail))
    assert target.run(spec(DROP_STATUS, SLOW), recorder).outcome is Outcome.SUCCEEDED
    assert recorder.told("heartbeat")


def test_a_cancel_that_lost_its_control_connection_cuts_the_attempts_own(target: Target) -> None:
    before = target.fingerprint()
    recorder = Recording()

    def lose_control(position: int) -> None:
        if position == 2:
            target.do(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'waqiti_rollback control' AND datname = current_database()"
            )
            recorder.cancel.set()

    recorder.on["step_started"] = lose_control
    run = spec(DROP_STATUS, ("SELECT pg_sleep(600)", "SELECT"))
    result = target.run(run, recorder)
    assert result.outcome is Outcome.ROLLED_BACK
    assert "cancelled on request" in result.sentence
    assert target.marker_of(run) == "tombstone"
    assert target.fingerprint() == before


def test_a_cancel_after_the_point_of_no_return_comes_too_late(target: Target) -> None:
    """It is asked for while the portal records `committing`; whatever wins, outcome and target agree."""
    recorder = Recording()
    recorder.on["committing"] = recorder.cancel.set
    result = target.run(spec(DROP_STATUS), recorder)
    committed = target.versions() == ["1", "2"]
    assert (result.outcome is Outcome.SUCCEEDED) == committed
    assert (result.outcome is Outcome.ROLLED_BACK) == (not committed)
