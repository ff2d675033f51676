"""A database that is too large for a dump: its point in time, and the commands that lead back to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from approvals import attempts, backup_exceptions, base_backups, grades, policy
from approvals.models import (
    AuditEvent,
    Backup,
    BackupException,
    BaseBackup,
    Evidence,
    Execution,
    ExecutionStatus,
    Grade,
    Scope,
)
from approvals.pages import dumps
from executor import foreseen, points, preflight, taking, vault
from executor.connect import Endpoint, connect
from executor.errors import BackupFailed, BackupRefused
from executor.pgtools import tool
from tests.approvals import factories
from tests.approvals.conftest import committed, committed_world, in_prepared, prepared, world  # noqa: F401
from tests.approvals.factories import World
from tests.approvals.test_backup_exceptions import granted
from tests.executor.archiving import DATABASE, Archiving, archiving, restored_by_hand
from tests.executor.target import OWNER
from waqiti_rollback.embedded import HOST, Cluster
from waqiti_rollback.embedded.places import server_programs

pytestmark = pytest.mark.integration
LIMIT = 500_000


@pytest.fixture(scope="module")
def archive() -> Iterator[Archiving]:
    """A server with 1 MB in one table and little in the others."""
    before = os.environ.get("SERVER_BIN")
    os.environ["SERVER_BIN"] = str(server_programs())
    try:
        with archiving(server_programs()) as made:
            made.target.do(
                f"SET ROLE {OWNER}",
                "CREATE TABLE transactions (id bigint PRIMARY KEY, wallet_id int REFERENCES wallets)",
            )
            made.target.do(
                f"ALTER TABLE IF EXISTS transactions OWNER TO {OWNER}",
                "INSERT INTO transactions SELECT n, n FROM generate_series(1, 30) n",
                "CREATE TABLE heavy AS SELECT n, repeat('x', 100) AS t FROM generate_series(1, 8000) n",
            )
            yield made
    finally:
        os.environ.pop("SERVER_BIN")
        if before is not None:
            os.environ["SERVER_BIN"] = before


@pytest.fixture(autouse=True)
def place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    archive: Archiving,
    scratch_cluster: Cluster,
) -> Path:
    """A worker's storage and its logins."""
    vault.make_key(tmp_path / "key")
    monkeypatch.setenv("BACKUP_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BACKUP_WORK_DIR", str(tmp_path / "work"))
    local = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "kept")},
    }
    settings.STORAGES = settings.STORAGES | {vault.ALIAS: local}
    password = scratch_cluster.ensure_login("scratch_restorer", "CREATEDB")
    scratch = Endpoint(HOST, scratch_cluster.port, "postgres", "scratch_restorer", password)
    monkeypatch.setattr("executor.credentials.scratch", lambda _major: scratch)
    logins = {"executor": archive.target.executor, "backup": archive.target.backup}
    monkeypatch.setattr("executor.credentials.endpoint", lambda _target, purpose: logins[purpose])
    return tmp_path


@pytest.fixture
def execution(world: World, archive: Archiving) -> Execution:  # noqa: F811
    """A worker has the execution of a rollback that drops the table `transactions`."""
    factories.write_script(world, "3", sql=f"{factories.UNDO['3']}DROP TABLE transactions;\n")
    rollback = factories.approved(world, factories.submitted(world, factories.draft(world)))
    made = factories.claimed(factories.start(world, rollback))
    target = made.target
    target.host, target.port, target.dbname, target.owner_role = HOST, archive.server.port, DATABASE, OWNER
    target.system_identifier = archive.target.value("SELECT system_identifier::text FROM pg_control_system()")
    target.database_oid = archive.target.value(
        "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
    )
    target.backup_limit_bytes = LIMIT
    target.save()
    attempts.enter(made, ExecutionStatus.PREFLIGHT)
    return Execution.objects.select_related("target", "rollback_target__rollback").get(pk=made.pk)


def register(execution: Execution, archive: Archiving, directory: Path | None = None) -> str:
    said = StringIO()
    call_command(
        "register_base_backup",
        execution.target.name,
        str(directory or archive.base),
        restore_command=archive.restore_command,
        stdout=said,
    )
    return said.getvalue()


def evidence(execution: Execution) -> Evidence:
    return Evidence.objects.filter(
        rollback=execution.rollback_target.rollback, kind=Evidence.Kind.BACKUP
    ).latest("id")


def test_above_the_limit_it_is_a_point_in_time_and_the_shown_commands_lead_back_to_it(
    execution: Execution, archive: Archiving, place: Path
) -> None:
    assert "tables with" in register(execution, archive)
    events = AuditEvent.objects.filter(action="base_backup.tested", target=execution.target.name)
    assert events.count() == 1
    archive.target.do("INSERT INTO wallets SELECT n, 1, 0 FROM generate_series(501, 505) n")

    backup = taking.take_backup(execution)

    assert backup.worth is Grade.POINT
    assert backup.word == "point in time"
    assert set(backup.tables) == {"public.transactions", "public.flyway_schema_history"}
    assert backup.point["name"] == points.name_of(execution.pk)
    assert (archive.archive / backup.point["wal"]).exists()
    assert backup.sentence.startswith(f"Point in time: restore point {backup.point['name']} at ")
    assert "Verified" not in backup.sentence
    event = AuditEvent.objects.get(action="backup.point_in_time", body__contains=str(execution.pk))
    assert backup.point["lsn"] in event.body
    rule = policy.rule_for(execution.rollback_target.rollback)
    assert grades.lacking(rule, evidence(execution), timezone.now()) == ""
    in_eight_days = timezone.now() + timedelta(days=8)
    assert "older than the policy allows" in grades.lacking(rule, evidence(execution), in_eight_days)

    archive.target.do("DELETE FROM wallets WHERE id > 500", "SELECT pg_switch_wal()")
    with (
        restored_by_hand(archive, dumps.dump(backup).to_the_point) as there,
        psycopg.connect(there) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM wallets").fetchone() == (105,)


def test_the_dump_of_what_goes_restores_with_the_commands_that_are_shown(
    execution: Execution, archive: Archiving, place: Path
) -> None:
    """Keys to tables whose rows are elsewhere are there again, not validated."""
    register(execution, archive)
    backup = taking.take_backup(execution)
    fetch, *rest = dumps.dump(Backup.objects.select_related("target").get(pk=backup.pk)).restore.splitlines()
    assert "2606 (" in rest[1]
    file = place / f"backup-{backup.pk}.dump"
    call_command("fetch_backup", backup.pk, file, stdout=StringIO())
    assert fetch.endswith(file.name)
    who = psycopg.conninfo.conninfo_to_dict(archive.superuser_dsn)
    env = {
        "PATH": f"{Path(tool('pg_restore')).parent}:{os.environ['PATH']}",
        "PGUSER": str(who["user"]),
        "PGPASSWORD": str(who["password"]),
    }
    try:
        for command in rest:
            done = subprocess.run(["sh", "-c", command], cwd=place, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        with archive.server.superuser(f"{DATABASE}_restored") as connection:
            counts = "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM wallets)"
            assert connection.execute(counts).fetchone() == (30, 0)
            key = "SELECT convalidated FROM pg_constraint WHERE conname = 'transactions_wallet_id_fkey'"
            assert connection.execute(key).fetchone() == (False,)
    finally:
        with archive.server.superuser() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}_restored WITH (FORCE)")


def refused(execution: Execution, match: str) -> None:
    """No backup is taken, it is on record why, and a preflight says so before."""
    rollback_target = execution.rollback_target
    rule = policy.rule_for(rollback_target.rollback)
    with closing(connect(taking.credentials.endpoint(execution.target, "executor"))) as connection:
        found, needs = foreseen.backup(connection, rollback_target, rule)
    assert needs is None
    assert [point.verdict for point in found] == ["stop"]
    with pytest.raises(BackupRefused, match=match):
        taking.take_backup(execution)
    assert Backup.objects.filter(execution=execution).latest("id").state == Backup.State.REFUSED
    assert not evidence(execution).holds
    assert grades.worth(evidence(execution)) is Grade.NONE


def test_without_a_usable_physical_backup_nothing_starts(
    execution: Execution, archive: Archiving, place: Path
) -> None:
    refused(execution, r"above the 0\.5 MB .* No physical backup of its server with a tested restore is on")
    register(execution, archive)
    base = base_backups.newest(execution.target)
    assert base is not None
    taken = base.taken_at
    BaseBackup.objects.filter(pk=base.pk).update(taken_at=timezone.now() - timedelta(days=8))
    refused(execution, "is older than the 168 h that the policy allows")
    BaseBackup.objects.filter(pk=base.pk).update(taken_at=taken, timeline=7)
    refused(execution, "The server is on timeline 1 since, its physical backup on 7")
    BaseBackup.objects.filter(pk=base.pk).update(timeline=1, directory=str(place))
    refused(execution, "are not those whose restore was tested")


def excepted(execution: Execution) -> BackupException:
    """Ops asked, two senior DBAs and the lead signed, on the word of the worker who found it too large."""
    return granted(factories.load_world(), factories.again(execution.rollback_target.rollback))


def looked(execution: Execution) -> tuple[bool, str]:
    """What a preflight by the worker finds: is the backup beyond reach for its size, and how it stands."""
    preflight.look(factories.again(execution.rollback_target.rollback), execution)
    data = Evidence.objects.filter(kind=Evidence.Kind.PREFLIGHT).latest("id").data
    # The portal's own point about the gate comes before the worker's.
    told = [point["verdict"] for point in data["points"] if point["key"] in ("backup", "above_limit")]
    return data["above_limit"], told[-1]


def test_by_exception_what_the_script_destroys_is_dumped_and_verified_and_never_called_a_backup(
    execution: Execution, archive: Archiving
) -> None:
    refused(execution, "No physical backup of its server with a tested restore is on record")
    assert looked(execution) == (True, "stop")
    exception = excepted(execution)
    assert looked(execution) == (False, "look")
    with closing(connect(archive.target.executor)) as connection:
        rule = policy.rule_for(execution.rollback_target.rollback)
        leave = partial(backup_exceptions.in_force, exception.rollback_id, execution.change_digest)
        found, needs = foreseen.backup(connection, execution.rollback_target, rule, leave)
        without, _ = foreseen.backup(connection, execution.rollback_target, rule)
    assert needs
    assert [(point.key, point.verdict) for point in found] == [("backup", "look")]
    assert "exception signed by Dora, Lea, Dan, because" in found[0].says
    assert [(point.key, point.verdict) for point in without] == [("above_limit", "stop")]
    backup = taking.take_backup(execution)
    assert (backup.state, backup.worth, backup.exception_id) == ("verified", Grade.NONE, exception.pk)
    assert set(backup.tables) == {"public.transactions", "public.flyway_schema_history"}
    assert backup.sentence.startswith(
        "By exception. Nothing but what the script destroys can be brought back. What the script destroys is "
        "in a dump that was restored and compared: 2 tables with"
    )
    assert "can't be had: The tables hold" in backup.sentence
    assert not evidence(execution).holds
    assert grades.lacking(rule, evidence(execution), timezone.now()) == backup.sentence
    # It stands in for what can't be had, and for nothing else.
    register(execution, archive)
    assert taking.take_backup(execution).worth is Grade.POINT


def test_by_exception_where_nothing_can_be_dumped_the_structure_is_and_a_point_is_set_if_there_can_be_one(
    execution: Execution, archive: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script destroys more than the limit; then the archive fails as well."""
    execution.target.backup_limit_bytes = 1
    execution.target.save()
    refused(execution, "No physical backup of its server")
    excepted(execution)
    backup = taking.take_backup(execution)
    assert set(backup.tables) == {"public.flyway_schema_history"}
    assert backup.sentence.startswith("By exception. No backup that brings data back. The structure without")
    register(execution, archive)
    backup = taking.take_backup(execution)
    assert (backup.worth, backup.point["name"]) == (Grade.NONE, points.name_of(execution.pk))
    assert "the whole server can be brought back to it" in backup.sentence
    assert dumps.dump(backup).to_the_point
    monkeypatch.setenv("ARCHIVE_PATIENCE_SECONDS", "0.5")
    with archive.archiver_fails(noticed=False):
        backup = taking.take_backup(execution)
    assert (backup.worth, backup.point) == (Grade.NONE, {})
    assert "No backup that brings data back." in backup.sentence
    assert "was not archived within" in backup.sentence


def test_an_exception_that_is_over_lets_no_worker_go_without(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(execution, "No physical backup of its server")
    exception = excepted(execution)
    over = exception.expires_at
    monkeypatch.setattr("approvals.backup_exceptions.timezone.now", lambda: over)
    with pytest.raises(BackupRefused, match="No physical backup of its server"):
        taking.take_backup(execution)


def test_a_physical_backup_that_fails_its_test_counts_no_longer_and_is_on_record(
    execution: Execution, archive: Archiving
) -> None:
    register(execution, archive)
    label = archive.base / "backup_label"
    text = label.read_text()
    label.write_text(text + " ")
    try:
        with pytest.raises(CommandError, match="pg_verifybackup says"):
            register(execution, archive)
    finally:
        label.write_text(text)
    assert base_backups.newest(execution.target) is None
    assert AuditEvent.objects.filter(action="base_backup.failed").count() == 1
    register(execution, archive)
    assert base_backups.newest(execution.target) is not None


def test_an_archiver_that_fails_is_a_no_go_and_one_that_is_late_no_point_in_time(
    execution: Execution, archive: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(execution, archive)
    rule = policy.rule_for(execution.rollback_target.rollback)
    with closing(connect(archive.target.executor)) as connection:
        found, _ = foreseen.backup(connection, execution.rollback_target, rule)
        assert [point.verdict for point in found if point.key == "backup"] == ["go"]
        with archive.archiver_fails():
            found, _ = foreseen.backup(connection, execution.rollback_target, rule)
            assert [(point.key, point.verdict) for point in found] == [("backup", "go"), ("archive", "stop")]
    monkeypatch.setenv("ARCHIVE_PATIENCE_SECONDS", "0.5")
    late = pytest.raises(BackupFailed, match="was not archived within")
    with archive.archiver_fails(noticed=False), late:
        taking.take_backup(execution)
    kept = Backup.objects.filter(execution=execution).latest("id")
    assert (kept.state, kept.worth, kept.word) == ("dumped", Grade.DUMPED, "dumped, not verified")
    assert not evidence(execution).holds


def test_where_the_policy_is_content_with_them_the_touched_tables_will_do(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = policy.rule_for(execution.rollback_target.rollback)
    whole = policy.rule_for(execution.rollback_target.rollback)
    rule.backup_scope = Scope.TABLES
    monkeypatch.setattr(policy, "rule_for", lambda *_: rule)
    backup = taking.take_backup(execution)
    assert backup.worth is Grade.TABLES
    assert backup.sentence.startswith(
        "Only the tables that the script touches: public.flyway_schema_history, "
    )
    assert "public.transactions" in backup.tables
    assert "public.heavy" not in backup.tables
    assert grades.lacking(rule, evidence(execution), timezone.now()) == ""
    assert "the policy asks for “point in time” or better" in grades.lacking(
        whole, evidence(execution), timezone.now()
    )
