"""A migration beside its script: each statement with the steps that take it back, and steps left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approvals.analysis.pairing import pair

from .statements import Line, back_lines, forward_lines

# Changes that leave nothing behind, so that a missing step means nothing.
PASSING = frozenset({"QUERY", "SESSION SETTING", "TRANSACTION"})


@dataclass(frozen=True)
class Row:
    """One statement (None: the steps belong to none), the steps that stand beside it, and the numbers of
    steps elsewhere that take it back as well."""

    forward: Line | None
    steps: tuple[Line, ...] = ()
    also: tuple[int, ...] = ()

    @property
    def passing(self) -> bool:
        """Nothing of it stays, so there is nothing to take back."""
        return self.forward is not None and self.forward.change in PASSING

    @property
    def is_missing(self) -> bool:
        """No step takes it back."""
        return not (self.steps or self.also or self.passing)


@dataclass(frozen=True)
class Sides:
    """All rows in the order of the file, steps that belong to no statement last."""

    rows: tuple[Row, ...]

    @property
    def missing(self) -> int:
        """How many statements no step takes back."""
        return sum(row.is_missing for row in self.rows)

    def undone_by(self) -> dict[int, list[int]]:
        """Which statements each step takes back, by their numbers."""
        found: dict[int, list[int]] = {}
        for row in self.rows:
            for step in (*(line.number for line in row.steps), *row.also):
                if row.forward is not None:
                    found.setdefault(step, []).append(row.forward.number)
        return found


def sides(analysis: dict[str, Any], plan: dict[str, Any]) -> Sides:
    """Put the statements of a file and the steps of a script beside each other, from what was stored."""
    forward, back = forward_lines(analysis), back_lines(plan)
    found = pair([line.sql for line in forward], [line.sql for line in back])
    rows = [
        Row(forward[each.forward], _of(back, each.steps), tuple(back[step].number for step in each.also))
        for each in found.pairs
    ]
    return Sides((*rows, *(Row(None, (back[step],)) for step in found.alone)))


def _of(lines: Sequence[Line], places: Sequence[int]) -> tuple[Line, ...]:
    return tuple(lines[place] for place in places)
