"""Steps that refuse a transaction: each kind done and taken back on a real server, and found after a loss."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from executor.looks import looker
from executor.resolve import resolve_alone
from executor.spec import LoneFound, LoneStep, Outcome, Result, RunSpec
from tests.executor.target import DROP_STATUS, Recording, Target, lone, spec, step
from tests.executor.test_resolve import Worker

BUILD = "CREATE INDEX CONCURRENTLY wallets_by_balance ON wallets (balance)"
BUILD_UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY one_per_status ON users (status)"
DROP = "DROP INDEX CONCURRENTLY wallets_by_user"
ADD = "ALTER TYPE mood ADD VALUE 'sad'"
SET = "ALTER SYSTEM SET log_temp_files = '77kB'"
RELOAD = "SELECT pg_reload_conf()"
INDEXES = "SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'"
IN_FILE = "SELECT max(setting) FROM pg_file_settings WHERE name = 'log_temp_files'"


def only_alone(*steps: LoneStep, **fields: Any) -> RunSpec:
    """A plan of nothing but such steps: the history row goes in a transaction of its own behind them."""
    return spec(before=steps, locks=(), **fields)


def back(ran: RunSpec, recorder: Recording) -> RunSpec:
    """What takes a run's steps back, in reverse, with what was recorded before each of them."""
    undo = {position: (before, statements) for position, before, statements in recorder.told("claimed")}
    steps = [
        replace(
            each,
            claim=uuid.uuid4(),
            back=True,
            before=undo[each.position][0],
            statements=undo[each.position][1],
        )
        for each in reversed(ran.alone)
    ]
    numbered = tuple(replace(each, position=number) for number, each in enumerate(steps, start=1))
    return replace(ran, execution_id=uuid.uuid4(), items=(), before=numbered, after=(), transaction=False)


def states(recorder: Recording) -> list[tuple[int, str]]:
    """How the steps ended, in order."""
    return [(found.position, found.state.value) for found, _ms, _tag in recorder.told("settled")]


@pytest.fixture
def may_configure(target: Target) -> Iterator[None]:
    """What the setup SQL grants where the service's scripts change the server's settings."""
    role = target.executor.user
    target.do(
        f"GRANT ALTER SYSTEM ON PARAMETER log_temp_files TO {role}",
        f"GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO {role}",
        f"GRANT SELECT ON pg_file_settings TO {role}",
    )
    yield
    target.do("ALTER SYSTEM RESET log_temp_files", "SELECT pg_reload_conf()")


@pytest.mark.parametrize("statement", [BUILD, DROP])
def test_an_index_is_built_or_dropped_alone_and_taken_back_to_what_it_was(
    target: Target, statement: str
) -> None:
    target.do("COMMENT ON INDEX wallets_by_user IS 'for the app''s list'")
    before, said = target.value(INDEXES), "SELECT obj_description('wallets_by_user'::regclass)"
    ran, recorder = only_alone(*lone(statement)), Recording()
    result = target.run(ran, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert "1 step ran alone: done" in result.sentence
    assert states(recorder) == [(1, "done")]
    assert target.value(INDEXES) != before
    assert target.versions() == ["1", "2"]
    assert target.marker_of(ran) == "claim"

    undone = target.run(back(ran, recorder), after := Recording())
    assert undone.outcome is Outcome.SUCCEEDED, undone.sentence
    assert states(after) == [(1, "undone")]
    assert target.value(INDEXES) == before
    assert target.value(said) == "for the app's list"


@pytest.mark.usefixtures("may_configure")
def test_a_setting_is_written_reloaded_and_taken_back_to_the_very_value_of_the_file(target: Target) -> None:
    target.do("ALTER SYSTEM SET log_temp_files = '5MB'")
    ran, recorder = only_alone(*lone(SET, RELOAD)), Recording()
    result = target.run(ran, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert states(recorder) == [(1, "done"), (2, "done")]
    assert target.value(IN_FILE) == "77kB"
    assert target.value("SHOW log_temp_files") == "77kB"

    undoing = back(ran, recorder)
    reload, setting = undoing.before
    order = (replace(setting, position=1), replace(reload, position=2, back=False, before=None))
    assert target.run(replace(undoing, before=order)).outcome is Outcome.SUCCEEDED
    assert target.value(IN_FILE) == "5MB"
    assert target.value("SHOW log_temp_files") == "5MB"


def test_a_setting_without_the_right_to_it_is_no_effect_and_says_what_is_missing(target: Target) -> None:
    result = target.run(only_alone(*lone("ALTER SYSTEM SET log_lock_waits = on")))
    assert result.outcome is Outcome.NO_EFFECT
    assert "pg_file_settings" in result.sentence
    assert target.versions() == ["1", "2", "3"]


@pytest.mark.parametrize("statement", ["REINDEX INDEX CONCURRENTLY wallets_by_user", "VACUUM wallets"])
def test_what_changes_no_content_runs_and_has_nothing_to_take_back(target: Target, statement: str) -> None:
    recorder = Recording()
    assert target.run(only_alone(*lone(statement)), recorder).outcome is Outcome.SUCCEEDED
    assert states(recorder) == [(1, "done")]
    assert recorder.told("claimed")[0][2] == ()


def test_a_value_added_before_the_transaction_can_be_used_in_it_and_stays_for_good(target: Target) -> None:
    target.do("CREATE TYPE mood AS ENUM ('glad')", "ALTER TYPE mood OWNER TO wallet_owner")
    use = step("CREATE VIEW sad AS SELECT 'sad'::mood AS mood", "CREATE VIEW")
    recorder = Recording()
    made = spec(use, locks=(), before=lone(ADD))
    ran = replace(made, items=(replace(made.items[0], steps=(replace(made.items[0].steps[0], position=2),)),))
    result = target.run(ran, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    position, before, undo = recorder.told("claimed")[0]
    assert (position, before["for_good"], undo) == (1, True, ())


def test_steps_before_and_after_the_transaction_run_in_the_scripts_order(target: Target) -> None:
    made = spec(DROP_STATUS, before=lone(BUILD), after=lone(DROP, first=3))
    ran = replace(made, items=(replace(made.items[0], steps=(replace(made.items[0].steps[0], position=2),)),))
    recorder = Recording()
    assert target.run(ran, recorder).outcome is Outcome.SUCCEEDED
    told = [(name, args[0]) for name, args in recorder.events if name in ("claimed", "step_started")]
    assert told == [("claimed", 1), ("step_started", 2), ("claimed", 3)]


def test_a_failed_build_leaves_an_invalid_index_which_is_named_and_offered_for_dropping(
    target: Target,
) -> None:
    recorder = Recording()
    result = target.run(only_alone(*lone(BUILD, BUILD_UNIQUE)), recorder)
    assert result.outcome is Outcome.PARTIAL
    assert "Step 2 failed: could not create unique index" in result.sentence
    assert "1 step ran alone and stay: 1." in result.sentence
    found: LoneFound = recorder.told("settled")[-1][0]
    assert (found.state, found.leftover) == (
        "failed",
        ("DROP INDEX CONCURRENTLY IF EXISTS public.one_per_status",),
    )
    assert "public.one_per_status is there and invalid" in result.sentence
    assert target.versions() == ["1", "2", "3"]


def test_a_check_that_fails_behind_such_steps_is_partly_done_and_never_rolled_back(target: Target) -> None:
    from tests.executor.target import check

    result = target.run(only_alone(*lone(BUILD), checks=[check("SELECT 1", "2")]))
    assert result.outcome is Outcome.PARTIAL
    assert "1 step ran alone and stay: 1." in result.sentence
    assert "rolled back" not in result.sentence
    assert target.versions() == ["1", "2", "3"]


def test_the_first_step_that_fails_without_a_rest_is_no_effect(target: Target) -> None:
    result = target.run(only_alone(*lone("DROP INDEX CONCURRENTLY not_there")))
    assert result.outcome is Outcome.NO_EFFECT
    assert "Nothing was changed." in result.sentence


@contextmanager
def reading(target: Target) -> Iterator[psycopg.Connection[Any]]:
    """Somebody has an open transaction that has written to wallets: a build waits for it."""
    with target.superuser() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE wallets SET balance = 1 WHERE id = 1")
        yield connection
        connection.execute("ROLLBACK")


def test_a_session_that_is_ended_in_a_build_is_found_with_its_invalid_index(target: Target) -> None:
    target.do("CREATE INDEX old ON users (email)")
    steps = lone("DROP INDEX CONCURRENTLY old", BUILD)
    ran, recorder = only_alone(*steps, limits={"lock_phase_s": 60.0}), Recording()
    results: list[Result] = []
    with reading(target):
        thread = threading.Thread(target=lambda: results.append(target.run(ran, recorder)))
        thread.start()
        waits = f"""SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'
                      AND wait_event_type = 'Lock' AND application_name LIKE '%{ran.execution_id}'"""
        while target.value(waits) == 0 and thread.is_alive():
            threading.Event().wait(0.05)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
        target.do(f"{end} '%{ran.execution_id}'")
        thread.join()
    assert results[0].outcome is Outcome.PARTIAL, results[0].sentence
    assert states(recorder) == [(1, "done"), (1, "done"), (2, "failed")]
    assert target.marker_of(ran) == "tombstone"


def test_an_index_that_was_half_dropped_is_built_anew_by_what_takes_it_back(target: Target) -> None:
    """DROP INDEX CONCURRENTLY first takes the index out of use; whoever ends it then leaves it invalid."""
    ran, recorder = only_alone(*lone(DROP), limits={"lock_phase_s": 60.0}), Recording()
    before = target.value(INDEXES)
    with reading(target):
        thread = threading.Thread(target=lambda: target.run(ran, recorder))
        thread.start()
        mine = f"FROM pg_stat_activity WHERE application_name LIKE '%{ran.execution_id}'"
        waits = f"SELECT count(*) {mine} AND query LIKE 'DROP INDEX%' AND wait_event_type = 'Lock'"
        while target.value(waits) == 0 and thread.is_alive():
            threading.Event().wait(0.05)
        target.do(f"SELECT pg_terminate_backend(pid) {mine}")
        thread.join()
    ((found, _ms, _tag),) = recorder.told("settled")
    assert found.state == "failed"
    assert "is there and invalid" in found.says
    way_back = back(ran, recorder)
    (step,) = way_back.before
    both = replace(step, statements=(*found.leftover, *step.statements))
    assert target.run(replace(way_back, before=(both,))).outcome is Outcome.SUCCEEDED
    assert target.value(INDEXES) == before
    assert target.value("SELECT bool_and(indisvalid) FROM pg_index")


def test_a_late_worker_behind_the_tombstones_runs_nothing_however_late(target: Target) -> None:
    ran, before = only_alone(*lone(BUILD, DROP)), target.fingerprint()
    found = resolve_alone(target.executor, ran, None, {})
    assert [(each.position, each.state.value) for each in found] == [(1, "pending"), (2, "pending")]
    result = target.run(ran)
    assert result.outcome is Outcome.NO_EFFECT
    assert "its claim is on the target already" in result.sentence
    assert target.fingerprint() == before


def test_a_setting_that_somebody_else_has_changed_since_is_not_known_and_stops_everything(
    target: Target,
) -> None:
    target.do(f"GRANT SELECT ON pg_file_settings TO {target.executor.user}")
    asks = looker("ALTER SYSTEM SET log_temp_files = '1kB'")
    with target.superuser() as connection:
        assert asks.look(connection, {"file": "another"}).standing == "other"
        assert asks.look(connection, {"file": None}).standing == "before"


@pytest.mark.parametrize(
    ("value", "undo"),
    [
        (None, 'ALTER SYSTEM RESET "shared_preload_libraries"'),
        ('a, "B c"', "ALTER SYSTEM SET \"shared_preload_libraries\" = 'a', 'B c'"),
    ],
)
def test_a_list_of_names_is_taken_back_as_a_list(value: str | None, undo: str) -> None:
    assert looker("ALTER SYSTEM SET shared_preload_libraries = 'x'").undo({"file": value}) == (undo,)


@pytest.mark.parametrize(
    ("stop_at", "expected"),
    [("claimed", ["pending", "pending"]), ("settled", ["done", "pending"])],
)
def test_kill_9_between_two_steps_leaves_exactly_those_done_that_had_their_claim(
    target: Target, tmp_path: Path, stop_at: str, expected: list[str]
) -> None:
    """Claimed in the portal only is not begun: the claim on the target comes right before the statement."""
    target.do("CREATE INDEX old ON users (email)")
    ran = only_alone(*lone("DROP INDEX CONCURRENTLY old", BUILD))
    with target.superuser() as connection:
        before = {1: looker(ran.before[0].sql).before(connection)}
    process = Worker(target, ran, tmp_path, stop_at)
    process.wait_for(stop_at)
    process.kill()
    found = resolve_alone(target.executor, ran, None, before)
    assert [each.state.value for each in found] == expected
    late = target.run(replace(ran, execution_id=uuid.uuid4()))
    assert late.outcome is Outcome.NO_EFFECT
    assert target.versions() == ["1", "2", "3"]
    assert target.value("SELECT to_regclass('wallets_by_balance') IS NULL")
    assert target.value("SELECT to_regclass('old') IS NULL") == (expected[0] == "done")


def test_a_step_on_record_as_done_whose_claim_is_gone_is_not_called_not_begun(target: Target) -> None:
    """As after a failover to a standby that lacked it, or a restore."""
    target.do("CREATE INDEX old ON users (email)")
    ran = only_alone(*lone("DROP INDEX CONCURRENTLY old", BUILD))
    with target.superuser() as connection:
        before = {each.position: looker(each.sql).before(connection) for each in ran.before}

    def found() -> list[tuple[str, bool]]:
        answer = resolve_alone(target.executor, ran, None, before, answered=[1])
        return [(each.state.value, "its claim is not here" in each.says) for each in answer]

    assert found() == [("unknown", True), ("pending", False)]
    target.do("DROP INDEX old")
    assert found() == [("done", True), ("pending", False)]
