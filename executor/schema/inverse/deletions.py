"""The DELETE of an INSERT: by a key whose values the file itself gives, else by all values that it gives, and
then only where no other row has them."""

from __future__ import annotations

from dataclasses import dataclass

from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.along import Along, Ways
from executor.schema.inverse.family import comma
from executor.schema.inverse.rewritten import rewritten
from executor.schema.keys import unique_keys
from executor.schema.lost import ROWS, Lost
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref, Snapshot

NULL = "NULL"
_TEXT = ("text", "character varying", "character", "name")
_WITHOUT_EQUALITY = ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle")
_LONGEST = 300
"""Characters of a value that need not stand in a condition: the others tell the row as well."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The DELETE of one INSERT: its action, how many rows it must find, and what it names."""

    action: Action
    rows: int
    line: int
    column: int
    names: frozenset[Ref]

    def still_means(self, schema: Snapshot, then: Snapshot) -> bool:
        """Whether its names are those of the same table and columns as they were `then`."""
        return all(ref in schema and schema[ref].address == then[ref].address for ref in self.names)

    def follow(self, schema: Snapshot, then: Snapshot) -> None:
        """Find anew what goes along, by the foreign keys of another schema than that of `then`. Rows of
        tables that are new since are not data that anybody had."""
        own, known = self.action.loses[0], then.by_address
        for_each = Along(Ways(schema), self.action.ref, own.condition).losses()
        tables = ((lost, Ref("table", lost.relation)) for lost in for_each)
        had = (lost for lost, table in tables if table in then or schema[table].address in known)
        self.action.loses = (own, *had)


class Deletions:
    """Makes DELETEs for tables as they stand behind the migration."""

    def __init__(self, after: Snapshot) -> None:
        self.after = after
        self.ways = Ways(after)

    def key(self, table: Object, columns: list[str], rows: list[list[str | None]]) -> list[str]:
        """Columns of a key whose values all rows give; [] where there is none."""
        places = {name: number for number, name in enumerate(columns)}
        for key in unique_keys(table, self.after):
            if all(
                name in places
                and all(len(row) > places[name] and row[places[name]] not in (None, NULL) for row in rows)
                for name in key
            ):
                return key
        return []

    def deletion(
        self,
        table: Object,
        columns: list[str],
        rows: list[list[str | None]],
        place: tuple[int, int],
    ) -> Deletion | None:
        """The DELETE of an INSERT that gives these rows, at a place of the file; None where the rows can't be
        told from others. `columns` without a name have other values now."""
        key = self.key(table, columns, rows)
        where, names = (
            self._by_key(table, key, columns, rows) if key else self._by_values(table, columns, rows)
        )
        if not where:
            return None
        if self._has_children(table):  # whose rows may have the same keys
            where = f"({where}) AND tableoid = {literal(dotted(table.ref.path))}::regclass"
        sql = f"DELETE FROM {dotted(table.ref.path)} WHERE {where}"
        line, column = place
        why = f"the migration added {'it' if len(rows) == 1 else 'them'} in line {line}"
        if not key:
            why += "; nothing goes where other rows have the same values"
        own = Lost(ROWS, (table.ref.path[0], table.ref.path[1]), condition=where)
        action = Action(
            "rows",
            table.ref,
            (Statement(sql, fills=True),),
            why=why,
            loses=(own, *Along(self.ways, table.ref, where).losses()),
        )
        refs = (Ref("column", (*table.ref.path, name)) for name in names)
        return Deletion(action, len(rows), line, column, frozenset({table.ref, *refs}))

    def _by_key(
        self, table: Object, key: list[str], columns: list[str], rows: list[list[str | None]]
    ) -> tuple[str, list[str]]:
        places = [columns.index(name) for name in key]
        types = [self._type(table, name) for name in key]
        listed = [
            comma(_typed(row[place] or "", kind) for place, kind in zip(places, types, strict=True))
            for row in rows
        ]
        names = comma(map(quoted, key))
        if len(key) > 1:
            return f"({names}) IN ({comma(f'({each})' for each in listed)})", key
        return (f"{names} = {listed[0]}" if len(listed) == 1 else f"{names} IN ({comma(listed)})"), key

    def _by_values(
        self, table: Object, columns: list[str], rows: list[list[str | None]]
    ) -> tuple[str, list[str]]:
        """A condition on every value that the rows give and keep, true only where just so many rows have
        them."""
        conditions, names, told = [], [], True
        others = rewritten(table.ref, self.after)
        for row in rows:
            parts, constants = [], 0
            for name, value in zip(columns, row, strict=False):
                if value is None or not name or name in others or len(value) > _LONGEST:
                    continue
                kind = self._type(table, name)
                if kind in _WITHOUT_EQUALITY:
                    continue
                constants += value != NULL and not value.startswith("(")
                test = "IS NULL" if value == NULL else f"= {_typed(value, kind)}"
                parts.append(f"{quoted(name)} {test}")
                names.append(name)
            told = told and constants > 0
            conditions.append(" AND ".join(parts))
        if not told:
            return "", []
        alike = " OR ".join(f"({each})" for each in conditions) if len(rows) > 1 else conditions[0]
        count = f"(SELECT count(*) FROM {dotted(table.ref.path)} WHERE {alike}) = {len(rows)}"
        return f"{f'({alike})' if len(rows) > 1 else alike} AND {count}", names

    def _has_children(self, table: Object) -> bool:
        """Whether other tables inherit from it, as partitions don't."""
        path = list(table.ref.path)
        return table["form"] == "r" and any(path in each["parents"] for each in self.after.of_kind("table"))

    def _type(self, table: Object, column: str) -> str:
        found: str = self.after[Ref("column", (*table.ref.path, column))]["type"]
        return found


def _typed(value: str, kind: str) -> str:
    """A constant in the type of its column."""
    if (kind.startswith(_TEXT) and "::" not in value) or value.endswith(f"::{kind}"):
        return value
    return f"{value}::{kind}" if value.startswith("'") or "::" in value else value
