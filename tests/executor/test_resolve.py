"""A worker is killed, the network is lost: the resolver says what became of the attempt, for good."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from approvals.flyway.treatment import Treatment
from executor.resolve import Attempt, Verdict, resolve, session_name
from executor.spec import Backend, Outcome, RunSpec
from tests.executor.target import DROP_STATUS, STATUS_IS_GONE, Recording, Target, check, spec
from waqiti_rollback.embedded import Cluster

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A real process that runs one attempt."""

    def __init__(self, target: Target, run: RunSpec, directory: Path, stop_at: str = "") -> None:
        order = directory / "order"
        order.write_bytes(pickle.dumps((run, target.executor, stop_at)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.executor.worker", order],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def wait_for(self, event: str) -> None:
        """Read what it says until it has come to `event`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == event:
                return
        raise AssertionError(f"the worker ended before “{event}”")

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def worker(target: Target, run: RunSpec, directory: Path, stop_at: str = "") -> Iterator[Worker]:
    """A worker that is killed at the end of the block, whatever happens in it."""
    started = Worker(target, run, directory, stop_at)
    try:
        yield started
    finally:
        started.kill()


def backend_of(target: Target, run: RunSpec) -> Backend:
    """What the portal would have recorded, asked from outside."""
    row = target.rows(
        f"""SELECT backend_xid::text::bigint AS xid, pid, backend_start,
                   pg_postmaster_start_time() AS postmaster_start,
                   (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier
              FROM pg_stat_activity WHERE application_name = '{session_name(run.execution_id)}'"""
    )[0]
    return Backend(**row, timeline=1)


def wait_until(target: Target, condition: str, *params: object) -> None:
    """Until a query about the server is true."""
    until = time.monotonic() + 30
    while not target.value(f"SELECT {condition}", *params):
        assert time.monotonic() < until, condition
        time.sleep(0.02)


def test_killed_before_the_claim(target: Target, tmp_path: Path) -> None:
    before = target.fingerprint()
    run = spec(DROP_STATUS)
    with worker(target, run, tmp_path, stop_at="phase lock") as process:
        process.wait_for("phase lock")
        process.kill()
    found = resolve(target.executor, Attempt.of(run, None))
    assert found.verdict is Verdict.NOT_COMMITTED
    assert target.marker_of(run) == "tombstone"
    assert target.fingerprint() == before


def test_killed_in_the_script(target: Target, tmp_path: Path) -> None:
    """The backend is still at work on a long statement when the resolver comes."""
    before = target.fingerprint()
    run = spec(DROP_STATUS, ("SELECT pg_sleep(600)", "SELECT"))
    with worker(target, run, tmp_path) as process:
        process.wait_for("step_started 2")
        wait_until(target, "count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'")
        backend = backend_of(target, run)
        process.kill()
    found = resolve(target.executor, Attempt.of(run, backend))
    assert found.verdict is Verdict.NOT_COMMITTED
    assert target.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", backend.pid) == 0
    assert target.marker_of(run) == "tombstone"
    assert target.fingerprint() == before
    again = resolve(target.executor, Attempt.of(run, backend))
    assert again.verdict is Verdict.NOT_COMMITTED


@pytest.fixture
def stalled_standby(target: Target) -> Iterator[None]:
    """Every COMMIT waits for a synchronous standby that never answers."""
    with target.superuser() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


def test_killed_after_commit_was_sent(target: Target, tmp_path: Path, stalled_standby: None) -> None:
    """COMMIT is on disk and waits for a standby; the worker dies and never learns of it."""
    run = spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)])
    with worker(target, run, tmp_path) as process:
        process.wait_for("committing")
        wait_until(
            target, "count(*) > 0 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'SyncRep'"
        )
        backend = backend_of(target, run)
        process.kill()
    found = resolve(target.executor, Attempt.of(run, backend))
    assert found.verdict is Verdict.COMMITTED, found.sentence
    assert found.evidence == "committed"
    assert target.marker_of(run) == "claim"
    assert target.versions() == ["1", "2"]


def test_the_acknowledgement_of_commit_is_lost(target: Target, stalled_standby: None) -> None:
    """The deadline cuts the connection behind COMMIT: the attempt resolves itself, and it had committed."""
    run = spec(
        DROP_STATUS, checks=[check("SELECT 1", "1", stage="after commit")], limits={"client_deadline_s": 3.0}
    )
    result = target.run(run)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert target.versions() == ["1", "2"]
    assert [each.check.stage for each in result.checks] == ["after commit"]


def test_a_late_worker_behind_a_tombstone_does_nothing(target: Target, tmp_path: Path) -> None:
    """The worker sleeps before its claim, the resolver gives it up, and then it wakes."""
    before = target.fingerprint()
    run = spec(DROP_STATUS)
    recorder = Recording(
        on={"phase": lambda name: name == "lock" and resolve(target.executor, Attempt.of(run, None))}
    )
    result = target.run(run, recorder)
    assert result.outcome is Outcome.NO_EFFECT, result.sentence
    assert target.fingerprint() == before
    later = target.run(run)
    assert later.outcome is Outcome.NO_EFFECT
    assert "tombstone" in later.sentence
    assert target.fingerprint() == before


def test_a_committed_attempt_is_found_committed_again_and_again(target: Target) -> None:
    run = spec(DROP_STATUS)
    result = target.run(run)
    for backend in (None, result.backend):
        found = resolve(target.executor, Attempt.of(run, backend))
        assert found.verdict is Verdict.COMMITTED
    assert target.marker_of(run) == "claim"


def test_a_marker_of_another_request_digest_is_nobodys(target: Target) -> None:
    run = spec(DROP_STATUS)
    result = target.run(run)
    planted = Attempt.of(replace(run, request_digest="another"), result.backend)
    assert resolve(target.executor, planted).verdict is Verdict.UNKNOWN


def test_a_marker_of_another_transaction_is_nobodys(target: Target) -> None:
    run = spec(DROP_STATUS)
    result = target.run(run)
    assert result.backend is not None
    other = replace(result.backend, xid=result.backend.xid + 1)
    assert resolve(target.executor, Attempt.of(run, other)).verdict is Verdict.UNKNOWN


def test_an_xid_that_was_used_again_after_a_crash_misleads_nobody(target: Target) -> None:
    """The status of the recorded xid says committed, for work of somebody else: the marker decides."""
    run = spec(DROP_STATUS)
    other = target.value("SELECT pg_current_xact_id()::text")
    backend = Backend(int(other), 1, datetime.now(UTC), system_identifier(target), 1, datetime.now(UTC))
    found = resolve(target.executor, Attempt.of(run, backend))
    assert found.evidence == "committed"
    assert found.verdict is Verdict.NOT_COMMITTED


def test_a_failover_is_shown_and_another_server_proves_nothing(target: Target) -> None:
    run = spec(DROP_STATUS)
    backend = Backend(10, 1, datetime.now(UTC), system_identifier(target), 99, datetime.now(UTC))
    found = resolve(target.executor, Attempt.of(run, backend))
    assert found.verdict is Verdict.NOT_COMMITTED
    assert found.timeline_changed
    assert "timeline" in found.sentence
    elsewhere = spec(DROP_STATUS)
    found = resolve(target.executor, Attempt.of(elsewhere, replace(backend, system_identifier="1")))
    assert found.verdict is Verdict.UNKNOWN
    assert target.marker_of(elsewhere) is None


def test_an_xid_from_the_future_is_no_error(target: Target) -> None:
    future = int(target.value("SELECT pg_current_xact_id()::text")) + 1_000_000
    backend = Backend(future, 1, datetime.now(UTC), system_identifier(target), 1, datetime.now(UTC))
    found = resolve(target.executor, Attempt.of(spec(DROP_STATUS), backend))
    assert found.verdict is Verdict.NOT_COMMITTED
    assert found.evidence == "never happened here"


def test_as_long_as_the_target_is_away_nothing_is_known(target: Target) -> None:
    away = replace(target.executor, port=1)
    found = resolve(away, Attempt.of(spec(DROP_STATUS), None))
    assert found.verdict is Verdict.UNKNOWN
    assert "not known" in found.sentence


def test_another_session_with_the_same_pid_is_left_alone(target: Target) -> None:
    """A pid is used again; only with the same start is it the same backend."""
    with target.superuser() as innocent:
        backend = Backend(
            10, innocent.info.backend_pid, datetime.now(UTC), system_identifier(target), 1, datetime.now(UTC)
        )
        resolve(target.executor, Attempt.of(spec(DROP_STATUS), backend))
        assert innocent.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("treatment", Treatment)
def test_without_a_marker_the_answer_is_weaker_and_says_so(target: Target, treatment: Treatment) -> None:
    target.do("DROP SCHEMA waqiti_rollback CASCADE")
    run = spec(DROP_STATUS, marker=False, history_treatment=treatment)
    never = resolve(target.executor, Attempt.of(run, None))
    assert (never.verdict, never.weaker) == (Verdict.NOT_COMMITTED, True)
    result = target.run(run)
    done = resolve(target.executor, Attempt.of(run, result.backend))
    assert (done.verdict, done.weaker) == (Verdict.COMMITTED, True)
    assert "without a marker" in done.sentence
    assert result.backend is not None
    moved = replace(result.backend, timeline=99)
    assert resolve(target.executor, Attempt.of(run, moved)).verdict is Verdict.UNKNOWN


def test_a_crash_of_the_target_in_the_script_is_not_committed(
    target: Target, production_cluster: Cluster
) -> None:
    """The server dies with all that was not committed; when it is back, it says so."""
    before = target.fingerprint()
    run = spec(DROP_STATUS)
    result = target.run(
        run, Recording(on={"step_done": lambda *_: production_cluster.restart(immediate=True)})
    )
    assert result.outcome in (Outcome.ROLLED_BACK, Outcome.UNRESOLVED)
    found = resolve(target.executor, Attempt.of(run, result.backend))
    assert found.verdict is Verdict.NOT_COMMITTED
    assert target.fingerprint() == before


def system_identifier(target: Target) -> str:
    return str(target.value("SELECT system_identifier::text FROM pg_control_system()"))


def test_a_marker_that_vanished_does_not_make_undone_what_was_committed(target: Target) -> None:
    """The schema of the marker was dropped and set up again, or came without rows out of a dump."""
    run = spec(DROP_STATUS)
    result = target.run(run)
    target.do("TRUNCATE waqiti_rollback.execution_marker")
    for _again in range(2):
        found = resolve(target.executor, Attempt.of(run, result.backend))
        assert found.verdict is Verdict.UNKNOWN, found.sentence
        assert "0 of 1 history rows still stand" in found.sentence
        assert target.marker_of(run) is None
    # Whoever has looked says so on the target, as the manual has it.
    assert result.backend is not None
    target.do(f"""INSERT INTO waqiti_rollback.execution_marker
        (execution_id, kind, request_digest, xid, backend_start)
        VALUES ('{run.execution_id}', 'claim', '{run.request_digest}', '{result.backend.xid}', now())""")
    assert resolve(target.executor, Attempt.of(run, result.backend)).verdict is Verdict.COMMITTED
