"""The choices that an engineer has where more than one way leads back, with cost and consequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from executor.schema.archive import ARCHIVE
from executor.schema.lost import Lost

APPEND, REBUILD = "append", "rebuild"
SWAP, LEAVE = "swap", "leave"
PLAIN, CONCURRENTLY = "plain", "concurrently"
ASK, NEUTRAL = "ask", "neutral"


@dataclass(frozen=True, slots=True)
class Options:
    """The engineer's choices.

    `column_order`: a column that must return to its place is appended (cheap) or its table rebuilt (exact).
    `enum_value`: an added value is taken away by swapping the type, or left. `index`: CREATE INDEX in the
    transaction or concurrently outside it. `fill`: SQL expressions by schema, table and column, for
    columns that
    come back NOT NULL without a default; `fill_default` `neutral` lets the others have their type's zero
    value.
    `keep_data`: tables and columns are archived in `archive_schema` instead of dropped, under names that
    `archive_label` ends, so that they differ by rollback, and with `purge_after`, the day after which ops may
    drop them; `not_kept` says what must not be kept, and why. `ignore_tables` are left alone in any schema,
    such as Flyway's history.
    """

    column_order: str = APPEND
    enum_value: str = SWAP
    index: str = PLAIN
    fill: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    fill_default: str = ASK
    keep_data: bool = False
    archive_schema: str = ARCHIVE
    archive_label: str = ""
    purge_after: date | None = None
    not_kept: Mapping[Lost, str] = field(default_factory=dict)
    ignore_tables: frozenset[str] = frozenset({"flyway_schema_history"})

    @classmethod
    def exact(cls, **others: object) -> Options:
        """The choices that lead to the very same schema."""
        return cls(column_order=REBUILD, enum_value=SWAP, **others)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Choice:
    """A place where the engineer may choose: what it is about, the ways with their consequences, the one
    taken."""

    subject: str
    about: str
    ways: tuple[tuple[str, str], ...]
    taken: str


def column_order(table: str, columns: str, taken: str) -> Choice:
    """Columns that would come back at the end of their table."""
    return Choice(
        table,
        f"{columns} stood before other columns",
        (
            (APPEND, "added at the end: instant, the schema is the same but for the order of columns"),
            (
                REBUILD,
                "the table is written anew: exact, under ACCESS EXCLUSIVE, in time proportional to its size",
            ),
        ),
        taken,
    )


def enum_value(name: str, values: str, taken: str) -> Choice:
    """Values that the migration added to an enum."""
    return Choice(
        name,
        f"{values} was added",
        (
            (
                SWAP,
                "the type is replaced: exact; its columns are rewritten; fails where rows use the value",
            ),
            (LEAVE, "the value stays: harmless, the schema differs by it"),
        ),
        taken,
    )


def fill(column: str, taken: str) -> Choice:
    """A column that comes back NOT NULL and has no default."""
    return Choice(
        column,
        "comes back NOT NULL without a default, and its former values are gone",
        (
            (ASK, "give an expression; without one the script stops where the table has rows"),
            (NEUTRAL, "rows get the type's zero value"),
        ),
        taken,
    )
