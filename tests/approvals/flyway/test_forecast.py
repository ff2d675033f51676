"""The next deployment is foreseen, and told in a sentence. (That Flyway does so: tests/differential.)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from approvals.flyway.forecast import forecast
from approvals.flyway.history import HistoryRow, State, overview
from approvals.flyway.names import FileName, parse_name
from approvals.flyway.patterns import Pattern
from approvals.flyway.table import current, render
from approvals.flyway.treatment import NotTreatable, Treatment, delete_row, treated
from approvals.flyway.versions import Version

NOW = datetime(2025, 11, 22, 12, 0)  # noqa: DTZ001 - stored without a zone


@dataclass(frozen=True)
class File:
    path: str
    name: FileName
    checksum: int = 42


def file(path: str) -> File:
    return File(path, parse_name(path))


def row(rank: int, version: str, type_: str = "SQL", *, success: bool = True) -> HistoryRow:
    return HistoryRow(rank, version, "x", type_, f"V{version}__x.sql", 42, "flyway", NOW, 5, success)


FILES = [file(f"V{number}__x.sql") for number in (1, 2, 3)]
ROWS = [row(number, str(number)) for number in (1, 2, 3)]

# Version, fate of the file, outOfOrder; its state, comes back, blocked, a piece of the sentence.
CASES: list[tuple[str, str, bool, State | None, bool, bool, str]] = [
    ("3", "kept", False, State.PENDING, True, False, "V3 comes back: info shows it as Pending"),
    ("2", "kept", False, State.IGNORED, False, True, "No deployment succeeds with this release"),
    ("2", "kept", True, State.PENDING, True, False, "V2 comes back"),
    ("3", "replaced", False, State.PENDING, False, False, "applies the corrected file"),
    ("2", "replaced", False, State.IGNORED, False, True, "not applied to database: 2"),
    ("3", "superseded", False, None, False, False, "nothing comes back: the next migrate applies V4.sql"),
    ("3", "removed", False, None, False, False, "info no longer shows V3, and nothing comes back"),
]


@pytest.mark.parametrize(("version", "fate", "order", "state", "back", "blocked", "says"), CASES)
@pytest.mark.parametrize("treatment", Treatment)
def test_the_forecast_says_what_comes(
    version: str,
    fate: str,
    order: bool,
    state: State | None,
    back: bool,
    blocked: bool,
    says: str,
    treatment: Treatment,
) -> None:
    wanted = Version.parse(version)
    found = forecast(FILES, ROWS, [wanted], treatment=treatment, fate=fate, out_of_order=order)  # type: ignore[arg-type]
    if treatment is Treatment.MARK:
        state = state or State.DELETED
        says = says.replace("info no longer shows V3", "info shows V3 as Deleted")
    assert found.states == {wanted: state}
    assert (found.comes_back, found.blocked) == (back, blocked)
    assert says in found.sentence


def test_what_other_rows_block_is_told_and_the_migration_comes_back_all_the_same() -> None:
    found = forecast(FILES[1:], ROWS, [Version.parse("3")], treatment="delete", fate="kept")
    assert (found.comes_back, found.blocked) == (True, True)
    assert "as soon as migrate runs again" in found.sentence


def test_patterns_of_the_deployment_count() -> None:
    ignored = [Pattern.parse("*:ignored")]
    found = forecast(FILES, ROWS, [Version.parse("2")], treatment="delete", fate="kept", patterns=ignored)
    assert (found.comes_back, found.blocked, found.outlook.passes) == (False, False, True)


def test_a_history_that_open_source_flyway_cannot_read_is_told() -> None:
    rows = [*ROWS, row(4, "3", "UNDO_SQL")]
    found = forecast(FILES, rows, [Version.parse("2")], treatment="delete", fate="kept")
    assert found.blocked
    assert "Unknown migration type 'UNDO_SQL'" in found.sentence
    with pytest.raises(NotTreatable, match="UNDO_SQL"):
        forecast(FILES, rows, [Version.parse("2")], treatment="mark", fate="kept")


def test_several_versions_get_their_delete_rows_newest_first() -> None:
    after = treated(
        ROWS, [Version.parse("2"), Version.parse("3")], Treatment.MARK, installed_by="dba", installed_on=NOW
    )
    assert [(one.installed_rank, one.version, one.type) for one in after[3:]] == [
        (4, "3", "DELETE"),
        (5, "2", "DELETE"),
    ]


@pytest.mark.parametrize(
    ("rows", "of", "says"),
    [
        ([row(1, "1"), row(2, "1")], 0, "would not mark the row with rank 1"),
        ([row(1, "1", success=False)], 0, "would not mark"),
        ([row(1, "1", "BASELINE")], 0, "would not mark"),
        ([row(1, "1"), row(2, "1", "DELETE")], 0, "deleted already"),
    ],
)
def test_a_delete_row_that_would_mean_something_else_is_refused(
    rows: list[HistoryRow], of: int, says: str
) -> None:
    with pytest.raises(NotTreatable, match=says):
        delete_row(rows[of], rows, installed_by="dba", installed_on=NOW)


def test_a_row_of_another_history_is_refused() -> None:
    with pytest.raises(NotTreatable, match="no such row"):
        delete_row(row(9, "9"), ROWS, installed_by="dba", installed_on=NOW)


def test_the_table_and_the_current_version() -> None:
    lines = overview(FILES, [*ROWS[:2], row(3, "2", "DELETE")])
    assert current(lines) == "1"
    assert render(lines).split("\n")[3:5] == [
        "| Versioned | 1       | x           | SQL  | 2025-11-22 12:00:00 | Success | No       |",
        "| Versioned | 2       | x           | SQL  | 2025-11-22 12:00:00 | Deleted |          |",
    ]
    assert current([]) == "<< Empty Schema >>"
    assert "No migrations found" in render([])
