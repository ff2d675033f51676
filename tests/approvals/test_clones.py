"""Which backup a rehearsal may rely on, and which clones must go: by age, by room, or for a newer one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import clones
from approvals.models import Backup, ExecutionStatus, Grade, RehearsalClone, Target
from tests.approvals import factories
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


@pytest.fixture
def target(world: World) -> Target:
    """A target of which it is known which database it is."""
    Target.objects.filter(pk=world.production.pk).update(system_identifier="7", database_oid=5)
    return Target.objects.get(pk=world.production.pk)


def backup(target: Target, hours: float = 0, **fields: Any) -> Backup:
    known = {"state": "verified", "grade": Grade.FULL, "system_identifier": "7", "database_oid": 5}
    made = Backup.objects.create(target=target, **(known | fields))
    Backup.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(hours=hours))
    return Backup.objects.get(pk=made.pk)


def clone(world: World, of: Backup, unused_hours: float = 0, **fields: Any) -> RehearsalClone:
    known = {"masking": "0" * 64, "server_version": 180000, "state": "ready", "bytes": 100}
    used = timezone.now() - timedelta(hours=unused_hours)
    return RehearsalClone.objects.create(
        target=of.target, server=world.staging, backup=of, used_at=used, **(known | fields)
    )


def test_only_a_full_verified_backup_of_this_database_is_relied_on(world: World, target: Target) -> None:
    assert clones.newest_backup(target) is None
    good = backup(target, 30)
    backup(target, 1, state="dumped")
    backup(target, 1, grade=Grade.TABLES)
    backup(target, 1, grade=Grade.POINT)
    backup(target, 1, database_oid=6)
    backup(target, 1, system_identifier="8")
    assert clones.newest_backup(target) == good
    assert clones.newest_backup(target, hours=24) is None
    target.database_oid = None
    assert clones.newest_backup(target) is None


def test_a_backup_from_before_a_rollback_is_of_another_history(world: World) -> None:
    rollback = factories.approved(world, factories.submitted(world, factories.draft(world)))
    made = backup(world.production, 1)
    assert not clones.is_of_another_history(made, [])
    factories.executed(world, rollback, ExecutionStatus.SUCCEEDED)
    assert clones.is_of_another_history(made, [])
    later = backup(world.production)
    assert not clones.is_of_another_history(later, [])
    clone(world, later, history=[{"version": "4"}])
    assert clones.is_of_another_history(later, [{"version": "3"}])
    assert not clones.is_of_another_history(later, [{"version": "4"}])


def test_what_is_old_replaced_half_made_or_too_much_must_go(
    world: World, target: Target, settings: Any
) -> None:
    settings.REHEARSAL_KEEP_HOURS, settings.REHEARSAL_KEEP_BYTES = 72, 250
    older, newest = backup(target, 5), backup(target, 1)
    fresh = clone(world, newest, 1)
    second = clone(world, newest, 2, masking="1" * 64)
    third = clone(world, newest, 3, masking="2" * 64)
    replaced = clone(world, older, 0.5, bytes=0)
    rested = clone(world, newest, 100, masking="3" * 64, bytes=0)
    making = clone(world, newest, 0, masking="4" * 64, state="making", bytes=0)
    clone(world, older, 200, state="dropped")
    found = {gone.pk: why for gone, why in clones.to_drop()}
    assert set(found) == {third.pk, replaced.pk, rested.pk, making.pk}
    assert fresh.pk not in found
    assert second.pk not in found
    assert found[third.pk] == "All together took more than 250 bytes."
    assert found[replaced.pk] == "There is a newer backup."
    assert found[rested.pk] == "Not used for 72 hours."
