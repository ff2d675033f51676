"""Checks are tried on a copy by a real worker: before and after the script, and nothing of it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from approvals.models import Check, RollbackRequest, Trial
    from tests.executor.portal import Portal

pytestmark = pytest.mark.integration


def draft(portal: Portal, *versions: str) -> RollbackRequest:
    """Alice's draft, about which only its migrations are said."""
    from approvals import rollbacks

    migrations = [portal.migration(version) for version in versions or ("4",)]
    return rollbacks.create(portal.target, migrations, actor=portal.world.alice)


def tried(portal: Portal, rollback: RollbackRequest, sql: str, *checks: Check, position: int = 1) -> Trial:
    """The trial when the worker is done with it."""
    from approvals import trials
    from approvals.models import Job, Trial

    trial = trials.ask(rollback, position, sql=sql, checks=checks, actor=portal.world.alice)
    portal.done(Job.Kind.TRY, trial.pk)
    return Trial.objects.select_related("job").get(pk=trial.pk)


def answers(trial: Trial) -> dict[str, tuple[Any, Any, bool]]:
    """By check: what it gave before, what after, and whether that is what it must give."""
    return {
        result["name"]: (
            result["before"]["value"],
            result["after"] and result["after"]["value"],
            result["passed"],
        )
        for result in trial.results
    }


def untouched(portal: Portal) -> bool:
    """Nothing of a trial is on the target, and no copy is left on the server of copies."""
    copies = "SELECT count(*) FROM pg_database WHERE datname LIKE 'waqiti_rehearsal_%'"
    with portal.staging.connect() as staging:
        left = staging.execute(copies).fetchone()
    return left == (0,) and portal.key_deletes() == "c" and portal.versions() == ["1", "2", "3", "4"]


def test_each_check_is_asked_before_and_after_the_script_on_a_copy_of_the_structure(portal: Portal) -> None:
    from approvals.models import AuditEvent, Check
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY

    wrong = Check("A table that is not there", "SELECT count(*)\n  FROM nothing", "0")
    nothing = Check("Nobody", "SELECT id FROM users WHERE id = 0", "1")
    rows = Check("No rows are copied", "SELECT count(*) FROM users", "0")
    applied = Check(
        "The row is gone",
        "SELECT count(*) FROM flyway_schema_history WHERE version = '4'",
        "0",
        "after commit",
    )
    trial = tried(portal, draft(portal), UNDO_KEY, KEY_IS_BACK, wrong, nothing, rows, applied)
    assert trial.sentence == "3 of 5 checks gave what they must."
    assert "on a copy of the structure of wallet-service-production" in trial.tried_on
    assert answers(trial) == {
        KEY_IS_BACK.name: ("c", "a", True),
        wrong.name: (None, None, False),
        nothing.name: (None, None, False),
        rows.name: ("0", "0", True),
        applied.name: ("1", "0", True),
    }
    asked = {result["name"]: result["after"] for result in trial.results}
    assert asked[KEY_IS_BACK.name]["type"] == '"char"'
    assert asked[rows.name]["type"] == "bigint"
    failed = asked[wrong.name]
    assert (failed["sqlstate"], failed["line"], failed["column"]) == ("42P01", 2, 8)
    assert failed["error"] == 'relation "nothing" does not exist'
    assert asked[nothing.name]["error"] == "no row, or NULL"
    assert untouched(portal)
    last = AuditEvent.objects.filter(action="trial.ended").latest("seq")
    assert '"passed":3' in last.body


def test_where_a_verified_backup_fits_the_copy_has_its_rows(portal: Portal) -> None:
    from approvals.models import Check
    from tests.executor.portal import UNDO_KEY

    rollback = portal.request()
    portal.rehearse(rollback)
    everybody = Check("Everybody is there", "SELECT count(*) FROM users", "100")
    trial = tried(portal, portal.again(rollback), UNDO_KEY, everybody)
    assert "on a copy with the rows of the backup of" in trial.tried_on
    assert answers(trial) == {everybody.name: ("100", "100", True)}
    # Something was applied since: the backup is of another history, so it says nothing any more.
    with portal.superuser() as somebody:
        somebody.execute(
            "INSERT INTO flyway_schema_history SELECT 5, '4.1', 'later', type, 'V4_1__later.sql', 1,"
            " installed_by, now(), 1, true FROM flyway_schema_history WHERE installed_rank = 4"
        )
    portal.synced(portal.target)
    trial = tried(portal, portal.again(rollback), UNDO_KEY, everybody)
    assert "structure" in trial.tried_on
    assert answers(trial) == {everybody.name: ("0", "0", False)}


def test_of_a_long_answer_or_error_only_the_beginning_is_sent_and_kept(portal: Portal) -> None:
    from approvals.models import Check

    long = Check("Long", "SELECT repeat('x', 100000000)", "x")
    script = "DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = repeat('y', 1000000); END $$;\n"
    trial = tried(portal, draft(portal), script, long)
    assert trial.results[0]["before"]["value"] == "x" * 10_000
    assert trial.script_error is not None
    assert trial.script_error["message"] == "y" * 2_000 + "…"


def test_a_copy_that_could_not_be_dropped_goes_with_the_next_trial(portal: Portal) -> None:
    import uuid

    from approvals.models import Check
    from tests.executor.portal import CLONE

    one = Check("One", "SELECT 1", "1")
    first = tried(portal, draft(portal), "SELECT 1;", one)
    stranger = f"waqiti_rehearsal_{uuid.uuid4().hex}"
    with psycopg.connect(portal.staging_cluster.superuser_dsn(), autocommit=True) as admin:
        for name in (f"waqiti_rehearsal_{first.pk.hex}", stranger):
            admin.execute(f"CREATE DATABASE {name} OWNER {CLONE}")
        tried(portal, draft(portal), "SELECT 1;", one)
        found = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'waqiti_rehearsal_%'")
        left = found.fetchall()
        admin.execute(f"DROP DATABASE {stranger}")
    assert left == [(stranger,)]
    assert untouched(portal)


def test_a_script_that_fails_is_told_with_its_place_and_the_checks_are_not_asked_again(
    portal: Portal,
) -> None:
    from tests.executor.portal import KEY_IS_BACK

    script = (
        "-- first the key\nALTER TABLE wallets DROP CONSTRAINT wallets_user;\nSELECT 1; DROP TABLE purses;\n"
    )
    trial = tried(portal, draft(portal), script, KEY_IS_BACK)
    assert trial.script_error == {
        "line": 3,
        "column": 11,
        "sqlstate": "42P01",
        "message": 'table "purses" does not exist',
    }
    assert trial.sentence == "The script ended with an error at line 3, column 11."
    assert answers(trial) == {KEY_IS_BACK.name: ("c", None, False)}
    script = "ALTER TABLE wallets\n  ADD CONSTRAINT few CHECK (amont > 0);\n"
    trial = tried(portal, draft(portal), script, KEY_IS_BACK)
    assert trial.script_error is not None
    assert trial.script_error["sqlstate"] == "42703"
    assert untouched(portal)


def test_scripts_that_run_before_run_in_the_trial_too(portal: Portal) -> None:
    from approvals import scripts
    from approvals.models import Check

    index = Check("The index is gone", "SELECT to_regclass('wallets_by_user') IS NULL", "true")
    key = Check("V4 went first", "SELECT confdeltype FROM pg_constraint WHERE conname = 'wallets_user'", "a")
    history = Check("Both rows are gone", "SELECT count(*) FROM flyway_schema_history", "2", "after commit")
    rollback = draft(portal, "4", "3")
    trial = tried(portal, rollback, "DROP INDEX wallets_by_user;\n", index, key, history, position=2)
    assert answers(trial) == {
        index.name: ("false", "true", True),
        key.name: ("a", "a", True),
        history.name: ("4", "2", True),
    }
    # What goes after the tried one has no script yet: that is said, and the rest is done.
    rollback.items.filter(position=2).update(script=None)
    trial = tried(portal, rollback, "SELECT 1;", history)
    assert trial.notes == ["3 has no script that can run yet, so it was left out."]
    broken = scripts.add_script(
        portal.migration("4"), sql="DROP TABLE purses;\n", checks=[index], actor=portal.world.bob
    )
    rollback.items.filter(position=1).update(script=broken)
    trial = tried(portal, rollback, "DROP INDEX wallets_by_user;\n", index, position=2)
    assert trial.job.state == "failed"
    assert trial.sentence == 'The script of 4, which has to run too, failed: table "purses" does not exist'
    assert untouched(portal)


def test_a_check_that_writes_or_a_script_that_hangs_ends(portal: Portal, monkeypatch: Any) -> None:
    """On a copy made by hand, with limits that a test can wait for."""
    from contextlib import ExitStack
    from dataclasses import replace
    from uuid import uuid4

    from approvals.models import Check
    from executor import trying
    from executor.connect import Endpoint
    from executor.marker import EXECUTOR
    from executor.spec import HistoryPin, ItemSpec, Limits, RunSpec, StepSpec

    step = StepSpec(1, 1, "SELECT 1", "SELECT", ("SELECT",), 1, "Reads.")
    pin = HistoryPin(4, "4", "SQL", "V4__key_to_users.sql", 1, True)
    spec = RunSpec(
        execution_id=uuid4(),
        request_digest="",
        script_digest="",
        items=(ItemSpec(1, "4", (step,), (), pin),),
        owner_role="wallet_owner",
        limits=Limits(statement_timeout_ms=300, check_timeout_ms=300),
    )
    cluster = portal.staging_cluster
    with ExitStack():
        there = Endpoint(
            "127.0.0.1", cluster.port, portal.staging.name, EXECUTOR, cluster.login_password(EXECUTOR)
        )
        with portal.staging.connect() as owner:
            owner.execute("CREATE SEQUENCE counted; ALTER SEQUENCE counted OWNER TO wallet_owner")
        checks = [Check("Counts", "SELECT nextval('counted')", "1"), Check("Waits", "SELECT pg_sleep(9)", "")]
        seen = trying.attempt(there, spec, checks, 1, "SELECT 1")
        states = [result["after"]["sqlstate"] for result in seen["results"]]
        assert states == ["25006", "57014"]
        hangs = replace(step, sql="SELECT pg_sleep(9)")
        spec = replace(spec, items=(ItemSpec(1, "4", (hangs,), (), pin),))
        seen = trying.attempt(there, spec, checks[:1], 1, "SELECT pg_sleep(9)")
        assert seen["script_error"]["sqlstate"] == "57014"
        assert seen["results"][0]["after"] is None


def test_kill_9_during_a_trial_ends_it_as_soon_as_its_silence_is_noticed(portal: Portal) -> None:
    from approvals import trials
    from approvals.models import Job
    from tests.executor.portal import KEY_IS_BACK, wait_for
    from waqiti_rollback.celery import app

    slow = "SELECT pg_sleep(50);"
    trial = trials.ask(draft(portal), 1, sql=slow, checks=[KEY_IS_BACK], actor=portal.world.alice)

    def job() -> Job:
        return Job.objects.get(pk=trial.job_id)

    wait_for("the worker's word", lambda: job().heartbeat_at)
    portal.worker.kill()
    assert job().finished_at is None
    portal.worker.start()

    def ended() -> Job | None:
        app.send_task("executor.resolve_stale", queue="facts")  # as beat does every five seconds
        return job() if job().finished_at else None

    assert (wait_for("the end", ended).state, job().sentence) == (
        Job.State.FAILED,
        "The worker ended while it was at it. Ask again.",
    )
