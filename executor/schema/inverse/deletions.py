"""The DELETE of an INSERT: by a key whose values the file itself gives, else by all values that it gives, and
then only where no other row has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from approvals.analysis import parser
from approvals.analysis.parser import Source
from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.family import comma
from executor.schema.keys import unique_keys
from executor.schema.lost import ROWS, VALUES, Lost
from executor.schema.names import dotted, quoted
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


class Deletions:
    """Makes DELETEs for tables as they stand behind the migration."""

    def __init__(self, after: Snapshot) -> None:
        self.after = after

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
        told from others."""
        key = self.key(table, columns, rows)
        where, names = (
            self._by_key(table, key, columns, rows) if key else self._by_values(table, columns, rows)
        )
        if not where:
            return None
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
            loses=(own, *self._along(table, where)),
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
        """A condition on every value that the rows give, true only where it finds just so many rows."""
        conditions, names, told = [], [], True
        for row in rows:
            parts, constants = [], 0
            for name, value in zip(columns, row, strict=False):
                kind = self._type(table, name)
                if value is None or kind in _WITHOUT_EQUALITY or len(value) > _LONGEST:
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

    def _type(self, table: Object, column: str) -> str:
        found: str = self.after[Ref("column", (*table.ref.path, column))]["type"]
        return found

    def _along(self, table: Object, where: str) -> Iterator[Lost]:
        """Rows and values of other tables that the DELETE takes along by ON DELETE actions."""
        for thing in self.after.of_kind("constraint"):
            if tuple(thing["references"] or ()) != table.ref.path:
                continue
            key = _foreign_key(thing["definition"])
            if key.fk_del_action not in ("c", "n", "d"):
                continue
            mine = comma(quoted(each.string.sval) for each in key.fk_attrs)
            theirs = comma(quoted(each.string.sval) for each in key.pk_attrs)
            condition = f"({mine}) IN (SELECT {theirs} FROM {dotted(table.ref.path)} WHERE {where})"
            if key.fk_del_action == "c":
                yield Lost(ROWS, thing.ref.relation, condition=condition)
            else:
                for each in key.fk_attrs:
                    yield Lost(VALUES, thing.ref.relation, each.string.sval, condition=condition)


def _typed(value: str, kind: str) -> str:
    """A constant in the type of its column."""
    if (kind.startswith(_TEXT) and "::" not in value) or value.endswith(f"::{kind}"):
        return value
    return f"{value}::{kind}" if value.startswith("'") or "::" in value else value


def _foreign_key(definition: str) -> Any:
    pieces = parser.parse(Source(f"ALTER TABLE t ADD CONSTRAINT k {definition}"))
    return getattr(pieces[0].node.cmds[0].alter_table_cmd, "def").constraint
