"""A key is made, and a backup is fetched and restored with the commands that the page shows."""

from __future__ import annotations

import hashlib
import os
import subprocess
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from approvals.models import AuditEvent, Backup
from approvals.pages import dumps
from executor import backup, vault
from executor.pgtools import tool
from tests.approvals.conftest import committed, committed_world, in_prepared, prepared, world  # noqa: F401
from tests.approvals.factories import World
from tests.executor.conftest import target, target_template  # noqa: F401
from tests.executor.target import OWNER, Target
from waqiti_rollback.embedded import Cluster

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> Path:
    call_command("make_backup_key", tmp_path / "key", stdout=StringIO())
    monkeypatch.setenv("BACKUP_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BACKUP_WORK_DIR", str(tmp_path / "work"))
    local = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "kept")},
    }
    settings.STORAGES = settings.STORAGES | {vault.ALIAS: local}
    return tmp_path


def stored(world: World, source: Target) -> Backup:  # noqa: F811
    """A real dump of a real target, in the vault and on record."""
    with vault.workplace() as folder:
        made = backup.dump(source.backup, folder, "wallet")
        name = vault.put(made.path, "wallet/wallet.dump")
    world.production.host, world.production.port = source.backup.host, source.backup.port
    world.production.dbname, world.production.owner_role = source.backup.dbname, OWNER
    world.production.save()
    return Backup.objects.create(
        target=world.production,
        state=Backup.State.VERIFIED,
        path=name,
        sha256=made.sha256,
        bytes=made.size,
        tables={each: {"rows": rows, "hash": total} for each, (rows, total) in made.tables.items()},
    )


def test_the_shown_commands_restore_the_backup_into_a_database_beside_the_target(
    world: World,  # noqa: F811
    target: Target,  # noqa: F811
    production_cluster: Cluster,
    place: Path,
) -> None:
    found = stored(world, target)
    fetch, *rest = dumps.dump(found).restore.splitlines()
    assert fetch == f"python manage.py fetch_backup {found.pk} backup-{found.pk}.dump"
    said = StringIO()
    file = place / f"backup-{found.pk}.dump"
    call_command("fetch_backup", found.pk, file, stdout=said)
    assert found.sha256 in said.getvalue()
    assert file.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(file.read_bytes()).hexdigest() == found.sha256
    assert AuditEvent.objects.filter(action="backup.fetched").count() == 1
    who = psycopg.conninfo.conninfo_to_dict(production_cluster.superuser_dsn())
    env = {
        "PATH": f"{Path(tool('pg_restore')).parent}:{os.environ['PATH']}",
        "PGUSER": str(who["user"]),
        "PGPASSWORD": str(who["password"]),
    }
    for command in rest:
        done = subprocess.run(["sh", "-c", command], cwd=place, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    copy = f"{target.backup.dbname}_restored"
    try:
        with psycopg.connect(production_cluster.superuser_dsn(copy)) as connection:
            for table, values in found.tables.items():
                rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                assert rows == (values["rows"],)
    finally:
        with psycopg.connect(production_cluster.superuser_dsn(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')


def test_what_is_not_there_or_damaged_is_not_fetched_and_no_file_is_left(
    world: World,  # noqa: F811
    place: Path,
) -> None:
    with pytest.raises(CommandError, match="There is no backup 999999"):
        call_command("fetch_backup", 999999, place / "a")
    with vault.workplace() as folder:
        (folder / "a.dump").write_bytes(b"rows")
        name = vault.put(folder / "a.dump", "a.dump")
    found = Backup.objects.create(
        target=world.production, state=Backup.State.VERIFIED, path=name, sha256="0" * 64
    )
    with pytest.raises(CommandError, match="is not the one that was taken"):
        call_command("fetch_backup", found.pk, place / "a")
    Backup.objects.filter(pk=found.pk).update(state=Backup.State.REMOVED)
    with pytest.raises(CommandError, match="has no file"):
        call_command("fetch_backup", found.pk, place / "a")
    assert not (place / "a").exists()
    assert not AuditEvent.objects.filter(action="backup.fetched").exists()


def test_a_key_is_made_once(place: Path) -> None:
    with pytest.raises(CommandError, match="never written over"):
        call_command("make_backup_key", place / "key")
    with pytest.raises(CommandError, match="can't be written"):
        call_command("make_backup_key", place / "nowhere" / "key")
