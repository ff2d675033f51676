"""A target as Flyway would show it: every row and file with its state, and per migration the way back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from approvals.flyway import history as flyway
from approvals.flyway.names import FileName, Kind
from approvals.flyway.versions import Version
from approvals.history import rows_of
from approvals.models import Migration, MigrationRevision, Target
from approvals.release import AS_WRITTEN, repeatables

from .ways_back import NO_WAY_BACK, Coverage, WayBack, coverage, hazards, risk_of, ways_back


class StoredFile(NamedTuple):
    """The current revision of a migration, in the form that Flyway's rules know a file."""

    path: str
    name: FileName
    checksum: int
    filled_checksum: int | None = None
    unfilled: str = ""


class Known(NamedTuple):
    """What is known of the migration that a line is about."""

    migration: int
    risk: int | None
    file: StoredFile
    removed: bool


@dataclass(slots=True)
class Line:
    """One line of Flyway's overview and what the portal knows about the way back."""

    flyway: flyway.MigrationState
    migration_id: int | None = None
    risk: int | None = None
    back: WayBack = NO_WAY_BACK

    @property
    def is_pending(self) -> bool:
        return self.flyway.rank is None

    @property
    def stands(self) -> bool:
        """Applied now, by a migration that has a version: what a rollback could take back."""
        return self.flyway.state in STANDING and self.flyway.version is not None

    @property
    def is_late(self) -> bool:
        """Ignored or out of order: applied, or not, in another order than by version."""
        return self.flyway.state in (flyway.State.IGNORED, flyway.State.OUT_OF_ORDER)

    @property
    def tone(self) -> str:
        """How the state is shown: quiet where all is as it should be."""
        if self.is_trap or self.flyway.state in FAILED:
            return "fail"
        if self.flyway.state == flyway.State.PENDING:
            return "wait"
        return "" if self.flyway.state in QUIET else "warn"

    @property
    def is_trap(self) -> bool:
        """A rollback that is named as a repeatable migration, which Flyway runs."""
        file = self.flyway.file
        return file is not None and file.name.looks_like_rollback

    @property
    def words(self) -> str:
        """What a search looks in."""
        version = self.flyway.version.text if self.flyway.version else "R"
        return f"{version} {self.flyway.description} {self.flyway.script}".casefold()


STANDING = frozenset(
    {flyway.State.APPLIED, flyway.State.OUT_OF_ORDER, flyway.State.MISSING, flyway.State.FUTURE}
)
FAILED = frozenset({flyway.State.FAILED, flyway.State.MISSING_FAILED, flyway.State.FUTURE_FAILED})
# States that nobody has to do anything about.
QUIET = frozenset(
    {
        flyway.State.APPLIED,
        flyway.State.BASELINE,
        flyway.State.BELOW_BASELINE,
        flyway.State.DELETED,
        flyway.State.UNDONE,
        flyway.State.SUPERSEDED,
    }
)
Fits = Callable[[Line], bool]

# key in the URL -> (its word, which lines it shows)
VIEWS: dict[str, tuple[str | Promise, Fits]] = {
    "": (_("all"), lambda line: True),
    "applied": (_("applied"), lambda line: line.stands),
    "pending": (_("pending"), lambda line: line.flyway.state == flyway.State.PENDING),
    "late": (_("ignored or out of order"), lambda line: line.is_late),
    "drift": (_("changed since applied"), lambda line: line.flyway.drift),
    "missing": (
        _("without a file"),
        lambda line: line.flyway.state in (flyway.State.MISSING, flyway.State.FUTURE),
    ),
    "no-script": (_("no way back"), lambda line: line.stands and line.back.stage.key == "none"),
    "proven": (_("proven"), lambda line: line.stands and line.back.stage.key == "proven"),
    "script": (_("script only"), lambda line: line.stands and line.back.stage.key == "script"),
    "rehearsed": (_("rehearsed here"), lambda line: line.stands and line.back.stage.key == "rehearsed"),
}


@dataclass
class Overview:
    """Everything Flyway would show, newest first, and what it would trip over in the history itself."""

    lines: list[Line] = field(default_factory=list)
    duplicates: dict[Version, list[flyway.HistoryRow]] = field(default_factory=dict)
    failed: list[flyway.HistoryRow] = field(default_factory=list)
    unreadable: list[flyway.HistoryRow] = field(default_factory=list)
    corrupt: str = ""
    refused: str = ""

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many lines each view shows."""
        return {
            key: sum(len(alike) for alike in self._alike if fits(alike[0]))
            for key, (_word, fits) in VIEWS.items()
        }

    @cached_property
    def _alike(self) -> list[list[Line]]:
        """The lines, together those that no view tells apart: of many there are few sorts."""
        found: dict[tuple[object, ...], list[Line]] = defaultdict(list)
        for line in self.lines:
            seen = line.flyway
            found[seen.state, seen.drift, seen.version is None, line.back.stage.key].append(line)
        return list(found.values())

    @property
    def newest(self) -> Line | None:
        """The migration that was applied last."""
        standing = (line for line in self.lines if line.stands)
        return max(standing, key=lambda line: line.flyway.rank or 0, default=None)

    @cached_property
    def coverage(self) -> Coverage:
        """How far the ways back of everything that is applied have come."""
        standing = (alike for alike in self._alike if alike[0].stands)
        return coverage(stage for alike in standing for stage in [alike[0].back.stage] * len(alike))

    def drifted(self) -> list[Line]:
        """The lines whose file is another one than was applied."""
        return [line for line in self.lines if line.flyway.drift]

    def shown(self, view: str = "", *, text: str = "", oldest_first: bool = False) -> list[Line]:
        """The lines of a view (all of them for an unknown one) with this text in them."""
        _word, fits = VIEWS.get(view, VIEWS[""])
        found = [line for line in self.lines if fits(line) and text.casefold() in line.words]
        return found[::-1] if oldest_first else found


def overview(target: Target) -> Overview:
    """Read the stored history and the catalog; five queries."""
    rows = rows_of(target)
    known = _known(target)
    files = [each.file for each in known.values() if not each.removed]
    try:
        states = flyway.overview(files, rows)
        duplicates = flyway.duplicates(rows)
    except flyway.CorruptHistory as error:
        return Overview(corrupt=str(error))
    back = ways_back(target)
    return Overview(
        [_line(state, known, back) for state in reversed(states)],
        duplicates,
        flyway.failed(rows),
        flyway.unreadable(rows),
        refused=next((f"{each.path}, {each.unfilled}" for each in files if each.unfilled), ""),
    )


Identity = tuple[str, tuple[int, ...] | str]
# As plain text: asked of the enum for each of a thousand lines they take longer than all the rest of it.
VERSIONED, REPEATABLE = Migration.Kind.VERSIONED.value, Migration.Kind.REPEATABLE.value
BASELINE = Migration.Kind.BASELINE.value


def _known(target: Target) -> dict[Identity, Known]:
    """The newest revision of every migration, by what Flyway tells migrations apart by."""
    found = (
        MigrationRevision.objects.filter(migration__service=target.service_id)
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .values_list(
            "migration_id",
            "risk",
            "path",
            "checksum",
            "migration__kind",
            "migration__version",
            "migration__description",
            "migration__removed_at",
        )
    )
    known, filled = {}, repeatables(target)
    for migration, risk, path, checksum, kind, version, description, removed in found:
        name = _name(kind, version, description, path)
        identity = (kind, name.version.parts if name.version else description)
        file = StoredFile(path, name, checksum, *filled.get(migration, AS_WRITTEN))
        known[identity] = Known(migration, risk, file, removed is not None)
    return known


# Pages read the same few thousand names again and again.
@lru_cache(maxsize=16_384)
def _name(kind: str, version: str, description: str, path: str) -> FileName:
    """The name of a stored file; a repeatable migration has no version."""
    return FileName(
        Kind(kind), Version.parse(version) if version else None, description, path.rpartition("/")[2]
    )


def _line(state: flyway.MigrationState, known: dict[Identity, Known], back: dict[int, WayBack]) -> Line:
    if state.version is None:
        key: Identity = (REPEATABLE, state.description)
    else:
        baseline = state.row is not None and state.row.type in flyway.BASELINES
        baseline |= state.file is not None and state.file.name.kind is Kind.BASELINE
        key = (BASELINE if baseline else VERSIONED, state.version.parts)
    found = known.get(key)
    if found is None:
        return Line(state)
    way = back.get(found.migration, NO_WAY_BACK)
    if state.row is not None:
        way = way.for_text(state.row.checksum)
    return Line(state, found.migration, found.risk, way)


def add_risks(lines: Iterable[Line]) -> None:
    """Raise the risks of the lines of one page by what their scripts endanger; one query."""
    scripts = [(line, line.back.script.pk) for line in lines if line.back.script]
    words = hazards(pk for _line, pk in scripts)
    for line, pk in scripts:
        line.risk = risk_of(line.risk, words.get(pk, []))
