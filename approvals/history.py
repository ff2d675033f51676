"""A target's history as last read: what is applied, what Flyway would show, and what a rollback may name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, jobs
from .errors import Denied, Refused
from .flyway import history as flyway_history
from .flyway.versions import Version
from .models import HistoryRow, Job, Migration, MigrationRevision, Target, User

PINNED = ("installed_rank", "version", "type", "script", "checksum", "success")


@dataclass(frozen=True)
class Applied:
    """A migration that is applied on a target: its row's pin and the revision of the file that it came from."""

    migration: Migration
    revision: MigrationRevision
    rank: int
    pin: dict[str, Any]


def ask_for_sync(target: Target, *, actor: User | None) -> Job:
    """Ask the worker to read the target's history. `actor` None is the portal itself."""
    with audit.unit_of_work("target.sync_requested", actor=actor, target=target):
        if actor is not None and not access.targets(actor).filter(pk=target.pk).exists():
            raise Denied(_("You do not see this target."))
        return jobs.ask(Job.Kind.SYNC, subject=target.pk, actor=actor)


def record_sync(
    target: Target,
    rows: Sequence[flyway_history.HistoryRow],
    *,
    system_identifier: str,
    database_oid: int,
    server_version: str,
) -> None:
    """The worker's answer: the history as it is now, and which database it is."""
    with audit.unit_of_work("target.synced", actor=None, target=target) as facts:
        target = Target.objects.select_for_update().get(pk=target.pk)
        if target.system_identifier and target.system_identifier != system_identifier:
            facts["system_identifier_was"] = target.system_identifier
        target.history.all().delete()
        HistoryRow.objects.bulk_create([_stored(target, row) for row in rows])
        target.system_identifier, target.database_oid = system_identifier, database_oid
        target.server_version, target.synced_at = server_version, timezone.now()
        target.health, target.health_text = Target.Health.GOOD, ""
        target.save()
        facts |= {"rows": len(rows), "system_identifier": system_identifier}


def record_sync_failure(target: Target, sentence: str) -> None:
    """The worker could not read the target; the rows of the last reading stay."""
    with audit.unit_of_work("target.sync_failed", actor=None, target=target) as facts:
        Target.objects.filter(pk=target.pk).update(health=Target.Health.FAILING, health_text=sentence)
        facts["why"] = sentence


def _stored(target: Target, row: flyway_history.HistoryRow) -> HistoryRow:
    return HistoryRow(
        target=target,
        installed_rank=row.installed_rank,
        version=row.version,
        description=row.description,
        type=row.type,
        script=row.script,
        checksum=row.checksum,
        installed_by=row.installed_by,
        installed_on=f"{row.installed_on:%Y-%m-%d %H:%M:%S}",
        execution_time=row.execution_time,
        success=row.success,
    )


def rows_of(target: Target) -> list[flyway_history.HistoryRow]:
    """The stored rows in Flyway's words, oldest first."""
    from datetime import datetime

    return [
        flyway_history.HistoryRow(
            installed_rank=row.installed_rank,
            version=row.version,
            description=row.description,
            type=row.type,
            script=row.script,
            checksum=row.checksum,
            installed_by=row.installed_by,
            installed_on=datetime.fromisoformat(row.installed_on),
            execution_time=row.execution_time,
            success=row.success,
        )
        for row in target.history.order_by("installed_rank")
    ]


def require_newest(target: Target, migrations: Sequence[Migration]) -> list[Applied]:
    """Return the migrations as applied on the target, newest first.

    Raises Refused where one is not applied, its row's checksum is of no file we know, or something newer that is
    applied above them is missing from the list: that would pull the ground from under it.
    """
    if not migrations:
        raise Refused(_("Choose at least one migration."))
    rows = rows_of(target)
    applied = flyway_history.applied(rows)
    found = []
    for migration in {m.pk: m for m in migrations}.values():
        if migration.service_id != target.service_id or migration.kind != Migration.Kind.VERSIONED:
            raise Refused(
                _("%(migration)s is no versioned migration of %(target)s.")
                % {"migration": migration, "target": target}
            )
        row = applied.get(Version.parse(migration.version))
        if row is None:
            raise Refused(
                _("%(migration)s is not applied on %(target)s.") % {"migration": migration, "target": target}
            )
        found.append(Applied(migration, _revision(migration, row), row.installed_rank, pin_of(row)))
    chosen = [Version.parse(a.migration.version) for a in found]
    above = flyway_history.newer_applied_above(rows, chosen)
    above += [version for version in flyway_history.installed_after(rows, chosen) if version not in above]
    if above:
        raise Refused(
            _("Newer migrations are applied above: %(versions)s. Take them along, newest first.")
            % {"versions": ", ".join(f"V{version.text}" for version in above)}
        )
    return sorted(found, key=lambda a: -a.rank)


def pin_of(row: flyway_history.HistoryRow) -> dict[str, Any]:
    """The part of a history row that identifies exactly this row at execution."""
    return {name: getattr(row, name) for name in PINNED}


def _revision(migration: Migration, row: flyway_history.HistoryRow) -> MigrationRevision:
    revision = migration.revisions.filter(checksum=row.checksum).order_by("-number").first()
    if revision is None:
        raise Refused(
            _(
                "%(migration)s was applied from another file (checksum %(checksum)s) than any that was imported."
            )
            % {"migration": migration, "checksum": row.checksum}
        )
    return revision
