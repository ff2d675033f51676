"""The whole way with a real worker process, and what becomes of an execution when that process is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from approvals.models import Execution, RollbackRequest, RollbackScript
    from tests.executor.portal import Portal

QUICK_LOCKS = {"lock_phase_s": 3.0, "lock_timeout_ms": 300}


def untouched(portal: Portal) -> bool:
    """V4 stands and its history row is there."""
    return portal.key_deletes() == "c" and portal.versions() == ["1", "2", "3", "4"]


def taken_back(portal: Portal) -> bool:
    """V4 is gone, with its history row."""
    return portal.key_deletes() == "a" and portal.versions() == ["1", "2", "3"]


@contextmanager
def holding(portal: Portal, statement: str) -> Iterator[psycopg.Connection[object]]:
    """Somebody else has an open transaction in which `statement` ran."""
    with portal.superuser() as connection:
        connection.execute("BEGIN")
        connection.execute(statement)
        yield connection
        if not connection.closed:
            connection.execute("ROLLBACK")


def told(portal: Portal, execution: Execution) -> str:
    """What ops read on the page of an execution that ended as it was provoked to."""
    from django.urls import reverse

    from tests.approvals.views.visits import as_, see

    page = see(as_(portal.world.olga), reverse("execution_detail", args=[execution.pk]))
    assert page.status == 200
    assert "What is certain" in page
    return page.text


@contextmanager
def stalled(portal: Portal, rollback: RollbackRequest) -> Iterator[Execution]:
    """Its execution, whose COMMIT waits for a standby that does not exist; whoever writes meanwhile must not
    wait too."""
    try:
        execution = portal.reaches(portal.start(rollback), "backup")
        with portal.superuser() as somebody:
            somebody.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody_there'")
            somebody.execute("SELECT pg_reload_conf()")
        execution = portal.reaches(execution, "committing")
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        until = time.monotonic() + 20
        while portal.value(waits) == 0:
            assert time.monotonic() < until
            time.sleep(0.05)
        yield execution
    finally:
        with portal.superuser() as somebody:
            somebody.execute("SET synchronous_commit = local")
            somebody.execute("ALTER SYSTEM RESET synchronous_standby_names")
            somebody.execute("SELECT pg_reload_conf()")


@contextmanager
def portal_stopped() -> Iterator[None]:
    """The server of the portal's own database is gone as after a crash, and comes back."""
    from django.db import connections

    from tests.environment import ESTATE

    connections.close_all()
    ESTATE.portal.stop(immediate=True)
    try:
        yield
    finally:
        ESTATE.portal.start(die_with_parent=True)


def resolved(portal: Portal, execution: Execution, status: str) -> Execution:
    """What the target says about it, once its worker is silent for long enough; beat asks again and again."""
    from tests.executor.portal import wait_for
    from waqiti_rollback.celery import app

    def look() -> Execution | None:
        execution.refresh_from_db()
        if execution.status != status:
            app.send_task("executor.resolve_stale", queue="facts")
            time.sleep(1)
        return execution if execution.status == status else None

    return wait_for(f"{execution} to be {status}", look)


@contextmanager
def out_of_reach(portal: Portal) -> Iterator[None]:
    """Nobody gets into the target."""
    allow = f"ALTER DATABASE {portal.production.name} ALLOW_CONNECTIONS"
    with psycopg.connect(portal.production.cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"{allow} false")
        yield
        admin.execute(f"{allow} true")


@contextmanager
def limited(portal: Portal) -> Iterator[None]:
    """The target may only be dumped up to 1,000 bytes."""
    from approvals.models import Target

    target = Target.objects.filter(pk=portal.target.pk)
    before = portal.target.backup_limit_bytes
    target.update(backup_limit_bytes=1000)
    try:
        yield
    finally:
        target.update(backup_limit_bytes=before)


@contextmanager
def ruled(**fields: object) -> Iterator[None]:
    """A policy whose rules differ from those in force by this, and then one like before."""
    from approvals import policy
    from approvals.models import PolicyRule, PolicyVersion

    def add(rules: list[PolicyRule]) -> None:
        version = PolicyVersion.objects.create(number=policy.current().number + 1)
        for rule in rules:
            rule.pk, rule.policy = None, version
            rule.save(force_insert=True)

    before = policy.current()
    changed = list(before.rules.all())
    for rule in changed:
        for name, value in fields.items():
            setattr(rule, name, value)
    add(changed)
    try:
        yield
    finally:
        add(list(before.rules.all()))


def actions(execution: Execution) -> list[str]:
    """The audit trail of one execution, oldest first."""
    from approvals.models import AuditEvent

    events = AuditEvent.objects.filter(body__contains=str(execution.pk)).order_by("seq")
    return list(events.values_list("action", flat=True))


def test_a_rollback_is_rehearsed_approved_backed_up_executed_and_its_history_row_goes(portal: Portal) -> None:
    from approvals import audit
    from approvals.models import Backup, Evidence, PostMortem

    rollback = portal.request()
    rehearsal = portal.rehearse(rollback)
    assert rehearsal.status == "succeeded", rehearsal.sentence
    assert rehearsal.timings["lock_held_s"] > 0
    assert untouched(portal)
    clones = "SELECT count(*) FROM pg_database WHERE datname LIKE 'waqiti_rehearsal_%'"
    with portal.staging.connect() as staging:
        assert staging.execute(clones).fetchone() == (0,)
    portal.approved(rollback)

    execution = portal.ended(portal.start(rollback))

    assert execution.status == "succeeded", execution.sentence
    assert "V4 is undone on wallet-service-production" in told(portal, execution)
    assert "Connection pools" in told(portal, execution)
    assert "Locks, observed and in the rehearsal" in told(portal, execution)
    assert "The rollback of V4 worked on a clone" in told(portal, rehearsal)
    assert taken_back(portal)
    assert portal.again(rollback).status == "executed"
    assert [(step.state, step.tag) for step in execution.steps.all()] == [("done", "ALTER TABLE")] * 2
    assert Backup.objects.get(execution=execution).state == "verified"
    assert Evidence.objects.filter(kind="rehearsal", holds=True).exists()
    assert PostMortem.objects.get(incident=portal.again(rollback).incident).submitted_at is None
    assert audit.verify().holds


def test_the_history_row_can_be_kept_and_marked_as_deleted_instead(portal: Portal) -> None:
    """Rehearsed and executed so; the target's page and the alarm read the history as Flyway does."""
    from approvals import history
    from approvals.flyway import history as flyway
    from approvals.models import Target

    rollback = portal.ready(history_treatment="mark")
    execution = portal.ended(portal.start(rollback))
    assert execution.status == "succeeded", execution.sentence
    assert "1 history row marked as deleted" in execution.sentence
    assert portal.key_deletes() == "a"
    assert portal.versions() == ["1", "2", "3", "4", "4"]
    portal.synced(portal.target)
    rows = history.rows_of(Target.objects.get(pk=portal.target.pk))
    assert (rows[-1].type, rows[-1].installed_by) == ("DELETE", "waqiti_rollback_executor")
    assert [version.text for version in flyway.applied(rows)] == ["1", "2", "3"]
    execution.refresh_from_db()
    assert execution.reappeared_at is None


def test_where_the_policy_says_so_touched_tables_are_backed_up_while_writers_wait(portal: Portal) -> None:
    """Rehearsed on a copy with their rows only; executed with the backup within the script's transaction."""
    from approvals.models import Backup

    with ruled(backup_scope="tables", backup_gapless=True):
        rollback = portal.ready()
        (rehearsed,) = Backup.objects.filter(execution__rollback_target__rollback=rollback)
        assert (rehearsed.word, rehearsed.gapless) == ("touched tables, verified", False)
        with portal.superuser() as somebody:
            somebody.execute("CREATE TABLE untouched AS SELECT 1 AS n")
        execution = portal.ended(portal.start(rollback))
    assert execution.status == "succeeded", execution.sentence
    backup = Backup.objects.get(execution=execution)
    assert (backup.word, backup.gapless) == ("touched tables, verified", True)
    assert "public.wallets" in backup.tables
    assert "public.untouched" not in backup.tables
    assert "Nothing was written to what the script touches" in backup.sentence
    assert execution.timings["lock_held_s"] > (backup.seconds or 0)
    assert taken_back(portal)
    assert "taken within the script's transaction" in told(portal, execution)


def test_a_check_that_fails_rolls_everything_back_and_voids_the_approvals(portal: Portal) -> None:
    from approvals.models import Check
    from tests.executor.portal import UNDO_KEY

    portal.write(
        UNDO_KEY, Check("Nobody was renamed", "SELECT count(*) FROM users WHERE name = 'other'", "0")
    )
    rollback = portal.ready()
    with portal.superuser() as somebody:  # since the rehearsal
        somebody.execute("UPDATE users SET name = 'other' WHERE id = 2")

    execution = portal.ended(portal.start(rollback))

    assert execution.status == "rolled_back"
    assert "Nobody was renamed" in execution.sentence
    assert "a check did not pass, and all of it was taken back" in told(portal, execution)
    assert "Nobody was renamed before commit Not passed 0 1" in told(portal, execution)
    assert untouched(portal)
    assert portal.again(rollback).status == "failed"
    assert not rollback.approvals.filter(voided_at=None).exists()


def test_a_lock_held_by_somebody_else_ends_without_effect_names_them_and_keeps_the_approvals(
    portal: Portal,
) -> None:
    rollback = portal.ready(**QUICK_LOCKS)

    with holding(portal, "UPDATE wallets SET amount = 1 WHERE id = 1"):
        execution = portal.ended(portal.start(rollback))

    assert execution.status == "no_effect"
    assert execution.blocker["user"] == "postgres"
    holder = f"session {execution.blocker['pid']} did not let go of a lock"
    assert f"Nothing changed on wallet-service-production: {holder}" in told(portal, execution)
    assert "Start it again: the approvals still count. 1 of 3 attempts are made." in told(portal, execution)
    assert untouched(portal)
    assert portal.again(rollback).status == "approved"
    assert rollback.approvals.filter(voided_at=None).count() == 2
    assert portal.ended(portal.start(rollback)).status == "succeeded"
    assert taken_back(portal)


def test_kill_9_before_the_claim_is_not_committed_and_a_tombstone_keeps_a_late_worker_out(
    portal: Portal,
) -> None:
    rollback = portal.ready()
    with holding(portal, "LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE"):  # pg_dump waits for it
        execution = portal.reaches(portal.start(rollback), "backup")
        portal.worker.kill()
    time.sleep(3)
    portal.worker.start()

    execution = portal.ended(execution)

    assert execution.status == "no_effect"
    assert "the worker was lost before the script began" in told(portal, execution)
    assert untouched(portal)
    kinds = f"SELECT kind FROM waqiti_rollback.execution_marker WHERE execution_id = '{execution.pk}'"
    assert portal.value(kinds) == "tombstone"
    assert portal.again(rollback).status == "approved"
    dumps = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_dump%'"
    assert portal.value(dumps) == 0


def test_kill_9_while_the_backup_is_taken_within_the_transaction_lets_go_of_everything(
    portal: Portal,
) -> None:
    """The claim stands in that transaction, so the tombstone comes once its session is ended."""
    with ruled(backup_gapless=True):
        rollback = portal.ready()
        with holding(portal, "LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE"):  # pg_dump waits for it
            execution = portal.reaches(portal.start(rollback), "backup")
            portal.worker.kill()
        time.sleep(3)
        portal.worker.start()
        execution = portal.ended(execution)
    assert execution.status == "no_effect", execution.sentence
    assert untouched(portal)
    kinds = f"SELECT kind FROM waqiti_rollback.execution_marker WHERE execution_id = '{execution.pk}'"
    assert portal.value(kinds) == "tombstone"
    held = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation WHERE relname = 'wallets'"
    assert portal.value(held) == 0


def test_kill_9_in_the_script_is_rolled_back_and_nothing_has_changed(portal: Portal) -> None:
    from approvals.models import Job

    rollback, execution = portal.running_for_long()
    portal.worker.kill()
    time.sleep(3)
    portal.worker.start()

    execution = portal.ended(execution)

    assert execution.status == "rolled_back"
    assert Job.objects.get(kind="execute", subject=str(execution.pk)).state == "failed"
    assert "the worker was lost, and all of it was taken back" in told(portal, execution)
    assert untouched(portal)
    assert portal.again(rollback).status == "failed"
    assert (
        portal.value(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation WHERE relname = 'wallets'"
        )
        == 0
    )


def test_kill_9_after_commit_was_sent_is_committed_with_one_outcome_on_record(portal: Portal) -> None:
    from approvals.models import Check
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY

    owed = Check("Still so after commit", KEY_IS_BACK.sql, KEY_IS_BACK.expected, "after commit")
    portal.write(UNDO_KEY, KEY_IS_BACK, owed)
    rollback = portal.ready()
    with stalled(portal, rollback) as execution:
        portal.worker.kill()
        time.sleep(3)
        portal.worker.start()
        execution = portal.ended(execution)

    assert execution.status == "succeeded", execution.sentence
    assert taken_back(portal)
    assert portal.again(rollback).status == "executed"
    assert actions(execution).count("execution.succeeded") == 1
    assert "V4 is undone on wallet-service-production" in told(portal, execution)
    assert "Still so after commit after commit Passed" in told(portal, execution)


def test_a_portal_that_stops_before_the_script_leaves_the_target_untouched_and_after_commit_learns_of_it(
    portal: Portal,
) -> None:
    """Its server is really stopped, twice: during the backup, and while COMMIT is under way. When it is back
    from that the target is out of reach, so it is unresolved first."""
    from tests.executor.portal import wait_for

    rollback = portal.ready()
    with holding(portal, "LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE") as somebody:  # pg_dump waits for it
        execution = portal.reaches(portal.start(rollback), "backup")
        with portal_stopped():
            somebody.execute("ROLLBACK")
    execution = resolved(portal, execution, "no_effect")
    assert untouched(portal)
    kinds = "SELECT kind FROM waqiti_rollback.execution_marker WHERE execution_id = '{}'"
    assert portal.value(kinds.format(execution.pk)) == "tombstone"

    with ExitStack() as until_it_is_back:
        with stalled(portal, rollback) as execution:
            until_it_is_back.enter_context(portal_stopped())
        wait_for("the commit", lambda: taken_back(portal) or None)
        with out_of_reach(portal):
            until_it_is_back.close()
            resolved(portal, execution, "unresolved")
    execution = resolved(portal, execution, "succeeded")
    assert taken_back(portal)
    assert portal.value(kinds.format(execution.pk)) == "claim"
    assert actions(execution).count("execution.succeeded") == 1


def test_a_worker_that_is_asked_to_stop_ends_what_it_has_and_says_for_what_it_waits(portal: Portal) -> None:
    """As a deployment asks: SIGTERM while the script waits for a lock."""
    from approvals.models import Execution
    from tests.executor.portal import wait_for

    rollback = portal.ready()
    with holding(portal, "UPDATE wallets SET amount = 1 WHERE id = 1"):
        execution = portal.start(rollback)
        blocked = Execution.objects.filter(pk=execution.pk, blocker__isnull=False)
        wait_for("somebody to be named", lambda: blocked.exists() or None)
        portal.worker.process.send_signal(signal.SIGTERM)
        wait_for("the worker to say it", lambda: "once these jobs" in portal.worker.log.read_text() or None)
    execution = portal.ended(execution)
    assert portal.worker.process.wait(30) == 0
    assert execution.status == "succeeded", execution.sentence
    assert taken_back(portal)


@contextmanager
def paused(portal: Portal) -> Iterator[None]:
    """The worker takes no message; what is queued meanwhile waits for it."""
    os.kill(portal.worker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(portal.worker.process.pid, signal.SIGCONT)


@contextmanager
def one_byte_changed(script: RollbackScript) -> Iterator[None]:
    """What only a superuser of the portal's database can, who takes the triggers away and puts them back."""
    from django.db import connection

    from tests.environment import ESTATE

    table = "approvals_rollbackscript"
    changed = script.sql[:20] + "x" + script.sql[21:]
    with psycopg.connect(
        ESTATE.portal.superuser_dsn(connection.settings_dict["NAME"]), autocommit=True
    ) as superuser:
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'A'"
        always = [row[0] for row in superuser.execute(query, (table,)).fetchall()]

        def write(sql: str) -> None:
            with superuser.transaction():
                superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                superuser.execute(f"UPDATE {table} SET sql = %s WHERE id = %s", (sql, script.pk))
                superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
                for name in always:
                    superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")

        write(changed)
        yield
        write(script.sql)


def test_one_byte_changed_after_the_approval_is_refused_by_the_worker_and_on_record(portal: Portal) -> None:
    from approvals.models import AuditEvent

    rollback = portal.ready()
    script = rollback.items.get().script
    assert script is not None
    with ExitStack() as changed:
        with paused(portal):
            execution = portal.start(rollback)
            changed.enter_context(one_byte_changed(script))
        ended = portal.ended(execution)
    sentence = "The script of V4 is not the one whose digest was recorded."
    assert (ended.status, ended.sentence) == ("no_effect", sentence)
    assert untouched(portal)
    assert portal.value("SELECT count(*) FROM waqiti_rollback.execution_marker") == 0
    claims = AuditEvent.objects.filter(action="execution.claimed", body__contains=str(execution.pk))
    assert f'"refused":"{sentence}"' in claims.get().body


def test_a_message_that_arrives_three_times_runs_once(portal: Portal) -> None:
    from approvals.models import Job
    from waqiti_rollback.celery import app

    rollback = portal.ready()
    execution = portal.start(rollback)
    job = Job.objects.get(kind="execute", subject=str(execution.pk))
    for _again in range(2):
        app.send_task("executor.work", [job.pk], queue="execute")

    execution = portal.ended(execution)

    assert execution.status == "succeeded"
    assert actions(execution).count("execution.claimed") == 1
    assert portal.value("SELECT count(*) FROM waqiti_rollback.execution_marker") == 1


def test_cancelling_ends_the_backend_and_the_target_tells_the_outcome(portal: Portal) -> None:
    from approvals import executions

    _rollback, execution = portal.running_for_long()

    executions.cancel(execution, actor=portal.world.olga, reason="Support needs the table now.")
    execution = portal.ended(execution)

    assert execution.status == "rolled_back"
    assert "it was cancelled, and all of it was taken back" in told(portal, execution)
    assert "Olga cancelled it: “Support needs the table now.”" in told(portal, execution)
    assert untouched(portal)
    assert portal.value(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {execution.pid}") == 0


def says_why(execution: Execution, why: str) -> None:
    """Until its sentence has this in it; beat asks again and again."""
    from tests.executor.portal import wait_for
    from waqiti_rollback.celery import app

    def look() -> bool | None:
        app.send_task("executor.resolve_stale", queue="facts")
        time.sleep(0.5)
        execution.refresh_from_db()
        return True if why in execution.sentence else None

    wait_for(f"{execution} to say {why}", look)


def test_an_execution_whose_target_does_not_answer_is_unresolved_until_it_does(portal: Portal) -> None:
    from approvals.errors import Refused

    rollback, execution = portal.running_for_long()
    portal.worker.kill()
    with psycopg.connect(portal.production.cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {portal.production.name} ALLOW_CONNECTIONS false")
    time.sleep(3)
    portal.worker.start()

    execution = portal.reaches(execution, "unresolved")
    assert "We do not know yet whether V4 is undone on wallet-service-production" in told(portal, execution)
    assert "do not run the script by hand" in told(portal, execution)
    assert portal.again(rollback).status == "executing"
    with pytest.raises(Refused):
        portal.start(rollback)

    with psycopg.connect(portal.production.cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {portal.production.name} ALLOW_CONNECTIONS true")
    with portal.superuser() as somebody:  # it answers now, and it is something else that is in the way
        somebody.execute("ALTER SCHEMA waqiti_rollback RENAME TO put_away")
        says_why(execution, '"waqiti_rollback.execution_marker" does not exist')
        somebody.execute("ALTER SCHEMA put_away RENAME TO waqiti_rollback")
    assert resolved(portal, execution, "rolled_back")
    assert untouched(portal)


def test_a_migration_that_comes_back_within_a_day_is_an_alarm(portal: Portal) -> None:
    from waqiti_rollback.celery import app

    rollback = portal.ready()
    execution = portal.ended(portal.start(rollback))
    assert execution.reappeared_at is None
    with portal.superuser() as deployment:
        deployment.execute(
            "INSERT INTO flyway_schema_history"
            " VALUES (4, '4', 'key', 'SQL', 'V4__key_to_users.sql', 1, 'ci', now(), 5, true)"
        )

    app.send_task("executor.watch_histories", queue="facts")

    from tests.executor.portal import wait_for

    def alarmed() -> bool | None:
        execution.refresh_from_db()
        return execution.reappeared_at is not None or None

    wait_for("the alarm", alarmed)
    assert "V4 is applied on wallet-service-production again" in told(portal, execution)
    assert actions(execution)[-1] == "alarm.migration_came_back"


def test_a_target_larger_than_its_limit_is_refused_in_plain_words(portal: Portal) -> None:
    from approvals.models import Backup

    with limited(portal):
        rehearsal = portal.rehearse(portal.request())

    assert rehearsal.status == "no_effect"
    assert "above" in rehearsal.sentence
    assert Backup.objects.get(execution=rehearsal).state == "refused"
    assert "did not work on a clone" in told(portal, rehearsal)


def test_a_backup_that_can_not_be_taken_ends_without_effect_and_says_so(portal: Portal) -> None:
    rollback = portal.ready()
    with limited(portal):
        execution = portal.ended(portal.start(rollback))
    assert execution.status == "no_effect"
    assert "that this portal dumps and restores in full" in execution.sentence
    assert "The backup that the policy asks for can be taken" in told(portal, execution)


def test_whoever_cancels_during_the_backup_ends_it_and_the_approvals_stay(portal: Portal) -> None:
    from approvals import executions

    rollback = portal.ready()
    with holding(portal, "LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE"):  # pg_dump waits for it
        execution = portal.reaches(portal.start(rollback), "backup")
        executions.cancel(execution, actor=portal.world.olga, reason="Wrong window.")
        execution = portal.ended(execution)
    assert execution.status == "no_effect"
    assert "Nothing changed on wallet-service-production: it was cancelled" in told(portal, execution)
    assert portal.again(rollback).status == "approved"


def test_a_freeze_that_comes_while_the_backup_is_taken_stops_the_script(portal: Portal) -> None:
    from tests.executor.test_partly_done import frozen

    rollback = portal.ready()
    with ExitStack() as freeze:
        with holding(portal, "LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE"):  # pg_dump waits for it
            execution = portal.reaches(portal.start(rollback), "backup")
            freeze.enter_context(frozen(portal))
        execution = portal.ended(execution)
    assert execution.status == "no_effect"
    assert "While the backup was taken this changed:" in execution.sentence
    assert "Month end." in execution.sentence
    assert execution.backups.get().state == "verified"
    assert untouched(portal)


def test_a_time_limit_takes_all_of_it_back(portal: Portal) -> None:
    from tests.executor.portal import SLOW, UNDO_KEY

    portal.write(SLOW + UNDO_KEY)
    rollback = portal.ready(statement_timeout_ms=1500)
    with portal.superuser() as somebody:
        somebody.execute("UPDATE pace SET seconds = 120")
    execution = portal.ended(portal.start(rollback))
    assert (execution.status, execution.sqlstate) == ("rolled_back", "57014")
    assert "a time limit was over, and all of it was taken back" in told(portal, execution)
    assert untouched(portal)


def test_a_deadlock_that_the_server_breaks_at_our_cost_takes_all_of_it_back(portal: Portal) -> None:
    """The script waits for a table that it did not say it would touch, whose holder then waits for ours."""
    from tests.executor.portal import UNDO_KEY

    hidden = "DO $$ BEGIN EXECUTE 'LOCK TABLE ' || 'elsewhere' || ' IN ACCESS EXCLUSIVE MODE'; END $$;\n"
    portal.write(UNDO_KEY + hidden)
    rollback = portal.ready(lock_timeout_ms=60_000)
    with portal.superuser() as other:
        other.execute("SET deadlock_timeout = '60s'")  # so that it is we who look first
        other.execute("BEGIN")
        other.execute("LOCK TABLE elsewhere IN ROW EXCLUSIVE MODE")
        execution = portal.reaches(portal.start(rollback), "running")
        with suppress(psycopg.Error):
            other.execute("LOCK TABLE wallets IN ACCESS SHARE MODE")
        execution = portal.ended(execution)
    assert (execution.status, execution.sqlstate) == ("rolled_back", "40P01")
    assert "a deadlock was broken, and all of it was taken back" in told(portal, execution)
    assert untouched(portal)


def test_a_check_after_the_commit_that_fails_is_committed_and_says_so(portal: Portal) -> None:
    from approvals.models import Check
    from tests.executor.portal import KEY_IS_BACK, UNDO_KEY

    owed = Check("Nothing is slow", "SELECT seconds FROM pace", "0", "after commit")
    portal.write(UNDO_KEY, KEY_IS_BACK, owed)
    rollback = portal.ready()
    with portal.superuser() as somebody:  # since the rehearsal
        somebody.execute("UPDATE pace SET seconds = 7")
    execution = portal.ended(portal.start(rollback))
    assert execution.status == "committed_check_failed"
    page = told(portal, execution)
    assert "V4 is undone on wallet-service-production, but a check after the commit failed" in page
    assert "It is committed: it neither failed nor was rolled back." in page
    assert "Nothing is slow after commit Not passed 0 7" in page
    assert taken_back(portal)
