"""Settings that a restart puts in force: rehearsed on a server of their own, waited for, asked after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.executor.target import DROP_STATUS, Target, lone, spec

if TYPE_CHECKING:
    from approvals.models import Execution
    from tests.executor.portal import Portal

SET = "ALTER SYSTEM SET max_worker_processes = 9;\nSELECT pg_reload_conf();\n"
STAGING_FILE = "SELECT count(*) FROM pg_file_settings WHERE name = 'max_worker_processes'"


@pytest.fixture
def configured(portal: Portal) -> Iterator[Portal]:
    """The executor may change one parameter of the production server, which is put back afterwards."""
    from executor.marker import EXECUTOR

    with portal.superuser() as somebody:
        somebody.execute(
            f"GRANT ALTER SYSTEM ON PARAMETER max_worker_processes TO {EXECUTOR};"
            f"GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO {EXECUTOR};"
            f"GRANT SELECT ON pg_file_settings TO {EXECUTOR}"
        )
    yield portal
    with portal.superuser() as somebody:
        somebody.execute("ALTER SYSTEM RESET max_worker_processes")
    portal.production_cluster.restart()


def awaiting(portal: Portal, expected: str) -> Execution:
    """Rehearsed, approved, executed, and now waiting. After the restart the people are to be `expected`."""
    from approvals.models import Check
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY

    people = Check("So many people", "SELECT count(*) FROM users", expected, "after restart")
    workers = Check("Nine workers", "SELECT current_setting('max_worker_processes')", "9", "after restart")
    portal.write(SET + UNDO_KEY, KEY_IS_BACK, workers, people)
    rollback = portal.request()
    rehearsal = portal.rehearse(rollback)
    assert rehearsal.status == "succeeded", rehearsal.sentence
    assert "on a server made for it and thrown away" in rehearsal.sentence
    assert len(rehearsal.checks) == 3
    portal.approved(rollback)
    execution = portal.reaches(portal.start(rollback), "awaiting_restart")
    with portal.staging.connect() as staging:
        assert staging.execute(STAGING_FILE).fetchone() == (0,)
    return execution


def looked(portal: Portal, execution: Execution) -> Execution:
    """What beat does every few seconds."""
    from waqiti_rollback.celery import app

    app.send_task("executor.look_for_restarts", queue="facts")
    return portal.ended(execution)


def test_it_waits_says_which_settings_and_ends_by_itself_once_the_server_runs_anew(
    configured: Portal,
) -> None:
    from approvals import continuing
    from tests.executor.test_worker import told

    execution = awaiting(configured, "100")
    assert [(each["name"], each["now"], each["then"]) for each in execution.restart["settings"]] == [
        ("max_worker_processes", "8", "9")
    ]
    page = told(configured, execution)
    assert "needs a restart of PostgreSQL to finish V4" in page
    assert "max_worker_processes 8 9" in page
    assert configured.versions() == ["1", "2", "3"]
    assert configured.again(execution.rollback_target.rollback).status == "executing"
    continuing.confirm_restart(execution, actor=configured.world.olga)

    configured.production_cluster.restart()
    ended = looked(configured, execution)

    assert ended.status == "succeeded", ended.sentence
    assert "2 checks after the restart passed." in ended.sentence
    assert configured.value("SHOW max_worker_processes") == "9"
    assert configured.again(execution.rollback_target.rollback).status == "executed"


def test_a_check_that_fails_after_the_restart_is_told_as_that(configured: Portal) -> None:
    execution = awaiting(configured, "100")
    with configured.superuser() as somebody:
        somebody.execute("INSERT INTO users VALUES (101, 'late')")
    configured.production_cluster.restart()
    ended = looked(configured, execution)
    assert ended.status == "committed_check_failed"
    assert "The check “So many people” (after restart) expected “100”" in ended.sentence


LENGTH = "log_parameter_max_length_on_error"


@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [
        ("SELECT 1", ""),
        (f"ALTER SYSTEM SET {LENGTH} = 78", f"postgresql.auto.conf has {LENGTH} = 78."),
        (f"ALTER SYSTEM RESET {LENGTH}", f"No {LENGTH} is in the file."),  # as after a failover
    ],
)
def test_a_setting_that_is_another_by_the_restart_is_no_success(
    target: Target, meanwhile: str, says: str
) -> None:
    from executor.restarts import ask

    role, long_ago = target.executor.user, datetime(2020, 1, 1, tzinfo=UTC)
    target.do(
        f"GRANT ALTER SYSTEM ON PARAMETER {LENGTH} TO {role}",
        f"GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {role}",
        f"GRANT SELECT ON pg_file_settings TO {role}",
    )
    steps = lone(f"ALTER SYSTEM SET {LENGTH} = 76", f"ALTER SYSTEM SET {LENGTH} = 77")
    ran = spec(before=steps, locks=(), parameters=(LENGTH,))
    try:
        assert target.run(ran).outcome == "succeeded"
        target.do(meanwhile)
        seen = ask(target.executor, ran, long_ago)
    finally:
        target.do(f"ALTER SYSTEM RESET {LENGTH}")
    assert seen is not None
    assert seen[2] == bool(says)
    assert says in seen[0]
    assert ask(target.executor, replace(ran, expected_system_identifier="1"), long_ago) is None


def test_a_restart_that_came_before_the_resolver_is_the_one_that_is_waited_for(target: Target) -> None:
    """The worker was killed behind COMMIT, and the server was restarted before anybody asked it."""
    from executor import settle

    ran = spec(DROP_STATUS)
    backend = target.run(ran).backend
    assert backend is not None
    asked = settle._restart(target.executor, ran, backend).postmaster_start
    assert asked == backend.postmaster_start
    before = replace(backend, postmaster_start=backend.postmaster_start - timedelta(hours=1))
    assert settle._restart(target.executor, ran, before).postmaster_start == before.postmaster_start
