"""The DELETE of an INSERT: by a key whose values the file itself gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from approvals.analysis import parser
from approvals.analysis.parser import Source
from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.family import comma
from executor.schema.lost import ROWS, VALUES, Lost
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

_TEXT = ("text", "character varying", "character", "name")


@dataclass(frozen=True, slots=True)
class Deletion:
    """The DELETE of one INSERT: its action, and how many rows it must find."""

    action: Action
    rows: int
    line: int
    column: int


class Deletions:
    """Makes DELETEs for tables as they stand behind the migration."""

    def __init__(self, after: Snapshot) -> None:
        self.after = after

    def key(self, table: Object, columns: list[str], rows: list[list[str | None]]) -> list[str]:
        """Columns of a key that all rows give as constants; [] where there is none."""
        places = {name: number for number, name in enumerate(columns)}
        for key in self._keys(table):
            if all(
                name in places and all(len(row) > places[name] and row[places[name]] for row in rows)
                for name in key
            ):
                return key
        return []

    def _keys(self, table: Object) -> list[list[str]]:
        """Column names of the primary key, then of unique constraints and indexes."""
        found_keys = []
        for thing in self.after.of_kind("constraint", "index"):
            if thing.ref.kind == "constraint":
                if thing.ref.relation != table.ref.path or thing["type"] not in "pu":
                    continue
                rank = 0 if thing["type"] == "p" else 1
            else:
                if tuple(thing["relation"]) != table.ref.path or not thing["is_unique"] or thing["computed"]:
                    continue
                rank = 2
            names = sorted(
                need.name
                for need in self.after.needs.get(thing.ref, ())
                if need.kind == "column" and need.relation == table.ref.path
            )
            found_keys.append((rank, thing.ref.name, names))
        return [names for _, _, names in sorted(found_keys) if names]

    def deletion(
        self,
        table: Object,
        key: list[str],
        columns: list[str],
        rows: list[list[str | None]],
        place: tuple[int, int],
    ) -> Deletion:
        """The DELETE of an INSERT that gives these rows, at a place of the file."""
        places = [columns.index(name) for name in key]
        types = [self.after[Ref("column", (*table.ref.path, name))]["type"] for name in key]
        listed = [
            comma(_typed(row[place] or "", kind) for place, kind in zip(places, types, strict=True))
            for row in rows
        ]
        names = comma(map(quoted, key))
        if len(key) > 1:
            where = f"({names}) IN ({comma(f'({each})' for each in listed)})"
        else:
            where = f"{names} = {listed[0]}" if len(listed) == 1 else f"{names} IN ({comma(listed)})"
        sql = f"DELETE FROM {dotted(table.ref.path)} WHERE {where}"
        line, column = place
        own = Lost(ROWS, (table.ref.path[0], table.ref.path[1]), condition=where)
        action = Action(
            "rows",
            table.ref,
            (Statement(sql, fills=True),),
            why=f"the migration added {'it' if len(rows) == 1 else 'them'} in line {line}",
            loses=(own, *self._along(table, where)),
        )
        return Deletion(action, len(rows), line, column)

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
    if kind.startswith(_TEXT) and "::" not in value:
        return value
    return f"{value}::{kind}" if value.startswith("'") or "::" in value else value


def _foreign_key(definition: str) -> Any:
    pieces = parser.parse(Source(f"ALTER TABLE t ADD CONSTRAINT k {definition}"))
    return getattr(pieces[0].node.cmds[0].alter_table_cmd, "def").constraint
