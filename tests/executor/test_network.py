"""The network between worker and target fails, at the worst moments: the outcome is what really happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor import backup
from executor.connect import connect
from executor.errors import Cancelled, ConnectFailed
from executor.resolve import Attempt, Verdict, resolve
from executor.run import run
from executor.spec import Outcome
from executor.watch import no_longer_than
from tests.executor.proxy import Fault, proxy
from tests.executor.target import DROP_STATUS, STATUS_IS_GONE, Recording, Target, check, spec

COMMIT, SCRIPT = b"COMMIT\0", b"DROP COLUMN status"
SOON = {"client_deadline_s": 3.0}


def test_a_slow_network_only_takes_longer(target: Target) -> None:
    with proxy(target.executor, delay_s=0.01) as through:
        result = run(spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)]), through.endpoint, Recording())
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert target.versions() == ["1", "2"]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.CUT, Outcome.SUCCEEDED),  # the acknowledgement of COMMIT is lost
        (Fault.MUTE, Outcome.SUCCEEDED),  # the same, but nobody hangs up: the deadline does
        (Fault.DROP, Outcome.ROLLED_BACK),  # COMMIT itself is lost
        (Fault.SWALLOW, Outcome.ROLLED_BACK),  # the same, but nobody hangs up
    ],
    ids=lambda value: value.name.lower(),
)
def test_whatever_happens_to_commit_on_its_way_the_attempt_finds_out_by_itself(
    target: Target, fault: Fault, outcome: Outcome
) -> None:
    before = target.fingerprint()
    attempt = spec(DROP_STATUS, limits=SOON)
    with proxy(target.executor, fault, COMMIT) as through:
        result = run(attempt, through.endpoint, Recording())
        assert through.reached.is_set()
    assert result.outcome is outcome, result.sentence
    committed = outcome is Outcome.SUCCEEDED
    assert target.marker_of(attempt) == ("claim" if committed else "tombstone")
    assert target.versions() == (["1", "2"] if committed else ["1", "2", "3"])
    assert (target.fingerprint() == before) is not committed
    nobody_is_left(target, attempt.execution_id)


@pytest.mark.parametrize(
    ("fault", "outcome"), [(Fault.MUTE, Outcome.SUCCEEDED), (Fault.SWALLOW, Outcome.ROLLED_BACK)]
)
def test_a_commit_that_nobody_answers_is_not_waited_for_until_the_deadline(
    target: Target, monkeypatch: pytest.MonkeyPatch, fault: Fault, outcome: Outcome
) -> None:
    """The backend rests, as somebody sees who looks over the other connection."""
    monkeypatch.setattr("executor.watch.UNANSWERED_S", 1.0)
    attempt = spec(DROP_STATUS)
    with proxy(target.executor, fault, COMMIT) as through:
        result = run(attempt, through.endpoint, Recording())
        assert through.reached.is_set()
    assert result.outcome is outcome, result.sentence
    assert "The connection was lost" in result.sentence or outcome is Outcome.SUCCEEDED
    nobody_is_left(target, attempt.execution_id)


@pytest.mark.parametrize(
    "fault", [Fault.CUT, Fault.MUTE, Fault.DROP, Fault.SWALLOW], ids=lambda f: f.name.lower()
)
def test_a_network_that_fails_in_the_script_leaves_nothing_behind(target: Target, fault: Fault) -> None:
    before = target.fingerprint()
    attempt = spec(DROP_STATUS, limits=SOON)
    with proxy(target.executor, fault, SCRIPT) as through:
        result = run(attempt, through.endpoint, Recording())
        assert through.reached.is_set()
    assert result.outcome is Outcome.ROLLED_BACK, result.sentence
    assert target.fingerprint() == before
    assert target.marker_of(attempt) == "tombstone"
    nobody_is_left(target, attempt.execution_id)


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault.CUT, Verdict.COMMITTED),
        (Fault.DROP, Verdict.NOT_COMMITTED),
        (Fault.SWALLOW, Verdict.NOT_COMMITTED),
    ],
    ids=lambda value: value.name.lower(),
)
def test_as_long_as_the_network_is_away_nothing_is_claimed_and_then_the_target_tells(
    target: Target, fault: Fault, verdict: Verdict
) -> None:
    attempt = spec(DROP_STATUS, limits=SOON)
    with proxy(target.executor, fault, COMMIT, away_after=True) as through:
        result = run(attempt, through.endpoint, Recording())
        assert result.outcome is Outcome.UNRESOLVED, result.sentence
        told = Attempt.of(attempt, result.backend)
        assert resolve(through.endpoint, told).verdict is Verdict.UNKNOWN
        through.heal()
        assert resolve(through.endpoint, told).verdict is verdict
    committed = verdict is Verdict.COMMITTED
    assert target.versions() == (["1", "2"] if committed else ["1", "2", "3"])
    assert target.marker_of(attempt) == ("claim" if committed else "tombstone")
    nobody_is_left(target, attempt.execution_id)


def nobody_is_left(target: Target, execution_id: object) -> None:
    """No session of the attempt is on the target any more, so no lock of it either."""
    of_it = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND backend_xid IS NOT NULL"
    assert target.value(of_it, f"%{execution_id}%") == 0


@pytest.mark.parametrize("at", [b"hashtextextended", b"pg_export_snapshot"])
def test_a_network_that_swallows_everything_does_not_keep_a_backup_from_ending(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: bytes
) -> None:
    """Rows are summed up until somebody cancels; what is asked before that is given up by itself."""
    monkeypatch.setattr("executor.backup.ASK_S", 1.0)

    def cancelled(*_args: object) -> None:
        if through.reached.is_set():
            raise Cancelled("It was cancelled on request.")

    with (
        proxy(target.backup, Fault.SWALLOW, at) as through,
        pytest.raises((Cancelled, ConnectFailed)),
    ):
        backup.dump(through.endpoint, tmp_path, "a", progress=cancelled)
    assert through.reached.is_set()
    assert not list(tmp_path.iterdir())


def test_nor_a_question_from_being_given_up(target: Target) -> None:
    with (
        proxy(target.backup, Fault.SWALLOW, b"pg_sleep") as through,
        connect(through.endpoint) as connection,
        pytest.raises(ConnectFailed, match="did not answer to the end within 1 s"),
        no_longer_than(1.0, connection),
    ):
        connection.execute("SELECT pg_sleep(0)")
    assert through.reached.is_set()
