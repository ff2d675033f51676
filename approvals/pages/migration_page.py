"""What the page of one migration shows: a revision beside a script, differences, where it is, who uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import QuerySet

from approvals import access, analysis
from approvals.flyway import history as flyway
from approvals.flyway.versions import MalformedVersion, Version
from approvals.history import read_back_by_target
from approvals.models import (
    HistoryRow,
    Migration,
    MigrationRevision,
    RollbackRequest,
    RollbackScript,
    Target,
    User,
)

from . import proof_panel
from .difference import Difference, difference
from .proof_panel import ProofView
from .side_by_side import Sides, sides
from .ways_back import risk_of

Json = dict[str, Any]
Numbered = TypeVar("Numbered", MigrationRevision, RollbackScript)
# So many revisions are offered by number, and so many targets and rollbacks are named; the rest is counted.
OFFERED, NAMED = 30, 10
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class OnTarget:
    """How a migration stands on one target: from which revision it was applied, if from a known one."""

    target: Target
    row: flyway.HistoryRow | None
    revision: int | None
    drift: bool


@dataclass(frozen=True)
class Compared:
    """Two revisions beside each other, by their numbers."""

    was: int
    now: int
    difference: Difference


@dataclass(frozen=True)
class Revisions:
    """The newest revisions of a file or a script, how many there are, and the two that are compared."""

    newest: list[int]
    count: int
    compared: Compared | None = None

    @property
    def older(self) -> int:
        return self.count - len(self.newest)


@dataclass(frozen=True)
class View:
    """One migration with one revision and one script of it chosen."""

    revision: MigrationRevision | None
    revisions: Revisions
    script: RollbackScript | None
    scripts: Revisions
    on_targets: list[OnTarget]
    target_count: int
    risk: int | None
    rollbacks: list[RollbackRequest]
    rollback_count: int
    # What was found of the script that is shown, against the newest text of the file.
    found: ProofView | None = None

    @cached_property
    def sides(self) -> Sides:
        """Statements and steps beside each other."""
        return sides(self.revision.analysis if self.revision else {}, self.script.plan if self.script else {})

    @property
    def errors(self) -> list[Json]:
        found: list[Json] = self.revision.analysis.get("errors", []) if self.revision else []
        return found

    @property
    def error_lines(self) -> dict[int, str]:
        return {error["line"]: error["message"] for error in self.errors}

    @property
    def problems(self) -> list[Json]:
        found: list[Json] = self.script.plan.get("problems", []) if self.script else []
        return found

    @property
    def split(self) -> str:
        """How the script could stand where it has between BEGIN and COMMIT what refuses a transaction."""
        return analysis.split_script(self.script.sql) if self.script and self.problems else ""

    @property
    def problem_lines(self) -> dict[int, str]:
        return {problem["line"]: problem["message"] for problem in self.problems}


def read(migration: Migration, asked: Mapping[str, str], user: User) -> View:
    """Read the page. `asked` holds numbers from the URL: `revision` and `script` to show, `was` and `now`
    (`script-was`, `script-now`) to compare, or `applied`, the checksum of a revision to compare with the
    newest. What makes no sense there is as if it were not said."""
    revisions = _numbered(migration.revisions.values("number", "checksum", "risk"))
    scripts = _numbered(migration.scripts.values("number"))
    revision = _shown(migration.revisions.select_related("imported_by"), revisions, asked.get("revision", ""))
    script = _shown(migration.scripts.prefetch_related("authors"), scripts, asked.get("script", ""))
    targets = Target.objects.filter(service=migration.service_id).order_by("environment", "name")
    used = access.rollbacks(user).filter(items__migration=migration).order_by("-id")
    forward = next((found["risk"] for found in revisions.values()), None)
    return View(
        revision=revision,
        revisions=_revisions(migration.revisions.all(), revisions, _asked_pair(revisions, asked)),
        script=script,
        scripts=_revisions(migration.scripts.all(), scripts, _pair(asked, "script-was", "script-now")),
        on_targets=list(_on_targets(migration, revisions, list(targets[:NAMED]))),
        target_count=targets.count(),
        risk=risk_of(forward, _hazards(script)),
        rollbacks=list(used.prefetch_related("rollback_targets__target")[:NAMED]),
        rollback_count=used.count(),
        found=_found(script, migration),
    )


def _found(script: RollbackScript | None, migration: Migration) -> ProofView | None:
    if script is None or migration.kind != Migration.Kind.VERSIONED:
        return None
    return proof_panel.read(script)


Facts = dict[int, dict[str, Any]]


def _numbered(found: QuerySet[Any, Any]) -> Facts:
    """What is known of every revision without its text, by its number, the newest first."""
    return {each["number"]: each for each in found.order_by("-number")}


def _hazards(script: RollbackScript | None) -> list[str]:
    return [step["statement"]["hazard"] for step in script.plan.get("steps", [])] if script else []


def _number(text: str) -> int | None:
    """A whole number from the URL, where a column can hold it."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11):
        return None
    return int(text) if -LARGEST - 1 <= int(text) <= LARGEST else None


def _shown(found: QuerySet[Numbered], known: Facts, number: str) -> Numbered | None:
    """The revision of this number, else the newest."""
    if not known:
        return None
    asked = _number(number)
    return found.get(number=asked if asked in known else next(iter(known)))


Pair = tuple[int | None, int | None]


def _pair(asked: Mapping[str, str], was: str, now: str) -> Pair:
    return _number(asked.get(was, "")), _number(asked.get(now, ""))


def _asked_pair(revisions: Facts, asked: Mapping[str, str]) -> Pair:
    """Which two revisions of the file to compare."""
    if not asked.get("applied"):
        return _pair(asked, "was", "now")
    return _of_checksum(revisions, _number(asked["applied"])), next(iter(revisions), None)


def _of_checksum(revisions: Facts, checksum: int | None) -> int | None:
    """The newest revision with this checksum; a migration that was not SQL has none."""
    if checksum is None:
        return None
    return next((n for n, found in revisions.items() if found["checksum"] == checksum), None)


def _revisions(found: QuerySet[Numbered], known: Facts, pair: Pair) -> Revisions:
    return Revisions(list(known)[:OFFERED], len(known), _compared(found, *pair))


def _compared(found: QuerySet[Numbered], was: int | None, now: int | None) -> Compared | None:
    if was is None or now is None:
        return None
    texts = dict(found.filter(number__in=[was, now]).values_list("number", "sql"))
    if was not in texts or now not in texts:
        return None
    return Compared(was, now, difference(texts[was], texts[now]))


def _on_targets(migration: Migration, revisions: Facts, targets: list[Target]) -> Iterator[OnTarget]:
    """One entry per target; one query however many targets there are and however long their histories."""
    if migration.kind != Migration.Kind.VERSIONED or not targets:
        return
    version = Version.parse(migration.version)
    found = HistoryRow.objects.filter(target__in=targets, version__regex=_pattern(version))
    rows = read_back_by_target(found)
    newest = next((each["checksum"] for each in revisions.values()), None)
    for target in targets:
        row = _standing_row(rows.get(target.pk, []), version)
        revision = _of_checksum(revisions, row.checksum) if row else None
        yield OnTarget(target, row, revision, row is not None and row.checksum != newest)


def _pattern(version: Version) -> str:
    """How PostgreSQL finds the texts that Flyway calls equal to this version: 3, 003, 3.0, 3_0."""
    return "^" + "[._]".join(f"0*{part}" for part in version.parts) + "([._]0+)*$"


def _standing_row(rows: list[flyway.HistoryRow], version: Version) -> flyway.HistoryRow | None:
    try:
        return flyway.applied(rows).get(version)
    except (flyway.CorruptHistory, MalformedVersion):  # the target's own page says so
        return None
