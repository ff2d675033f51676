"""Rows of Flyway's history table, and which of them still stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from approvals.flyway.versions import MalformedVersion, Version

SCHEMA, BASELINE, DELETE, SQL, SQL_BASELINE = "SCHEMA", "BASELINE", "DELETE", "SQL", "SQL_BASELINE"
UNDO_SQL, UNDO_SCRIPT = "UNDO_SQL", "UNDO_SCRIPT"

SYNTHETIC = frozenset({SCHEMA, BASELINE, DELETE})
"""Types of rows that Flyway writes without running a migration."""
UNDOS = frozenset({UNDO_SQL, UNDO_SCRIPT, "UNDO_JDBC", "UNDO_SPRING_JDBC", "UNDO_CUSTOM"})
"""Types of rows that say: the migration of this version was undone."""
MARKERS = frozenset({SCHEMA, DELETE, *UNDOS})
"""Types of rows that say something about the schema or about other rows, and are no migrations."""
BASELINES = frozenset({BASELINE, SQL_BASELINE, "JDBC_BASELINE"})
READABLE = frozenset({*SYNTHETIC, *BASELINES, SQL, "JDBC", "SPRING_JDBC", "SCRIPT", UNDO_SCRIPT, "CUSTOM"})
"""Types that open-source Flyway 13 knows; it stops at every read of a history with any other."""


class CorruptHistory(ValueError):
    """The history contradicts itself, so nobody may act on it; the message names version and ranks."""


class HistoryRow(NamedTuple):
    """One row as stored. `installed_on` has no time zone; `execution_time` is in milliseconds."""

    installed_rank: int
    version: str | None
    description: str
    type: str
    script: str
    checksum: int | None
    installed_by: str
    installed_on: datetime
    execution_time: int
    success: bool


_RANK = attrgetter("installed_rank")


class Fate(Enum):
    """What later rows made of a row."""

    STANDS = "stands"
    DELETED = "deleted"
    UNDONE = "undone"


@dataclass(slots=True)
class Entry:
    """A row of a migration or baseline, with its version read and its fate."""

    row: HistoryRow
    version: Version | None
    fate: Fate = Fate.STANDS

    @property
    def stands(self) -> bool:
        return self.fate is Fate.STANDS


class Rows(tuple[HistoryRow, ...]):
    """A history that is asked several things: it is walked once, by the first that asks."""

    @cached_property
    def walked(self) -> list[Entry]:
        """What `all_entries` finds; nobody changes it."""
        return _walk(self)

    @cached_property
    def own(self) -> list[Entry]:
        """What `entries` finds; nobody changes it."""
        return [entry for entry in self.walked if entry.row.type not in MARKERS]

    @cached_property
    def standing(self) -> dict[Version, list[HistoryRow]]:
        """What `standing` finds; nobody changes it."""
        return _standing(self.own)


def entries(rows: Iterable[HistoryRow]) -> list[Entry]:
    """The rows of migrations and baselines by rank, each with its fate; the other rows decide the fates.

    A successful DELETE row marks the latest migration of its version (or, without one, of its description)
    as deleted, an undo row marks it as undone. Raises CorruptHistory for what Flyway calls corrupt: a version
    deleted twice, a version that cannot be read.
    """
    return (rows if isinstance(rows, Rows) else Rows(rows)).own


def all_entries(rows: Iterable[HistoryRow]) -> list[Entry]:
    """The same with the rows that are no migrations themselves: SCHEMA, DELETE and undo rows, which stand."""
    return (rows if isinstance(rows, Rows) else Rows(rows)).walked


def _walk(rows: Iterable[HistoryRow]) -> list[Entry]:
    result: list[Entry] = []
    for row in sorted(rows, key=_RANK):
        if row.installed_rank < 0:
            continue  # Flyway reads from rank 0 on
        version = _version(row)
        if row.success and (row.type == DELETE or row.type in UNDOS):
            _mark(result, row, version)
        result.append(Entry(row, version))
    return result


def _version(row: HistoryRow) -> Version | None:
    try:
        return None if row.version is None else Version.parse(row.version)
    except MalformedVersion as bad:
        raise CorruptHistory(f"history row {row.installed_rank}: {bad}") from None


def _mark(found: list[Entry], marker: HistoryRow, version: Version | None) -> None:
    for entry in reversed(found):
        if entry.row.type in SYNTHETIC | UNDOS or entry.version != version:
            continue
        if version is None and entry.row.description != marker.description:
            continue
        if version is not None and marker.type == DELETE and entry.fate is Fate.DELETED:
            raise CorruptHistory(
                f"history row {marker.installed_rank} deletes version {version}, whose latest row "
                f"({entry.row.installed_rank}) is deleted already"
            )
        entry.fate = Fate.DELETED if marker.type == DELETE else Fate.UNDONE
        return


def applied(rows: Iterable[HistoryRow]) -> dict[Version, HistoryRow]:
    """The migrations that ran on the database and stand, oldest first; of two rows of one version the later.

    Not in it: failed, deleted and undone ones, repeatable ones, and a BASELINE row, which ran nothing.
    Raises CorruptHistory.
    """
    return {version: found[-1] for version, found in standing(rows).items()}


def duplicates(rows: Iterable[HistoryRow]) -> dict[Version, list[HistoryRow]]:
    """Versions that more than one standing row says were applied, with those rows by rank."""
    return {version: found for version, found in standing(rows).items() if len(found) > 1}


def standing(rows: Iterable[HistoryRow]) -> dict[Version, list[HistoryRow]]:
    """The rows that say of a version that it was applied and stands, oldest first, each with all by rank."""
    return (rows if isinstance(rows, Rows) else Rows(rows)).standing


def _standing(found: Iterable[Entry]) -> dict[Version, list[HistoryRow]]:
    result: dict[Version, list[HistoryRow]] = {}
    for entry in found:
        if entry.version and entry.stands and entry.row.success and entry.row.type not in SYNTHETIC:
            result.setdefault(entry.version, []).append(entry.row)
    return result


def deleted(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """The rows that a later DELETE row marks as deleted, by rank."""
    return [entry.row for entry in entries(rows) if entry.fate is Fate.DELETED]


def failed(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Rows of failed migrations by rank. Flyway refuses to migrate until `repair` has removed them."""
    return [row for row in sorted(rows, key=lambda row: row.installed_rank) if not row.success]


def unreadable(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Rows of a type at which open-source Flyway stops, such as the UNDO_SQL of the paid editions."""
    return [row for row in rows if row.type not in READABLE]


def newer_applied_above(rows: Iterable[HistoryRow], versions: Collection[Version]) -> list[Version]:
    """What stands in the way of rolling back `versions`: newer than the lowest of them and not among them.

    Newest first. A baseline counts, and so does a failed migration, which may have left half of its work.
    Raises CorruptHistory, and ValueError if no version is given.
    """
    lowest = min(versions).parts
    found = (each for each in entries(rows) if each.version and each.version.parts > lowest and each.stands)
    return sorted({each.version for each in found if each.version} - set(versions), reverse=True)


def installed_after(rows: Iterable[HistoryRow], versions: Collection[Version]) -> list[Version]:
    """Lower versions that were applied out of order, after one of `versions`, and may build on it.

    Newest first; they stand in the way of a rollback just as newer versions do.
    Raises CorruptHistory, and ValueError if no version is given.
    """
    lowest, chosen = min(versions), set(versions)
    standing = [entry for entry in entries(rows) if entry.version and entry.stands]
    rank = {each.version: each.row.installed_rank for each in standing if each.version in chosen}
    first = min(rank.values(), default=None)
    if first is None:
        return []
    after = (entry.version for entry in standing if entry.version and entry.row.installed_rank > first)
    return sorted({version for version in after if version < lowest}, reverse=True)


def next_rank(rows: Iterable[HistoryRow]) -> int:
    """The rank of the next row that is appended."""
    return max((row.installed_rank for row in rows), default=0) + 1
