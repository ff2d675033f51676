"""A real `migrate` and a real execution keep each other out, whichever comes first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.spec import Outcome
from tests.differential.real import RealFlyway
from tests.executor.target import DROP_STATUS, Recording, Target, spec

pytestmark = pytest.mark.integration

GATE = 4711
TRIES = """SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'Redgate_Flyway' AND query LIKE '%pg_try_advisory_xact_lock%'"""
AT_THE_GATE = f"""SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE locktype = 'advisory' AND NOT granted AND objid = {GATE}
                     AND application_name = 'Redgate_Flyway'"""


def until(seen: Callable[[], Any], what: str) -> None:
    """Wait for something that must come; half a minute only ends a test that is broken."""
    end = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < end, f"never seen: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def migrating(flyway: RealFlyway, target: Target, directory: Path, **more: str) -> Iterator[threading.Thread]:
    """A migrate of the target in a thread of its own; it has ended when the block is left."""
    endpoint = target.executor
    superuser = dict(part.split("=", 1) for part in target.superuser_dsn.split())
    settings = {
        "flyway.url": f"jdbc:postgresql://{endpoint.host}:{endpoint.port}/{superuser['dbname']}",
        "flyway.user": superuser["user"],
        "flyway.password": superuser["password"],
        "flyway.locations": f"filesystem:{directory}",
        # The history that the target is made with has checksums of no file.
        "flyway.validateOnMigrate": "false",
    } | more
    failures: list[Exception] = []

    def migrate() -> None:
        try:
            flyway.ask("migrate", settings)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the test shall say it
            failures.append(failure)

    thread = threading.Thread(target=migrate)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)
        assert not failures, failures
    assert not thread.is_alive()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The next release: V3 is gone, since it will be taken back, and V4 comes."""
    for name in ("V1__create", "V2__index"):
        (tmp_path / f"{name}.sql").write_text("select 1;\n")
    (tmp_path / "V4__next.sql").write_text("create table next (id int);\n")
    return tmp_path


def test_a_migrate_in_the_middle_of_an_execution_waits(
    flyway: RealFlyway, target: Target, release: Path
) -> None:
    order: list[list[str]] = []
    with contextlib.ExitStack() as after:

        def meanwhile(_position: int) -> None:
            thread = after.enter_context(migrating(flyway, target, release))
            until(lambda: target.value(TRIES), "Flyway asking for its lock")
            assert thread.is_alive()
            order.append(target.versions())

        result = target.run(spec(DROP_STATUS), Recording(on={"step_started": meanwhile}))
        assert result.outcome is Outcome.SUCCEEDED
    assert order == [["1", "2", "3"]]
    assert target.versions() == ["1", "2", "4"]


def test_an_execution_in_the_middle_of_a_migrate_waits_and_says_for_whom(
    flyway: RealFlyway, target: Target, release: Path
) -> None:
    (release / "V4__next.sql").write_text(f"select pg_advisory_xact_lock({GATE});\n")
    with contextlib.closing(target.superuser()) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        with migrating(flyway, target, release) as thread:
            until(lambda: target.value(AT_THE_GATE), "Flyway running V4")
            result = target.run(spec(DROP_STATUS))
            assert thread.is_alive()
            gate.execute("SELECT pg_advisory_unlock(%s)", [GATE])
    assert result.outcome is Outcome.NO_EFFECT
    assert result.timings.lock_attempts > 1
    assert "Flyway" in result.sentence
    assert result.blocker is not None
    assert result.blocker.application == "Redgate_Flyway"
    assert target.versions() == ["1", "2", "3", "4"]


@pytest.mark.parametrize("kind", ["true", "false"], ids=["transaction's lock", "session's lock"])
def test_an_execution_that_waited_for_a_migrate_goes_on_when_that_has_ended(
    flyway: RealFlyway, target: Target, release: Path, kind: str
) -> None:
    """Flyway takes its lock for a transaction or, with `postgresql.transactional.lock=false`, a session."""
    (release / "V4__next.sql").unlink()
    (release / "R__totals.sql").write_text(f"select pg_advisory_xact_lock({GATE});\n")
    with contextlib.closing(target.superuser()) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        settings = {"flyway.postgresql.transactional.lock": kind}
        with migrating(flyway, target, release, **settings):
            until(lambda: target.value(AT_THE_GATE), "Flyway running the repeatable migration")

            def told(_level: str, text: str) -> None:
                if "Not granted in time" in text:
                    gate.execute("SELECT pg_advisory_unlock_all()")

            recorder = Recording(on={"log": told})
            result = target.run(spec(DROP_STATUS, limits={"lock_phase_s": 30.0}), recorder)
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert "Flyway's migration lock, held by pid" in recorder.lines
    assert "Redgate_Flyway" in recorder.lines
    assert target.versions() == ["1", "2", None]
