"""An attempt from BEGIN to COMMIT, and every way in which it may end before."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from executor.connect import Endpoint
from executor.line import Line
from executor.run import run as run_once
from executor.spec import Outcome
from tests.executor.target import (
    DROP_STATUS,
    PIN_2,
    PIN_3,
    STATUS_IS_GONE,
    Recording,
    Target,
    check,
    items,
    spec,
)
from waqiti_rollback.embedded import HOST, SUPERUSER, Cluster


def test_a_good_script_commits_with_its_history_row(target: Target) -> None:
    recorder = Recording()
    run = spec(DROP_STATUS, ("DELETE FROM wallets WHERE id > 90", "DELETE"), checks=[check(*STATUS_IS_GONE)])
    result = target.run(run, recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert target.versions() == ["1", "2"]
    assert target.value(STATUS_IS_GONE[0]) == 0
    assert target.marker_of(run) == "claim"
    assert [args[:2] + args[3:] for args in recorder.told("step_done")] == [
        (1, None, "ALTER TABLE"),
        (2, 10, "DELETE"),
    ]
    assert [passed for _, passed, *_ in recorder.told("check_done")] == [True]
    assert len(recorder.told("committing")) == 1
    assert len(recorder.told("watch_ended")) == 1


def test_the_backend_is_recorded_before_the_first_statement(target: Target) -> None:
    recorder = Recording()
    result = target.run(spec(DROP_STATUS), recorder)
    names = [name for name, _ in recorder.events]
    assert names.index("backend") < names.index("step_started")
    (backend,) = recorder.told("backend")[0]
    assert backend == result.backend
    assert backend.system_identifier == target.value(
        "SELECT system_identifier::text FROM pg_control_system()"
    )
    assert target.value("SELECT xid::text FROM waqiti_rollback.execution_marker") == str(backend.xid)


def test_nothing_runs_where_the_connection_it_is_watched_by_is_to_another_server(
    target: Target, staging_cluster: Cluster
) -> None:
    before = target.fingerprint()
    elsewhere = Endpoint(HOST, staging_cluster.port, "postgres", SUPERUSER, staging_cluster.password)
    with Line(lambda: elsewhere) as line:
        result = run_once(spec(DROP_STATUS), target.executor, Recording(), line=line)
    assert result.outcome is Outcome.NO_EFFECT
    assert "Two servers answer under this target's address" in result.sentence
    assert target.fingerprint() == before


def test_objects_that_come_back_belong_to_the_service(target: Target) -> None:
    run = spec(("CREATE TABLE restored (id int)", "CREATE TABLE"))
    assert target.run(run).outcome is Outcome.SUCCEEDED
    assert target.value("SELECT tableowner FROM pg_tables WHERE tablename = 'restored'") == "wallet_owner"


def test_several_items_are_one_transaction_with_checks_behind_each(target: Target) -> None:
    run = spec(DROP_STATUS)
    first = (DROP_STATUS,), [check(*STATUS_IS_GONE)]
    second = (
        (("DROP INDEX wallets_by_user", "DROP INDEX"),),
        [check("to_regclass('wallets_by_user') IS NULL", "true")],
    )
    both = items((PIN_3, *first), (PIN_2, *second))
    recorder = Recording()
    result = target.run(replace(run, items=both), recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert target.versions() == ["1"]
    order = [name for name, _ in recorder.events if name in ("step_done", "check_done")]
    assert order == ["step_done", "check_done", "step_done", "check_done"]


def test_a_failing_second_item_takes_the_first_back(target: Target) -> None:
    before = target.fingerprint()
    run = spec(DROP_STATUS)
    both = items((PIN_3, (DROP_STATUS,), ()), (PIN_2, (("DROP INDEX no_such_index", "DROP INDEX"),), ()))
    result = target.run(replace(run, items=both))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failed_step == 2
    assert result.sqlstate == "42704"
    assert target.fingerprint() == before


def test_an_error_in_the_script_changes_nothing(target: Target) -> None:
    before = target.fingerprint()
    run = spec(DROP_STATUS, ("ALTER TABLE users DROP COLUMN no_such_column", "ALTER TABLE"))
    result = target.run(run)
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failed_step == 2
    assert "no_such_column" in result.sentence
    assert target.fingerprint() == before
    assert target.marker_of(run) is None


def test_a_swallowed_error_is_never_a_success(target: Target) -> None:
    """The DO block hides its error, so only the check can tell that nothing was dropped."""
    before = target.fingerprint()
    swallow = """DO $$ BEGIN
        ALTER TABLE users DROP COLUMN status, DROP COLUMN no_such_column;
        EXCEPTION WHEN others THEN NULL; END $$"""
    result = target.run(spec((swallow, "DO"), checks=[check(*STATUS_IS_GONE)]))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failed_check is not None
    assert target.fingerprint() == before


def test_a_deferred_violation_appears_before_commit(target: Target) -> None:
    target.do(
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user",
        "ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users "
        "DEFERRABLE INITIALLY DEFERRED",
    )
    before = target.fingerprint()
    recorder = Recording()
    result = target.run(spec(("DELETE FROM users WHERE id = 7", "DELETE")), recorder)
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "23503"
    assert not recorder.told("committing")
    assert target.fingerprint() == before


def test_another_answer_than_the_planned_one_is_refused(target: Target) -> None:
    """A rule turns the planned DELETE into nothing the plan knows of."""
    before = target.fingerprint()
    result = target.run(spec(("CREATE TABLE surprise (id int)", "DROP TABLE")))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failed_step == 1
    assert "answered with CREATE TABLE" in result.sentence
    assert target.fingerprint() == before


def test_alter_system_in_a_script_is_refused(target: Target) -> None:
    before = target.fingerprint()
    target.do("GRANT ALTER SYSTEM ON PARAMETER work_mem TO wallet_owner")
    result = target.run(spec(DROP_STATUS, ("ALTER SYSTEM SET work_mem = '5MB'", "ALTER SYSTEM")))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "25001"
    assert target.fingerprint() == before


def test_commit_inside_a_do_block_is_refused_by_the_server(target: Target) -> None:
    before = target.fingerprint()
    result = target.run(spec(DROP_STATUS, ("DO $$ BEGIN COMMIT; END $$", "DO")))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "2D000"
    assert target.fingerprint() == before


def test_a_commit_that_the_server_turns_into_a_rollback_is_not_a_success(target: Target) -> None:
    """A second client aborts the transaction between the last check and COMMIT."""
    before = target.fingerprint()

    def end_the_backend() -> None:
        pid = target.value(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'waqiti_rollback %-%-%'"
        )
        target.value("SELECT pg_terminate_backend(%s, 5000)", pid)

    run = spec(DROP_STATUS)
    result = target.run(run, Recording(on={"committing": end_the_backend}))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "tombstone" in result.sentence
    assert target.marker_of(run) == "tombstone"
    assert target.fingerprint() == before


def test_a_portal_that_cannot_record_stops_the_attempt(target: Target) -> None:
    before = target.fingerprint()

    def refuse(*_: object) -> None:
        raise ConnectionError("the portal is down")

    for moment in ("backend", "step_done", "check_done", "committing"):
        run = spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)])
        result = target.run(run, Recording(on={moment: refuse}))
        assert result.outcome is Outcome.ROLLED_BACK, moment
        assert "portal" in result.sentence
        assert target.fingerprint() == before


def test_a_portal_that_is_too_slow_stops_the_attempt(target: Target) -> None:
    before = target.fingerprint()
    run = spec(DROP_STATUS, limits={"portal_write_s": 0.05})
    result = target.run(run, Recording(on={"committing": lambda: time.sleep(0.2)}))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "0.2 s" in result.sentence
    assert target.fingerprint() == before


def test_a_check_after_commit_that_fails_is_neither_failed_nor_rolled_back(target: Target) -> None:
    after = check("SELECT 1", "2", stage="after commit")
    result = target.run(spec(DROP_STATUS, checks=[after]))
    assert result.outcome is Outcome.COMMITTED_CHECK_FAILED
    assert result.failed_check is not None
    assert result.failed_check.sql == after.sql
    assert "stays so" in result.sentence
    assert target.versions() == ["1", "2"]


def test_the_portal_failing_after_commit_changes_nothing_about_the_outcome(target: Target) -> None:
    committed = []

    def fail_after_commit(name: str) -> None:
        if name == "after commit":
            committed.append(name)
            raise ConnectionError("the portal is down")

    after = check("SELECT 1", "1", stage="after commit")
    result = target.run(spec(DROP_STATUS, checks=[after]), Recording(on={"phase": fail_after_commit}))
    assert committed
    assert result.outcome is Outcome.SUCCEEDED


def test_checks_after_a_restart_are_waited_for(target: Target) -> None:
    result = target.run(spec(DROP_STATUS, checks=[check("SELECT 1", "1", stage="after restart")]))
    assert result.outcome is Outcome.AWAITING_RESTART
    assert target.versions() == ["1", "2"]


def test_a_check_before_the_script_stops_it(target: Target) -> None:
    before = target.fingerprint()
    recorder = Recording()
    premise = check("SELECT count(*) FROM users WHERE status IS NOT NULL", "0", stage="before script")
    result = target.run(spec(DROP_STATUS, checks=[premise]), recorder)
    assert result.outcome is Outcome.ROLLED_BACK
    assert "“100”" in result.sentence
    assert not recorder.told("step_started")
    assert target.fingerprint() == before


def test_an_id_that_has_committed_is_for_the_resolver_and_runs_no_second_time(target: Target) -> None:
    first = spec(DROP_STATUS)
    assert target.run(first).outcome is Outcome.SUCCEEDED
    before = target.fingerprint()
    again = spec(("DELETE FROM wallets", "DELETE"), pin=PIN_2, execution_id=first.execution_id)
    result = target.run(again)
    assert result.outcome is Outcome.UNRESOLVED
    assert target.fingerprint() == before


def test_a_server_that_cannot_be_reached_has_no_effect(target: Target) -> None:
    away = replace(target.executor, port=1, password="very secret")
    result = run_once(spec(DROP_STATUS), away, Recording())
    assert result.outcome is Outcome.NO_EFFECT
    assert "very secret" not in result.sentence


def test_another_database_than_the_approved_one_is_refused(target: Target) -> None:
    other = target.run(spec(DROP_STATUS, database_oid=4))
    assert other.outcome is Outcome.NO_EFFECT
    assert "OID" in other.sentence
    elsewhere = target.run(spec(DROP_STATUS, expected_system_identifier="123"))
    assert elsewhere.outcome is Outcome.NO_EFFECT
    assert "system identifier" in elsewhere.sentence
    assert target.versions() == ["1", "2", "3"]


def test_a_statement_timeout_is_rolled_back(target: Target) -> None:
    before = target.fingerprint()
    slow = spec(DROP_STATUS, ("SELECT pg_sleep(30)", "SELECT"), limits={"statement_timeout_ms": 200})
    result = target.run(slow)
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.sqlstate == "57014"
    assert target.fingerprint() == before


def test_the_deadline_ends_a_script_that_switched_the_timeouts_off(target: Target) -> None:
    before = target.fingerprint()
    off = "SELECT set_config('statement_timeout', '0', false), set_config('transaction_timeout', '0', false)"
    limits = {"client_deadline_s": 1.0, "statement_timeout_ms": 500}
    run = spec(DROP_STATUS, (off, "SELECT"), ("SELECT pg_sleep(60)", "SELECT"), limits=limits)
    result = target.run(run)
    assert result.outcome is Outcome.ROLLED_BACK
    assert "deadline" in result.sentence
    assert target.marker_of(run) == "tombstone"
    assert target.fingerprint() == before


def test_cancelling_really_ends_the_backend(target: Target) -> None:
    before = target.fingerprint()
    recorder = Recording()
    recorder.on["step_started"] = lambda _: recorder.cancel.set()
    stubborn = """DO $$ BEGIN LOOP
        BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
    END LOOP; END $$"""
    run = spec((stubborn, "DO"))
    result = target.run(run, recorder)
    assert result.outcome is Outcome.ROLLED_BACK
    assert "cancelled on request" in result.sentence
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
    assert target.value(left, f"%{run.execution_id}%") == 0
    assert target.fingerprint() == before


def test_notices_go_into_the_log_but_not_a_million_of_them(target: Target) -> None:
    recorder = Recording()
    loud = "DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE NOTICE 'row %', i; END LOOP; END $$"
    assert target.run(spec((loud, "DO")), recorder).outcome is Outcome.SUCCEEDED
    assert "row 1" in recorder.lines
    assert len(recorder.told("log")) < 250


def test_timings_and_locks_are_measured(target: Target) -> None:
    result = target.run(spec(DROP_STATUS, ("SELECT pg_sleep(0.2)", "SELECT")))
    timings = result.timings
    assert timings.lock_attempts == 1
    assert 0.2 < timings.lock_held_s <= timings.total_s
    (lock,) = [each for each in result.locks if each.relation == "public.users"]
    assert lock.mode == "ACCESS EXCLUSIVE"
    assert lock.held_from
    assert lock.held_to
    assert lock.held_to - lock.held_from < timedelta(seconds=timings.total_s)


def test_a_reduced_guarantee_runs_without_the_marker_schema(target: Target) -> None:
    target.do("DROP SCHEMA waqiti_rollback CASCADE")
    refused = target.run(spec(DROP_STATUS))
    assert refused.outcome is Outcome.NO_EFFECT
    assert "waqiti_rollback" in refused.sentence
    result = target.run(spec(DROP_STATUS, marker=False))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence


def test_the_executor_refuses_to_be_a_superuser(target: Target) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(target.superuser_dsn)
    endpoint = replace(target.executor, user="postgres", password=str(parameters["password"]))
    result = run_once(spec(DROP_STATUS), endpoint, Recording())
    assert result.outcome is Outcome.NO_EFFECT
    assert "superuser" in result.sentence


@pytest.mark.parametrize(
    "text",
    ["", "-- nothing", "SELECT 1\0", "SELECT 1; SELECT 2", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SELEC"],
)
def test_an_invalid_specification_never_reaches_the_target(target: Target, text: str) -> None:
    recorder = Recording()
    result = target.run(spec((text, "SELECT")), recorder)
    assert result.outcome is Outcome.NO_EFFECT
    assert "Step 1" in result.sentence
    assert recorder.events == []
