"""A target as Flyway would show it, and per migration the way back: script, risk, last rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from approvals.analysis import Risk
from approvals.flyway import history as flyway
from approvals.flyway.names import FileName, Kind
from approvals.flyway.versions import Version
from approvals.history import rows_of
from approvals.models import Evidence, Migration, MigrationRevision, RollbackItem, RollbackScript, Target
from approvals.queries import hazards_of


@dataclass(frozen=True)
class StoredFile:
    """The current revision of a migration, in the form that Flyway's rules know a file."""

    path: str
    name: FileName
    checksum: int


@dataclass(frozen=True)
class Rehearsal:
    """The last rehearsal of a migration's rollback for a target; `current` if it was of the newest script."""

    at: datetime
    holds: bool
    current: bool


@dataclass
class Line:
    """One line of Flyway's overview and what the portal knows about the way back."""

    flyway: flyway.MigrationState
    migration_id: int | None
    has_script: bool
    risk: int | None
    script: RollbackScript | None = None
    rehearsal: Rehearsal | None = None

    @property
    def is_pending(self) -> bool:
        return self.flyway.rank is None

    @property
    def stands(self) -> bool:
        """Applied now, by a migration that has a version: what a rollback could take back."""
        return self.flyway.state in STANDING and self.flyway.version is not None


STANDING = frozenset(
    {flyway.State.APPLIED, flyway.State.OUT_OF_ORDER, flyway.State.MISSING, flyway.State.FUTURE}
)


@dataclass(frozen=True)
class Overview:
    """Everything Flyway would show, newest first, and what it would trip over in the history itself."""

    lines: list[Line] = field(default_factory=list)
    duplicates: dict[Version, list[flyway.HistoryRow]] = field(default_factory=dict)
    failed: list[flyway.HistoryRow] = field(default_factory=list)
    unreadable: list[flyway.HistoryRow] = field(default_factory=list)
    corrupt: str = ""

    @property
    def applied(self) -> list[Line]:
        return [line for line in self.lines if line.stands]

    @property
    def pending(self) -> list[Line]:
        return [line for line in self.lines if line.flyway.state == flyway.State.PENDING]

    @property
    def drifted(self) -> list[Line]:
        return [line for line in self.lines if line.flyway.drift]

    @property
    def without_script(self) -> list[Line]:
        return [line for line in self.applied if not line.has_script]

    def shown(self, which: str) -> list[Line]:
        """The lines that one of the page's views shows; all of them for an unknown one."""
        views = {"applied": self.applied, "pending": self.pending, "drift": self.drifted}
        return (views | {"no-script": self.without_script}).get(which, self.lines)


def overview(target: Target) -> Overview:
    """Read the stored history and the catalog; three queries."""
    rows = rows_of(target)
    revisions = list(
        MigrationRevision.objects.filter(migration__service=target.service_id)
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .select_related("migration")
        .defer("sql", "analysis")
    )
    with_script = set(
        RollbackScript.objects.filter(migration__service=target.service_id).values_list(
            "migration_id", flat=True
        )
    )
    try:
        states = flyway.overview([_stored(r) for r in revisions if r.migration.removed_at is None], rows)
        duplicates = flyway.duplicates(rows)
    except flyway.CorruptHistory as error:
        return Overview(corrupt=str(error))
    known = {_identity(revision.migration): revision for revision in revisions}
    return Overview(
        [_line(state, known, with_script) for state in reversed(states)],
        duplicates,
        flyway.failed(rows),
        flyway.unreadable(rows),
    )


def _stored(revision: MigrationRevision) -> StoredFile:
    migration = revision.migration
    name = FileName(
        Kind(migration.kind),
        Version.parse(migration.version) if migration.version else None,
        migration.description,
        PurePosixPath(revision.path).name,
    )
    return StoredFile(revision.path, name, revision.checksum)


Identity = tuple[str, tuple[int, ...] | str]


def _identity(migration: Migration) -> Identity:
    if migration.kind == Migration.Kind.REPEATABLE:
        return Migration.Kind.REPEATABLE.value, migration.description
    return migration.kind, Version.parse(migration.version).parts


def _line(
    state: flyway.MigrationState, known: dict[Identity, MigrationRevision], with_script: set[int]
) -> Line:
    if state.version is None:
        key: Identity = (Migration.Kind.REPEATABLE.value, state.description)
    else:
        baseline = state.row is not None and state.row.type in flyway.BASELINES
        baseline |= state.file is not None and state.file.name.kind is Kind.BASELINE
        kind = Migration.Kind.BASELINE if baseline else Migration.Kind.VERSIONED
        key = (kind.value, state.version.parts)
    revision = known.get(key)
    if revision is None:
        return Line(state, None, False, None)
    return Line(state, revision.migration_id, revision.migration_id in with_script, revision.risk)


def add_ways_back(target: Target, lines: Iterable[Line]) -> None:
    """Fill in script, rehearsal and the risk of the way back for the lines of one page; two queries."""
    lines = list(lines)
    ids = [line.migration_id for line in lines if line.migration_id]
    newest = {
        script.migration_id: script
        for script in RollbackScript.objects.filter(migration__in=ids)
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .annotate(hazards=hazards_of())
        .only("id", "migration_id", "number", "origin", "created_at")
    }
    rehearsals = _rehearsals(target, ids, newest)
    for line in lines:
        if line.migration_id is None:
            continue
        line.script = newest.get(line.migration_id)
        line.rehearsal = rehearsals.get(line.migration_id)
        line.risk = risk_of(line.risk, line.script.hazards if line.script else [])  # type: ignore[attr-defined]


def risk_of(forward: int | None, hazards: Sequence[str]) -> int | None:
    """The risk of taking a migration back before any live fact: the matrix's or the worst hazard's."""
    return max([*([forward] if forward else []), *(int(Risk[word]) for word in hazards)], default=None)


def _rehearsals(target: Target, ids: list[int], newest: Mapping[int, RollbackScript]) -> dict[int, Rehearsal]:
    found = (
        RollbackItem.objects.filter(
            migration__in=ids,
            rollback__rollback_targets__target=target,
            rollback__evidence__kind=Evidence.Kind.REHEARSAL,
        )
        .order_by("migration_id", "-rollback__evidence__at")
        .distinct("migration_id")
        .values_list(
            "migration_id",
            "script_id",
            "rollback__change_digest",
            "rollback__evidence__at",
            "rollback__evidence__holds",
            "rollback__evidence__change_digest",
        )
    )
    return {
        migration: Rehearsal(
            at, holds, now == then and migration in newest and newest[migration].pk == script
        )
        for migration, script, now, at, holds, then in found
    }
