"""Old backups lose their files; the newest verified one of a target never does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from approvals import attempts, backups, clones
from approvals.models import AuditEvent, Backup, ExecutionStatus, Grade, Status, Target
from executor import retention, vault
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> None:
    vault.make_key(tmp_path / "key")
    monkeypatch.setenv("BACKUP_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BACKUP_WORK_DIR", str(tmp_path / "work"))
    settings.BACKUP_KEEP_DAYS = 30
    local = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "kept")},
    }
    settings.STORAGES = settings.STORAGES | {vault.ALIAS: local}


def taken(target: Target, days_ago: int, state: Backup.State = Backup.State.VERIFIED) -> Backup:
    with vault.workplace() as folder:
        path = folder / "a.dump"
        path.write_bytes(b"rows")
        name = vault.put(path, f"{target.name}/a.dump")
    backup = Backup.objects.create(target=target, state=state, path=name, sha256="0" * 64)
    Backup.objects.filter(pk=backup.pk).update(created_at=timezone.now() - timedelta(days=days_ago))
    return backup


def states() -> list[str]:
    """Of those that were taken here, the oldest first."""
    ours = Backup.objects.filter(path__endswith=".age").order_by("pk")
    return list(ours.values_list("state", flat=True))


def test_old_files_go_the_newest_verified_one_stays_and_the_record_is_kept(world: World) -> None:
    old, newer = taken(world.staging, 50), taken(world.staging, 40)
    damaged = taken(world.staging, 35, Backup.State.FAILED)
    fresh = taken(world.production, 5)
    assert backups.to_remove() == [old, damaged]
    assert retention.remove_old() == 2
    assert states() == ["removed", "verified", "removed", "verified"]
    events = AuditEvent.objects.filter(action="backup.removed")
    assert events.count() == 2
    for backup, there in ((old, False), (newer, True), (damaged, False), (fresh, True)):
        assert vault.storages[vault.ALIAS].exists(backup.path) is there
    assert retention.remove_old() == 0


def test_a_rollback_under_way_keeps_its_backups(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.start(world, rollback)
    backup = taken(world.production, 50)
    taken(world.production, 1)
    Backup.objects.filter(pk=backup.pk).update(execution=execution)
    assert backups.to_remove() == []
    attempts.record_outcome(factories.claimed(execution), ExecutionStatus.ROLLED_BACK, "A check failed.")
    assert backups.to_remove() == [backup]


def test_a_backup_that_another_rollback_relies_on_stays_and_the_newest_of_each_grade(world: World) -> None:
    taken(world.staging, 50)
    of_tables = taken(world.staging, 40)
    Backup.objects.filter(pk=of_tables.pk).update(grade=Grade.TABLES)
    full = taken(world.production, 50)
    taken(world.production, 1)
    execution = factories.start(world, rollback_in(world, Status.APPROVED))
    assert backups.to_remove() == [full]
    clones.rely_on(execution, full, "It was there.")
    assert backups.to_remove() == []
    attempts.record_outcome(factories.claimed(execution), ExecutionStatus.ROLLED_BACK, "A check failed.")
    assert backups.to_remove() == [full]


def test_what_can_not_be_removed_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(world.production, 50)
    taken(world.production, 1)

    def refuse(name: str) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(vault.storages[vault.ALIAS], "delete", refuse)
        assert retention.remove_old() == 0
    assert states() == ["verified", "verified"]
    assert retention.remove_old() == 1
