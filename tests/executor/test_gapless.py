"""A backup within the script's own transaction: no write falls between the two, and readers go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from approvals.analysis.losses import Losses
from executor import backup, selection
from executor.connect import Endpoint
from executor.errors import BackupFailed
from executor.run import run
from executor.spec import Outcome, Result, RunSpec
from tests.executor.target import DROP_STATUS, OWNER, STATUS_IS_GONE, Recording, Target, check, spec
from tests.executor.test_backup import scratch  # noqa: F401

pytestmark = pytest.mark.integration


WAITING = """SELECT count(*) FROM pg_stat_activity
              WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO users%'"""


def ours(**limits: float) -> RunSpec:
    return spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)], limits=limits)


def go(target: Target, attempt: RunSpec, back_up: Callable[[str], object]) -> Result:
    return run(attempt, target.executor, Recording(), back_up=back_up)


def test_writers_wait_and_readers_do_not_and_what_is_backed_up_is_what_the_script_finds(
    target: Target,
    tmp_path: Path,
    scratch: Endpoint,  # noqa: F811
) -> None:
    """A writer that comes during the backup is in neither: it waits for the commit, and then it fails."""
    kept: list[backup.Dump] = []
    ended: list[object] = []

    def write() -> None:
        try:
            target.do("INSERT INTO users (id, email, status) VALUES (1001, 'late', 'late')")
        except psycopg.errors.UndefinedColumn as error:
            ended.append(error)

    writer = threading.Thread(target=write)

    def back_up(snapshot: str) -> None:
        writer.start()
        with target.superuser() as reader:
            while reader.execute(WAITING).fetchone() != (1,):
                pass
            assert reader.execute("SELECT count(*) FROM users WHERE status = 'active'").fetchone() == (100,)
        pick = partial(
            selection.lost,
            losses=Losses(gone=("users",)),
            search_path="public",
            history=("public", "flyway_schema_history"),
        )
        kept.append(backup.dump(target.backup, tmp_path, "within", snapshot=snapshot, select=pick))
        assert backup.verify(kept[0], scratch).ok

    result = go(target, ours(), back_up)

    writer.join()
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert len(ended) == 1
    assert kept[0].tables["public.users"][0] == 100
    assert target.value("SELECT count(*) FROM users") == 100


def test_writers_wait_where_a_key_takes_rows_along_too(target: Target) -> None:
    """What a DELETE cascades to is backed up as well, so nobody may write there meanwhile."""
    target.do(
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user, ADD CONSTRAINT wallets_user"
        " FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE",
        "CREATE TABLE entries (wallet int REFERENCES wallets ON DELETE SET NULL)",
        "CREATE TABLE apart (wallet int REFERENCES wallets)",
        f"ALTER TABLE entries OWNER TO {OWNER}; ALTER TABLE apart OWNER TO {OWNER}",
    )
    held: list[str] = []
    query = """SELECT relation::regclass::text AS held FROM pg_locks
                WHERE mode = 'ShareRowExclusiveLock' AND granted
                  AND relation::regclass::text IN ('users', 'wallets', 'entries', 'apart')"""

    def back_up(_snapshot: str) -> None:
        held.extend(row["held"] for row in target.rows(query))

    attempt = spec(("DELETE FROM users WHERE id = 1", "DELETE"), locks=(("users", "ROW EXCLUSIVE"),))
    result = go(target, attempt, back_up)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert sorted(held) == ["entries", "users", "wallets"]


def test_a_backup_that_fails_leaves_the_target_as_it_was(target: Target) -> None:
    before = target.fingerprint()

    def back_up(_snapshot: str) -> None:
        raise BackupFailed("The disk is full.")

    attempt = ours()
    result = go(target, attempt, back_up)
    assert result.outcome is Outcome.NO_EFFECT
    assert result.sentence == "The disk is full. Nothing was changed."
    assert target.fingerprint() == before
    assert target.marker_of(attempt) is None
    assert (
        target.value(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation WHERE relname = 'users'"
        )
        == 0
    )


def test_a_reader_that_does_not_end_is_named_and_costs_the_run_not_the_target(target: Target) -> None:
    before = target.fingerprint()
    with target.superuser() as reader:
        reader.execute("SET application_name = 'report'")
        reader.execute("BEGIN")

        def back_up(_snapshot: str) -> None:
            reader.execute("SELECT count(*) FROM users")

        result = go(target, ours(lock_phase_s=1.0), back_up)
    assert result.outcome is Outcome.NO_EFFECT
    assert result.blocker is not None
    assert result.blocker.application == "report"
    assert "public.users was still held by" in result.sentence
    assert target.fingerprint() == before


def test_a_reader_that_ends_in_time_costs_a_try_and_no_second_backup(target: Target) -> None:
    taken = []
    with target.superuser() as reader:
        reader.execute("BEGIN")

        def back_up(_snapshot: str) -> None:
            taken.append(1)
            reader.execute("SELECT count(*) FROM users")

        def end_it(level: str, _text: str) -> None:
            if level == "warning":
                reader.execute("COMMIT")

        recording = Recording(on={"log": end_it})
        result = run(ours(), target.executor, recording, back_up=back_up)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert taken == [1]
    assert "Not granted in time: public.users" in recording.lines


def test_a_backup_may_take_longer_than_a_session_may_idle(target: Target) -> None:
    def back_up(_snapshot: str) -> None:
        with target.superuser() as other:
            other.execute("SELECT pg_sleep(1)")

    assert go(target, ours(idle_timeout_ms=300), back_up).outcome is Outcome.SUCCEEDED


def test_whoever_loses_the_session_meanwhile_never_runs_the_script(target: Target) -> None:
    before = target.fingerprint()

    def back_up(_snapshot: str) -> None:
        target.do(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = relation"
            " WHERE relname = 'users' AND mode = 'ShareRowExclusiveLock'"
        )

    result = go(target, ours(), back_up)
    assert result.outcome is Outcome.NO_EFFECT, result.sentence
    assert target.fingerprint() == before
