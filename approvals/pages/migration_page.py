"""What the page of one migration shows: a revision beside a script, differences, where it is, who uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import QuerySet

from approvals import access
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
from approvals.queries import hazards_of

from .difference import Difference, difference
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
    revision: MigrationRevision | None
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
    def problem_lines(self) -> dict[int, str]:
        return {problem["line"]: problem["message"] for problem in self.problems}


def read(migration: Migration, asked: Mapping[str, str], user: User) -> View:
    """Read the page. `asked` holds numbers from the URL: `revision` and `script` to show, `was` and `now`
    (`script-was`, `script-now`) to compare, or `applied`, the checksum of a revision to compare with the
    newest. What makes no sense there is as if it were not said."""
    revision = _shown(migration.revisions.all(), asked.get("revision", ""))
    script = _shown(migration.scripts.prefetch_related("authors"), asked.get("script", ""))
    newest = migration.revisions.order_by("-number").values_list("risk", flat=True).first()
    words = RollbackScript.objects.filter(pk=script.pk if script else None).values_list(
        hazards_of(), flat=True
    )
    targets = Target.objects.filter(service=migration.service_id).order_by("environment", "name")
    used = access.rollbacks(user).filter(items__migration=migration).order_by("-id")
    return View(
        revision=revision,
        revisions=_revisions(migration.revisions.all(), _asked_pair(migration, asked)),
        script=script,
        scripts=_revisions(
            migration.scripts.all(),
            (_number(asked.get("script-was", "")), _number(asked.get("script-now", ""))),
        ),
        on_targets=list(_on_targets(migration, list(targets[:NAMED]))),
        target_count=targets.count(),
        risk=risk_of(newest, words.first() or []),
        rollbacks=list(used.prefetch_related("rollback_targets__target")[:NAMED]),
        rollback_count=used.count(),
    )


def _number(text: str) -> int | None:
    """A whole number from the URL, where a column can hold it."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11):
        return None
    return int(text) if -LARGEST - 1 <= int(text) <= LARGEST else None


def _shown(found: QuerySet[Numbered], number: str) -> Numbered | None:
    """The revision of this number, else the newest."""
    newest_first = found.order_by("-number")
    chosen = _number(number)
    return (newest_first.filter(number=chosen).first() if chosen else None) or newest_first.first()


Pair = tuple[int | None, int | None]


def _asked_pair(migration: Migration, asked: Mapping[str, str]) -> Pair:
    """Which two revisions of the file to compare."""
    if not asked.get("applied"):
        return _number(asked.get("was", "")), _number(asked.get("now", ""))
    checksum = _number(asked["applied"])
    numbers = migration.revisions.order_by("-number").values_list("number", flat=True)
    return (None if checksum is None else numbers.filter(checksum=checksum).first()), numbers.first()


def _revisions(found: QuerySet[Numbered], pair: Pair) -> Revisions:
    newest = list(found.order_by("-number").values_list("number", flat=True)[:OFFERED])
    return Revisions(newest, found.count(), _compared(found, *pair))


def _compared(found: QuerySet[Numbered], was: int | None, now: int | None) -> Compared | None:
    if was is None or now is None:
        return None
    texts = dict(found.filter(number__in=[was, now]).values_list("number", "sql"))
    if was not in texts or now not in texts:
        return None
    return Compared(was, now, difference(texts[was], texts[now]))


def _on_targets(migration: Migration, targets: list[Target]) -> Iterator[OnTarget]:
    """One entry per target; two queries however many targets there are and however long their histories."""
    if migration.kind != Migration.Kind.VERSIONED or not targets:
        return
    version = Version.parse(migration.version)
    found = HistoryRow.objects.filter(target__in=targets, version__regex=_pattern(version))
    rows = read_back_by_target(found)
    standing = {target.pk: _standing_row(rows.get(target.pk, []), version) for target in targets}
    checksums = {row.checksum for row in standing.values() if row is not None}
    newest = migration.revisions.order_by("-number").only("number", "checksum").first()
    known = {
        revision.checksum: revision
        for revision in migration.revisions.filter(checksum__in=checksums - {None})
        .order_by("number")
        .only("number", "checksum")
    }
    for target in targets:
        row = standing[target.pk]
        revision = known.get(row.checksum) if row and row.checksum is not None else None
        drift = row is not None and (newest is None or row.checksum != newest.checksum)
        yield OnTarget(target, row, revision, drift)


def _pattern(version: Version) -> str:
    """How PostgreSQL finds the texts that Flyway calls equal to this version: 3, 003, 3.0, 3_0."""
    return "^" + "[._]".join(f"0*{part}" for part in version.parts) + "([._]0+)*$"


def _standing_row(rows: list[flyway.HistoryRow], version: Version) -> flyway.HistoryRow | None:
    try:
        return flyway.applied(rows).get(version)
    except (flyway.CorruptHistory, MalformedVersion):  # the target's own page says so
        return None
