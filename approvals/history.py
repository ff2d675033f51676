"""A target's history as last read: what is applied, what Flyway would show, and what a rollback may name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from . import access, audit, jobs
from .errors import Denied, Refused
from .flyway import history as flyway_history
from .flyway.versions import Version
from .models import HistoryRow, Job, Migration, MigrationRevision, Target, User

# What a reading of its history says of a target besides.
_READ = ("system_identifier", "database_oid", "server_version", "synced_at", "health", "health_text")
PINNED = ("installed_rank", "version", "type", "script", "checksum", "success")


@dataclass(frozen=True)
class Applied:
    """A migration that is applied on a target: its row's pin and the revision of the file that it came
    from."""

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
    lacking: Sequence[str] = (),
) -> None:
    """The worker's answer: the history as it is now, which database it is, and what the target still lacks
    before anything can run on it, as sentences."""
    with audit.unit_of_work("target.synced", actor=None, target=target) as facts:
        target = Target.objects.select_for_update(no_key=True).get(pk=target.pk)
        if target.system_identifier and target.system_identifier != system_identifier:
            facts["system_identifier_was"] = target.system_identifier
        _store(target.pk, rows)
        target.system_identifier, target.database_oid = system_identifier, database_oid
        target.server_version, target.synced_at = server_version, timezone.now()
        target.health, target.health_text = Target.Health.GOOD, "\n".join(lacking)
        target.save(update_fields=_READ)
        facts |= {"rows": len(rows), "system_identifier": system_identifier}
        if lacking:
            facts["lacking_sha256"] = audit.digest_of(target.health_text)


def store_after(target_id: int, rows: Sequence[flyway_history.HistoryRow]) -> None:
    """The history as whoever committed there read it right after, in the caller's transaction."""
    Target.objects.filter(pk=target_id).update(synced_at=timezone.now())  # its lock, too
    _store(target_id, rows)


def _store(target_id: int, rows: Sequence[flyway_history.HistoryRow]) -> None:
    """The difference to what is stored; the caller holds the target locked."""
    history = HistoryRow.objects.filter(target=target_id).order_by()
    stored = {row.installed_rank: row for row in read_back(history)}
    now = {row.installed_rank: _to_the_second(row) for row in rows}
    if gone := [rank for rank, row in stored.items() if now.get(rank) != row]:
        history.filter(installed_rank__in=gone).delete()
    new = [row for row in rows if stored.get(row.installed_rank) != now[row.installed_rank]]
    if len(now) < len(rows):  # a rank twice, which no history has: refused by the constraint, not passed over
        new = list(rows)
    if new:
        HistoryRow.objects.bulk_create([_stored(target_id, row) for row in new])


def record_sync_failure(target: Target, sentence: str) -> None:
    """The worker could not read the target; the rows of the last reading stay."""
    with audit.unit_of_work("target.sync_failed", actor=None, target=target) as facts:
        Target.objects.filter(pk=target.pk).update(health=Target.Health.FAILING, health_text=sentence)
        facts["why_sha256"] = audit.digest_of(sentence)


def _to_the_second(row: flyway_history.HistoryRow) -> flyway_history.HistoryRow:
    return row._replace(installed_on=row.installed_on.replace(microsecond=0))


def _stored(target_id: int, row: flyway_history.HistoryRow) -> HistoryRow:
    return HistoryRow(
        target_id=target_id,
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


# In the order of the fields of a row in Flyway's words.
COLUMNS = flyway_history.HistoryRow._fields
_INSTALLED_ON = COLUMNS.index("installed_on")


def rows_of(target: Target) -> flyway_history.Rows:
    """The stored rows in Flyway's words, oldest first."""
    return flyway_history.Rows(read_back(target.history.order_by("installed_rank")))


def read_back(found: QuerySet[HistoryRow]) -> list[flyway_history.HistoryRow]:
    """Stored rows in Flyway's words."""
    return [_read_back(row) for row in found.values_list(*COLUMNS)]


def read_back_by_target(found: QuerySet[HistoryRow]) -> dict[int, list[flyway_history.HistoryRow]]:
    """Stored rows of several targets in Flyway's words, by the target's key."""
    rows: dict[int, list[flyway_history.HistoryRow]] = defaultdict(list)
    for row in found.order_by("installed_rank").values_list("target_id", *COLUMNS):
        rows[row[0]].append(_read_back(row[1:]))
    return rows


def _read_back(row: tuple[Any, ...]) -> flyway_history.HistoryRow:
    at = datetime.fromisoformat(row[_INSTALLED_ON])
    return flyway_history.HistoryRow(*(*row[:_INSTALLED_ON], at, *row[_INSTALLED_ON + 1 :]))


def rows_by_target(targets: Sequence[Target]) -> dict[int, flyway_history.Rows]:
    """The stored rows of several targets, by the target's key; one query."""
    found = read_back_by_target(HistoryRow.objects.filter(target__in=targets))
    return {target.pk: flyway_history.Rows(found.get(target.pk, [])) for target in targets}


def require_newest_on(targets: Sequence[Target], migrations: Sequence[Migration]) -> list[list[Applied]]:
    """`require_newest` for each of several targets, which must have applied the very same files.

    Raises Refused also where one has another file, or the migrations in another order, than the first.
    """
    rows, revisions = rows_by_target(targets), Revisions()
    found = [
        require_newest(target, migrations, rows=rows[target.pk], revisions=revisions) for target in targets
    ]
    first = [(each.migration.pk, each.revision.pk) for each in found[0]]
    for target, applied in zip(targets, found, strict=True):
        if [(each.migration.pk, each.revision.pk) for each in applied] != first:
            raise Refused(
                _("On %(target)s other files of these migrations are applied than on %(first)s.")
                % {"target": target, "first": targets[0]}
            )
    return found


class Revisions:
    """Which revision of a migration has a checksum; each asked for once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int | None], MigrationRevision] = {}

    def of(self, migration: Migration, row: flyway_history.HistoryRow) -> MigrationRevision:
        """The newest revision with the row's checksum. Raises Refused where there is none."""
        key = migration.pk, row.checksum
        if key not in self._known:
            self._known[key] = _revision(migration, row)
        return self._known[key]


def require_newest(
    target: Target,
    migrations: Sequence[Migration],
    *,
    rows: flyway_history.Rows | None = None,
    revisions: Revisions | None = None,
) -> list[Applied]:
    """Return the migrations as applied on the target, newest first.

    Raises Refused where one is not applied or twice, its row's checksum is of no file we know, the history
    contradicts itself, or something newer that is applied above them is missing from the list: that would
    pull the ground from under it. `rows` and `revisions` spare reading them.
    """
    if not migrations:
        raise Refused(_("Choose at least one migration."))
    rows, revisions = rows or rows_of(target), revisions or Revisions()
    applied = standing(rows)
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
        found.append(Applied(migration, revisions.of(migration, row), row.installed_rank, pin_of(row)))
    _require_nothing_above(rows, [Version.parse(a.migration.version) for a in found])
    return sorted(found, key=lambda a: -a.rank)


def standing_on(target: Target) -> dict[Version, flyway_history.HistoryRow]:
    """What is applied on the target, by version. Raises Refused where the history can't be trusted."""
    return standing(rows_of(target))


def standing(rows: Sequence[flyway_history.HistoryRow]) -> dict[Version, flyway_history.HistoryRow]:
    """What is applied, by version; Refused where the history can't be trusted."""
    try:
        found = flyway_history.standing(rows)
    except flyway_history.CorruptHistory as error:
        raise Refused(_("The history contradicts itself: %(error)s.") % {"error": error}) from error
    if twice := [version for version, stand in found.items() if len(stand) > 1]:
        raise Refused(
            _("The history says twice that %(versions)s was applied; a DBA must mend it first.")
            % {"versions": ", ".join(f"V{version.text}" for version in twice)}
        )
    return {version: stand[-1] for version, stand in found.items()}


def _require_nothing_above(rows: Sequence[flyway_history.HistoryRow], chosen: Sequence[Version]) -> None:
    above = flyway_history.newer_applied_above(rows, chosen)
    above += [version for version in flyway_history.installed_after(rows, chosen) if version not in above]
    if above:
        raise Refused(
            _("Newer migrations are applied above: %(versions)s. Take them along, newest first.")
            % {"versions": ", ".join(f"V{version.text}" for version in above)}
        )


def require_pinned(rows: flyway_history.Rows, pins: Sequence[dict[str, Any]]) -> None:
    """Raise Refused unless the history (of `rows_of`) still has exactly these rows and nothing applied above
    them."""
    standing(rows)
    if not pins:
        raise Refused(_("No row of the history is pinned, so nothing says what would be taken back."))
    at_rank = {row.installed_rank: row for row in rows}
    if gone := [pin["version"] for pin in pins if not _is_there(pin, at_rank)]:
        raise Refused(
            _("The history changed: the row of %(versions)s is not there as it was.")
            % {"versions": ", ".join(f"V{version}" for version in gone)}
        )
    _require_nothing_above(rows, [Version.parse(pin["version"]) for pin in pins])


def _is_there(pin: dict[str, Any], at_rank: Mapping[int, flyway_history.HistoryRow]) -> bool:
    row = at_rank.get(pin["installed_rank"])
    return row is not None and pin_of(row) == pin


def pin_of(row: flyway_history.HistoryRow) -> dict[str, Any]:
    """The part of a history row that identifies exactly this row at execution."""
    return {name: getattr(row, name) for name in PINNED}


def _revision(migration: Migration, row: flyway_history.HistoryRow) -> MigrationRevision:
    # A migration that was not SQL has no checksum, and so no file that could be known here.
    known = (
        migration.revisions.none()
        if row.checksum is None
        else migration.revisions.filter(checksum=row.checksum)
    )
    revision = known.order_by("-number").first()
    if revision is None:
        raise Refused(
            _(
                "%(migration)s was applied from another file (checksum %(checksum)s) "
                "than any that was imported."
            )
            % {"migration": migration, "checksum": row.checksum}
        )
    return revision
