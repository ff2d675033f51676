"""The state of every migration of a directory on one target, as `flyway info` shows it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from enum import StrEnum
from typing import NamedTuple, Protocol

from approvals.flyway.names import FileName, Kind, java_order
from approvals.flyway.rows import (
    BASELINE,
    BASELINES,
    DELETE,
    SCHEMA,
    UNDOS,
    Entry,
    Fate,
    HistoryRow,
    all_entries,
)
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


class MigrationState(NamedTuple):
    """One line of the overview. `drift`: the file's checksum is not the one recorded when it was applied."""

    version: Version | None
    description: str
    script: str
    state: State
    row: HistoryRow | None
    file: KnownFile | None
    drift: bool
    rank: int | None

    @property
    def type(self) -> str:
        """The type as Flyway shows it: the row's, or what the file's would be."""
        return self.row.type if self.row else (self.file and self.file.name.type) or ""


_FROM_JAVA = frozenset({"JDBC", "SPRING_JDBC", "JDBC_BASELINE", "CUSTOM"})
"""Types of rows whose migration is no file. Whether Flyway finds it is not seen here: they count as found."""


def overview(
    files: Iterable[KnownFile], rows: Iterable[HistoryRow], *, out_of_order: bool = False
) -> list[MigrationState]:
    """The state of every V, B and R file and of every row, in the order of `flyway info`.

    A version has two lines where it was deleted or undone and its file is still there: the old row, and the
    file as pending or ignored. `out_of_order` is the setting of that name. A repeatable migration whose
    placeholders were not filled (see `read_directory`) may show as outdated, because its recorded checksum
    holds the values of that day. Files must not clash. Raises CorruptHistory.
    """
    return Context(files, rows, out_of_order=out_of_order).lines()


Key = tuple[Version, str]


class Context:
    """What decides states: all files by version or description, all rows, and what follows from them.

    After `MigrationInfoServiceImpl` and the states of resolved and applied migrations in Flyway 13.
    """

    def __init__(self, files: Iterable[KnownFile], rows: Iterable[HistoryRow], *, out_of_order: bool) -> None:
        self.out_of_order = out_of_order
        self.versioned: dict[Key, KnownFile] = {}
        self.repeatable: dict[str, KnownFile] = {}
        for file in files:
            if type_ := file.name.type:
                if file.name.version is None:
                    self.repeatable[file.name.description] = file
                else:
                    self.versioned[file.name.version, type_] = file
        # An undo row of the paid editions is understood but is no line: the migration shows as undone.
        entries = [entry for entry in all_entries(rows) if entry.row.type not in UNDOS]
        self.rows = [entry for entry in entries if entry.version and not _is_done_marker(entry)]
        self.repeated = [entry for entry in entries if entry.version is None]
        self.newest_file = max((version for version, _ in self.versioned), default=None)
        self.last_applied: Version | None = None
        self.late: set[int] = set()
        for entry in self.rows:
            self._follow(entry)
        self.latest_run = {entry.row.description: entry.row.installed_rank for entry in self.repeated}
        self.applied_baseline = max(
            (entry.version for entry in self.rows if entry.row.type in BASELINES and entry.version),
            default=None,
        )
        standing = {(entry.version, entry.row.type) for entry in self.rows if entry.stands}
        self.waiting = {key: file for key, file in self.versioned.items() if key not in standing}
        self.pending_baseline = max(
            (version for version, type_ in self.waiting if type_ in BASELINES), default=None
        )

    def _follow(self, entry: Entry) -> None:
        if entry.version is None:
            return
        if self.last_applied is not None and entry.version <= self.last_applied:
            self.late.add(entry.row.installed_rank)
        elif entry.stands and entry.row.type != DELETE:
            self.last_applied = entry.version

    def lines(self) -> list[MigrationState]:
        """Every line of the overview, in Flyway's order."""
        versioned = [self._from_row(entry, self._file_of(entry)) for entry in self.rows]
        waiting = [_from_file(file, self._waiting_state(file)) for file in self.waiting.values()]
        repeated = [
            self._from_row(entry, self.repeatable.get(entry.row.description)) for entry in self.repeated
        ]
        current = {line.file.path for line in repeated if line.file and self._is_current(line)}
        again = [
            _from_file(file, State.PENDING) for file in self.repeatable.values() if file.path not in current
        ]
        return sorted([*versioned, *waiting, *repeated, *again], key=_info_order)

    def lines_out_of_order(self, lines: Iterable[MigrationState]) -> list[MigrationState]:
        """These lines with outOfOrder, in the same order: it changes nothing but what becomes of files that
        are ignored without it."""
        other = copy(self)
        other.out_of_order = True
        return [
            _from_file(line.file, other._waiting_state(line.file))
            if line.state is State.IGNORED and line.file is not None
            else line
            for line in lines
        ]

    def _file_of(self, entry: Entry) -> KnownFile | None:
        return None if entry.version is None else self.versioned.get((entry.version, entry.row.type))

    def _is_current(self, line: MigrationState) -> bool:
        row, file = line.row, line.file
        if row is None or file is None or row.type == DELETE or line.state in FALLEN:
            return False
        return row.installed_rank == self.latest_run[row.description] and same_checksum(file, row)

    def _from_row(self, entry: Entry, file: KnownFile | None) -> MigrationState:
        row, version = entry.row, entry.version
        state = self._row_state(entry, file)
        recorded = row.checksum if entry.stands and version is not None else None
        drift = file is not None and recorded is not None and file.checksum != recorded
        return MigrationState(
            version, row.description, row.script, state, row, file, drift, row.installed_rank
        )

    def _row_state(self, entry: Entry, file: KnownFile | None) -> State:
        row = entry.row
        if not entry.stands:
            return State.UNDONE if entry.fate is Fate.UNDONE else State.DELETED
        if row.type in (DELETE, BASELINE):
            return State.APPLIED if row.type == DELETE else State.BASELINE
        if row.type in BASELINES and not row.success:
            return State.FAILED
        if file is None and row.type not in _FROM_JAVA and (missing := self._missing_state(entry)):
            return missing
        if not row.success:
            return State.FAILED
        if row.type in BASELINES:
            return State.BASELINE
        if row.type == SCHEMA:
            return State.APPLIED
        if entry.version is None:
            return self._repeated_state(row, file)
        return State.OUT_OF_ORDER if row.installed_rank in self.late else State.APPLIED

    def _missing_state(self, entry: Entry) -> State | None:
        row, version = entry.row, entry.version
        if version is None and row.installed_rank != self.latest_run[row.description]:
            return None
        if row.type == SCHEMA:
            return State.APPLIED
        if version is None or (self.newest_file is not None and version < self.newest_file):
            return State.MISSING if row.success else State.MISSING_FAILED
        return State.FUTURE if row.success else State.FUTURE_FAILED

    def _repeated_state(self, row: HistoryRow, file: KnownFile | None) -> State:
        if row.installed_rank != self.latest_run[row.description]:
            return State.SUPERSEDED
        return State.APPLIED if file is None or same_checksum(file, row) else State.OUTDATED

    def _waiting_state(self, file: KnownFile) -> State:
        """State of a V or B file without a standing row."""
        state = self._plain_waiting_state(file)
        if file.name.kind is not Kind.BASELINE or file.name.is_program:
            return state
        began = self.applied_baseline is not None or self.last_applied is not None
        if state is State.PENDING and began:
            return State.IGNORED
        if state is State.BASELINE_IGNORED and file.name.version == self.pending_baseline and not began:
            return State.PENDING
        return state

    def _plain_waiting_state(self, file: KnownFile) -> State:
        version, last = file.name.version, self.last_applied
        if version is None:
            return State.PENDING
        baseline = self.pending_baseline if last is None else self.applied_baseline
        if baseline is not None and version <= baseline:
            return State.BELOW_BASELINE if version < baseline else State.BASELINE_IGNORED
        if last is not None and version < last and not self.out_of_order:
            return State.IGNORED
        return State.PENDING


FALLEN = frozenset({State.DELETED, State.UNDONE})


def same_checksum(file: KnownFile, row: HistoryRow) -> bool:
    """Whether Flyway takes the file for the one that was applied: as it is, or with placeholders filled."""
    return row.checksum in (file.checksum, filled_checksum(file))


def filled_checksum(file: KnownFile) -> int:
    """The checksum that Flyway records when it runs the file."""
    filled: int | None = getattr(file, "filled_checksum", None)
    return file.checksum if filled is None else filled


def unfilled(file: KnownFile) -> str:
    """Which of its placeholders has no value, with the place; empty where none is known to lack one."""
    missing: str = getattr(file, "unfilled", "")
    return missing


def _is_done_marker(entry: Entry) -> bool:
    return entry.row.type == DELETE and entry.row.success


def _from_file(file: KnownFile, state: State) -> MigrationState:
    return MigrationState(file.name.version, file.name.description, file.path, state, None, file, False, None)


def _info_order(line: MigrationState) -> tuple[int, int, bool, tuple[int, ...], bool, bytes]:
    """Below the baseline, then what was installed, then the rest by version, repeatable migrations last."""
    below = line.state in (State.BELOW_BASELINE, State.BASELINE_IGNORED)
    group = 0 if below else 1 if line.rank is not None else 2
    is_baseline = line.file is not None and line.file.name.kind is Kind.BASELINE
    parts = line.version.parts if line.version else ()
    return group, line.rank or 0, line.version is None, parts, is_baseline, java_order(line.description)
