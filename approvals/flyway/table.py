"""The overview as `flyway info` prints it, letter for letter, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from approvals.flyway.names import java_order
from approvals.flyway.rows import BASELINES, DELETE, SYNTHETIC
from approvals.flyway.states import FALLEN, MigrationState, State

COLUMNS = ("Category", "Version", "Description", "Type", "Installed On", "State", "Undoable")
EMPTY_SCHEMA = "<< Empty Schema >>"
_NOT_APPLIED = frozenset(
    {State.PENDING, State.IGNORED, State.BELOW_BASELINE, State.BASELINE_IGNORED, *FALLEN}
)


def render(lines: Sequence[MigrationState]) -> str:
    """The table of Flyway 13 (`MigrationInfoDumper`). "Undoable" is for the paid editions: here it is No."""
    rows = [_cells(line) for line in lines]
    widths = [max(map(_width, column)) for column in zip(COLUMNS, *rows, strict=True)]
    ruler = "+" + "".join("-" * (width + 2) + "+" for width in widths)
    shown = [_row(cells, widths) for cells in rows] or [f"| {'No migrations found':<{len(ruler) - 4}} |"]
    return "\n".join([ruler, _row(COLUMNS, widths), ruler, *shown, ruler])


def values(line: MigrationState) -> dict[str, str | int | bool | None]:
    """One line for a JSON document: the names and words that `flyway info -outputType=json` uses."""
    category, version, description, type_, installed_on, state, _ = _cells(line)
    return {
        "category": category,
        "version": version,
        "description": description,
        "type": type_,
        "installedOn": installed_on,
        "state": state,
        "script": line.script,
        "installedBy": line.row.installed_by if line.row else "",
        "executionTime": line.row.execution_time if line.row else 0,
        "installedRank": line.rank,
        "checksum": line.row.checksum if line.row else line.file.checksum if line.file else None,
        "drift": line.drift,
    }


def current(lines: Iterable[MigrationState]) -> str:
    """The version that the schema is at, in Flyway's words: the highest that was applied."""
    applied = (line for line in lines if line.state not in _NOT_APPLIED and line.type != DELETE)
    versions = [line.version for line in applied if line.version is not None]
    return str(max(versions)) if versions else EMPTY_SCHEMA


def _cells(line: MigrationState) -> tuple[str, ...]:
    return (
        _category(line),
        str(line.version or ""),
        line.description,
        line.type,
        f"{line.row.installed_on:%Y-%m-%d %H:%M:%S}" if line.row else "",
        line.state.value,
        "" if line.version is None or line.type == DELETE or line.state in FALLEN else "No",
    )


def _category(line: MigrationState) -> str:
    if line.type in SYNTHETIC:
        return ""
    if line.version is None:
        return "Repeatable"
    return "Baseline" if line.type in BASELINES else "Versioned"


def _row(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"


def _width(text: str) -> int:
    return len(java_order(text)) // 2
