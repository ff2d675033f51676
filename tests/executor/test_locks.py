"""The lock phase: everything first, in order, briefly, and with a name for whoever is in the way."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psycopg
import pytest

from approvals.analysis.model import LockMode
from approvals.flyway.locks import advisory_lock_id
from executor import locks
from executor.connect import connect
from executor.errors import SpecInvalid
from executor.resolve import session_name
from executor.spec import Outcome, Result, RunSpec
from tests.executor.target import DROP_STATUS, PIN_2, Recording, Target, spec, step

DROP_INDEX = ("DROP INDEX wallets_by_user", "DROP INDEX")


@contextlib.contextmanager
def somebody(target: Target, *statements: str) -> Iterator[psycopg.Connection]:
    """Another session with an open transaction."""
    with contextlib.closing(target.superuser(application_name="the nightly report")) as connection:
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        yield connection


def resolved(target: Target, run: RunSpec) -> list[str]:
    with contextlib.closing(connect(target.executor)) as connection:
        return [f"{lock}: {lock.mode}" for lock in locks.wanted(connection, run)]


def test_a_table_held_by_somebody_else_has_no_effect_and_names_the_holder(target: Target) -> None:
    before = target.fingerprint()
    run = spec(DROP_STATUS)
    recorder = Recording()
    with somebody(target, "LOCK TABLE users IN ACCESS SHARE MODE") as other:
        result = target.run(run, recorder)
        assert result.outcome is Outcome.NO_EFFECT
        assert result.blocker is not None
        assert result.blocker.pid == other.info.backend_pid
        assert result.blocker.application == "the nightly report"
        assert "public.users" in result.sentence
        assert "the nightly report" in result.sentence
    assert result.timings.lock_attempts > 1
    assert not recorder.told("step_started")
    assert not recorder.told("backend")
    assert target.marker_of(run) is None
    assert target.fingerprint() == before


def test_it_goes_on_as_soon_as_the_holder_lets_go(target: Target) -> None:
    with somebody(target, "LOCK TABLE users IN ACCESS SHARE MODE") as other:
        recorder = Recording(on={"log": lambda *_: other.execute("COMMIT")})
        result = target.run(spec(DROP_STATUS, limits={"lock_phase_s": 30.0}), recorder)
    assert result.outcome is Outcome.SUCCEEDED
    assert result.timings.lock_attempts == 2


def test_a_row_held_by_somebody_else_rolls_back_and_names_the_holder(target: Target) -> None:
    """Row locks can't be taken beforehand."""
    before = target.fingerprint()
    recorder = Recording()
    run = spec(
        ("UPDATE users SET status = NULL WHERE id = 5", "UPDATE"),
        locks=(("users", "ROW EXCLUSIVE"),),
        limits={"lock_timeout_ms": 2_000, "lock_phase_s": 10.0},
    )
    with somebody(target, "UPDATE users SET status = 'mine' WHERE id = 5") as other:
        result = target.run(run, recorder)
        assert result.outcome is Outcome.ROLLED_BACK
        assert result.sqlstate == "55P03"
        assert result.failed_step == 1
        assert result.blocker is not None
        assert result.blocker.pid == other.info.backend_pid
    waits = [blocker for (blocker,) in recorder.told("waiting") if blocker]
    assert waits[0].pid == result.blocker.pid
    assert target.fingerprint() == before


def test_flyway_and_the_executor_keep_each_other_out(target: Target) -> None:
    key = advisory_lock_id("public", "flyway_schema_history")
    assert key == 77433833903597
    with somebody(target, f"SELECT pg_advisory_xact_lock({key})"):
        result = target.run(spec(DROP_STATUS))
        assert result.outcome is Outcome.NO_EFFECT
        assert "Flyway" in result.sentence
        assert result.blocker is not None
        assert result.blocker.application == "the nightly report"
    attempts: list[bool] = []
    recorder = Recording(
        on={"step_started": lambda _: attempts.append(target.value(f"SELECT pg_try_advisory_lock({key})"))}
    )
    assert target.run(spec(DROP_STATUS), recorder).outcome is Outcome.SUCCEEDED
    assert attempts == [False]


def test_of_two_executions_on_one_target_the_second_is_refused_and_names_the_first(target: Target) -> None:
    first = spec(("SELECT pg_sleep(0)", "SELECT"), DROP_STATUS)
    second = spec(DROP_INDEX, pin=PIN_2, locks=(("wallets", "ACCESS EXCLUSIVE"),))
    results: list[Result] = []

    def meanwhile(position: int) -> None:
        if position == 1:
            results.append(target.run(second))

    recorder = Recording(on={"step_started": meanwhile})
    assert target.run(first, recorder).outcome is Outcome.SUCCEEDED
    assert results[0].outcome is Outcome.NO_EFFECT
    assert results[0].blocker is not None
    assert results[0].blocker.application == session_name(first.execution_id)
    assert target.versions() == ["1", "2"]


def test_a_second_execution_waits_for_a_short_first(target: Target) -> None:
    first = spec(DROP_STATUS, ("SELECT pg_sleep(0.5)", "SELECT"))
    second = spec(DROP_INDEX, pin=PIN_2, locks=(), limits={"lock_phase_s": 60.0})
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(target.run(second)))
    recorder = Recording(on={"step_started": lambda position: position == 1 and thread.start()})
    assert target.run(first, recorder).outcome is Outcome.SUCCEEDED
    thread.join()
    assert results[0].outcome is Outcome.SUCCEEDED, results[0].sentence
    assert target.versions() == ["1"]


def test_the_same_execution_started_twice_at_once_is_left_to_the_resolver(target: Target) -> None:
    run = spec(DROP_STATUS)
    results: list[Result] = []
    recorder = Recording(on={"step_started": lambda _: results.append(target.run(run))})
    assert target.run(run, recorder).outcome is Outcome.SUCCEEDED
    assert results[0].outcome is Outcome.UNRESOLVED


def test_a_deadlock_in_the_lock_phase_is_tried_again(target: Target) -> None:
    """The other session holds wallets and waits for users; we hold users and want wallets."""
    run = spec(
        ("SELECT 1", "SELECT"),
        locks=(("users", "ACCESS EXCLUSIVE"), ("wallets", "ACCESS EXCLUSIVE")),
        limits={"lock_timeout_ms": 5_000, "lock_phase_s": 60.0},
    )
    with somebody(target, "SET deadlock_timeout = '1h'", "LOCK TABLE wallets") as other:
        thread = threading.Thread(target=lambda: other.execute("LOCK TABLE users"))

        def wait(_phase: str) -> None:
            if not thread.is_alive() and _phase == "lock":
                with target.superuser() as watcher:
                    watcher.execute("BEGIN")
                    watcher.execute("LOCK TABLE users")
                    thread.start()
                    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
                    while not target.value(query):
                        pass

        recorder = Recording(on={"phase": wait, "log": lambda *_: (thread.join(), other.execute("COMMIT"))})
        result = target.run(run, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence


def test_cancelling_in_the_lock_phase_has_no_effect(target: Target) -> None:
    recorder = Recording()
    recorder.on["log"] = lambda *_: recorder.cancel.set()
    with somebody(target, "LOCK TABLE users"):
        result = target.run(spec(DROP_STATUS, limits={"lock_phase_s": 600.0}), recorder)
    assert result.outcome is Outcome.NO_EFFECT
    assert "cancelled" in result.sentence


def test_relations_are_locked_by_name_and_the_strongest_mode_counts(target: Target) -> None:
    run = spec(
        ("SELECT 1", "SELECT"),
        locks=(
            ("wallets", "SHARE"),
            ("public.users", "ROW EXCLUSIVE"),
            ('"users"', "ACCESS EXCLUSIVE"),
            ("wallets", "SHARE UPDATE EXCLUSIVE"),
        ),
    )
    assert resolved(target, run) == ["public.users: ACCESS EXCLUSIVE", "public.wallets: SHARE ROW EXCLUSIVE"]


def test_what_is_missing_is_skipped_an_index_is_its_table_and_views_stay_out(target: Target) -> None:
    names = ("no_such_table", "no_such_schema.table", "rich", "wallets_by_user", "flyway_schema_history_pk")
    run = spec(("SELECT 1", "SELECT"), locks=tuple((name, "ACCESS EXCLUSIVE") for name in names))
    assert resolved(target, run) == [
        "public.flyway_schema_history: ACCESS EXCLUSIVE",
        "public.wallets: ACCESS EXCLUSIVE",
    ]


def test_where_keys_may_go_the_tables_at_their_other_end_come_along(target: Target) -> None:
    lone = (("wallets", "ACCESS EXCLUSIVE"),)
    gone = spec(step("DROP TABLE wallets CASCADE", "DROP TABLE", kind="DROP TABLE"), locks=lone)
    assert resolved(target, gone) == ["public.users: ACCESS EXCLUSIVE", "public.wallets: ACCESS EXCLUSIVE"]
    stays = spec(step("ALTER TABLE wallets ADD x int", "ALTER TABLE", kind="ADD COLUMN"), locks=lone)
    assert resolved(target, stays) == ["public.wallets: ACCESS EXCLUSIVE"]


def test_dropping_a_key_takes_the_locks_that_were_taken_before_and_no_other(target: Target) -> None:
    text = "ALTER TABLE wallets DROP CONSTRAINT wallets_user"
    run = spec(step(text, "ALTER TABLE", kind="DROP CONSTRAINT"), locks=(("wallets", "ACCESS EXCLUSIVE"),))
    result = target.run(run)
    assert result.outcome is Outcome.SUCCEEDED
    strongest = {lock.relation: lock.mode for lock in result.locks if lock.mode == "ACCESS EXCLUSIVE"}
    assert strongest.keys() == {"public.users", "public.wallets"}


def test_a_lock_mode_that_postgresql_does_not_know_is_refused(target: Target) -> None:
    run = spec(DROP_STATUS, locks=(("users", "VERY EXCLUSIVE"),))
    with pytest.raises(SpecInvalid, match="VERY EXCLUSIVE"):
        resolved(target, run)
    assert target.run(run).outcome is Outcome.NO_EFFECT


@pytest.mark.parametrize("one", list(LockMode))
@pytest.mark.parametrize("other", list(LockMode))
def test_two_modes_together_exclude_whatever_either_excludes(one: LockMode, other: LockMode) -> None:
    both = locks.together(one, other)
    assert CONFLICTS[both] >= CONFLICTS[one] | CONFLICTS[other]
    assert locks.together(other, one) is both


_ALL = list(LockMode)
# PostgreSQL's documentation, table "Conflicting Lock Modes": how many of the strongest modes each excludes …
CONFLICTS = {mode: set(_ALL[8 - count :]) for mode, count in zip(_ALL, (1, 2, 4, 5, 5, 6, 7, 8), strict=True)}
# … except that SHARE lets SHARE be, and excludes the two weaker ones around it.
CONFLICTS[LockMode.SHARE] = set(_ALL[5:]) | {LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE}
CONFLICTS[LockMode.SHARE_ROW_EXCLUSIVE] = set(_ALL[2:])
