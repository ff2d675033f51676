"""The portal's database roles: web and worker may do what their work needs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import alarms, attempts, audit, dbroles, executions, history, jobs, rollbacks
from approvals.models import ExecutionLog, ExecutionStatus, Job, Status
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.test_backup_exceptions import asked, beyond_reach, lesser, signed
from tests.servers import OWNER_ROLE, Database

pytestmark = pytest.mark.integration

Connect = Callable[..., psycopg.Connection[Any]]
WEB, WORKER = dbroles.WEB, dbroles.WORKER
ALL = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"}


def granted(role: str) -> dict[str, set[str]]:
    """What the role may do with whole tables, by table, as the server says."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.relname, p.privilege
                 FROM pg_class c, unnest(%s::text[]) AS p (privilege)
                WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                  AND has_table_privilege(%s, c.oid, p.privilege)""",
            [sorted(ALL), role],
        )
        found: dict[str, set[str]] = {}
        for table, privilege in cursor.fetchall():
            found.setdefault(table, set()).add(privilege)
    return found


@contextmanager
def signed_in_as(role: str, database: Database) -> Iterator[None]:
    """Let Django's connections be this role's."""
    settings = connection.settings_dict
    before = {name: settings[name] for name in ("USER", "PASSWORD")}
    connection.close()
    settings.update(USER=role, PASSWORD=database.cluster.login_password(role))
    try:
        yield
    finally:
        connection.close()
        settings.update(before)


@pytest.mark.django_db
@pytest.mark.parametrize("role", [WEB, WORKER])
def test_each_table_gives_what_is_meant_and_no_more(role: str) -> None:
    found = granted(role)
    tables = connection.introspection.table_names()
    assert set(found) == set(tables)
    for table in tables:
        whole = dbroles.privileges(role, table).split(", UPDATE (")[0]
        assert found[table] == set(whole.split(", ")), table


@pytest.mark.django_db
def test_the_lists_name_tables_that_exist() -> None:
    tables = set(connection.introspection.table_names())
    assert tables >= dbroles.APPEND_ONLY | dbroles.KEPT | dbroles.NOT_FOR_WORKER | dbroles.NOT_FOR_WEB
    assert dbroles.APPEND_ONLY.isdisjoint(dbroles.KEPT)


@pytest.mark.django_db
@pytest.mark.parametrize("role", [WEB, WORKER])
def test_audit_events_are_read_and_added_only(role: str) -> None:
    assert granted(role)["approvals_auditevent"] == {"SELECT", "INSERT"}


@pytest.mark.django_db
def test_a_worker_writes_neither_people_nor_policies_nor_decisions_and_changes_no_script() -> None:
    found = granted(WORKER)
    for table in ("approvals_user", "approvals_user_groups", "auth_group", "approvals_team_members"):
        assert found[table] == {"SELECT"}
    for table in ("approvals_policyrule", "approvals_approval", "django_session"):
        assert found[table] == {"SELECT"}
    for table in ("checklistentry", "incident", "incidentaction", "incidentnote", "comment", "contact"):
        assert found[f"approvals_{table}"] == {"SELECT"}
    assert found["approvals_rollbackscript"] == {"SELECT", "INSERT"}


@pytest.mark.django_db
def test_the_web_process_reads_what_was_seen_on_targets_and_writes_none_of_it() -> None:
    found = granted(WEB)
    for table in ("evidence", "backup", "basebackup", "executionlog", "historyrow", "rehearsalclone"):
        assert found[f"approvals_{table}"] == {"SELECT"}


@pytest.mark.django_db
def test_append_only_is_held_for_everybody_by_triggers_too() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
                WHERE tgfoid = 'waqiti_append_only'::regproc"""
        )
        triggers = cursor.fetchall()
    found = {table for table, name, _enabled in triggers if name == "append_only_rows"}
    assert found == dbroles.APPEND_ONLY
    assert found <= {table for table, name, _enabled in triggers if name == "append_only_table"}


@pytest.mark.django_db
def test_every_trigger_of_ours_fires_in_the_replica_role_too() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT tgname, tgenabled FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
                WHERE NOT tgisinternal AND proname LIKE 'waqiti%'"""
        )
        found = dict(cursor.fetchall())
    assert len(found) >= 12
    assert set(found.values()) == {"A"}


GUARDS_DOWN = [
    "ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL",
    "ALTER TABLE approvals_approval DROP CONSTRAINT one_decision_per_person",
    "DROP TRIGGER approval_floor ON approvals_rollbackrequest",
    "DROP TABLE approvals_auditevent",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (id int)",
    "CREATE FUNCTION waqiti_audit_link() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE OR REPLACE FUNCTION waqiti_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "SET ROLE waqiti_owner",
    "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
]


@pytest.mark.parametrize("role", [WEB, WORKER])
def test_no_role_can_take_the_guards_down(role: str, connect_as: Connect) -> None:
    someone = connect_as(role)
    for sql in GUARDS_DOWN:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            someone.execute(sql)


def test_grants_are_made_anew_after_every_migrate(committed: Database, connect_as: Connect) -> None:
    connect_as(OWNER_ROLE).execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {WORKER}")
    assert granted(WORKER)["approvals_auditevent"] == ALL
    with signed_in_as(OWNER_ROLE, committed):
        call_command("migrate", verbosity=0)
    assert granted(WORKER)["approvals_auditevent"] == {"SELECT", "INSERT"}
    assert granted(WORKER)["approvals_user"] == {"SELECT"}


@pytest.mark.django_db
def test_where_the_roles_are_missing_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbroles, "WEB", "nobody_web")
    monkeypatch.setattr(dbroles, "WORKER", "nobody_worker")
    with CaptureQueriesContext(connection) as queries:
        dbroles.grant_portal_roles()
    assert not any(query["sql"].startswith(("GRANT", "REVOKE")) for query in queries)


def test_a_worker_does_all_its_work_as_its_own_role(committed_world: World, committed: Database) -> None:
    """An execution that fails and one that succeeds, a rehearsal, what is taken by exception, readings and
    what time does."""
    world = committed_world
    first, second = rollback_in(world, Status.APPROVED), rollback_in(world, Status.APPROVED, "high")
    failing, succeeding = factories.start(world, first), factories.start(world, second)
    rehearsal = executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice)
    too_large = rollback_in(world, Status.IN_REVIEW, "critical")
    beyond_reach(world, too_large)
    exception = signed(asked(world, too_large), world.dora, world.lea, world.dan)
    excepted = executions.ask_for_rehearsal(factories.again(too_large), actor=world.alice)
    with signed_in_as(WORKER, committed):
        for job in Job.objects.filter(state="waiting"):
            jobs.finish(jobs.claim(job.pk, worker="w") or job)
        for queued, outcome in [
            (failing, ExecutionStatus.ROLLED_BACK),
            (succeeding, ExecutionStatus.SUCCEEDED),
            (rehearsal, ExecutionStatus.SUCCEEDED),
        ]:
            execution = factories.claimed(queued)
            attempts.enter(execution, ExecutionStatus.PREFLIGHT)
            factories.read_facts(execution.rollback_target.rollback)
            attempts.preflight(execution)
            factories.back_up(execution)
            factories.run(execution)
            attempts.heartbeat(execution.pk)
            execution.steps.update(state="done")
            ExecutionLog.objects.create(execution=execution, text="A notice.")
            factories.end(execution, outcome)
        assert lesser(factories.claimed(excepted)).exception == exception
        attempts.record_rehearsal(rehearsal, holds=True, sentence="Passed.", data={})
        factories.apply(world, world.high, "1234")
        assert alarms.check_reappeared(world.high) == 1
        history.record_sync_failure(world.staging, "It does not answer.")
        assert rollbacks.expire_due(timezone.now() + timedelta(days=9)) > 0
        jobs.send_waiting()
    assert [factories.again(each).status for each in (first, second)] == ["failed", "executed"]
    assert audit.verify().holds


def test_the_tables_of_every_app_are_known_to_django() -> None:
    managed = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    assert managed >= dbroles.KEPT | dbroles.APPEND_ONLY
