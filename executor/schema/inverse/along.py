"""What goes along with rows that are deleted: rows and values of tables that refer to them, by what their
foreign keys say, however far that leads; and what triggers and rules do that hear of it, which nobody can
tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from approvals.analysis import parser
from approvals.analysis.parser import Source
from executor.schema.inverse.family import comma
from executor.schema.inverse.heard import DELETE, UPDATE, lineage, listeners
from executor.schema.lost import HEARD, ROWS, VALUES, Lost
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

MOST = 60
"""Entries for one DELETE that people still read."""
CASCADE = "c"
_CHANGES = (CASCADE, "n", "d")


@dataclass(frozen=True, slots=True)
class _Key:
    """A foreign key: its constraint, the referring table, and its parse tree."""

    ref: Ref
    child: Ref
    said: Any

    @property
    def mine(self) -> list[str]:
        """The columns that refer."""
        return [each.string.sval for each in self.said.fk_attrs]

    @property
    def theirs(self) -> list[str]:
        """The columns that are referred to."""
        return [each.string.sval for each in self.said.pk_attrs]

    def referring(self, table: Ref, where: str) -> str:
        """SQL: rows of the child that refer to rows of the table that fit."""
        found = f"SELECT {_listed(self.theirs)} FROM {dotted(table.path)} WHERE {where}"
        return f"({_listed(self.mine)}) IN ({found})"

    def descending(self, table: Ref, where: str) -> str:
        """The same of a table that refers to itself, and what refers to those in turn."""
        theirs, name = _listed(self.theirs), dotted(table.path)
        next_ones = comma(f"t.{quoted(each)}" for each in self.theirs)
        pairs = zip(self.mine, self.theirs, strict=True)
        same = " AND ".join(f"t.{quoted(mine)} = a.{quoted(other)}" for mine, other in pairs)
        return (
            f"({_listed(self.mine)}) IN (WITH RECURSIVE along ({theirs}) AS (SELECT {theirs} FROM {name}"
            f" WHERE {where} UNION SELECT {next_ones} FROM {name} t JOIN along a ON {same})"
            f" SELECT {theirs} FROM along)"
        )


class Ways:
    """Which keys lead to a table, and who listens there: asked of a schema once for each. Keys that are gone
    lead nowhere."""

    def __init__(self, schema: Snapshot, gone: frozenset[Ref] = frozenset()) -> None:
        self.schema = schema
        self.gone = gone
        self._references: dict[tuple[str, ...], list[Object]] = {}
        for thing in schema.of_kind("constraint"):
            if thing["references"] and thing.ref not in gone:
                self._references.setdefault(tuple(thing["references"]), []).append(thing)
        self._keys: dict[Ref, list[_Key]] = {}
        self._listeners: dict[tuple[Ref, int], list[Object]] = {}

    def without(self, key: Ref) -> Ways:
        """The same behind the drop of a key."""
        return Ways(self.schema, self.gone | {key})

    def keys(self, table: Ref) -> list[_Key]:
        """Foreign keys that refer to a table, or to what is above or below it."""
        if table not in self._keys:
            refs = lineage(self.schema, table)
            self._keys[table] = [_read(each) for ref in refs for each in self._references.get(ref.path, ())]
        return self._keys[table]

    def listeners(self, table: Ref, event: int) -> list[Object]:
        """Triggers and rules that hear an event there."""
        if (table, event) not in self._listeners:
            self._listeners[table, event] = list(listeners(self.schema, table, event))
        return self._listeners[table, event]


def _read(constraint: Object) -> _Key:
    (piece,) = parser.parse(Source(f"ALTER TABLE t ADD CONSTRAINT k {constraint['definition']}"))
    said = getattr(piece.node.cmds[0].alter_table_cmd, "def").constraint
    return _Key(constraint.ref, Ref("table", constraint.ref.relation), said)


class Along:
    """Follows a DELETE of rows of a table through a schema. Conditions pick rows as they stand before it."""

    def __init__(self, ways: Ways, table: Ref, where: str) -> None:
        self.ways = ways
        self.table, self.where = table, where

    def losses(self) -> Iterator[Lost]:
        """What goes beside the rows themselves. Where too many ways lead on, any row of what they reach."""
        found = list(islice(self._deleted(self.table, self.where, frozenset()), MOST + 1))
        if len(found) <= MOST:
            yield from found
            return
        some = f"EXISTS (SELECT FROM {dotted(self.table.path)} WHERE {self.where})"
        for table in self._reached():
            yield Lost(ROWS, _pair(table), condition=some)

    def overwritten(self, columns: Collection[str]) -> Iterator[Lost]:
        """What changes beside these columns where the rows are not deleted but get other values there."""
        yield from self._heard(self.table, UPDATE, self.where)
        yield from self._follow(self.table, columns, self.where, frozenset())

    def _reached(self) -> list[Ref]:
        """Tables to which any keys lead that take something along."""
        found = [self.table]
        for table in found:
            keys = (key for key in self.ways.keys(table) if key.said.fk_del_action in _CHANGES)
            found += dict.fromkeys(key.child for key in keys if key.child not in found)
        return found[1:]

    def _deleted(self, table: Ref, where: str, through: frozenset[Ref]) -> Iterator[Lost]:
        """Rows of a table go; `through` are the keys that led here."""
        keys = self.ways.keys(table)
        for key in keys:
            if key.said.fk_del_action == CASCADE and key.child == table:
                descending = key.descending(table, where)
                yield Lost(ROWS, _pair(table), condition=descending)
                where = f"({where} OR {descending})"
        yield from self._heard(table, DELETE, where)
        for key in keys:
            condition = key.referring(table, where)
            if key.said.fk_del_action != CASCADE:
                if key.said.fk_del_action in _CHANGES:
                    named = [each.string.sval for each in key.said.fk_del_set_cols] or key.mine
                    yield from self._changed(key, named, condition, through)
            elif key.ref in through:  # a circle over several tables: any of their rows may be among them
                some = f"EXISTS (SELECT FROM {dotted(key.child.path)} WHERE {condition})"
                for ref in sorted(through):
                    yield Lost(ROWS, ref.relation, condition=some)
            elif key.child != table:
                yield Lost(ROWS, _pair(key.child), condition=condition)
                yield from self._deleted(key.child, condition, through | {key.ref})

    def _changed(
        self, key: _Key, columns: Collection[str], where: str, through: frozenset[Ref]
    ) -> Iterator[Lost]:
        """Rows that refer get other values in these columns."""
        for name in columns:
            yield Lost(VALUES, _pair(key.child), name, condition=where)
        yield from self._heard(key.child, UPDATE, where)
        yield from self._follow(key.child, columns, where, through | {key.ref})

    def _follow(
        self, table: Ref, columns: Collection[str], where: str, through: frozenset[Ref]
    ) -> Iterator[Lost]:
        """Rows of a table get other values in these columns: keys that refer to them carry that on."""
        for key in self.ways.keys(table):
            along = [mine for mine, theirs in zip(key.mine, key.theirs, strict=True) if theirs in columns]
            if along and key.said.fk_upd_action in _CHANGES and key.ref not in through:
                yield from self._changed(key, along, key.referring(table, where), through)

    def _heard(self, table: Ref, event: int, where: str) -> Iterator[Lost]:
        """Whoever hears of it. A trigger for each statement hears a foreign key's, too, that finds no row."""
        for each in self.ways.listeners(table, event):
            who = f"{each.ref.kind} {quoted(each.ref.name)} of {dotted(each.ref.relation)}"
            by_row = each.ref.kind == "rule" or " FOR EACH ROW " in each["definition"]
            rows, condition = (table, where) if by_row else (self.table, self.where)
            yield Lost(HEARD, _pair(rows), becomes=who, condition=condition)


def _listed(names: Collection[str]) -> str:
    return comma(map(quoted, names))


def _pair(table: Ref) -> tuple[str, str]:
    return table.path[0], table.path[1]
