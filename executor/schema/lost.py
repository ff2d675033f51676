"""Data that a step takes away, named as the schema stands before the script begins."""

from __future__ import annotations

from dataclasses import dataclass

from executor.schema.names import dotted

ROWS, VALUES, CHANGED, HEARD = "rows", "values", "changed", "heard"
HOLE = "\x00"
"""Stands in SQL where a value goes."""
_LONG = 160
"""Characters of a condition that people still read."""


@dataclass(frozen=True, slots=True, order=True)
class Lost:
    """What goes: all `rows` of a relation, the `values` of a column, those values that are `changed` by
    another type (`becomes`), or whatever is done by who has `heard` that rows go or change (`becomes` names
    them). `condition` is SQL that picks the rows; '' means all of them. `ways` are how a
    value of now becomes one of before and how that becomes one of now again, as SQL with HOLE for it; without
    them both are casts."""

    kind: str
    relation: tuple[str, str]
    column: str = ""
    becomes: str = ""
    condition: str = ""
    ways: tuple[str, str] | tuple[()] = ()

    @property
    def name(self) -> str:
        """The relation, or the column with its relation, as SQL."""
        return dotted((*self.relation, self.column) if self.column else self.relation)

    def __str__(self) -> str:
        condition = self.condition if len(self.condition) <= _LONG else f"{self.condition[: _LONG - 2]} …"
        where = f" where {condition}" if condition else ""
        if self.kind == CHANGED:
            return f"values of column {self.name}{where} that {self.becomes} can't hold as they are"
        if self.kind == HEARD:
            return f"what {self.becomes} does that hears of rows of table {self.name}{where}"
        if self.kind == VALUES:
            return f"the values of column {self.name}{where}"
        if where:
            return f"rows of table {self.name}{where}"
        return f"table {self.name} with all its rows"


_WHOLE = ("smallint", "integer", "bigint")
_TEXT = ("text", "character varying")


def may_change(now: str, becomes: str) -> bool:
    """Whether a value that the conversion accepts may come out as another one: rounded, cut, normalised.
    Both types as format_type writes them. Where it says no, each value stays or the statement fails."""
    if now == becomes or becomes.removesuffix("[]") in _TEXT:
        return False
    return not (now in _WHOLE and becomes.startswith((*_WHOLE, "numeric")))
