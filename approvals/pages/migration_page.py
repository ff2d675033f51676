"""What the page of one migration shows: a revision by statements, drift, a script with its plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from approvals.analysis import LockMode
from approvals.flyway import history as flyway
from approvals.flyway.versions import Version
from approvals.history import read_back
from approvals.models import HistoryRow, Migration, MigrationRevision, RollbackScript, Target
from approvals.queries import hazards_of

from .target_overview import risk_of

Json = dict[str, Any]
Numbered = TypeVar("Numbered", MigrationRevision, RollbackScript)


@dataclass(frozen=True)
class OnTarget:
    """How a migration stands on one target: from which revision it was applied, if from a known one."""

    target: Target
    row: flyway.HistoryRow | None
    revision: MigrationRevision | None
    drift: bool


@dataclass(frozen=True)
class View:
    """One migration with one revision and one script of it chosen."""

    revision: MigrationRevision | None
    revisions: list[MigrationRevision]
    script: RollbackScript | None
    scripts: list[RollbackScript]
    on_targets: list[OnTarget]
    risk: int | None

    @property
    def statements(self) -> list[Json]:
        """The forward file's statements, each lock with whom it keeps waiting."""
        read: list[Json] = self.revision.analysis.get("statements", []) if self.revision else []
        return [statement | {"locks": list(_locks(statement))} for statement in read]

    @property
    def errors(self) -> list[Json]:
        found: list[Json] = self.revision.analysis.get("errors", []) if self.revision else []
        return found

    @property
    def error_lines(self) -> dict[int, str]:
        return {error["line"]: error["message"] for error in self.errors}

    @property
    def steps(self) -> list[Json]:
        """The script's steps, each lock with whom it keeps waiting."""
        steps = self.script.plan.get("steps", []) if self.script else []
        return [
            step | {"statement": step["statement"] | {"locks": list(_locks(step["statement"]))}}
            for step in steps
        ]

    @property
    def problem_lines(self) -> dict[int, str]:
        problems = self.script.plan.get("problems", []) if self.script else []
        return {problem["line"]: problem["message"] for problem in problems}


def _locks(statement: Json) -> Iterator[Json]:
    for lock in statement["locks"]:
        yield lock | {"blocks": LockMode(lock["mode"]).blocks}


def read(migration: Migration, *, revision: str = "", script: str = "") -> View:
    """Read the page; `revision` and `script` are numbers from the URL, else the newest is shown."""
    revisions = list(migration.revisions.order_by("-number").defer("sql", "analysis"))
    scripts = list(
        migration.scripts.order_by("-number").defer("sql", "plan", "checks").prefetch_related("authors")
    )
    shown = _chosen(revisions, revision)
    chosen = _chosen(scripts, script)
    hazards = (
        RollbackScript.objects.filter(pk=chosen.pk).values_list(hazards_of(), flat=True).get()
        if chosen
        else []
    )
    return View(
        MigrationRevision.objects.get(pk=shown.pk) if shown else None,
        revisions,
        RollbackScript.objects.prefetch_related("authors").get(pk=chosen.pk) if chosen else None,
        scripts,
        list(_on_targets(migration, revisions)),
        risk_of(revisions[0].risk if revisions else None, hazards),
    )


def _chosen(found: list[Numbered], number: str) -> Numbered | None:
    return next((each for each in found if str(each.number) == number), found[0] if found else None)


def _on_targets(migration: Migration, revisions: list[MigrationRevision]) -> Iterator[OnTarget]:
    """One entry per target of the service; two queries however many targets there are."""
    if migration.kind != Migration.Kind.VERSIONED:
        return
    by_checksum = {revision.checksum: revision for revision in reversed(revisions)}
    current = revisions[0].checksum if revisions else None
    rows: dict[int, list[flyway.HistoryRow]] = defaultdict(list)
    for stored in HistoryRow.objects.filter(target__service=migration.service_id):
        rows[stored.target_id].append(read_back(stored))
    for target in Target.objects.filter(service=migration.service_id).order_by("environment", "name"):
        row = _standing_row(rows[target.pk], Version.parse(migration.version))
        revision = by_checksum.get(row.checksum) if row and row.checksum is not None else None
        yield OnTarget(target, row, revision, row is not None and row.checksum != current)


def _standing_row(rows: list[flyway.HistoryRow], version: Version) -> flyway.HistoryRow | None:
    try:
        return flyway.applied(rows).get(version)
    except flyway.CorruptHistory:  # the target's own page says so
        return None
