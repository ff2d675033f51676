"""The two ways to treat the history after a rollback: delete the row, or keep it and append a DELETE row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

from approvals.flyway.rows import DELETE, CorruptHistory, Fate, HistoryRow, entries, next_rank, unreadable
from approvals.flyway.versions import Version


class Treatment(StrEnum):
    """What becomes of the rows of the migrations that were taken back."""

    DELETE = "delete"
    MARK = "mark"
    """kept, and each marked as deleted by a DELETE row behind it"""


class NotTreatable(ValueError):
    """A DELETE row would not say what it is meant to; the message tells why."""


def delete_row(
    row: HistoryRow, rows: Sequence[HistoryRow], *, installed_by: str, installed_on: datetime
) -> HistoryRow:
    """The row that Flyway's `repair` appends to mark `row` of the history `rows` as deleted.

    A copy with type DELETE, the next rank and no execution time (Flyway 13, `JdbcTableSchemaHistory.delete`;
    compared with the real one). `installed_on` is the database's time, without a zone. Raises NotTreatable
    where Flyway would not take it as the end of this very row, and CorruptHistory.
    """
    if found := unreadable(rows):
        raise NotTreatable(
            f"open-source Flyway cannot read this history (type {found[0].type}), and the paid editions "
            f"write no DELETE row for an undo"
        )
    if row not in rows:
        raise NotTreatable(f"the history has no such row with rank {row.installed_rank}")
    marker = HistoryRow(
        installed_rank=next_rank(rows),
        version=None if row.version is None else row.version.replace("_", "."),
        description=row.description,
        type=DELETE,
        script=row.script,
        checksum=row.checksum,
        installed_by=installed_by,
        installed_on=installed_on,
        execution_time=0,
        success=row.success,
    )
    if _fate(row, rows) is not Fate.STANDS:
        raise NotTreatable(f"the row with rank {row.installed_rank} is deleted already")
    if _fate(row, [*rows, marker]) is not Fate.DELETED:
        raise NotTreatable(
            f"a DELETE row for version {row.version} would not mark the row with rank {row.installed_rank}: "
            f"Flyway marks the latest migration of the version, and none that failed or is a baseline"
        )
    return marker


def treated(
    rows: Sequence[HistoryRow],
    versions: Collection[Version],
    treatment: Treatment,
    *,
    installed_by: str,
    installed_on: datetime,
) -> list[HistoryRow]:
    """The history after all standing rows of `versions` were treated, the newest first.

    Raises NotTreatable and CorruptHistory.
    """
    gone = [entry.row for entry in entries(rows) if entry.stands and entry.version in versions]
    if treatment is Treatment.DELETE:
        ranks = {row.installed_rank for row in gone}
        return [row for row in rows if row.installed_rank not in ranks or row not in gone]
    result = list(rows)
    for row in reversed(gone):
        result.append(delete_row(row, result, installed_by=installed_by, installed_on=installed_on))
    return result


def _fate(row: HistoryRow, rows: Sequence[HistoryRow]) -> Fate:
    for entry in entries(rows):
        if entry.row == row:
            return entry.fate
    raise CorruptHistory(f"the row with rank {row.installed_rank} is no migration, but of type {row.type}")
