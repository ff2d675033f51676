"""The rows of a table at moments of a run, by the names that its columns had before, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
MOST = 1000
"""Rows of a table up to which they are compared."""
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Held:
    """What a table holds: its columns by the names of before, and its rows as texts. `too_many`: more rows
    than are compared."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    too_many: bool = False


def by_address(connection: Connection, table: Object, before: Snapshot) -> Held | None:
    """What the very table of before holds, whatever it and its columns are called now; None where it is gone,
    or may not be read."""
    names = {column.address[2]: column.ref.name for column in before.columns(*table.ref.path)}
    return _held(connection, "%s::oid", table.address[1], names)


def by_name(connection: Connection, table: Object, before: Snapshot) -> Held | None:
    """What the table holds that has its name; None where there is none, or it may not be read."""
    names = {column.ref.name: column.ref.name for column in before.columns(*table.ref.path)}
    return _held(connection, "to_regclass(%s)", dotted(table.ref.path), names)


def _held(connection: Connection, which: str, value: object, names: dict[Any, str]) -> Held | None:
    found = connection.execute(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attnum, a.attname::text"
        "  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        "  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        f" WHERE c.oid = {which} AND c.relkind IN ('r', 'p') ORDER BY a.attnum",
        [value],
    ).fetchall()
    if not found:
        return None
    pairs = [(names[key], name) for *_, number, name in found for key in (number, name) if key in names]
    only = "" if found[0][2] == "p" else "ONLY "
    listed = ", ".join(f"{quoted(name)}::text" for _, name in pairs)
    try:
        with connection.transaction():
            rows = connection.execute(
                f"SELECT {listed} FROM {only}{dotted(found[0][:2])} LIMIT {MOST + 1}"
            ).fetchall()
    except psycopg.Error:
        return None
    columns = tuple(name for name, _ in pairs)
    kept = tuple(dict(zip(columns, row, strict=True)) for row in rows[:MOST])
    return Held(columns, kept, len(rows) > MOST)


def key_of(table: Object, before: Snapshot) -> tuple[str, ...]:
    """The columns of the primary key; () without one."""
    for part in before.parts(*table.ref.path):
        if part.ref.kind == "constraint" and part["type"] == "p":
            needs = before.needs.get(part.ref, ())
            return tuple(sorted(need.name for need in needs if need.kind == "column"))
    return ()


class Compare:
    """Compares what one table holds at two moments: by its key, or where it has none, or lost it, by all
    values that are asked about."""

    def __init__(self, key: Sequence[str]) -> None:
        self.key = tuple(key)

    def lacking(self, first: Held, then: Held | None, columns: Collection[str]) -> list[Row]:
        """Rows of `first` that `then` does not hold with the same values in these columns."""
        if then is None or not set(columns) <= set(then.columns):
            return list(first.rows)
        shown = [name for name in first.columns if name in columns or name in self.key]
        if not set(shown) <= set(then.columns):
            shown = [name for name in shown if name in columns]
        left = Counter(_shown(row, shown) for row in then.rows)
        return list(_not_in(first.rows, left, shown))

    def gone(self, first: Held, then: Held | None) -> list[Row]:
        """Rows of `first` that are not there any more, whatever became of their values. Without a key just as
        many as there are fewer."""
        if then is None:
            return list(first.rows)
        if self._keyed(first, then):
            left = Counter(_shown(row, self.key) for row in then.rows)
            return list(_not_in(first.rows, left, self.key))
        fewer = len(first.rows) - len(then.rows)
        common = [name for name in first.columns if name in then.columns]
        return self.lacking(first, then, common) if fewer > 0 else []

    def changed(self, first: Held, then: Held | None) -> dict[str, int]:
        """How many values differ, by column, of rows that are still there."""
        if then is None or (not self._keyed(first, then) and len(first.rows) != len(then.rows)):
            return {}
        stay = Held(first.columns, tuple(self.staying(first, then)))
        found = {}
        for name in first.columns:
            if name in then.columns and (count := len(self.lacking(stay, then, [name]))):
                found[name] = count
        return found

    def staying(self, first: Held, then: Held | None) -> list[Row]:
        """Rows of `first` that are still there, whatever became of their values."""
        away = Counter(map(_whole, self.gone(first, then)))
        return list(_not_in(first.rows, away, first.columns))

    def _keyed(self, first: Held, then: Held) -> bool:
        return bool(self.key) and set(self.key) <= set(first.columns) & set(then.columns)


def _shown(row: Row, names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(row[name] for name in names)


def _whole(row: Row) -> tuple[str | None, ...]:
    return tuple(row.values())


def _not_in(
    rows: Sequence[Row], left: Counter[tuple[str | None, ...]], names: Sequence[str]
) -> Iterator[Row]:
    """Rows that are not among those counted in `left`, which is used up."""
    for row in rows:
        shown = _shown(row, names)
        if left[shown] > 0:
            left[shown] -= 1
        else:
            yield row


def watched(before: Snapshot) -> list[Object]:
    """The tables whose rows are compared: partitioned ones as a whole."""
    return [
        table
        for table in before.of_kind("table")
        if table["form"] in "rp" and Ref("partition", table.ref.path) not in before
    ]
