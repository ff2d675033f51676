"""The choices that an engineer has where more than one way leads back, with cost and consequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from executor.schema.archive import ARCHIVE
from executor.schema.lost import Lost

APPEND, REBUILD, BY_SIZE = "append", "rebuild", "by size"
SWAP, LEAVE = "swap", "leave"
PLAIN, CONCURRENTLY = "plain", "concurrently"
ASK, NEUTRAL, CAST = "ask", "neutral", "cast"
MEGABYTE = 1024**2
REBUILD_BELOW = 8 * MEGABYTE
"""Bytes up to which writing anew is cheap: half a second under the lock, and usually less."""
BYTES_PER_SECOND = 16 * MEGABYTE
"""How much a rebuild writes with its indexes: 400,000 rows in 51 MB took 2 to 3 s on two shared cores."""


@dataclass(frozen=True, slots=True)
class Options:
    """The engineer's choices.

    `column_order`: a column that must return to its place is appended (cheap), its table rebuilt (exact), or
    `by size`: rebuilt where no more than `rebuild_below` bytes are written or read for that. `sizes` are the
    tables' bytes on the target by schema and name (see `sizes.sizes`); a table whose size nobody knows counts
    as a large one.
    `enum_value`: an added value is taken away by swapping the type, or left. `index`: CREATE INDEX in the
    transaction or concurrently outside it. `fill`: SQL expressions by schema, table and column, for
    columns that
    come back NOT NULL without a default; `fill_default` `neutral` lets the others have their type's zero
    value. For a column that goes back to its former type, one that names the column itself says what becomes
    of its values.
    `keep_data`: tables and columns are archived in `archive_schema` instead of dropped, under names that
    `archive_label` ends, so that they differ by rollback, and with `purge_after`, the day after which ops may
    drop them; `not_kept` says what must not be kept, and why. `ignore_tables` are left alone in any schema,
    such as Flyway's history.
    """

    column_order: str = BY_SIZE
    rebuild_below: int = REBUILD_BELOW
    sizes: Mapping[tuple[str, str], int] | None = None
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


def column_order(table: str, columns: str, size: int | None, taken: str) -> Choice:
    """Columns that would come back at the end of their table. `size`: bytes that a rebuild takes."""
    cost = "in time proportional to its size"
    if size is not None:
        cost = f"for about {max(0.1, size / BYTES_PER_SECOND):,.1f} s ({size / MEGABYTE:,.1f} MB)"
    return Choice(
        table,
        f"{columns} stood before other columns",
        (
            (APPEND, "added at the end: instant, the schema is the same but for the order of columns"),
            (REBUILD, f"the table is written anew: exact, under ACCESS EXCLUSIVE {cost}"),
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


def fill(column: str, taken: str, referred_to: str = "") -> Choice:
    """A column that comes back NOT NULL: `taken` is `ask` or the expression that rows get. `referred_to` is
    the table of its foreign key, if it has one."""
    about = "comes back NOT NULL, and rows that have no value in it need one"
    ask = "give an expression; without one the script stops where such rows are"
    if not referred_to:
        neutral = "rows get the type's zero value, or where they must differ one of their own"
        return Choice(column, about, ((ASK, ask), (NEUTRAL, neutral)), taken)
    return Choice(
        column,
        f"{about}: each refers to a row of {referred_to}",
        ((ASK, f"{ask}. It may be a query of {referred_to}; the former values are in a backup only"),),
        taken,
    )


def retyped(column: str, kind: str, proposed: str, chosen: str = "") -> Choice:
    """A column whose former type does not hold each value that it may have by now. `proposed` is how an
    expression may look, `chosen` the one that the engineer gave."""
    ways = (
        (CAST, "stops the script where a value does not fit"),
        (
            chosen or proposed,
            "each value becomes what an expression of the column gives; what changes is counted",
        ),
    )
    return Choice(column, f"goes back to {kind}", ways, chosen or CAST)
