"""The state of every migration of a directory on one target, as `flyway info` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from approvals.flyway.names import FileName, Kind
from approvals.flyway.rows import BASELINE, BASELINES, SQL, SQL_BASELINE, Entry, Fate, HistoryRow, entries
from approvals.flyway.versions import Version


class State(StrEnum):
    """State of a migration on a target; the value is the word that Flyway prints."""

    PENDING = "Pending"
    APPLIED = "Success"
    OUT_OF_ORDER = "Out of Order"
    FAILED = "Failed"
    MISSING = "Missing"
    MISSING_FAILED = "Failed (Missing)"
    FUTURE = "Future"
    FUTURE_FAILED = "Failed (Future)"
    IGNORED = "Ignored"
    BASELINE = "Baseline"
    BELOW_BASELINE = "Below Baseline"
    BASELINE_IGNORED = "Ignored (Baseline)"
    DELETED = "Deleted"
    UNDONE = "Undone"
    OUTDATED = "Outdated"
    SUPERSEDED = "Superseded"


class KnownFile(Protocol):
    """What has to be known of a file; `MigrationFile` is one."""

    @property
    def path(self) -> str: ...
    @property
    def name(self) -> FileName: ...
    @property
    def checksum(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MigrationState:
    """One line of the overview. `drift`: the file's checksum is not the one recorded when it was applied."""

    version: Version | None
    description: str
    script: str
    state: State
    row: HistoryRow | None
    file: KnownFile | None
    drift: bool
    rank: int | None


_TYPES = {Kind.VERSIONED: SQL, Kind.BASELINE: SQL_BASELINE}
_FROM_FILES = frozenset(_TYPES.values())
"""Types of rows whose file must be in the directory; what was written in Java is not seen here."""


def overview(
    files: Iterable[KnownFile], rows: Iterable[HistoryRow], *, out_of_order: bool = False
) -> list[MigrationState]:
    """The state of every V, B and R file and of every row of a migration, in the order of `flyway info`.

    A version has two lines where it was deleted or undone and its file is still there: the old row, and the
    file as pending or ignored. `out_of_order` is the setting of that name. A repeatable migration with
    placeholders may show as outdated, because its recorded checksum holds the values of that day.
    Files must not clash (see `read_directory`). Raises CorruptHistory.
    """
    files, found = list(files), entries(rows)
    lines = [
        *_versioned(files, [(entry.version, entry) for entry in found if entry.version], out_of_order),
        *_repeatable(files, [entry for entry in found if entry.version is None]),
    ]
    return sorted(lines, key=_info_order)


def _info_order(line: MigrationState) -> tuple[int, int, bool, tuple[int, ...], bool, str]:
    """Below the baseline, then what was installed, then the rest by version, repeatable migrations last."""
    below = line.state in (State.BELOW_BASELINE, State.BASELINE_IGNORED)
    group = 0 if below else 1 if line.rank is not None else 2
    is_baseline = line.file is not None and line.file.name.kind is Kind.BASELINE
    parts = line.version.parts if line.version else ()
    return group, line.rank or 0, line.version is None, parts, is_baseline, line.description


def _from_row(entry: Entry, state: State, file: KnownFile | None) -> MigrationState:
    row, version = entry.row, entry.version
    drift = file is not None and version is not None and entry.stands and file.checksum != row.checksum
    return MigrationState(version, row.description, row.script, state, row, file, drift, row.installed_rank)


def _from_file(file: KnownFile, state: State) -> MigrationState:
    return MigrationState(file.name.version, file.name.description, file.path, state, None, file, False, None)


def _versioned(
    files: Sequence[KnownFile], found: Sequence[tuple[Version, Entry]], out_of_order: bool
) -> list[MigrationState]:
    by_key = {
        (file.name.version, _TYPES[file.name.kind]): file
        for file in files
        if file.name.version and file.name.kind in _TYPES
    }
    newest_file = max((version for version, _ in by_key), default=None)
    lines: list[MigrationState] = []
    last: Version | None = None
    for version, entry in found:
        late = last is not None and version <= last
        if entry.stands and not late:
            last = version
        file = by_key.get((version, entry.row.type))
        below = newest_file is not None and version < newest_file
        lines.append(_from_row(entry, _row_state(entry, file, below=below, late=late), file))
    standing = {(version, entry.row.type) for version, entry in found if entry.stands}
    waiting = {key: file for key, file in by_key.items() if key not in standing}
    # On an untouched database the newest B file is where Flyway starts.
    baselines = (
        [version for version, entry in found if entry.row.type in BASELINES]
        if last is not None
        else [version for version, type_ in waiting if type_ == SQL_BASELINE]
    )
    for (version, _), file in waiting.items():
        state = _waiting_state(file, version, last, max(baselines, default=None), out_of_order)
        lines.append(_from_file(file, state))
    return lines


def _row_state(entry: Entry, file: KnownFile | None, *, below: bool, late: bool) -> State:
    """`below`: there is a file of a newer version. `late`: a newer version was applied before."""
    row = entry.row
    if not entry.stands:
        return _fallen(entry)
    if row.type == BASELINE:
        return State.BASELINE
    if file is None and row.type in _FROM_FILES:
        if row.success:
            return State.MISSING if below else State.FUTURE
        return State.MISSING_FAILED if below else State.FUTURE_FAILED
    if not row.success:
        return State.FAILED
    if row.type in BASELINES:
        return State.BASELINE
    return State.OUT_OF_ORDER if late else State.APPLIED


def _fallen(entry: Entry) -> State:
    return State.UNDONE if entry.fate is Fate.UNDONE else State.DELETED


def _waiting_state(
    file: KnownFile, version: Version, last: Version | None, baseline: Version | None, out_of_order: bool
) -> State:
    """State of a V or B file without a standing row; `last` is the highest version applied, if any."""
    is_baseline = file.name.kind is Kind.BASELINE
    if baseline is not None and version < baseline:
        return State.BELOW_BASELINE
    if version == baseline and not (is_baseline and last is None):
        return State.BASELINE_IGNORED
    if last is not None and (is_baseline or (version < last and not out_of_order)):
        return State.IGNORED
    return State.PENDING


def _repeatable(files: Sequence[KnownFile], found: Sequence[Entry]) -> list[MigrationState]:
    by_description = {file.name.description: file for file in files if file.name.kind is Kind.REPEATABLE}
    latest = {entry.row.description: entry.row.installed_rank for entry in found}
    lines: list[MigrationState] = []
    for entry in found:
        file = by_description.get(entry.row.description)
        is_latest = entry.row.installed_rank == latest[entry.row.description]
        lines.append(_from_row(entry, _repeatable_state(entry, file, is_latest), file))
    current = {line.description for line in lines if line.state is State.APPLIED}
    waiting = (file for description, file in by_description.items() if description not in current)
    return [*lines, *(_from_file(file, State.PENDING) for file in waiting)]


def _repeatable_state(entry: Entry, file: KnownFile | None, is_latest: bool) -> State:
    row = entry.row
    if not entry.stands:
        return _fallen(entry)
    if file is None and is_latest and row.type in _FROM_FILES:
        return State.MISSING if row.success else State.MISSING_FAILED
    if not row.success:
        return State.FAILED
    if not is_latest:
        return State.SUPERSEDED
    return State.APPLIED if file is None or file.checksum == row.checksum else State.OUTDATED
