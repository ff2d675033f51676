"""Values that a migration brought to a new column before it dropped the old one: UPDATE … SET new = f(old).
What brings them back is told from the statement alone, and only where it leaves no choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.parser import pb
from executor.schema.inverse.looked_up import Schemas, looked_up
from executor.schema.inverse.mapping import is_leaf
from executor.schema.inverse.turned import ONLY_CUT, UNNAMED, Turned, turned
from executor.schema.lost import HOLE, may_change
from executor.schema.objects import Address, Object, Ref, Snapshot
from executor.schema.sql_text import found, range_parts


@dataclass(frozen=True, slots=True)
class Move:
    """Where values of a column of before are: the address of the new column, and what brings them back."""

    old: Object
    source: Address
    way: Turned
    place: tuple[int, int]


@dataclass(slots=True)
class _Update:
    """One assignment to a new column."""

    value: Any
    node: Any
    place: tuple[int, int]


@dataclass(slots=True)
class Moves:
    """Reads a file's statements one by one; `found` says at the end what was moved."""

    before: Snapshot
    after: Snapshot
    search_path: tuple[str, ...]
    updates: dict[tuple[Address, str], list[_Update]] = field(default_factory=dict)
    names: dict[tuple[Address, str], str] = field(default_factory=dict)
    spoilt: set[tuple[Address, str]] = field(default_factory=set)

    def update(self, node: Any, place: tuple[int, int], *, sure: bool) -> None:
        """Take an UPDATE. `sure`: nothing decides while it runs whether it is reached."""
        table = self._table(range_parts(node.relation))
        if table is None:
            return
        for each in node.target_list:
            key = (table, each.res_target.name)
            self.updates.setdefault(key, []).append(_Update(each.res_target.val, node, place))
            if not sure or not node.relation.inh or each.res_target.val.HasField("multi_assign_ref"):
                self.spoilt.add(key)

    def retyped(self, parts: list[str], column: str) -> None:
        """Take an ALTER COLUMN … TYPE: what stood there before it, another expression computed."""
        table = self._table(parts)
        if table is not None:
            self.spoilt.add((table, column))

    def renamed(self, node: Any) -> None:
        """Take a RENAME COLUMN."""
        table = self._table(range_parts(node.relation))
        if table is not None and node.rename_type == pb.OBJECT_COLUMN:
            self.names[table, node.subname] = node.newname

    def found(self, functions: Mapping[str, Any]) -> Iterator[Move]:
        """What was moved, each column of before once."""
        done: set[Ref] = set()
        for (table, name), assigned in self.updates.items():
            source = self._new_column(table, name)
            if source is None or len(assigned) > 1 or (table, name) in self.spoilt:
                continue
            move = self._move(source, self.before[self.before.by_address[table]], assigned[0], functions)
            if move is not None and move.old.ref not in done:
                done.add(move.old.ref)
                yield move

    def _table(self, parts: list[str]) -> Address | None:
        """A table that is there before and behind the migration, by any of its names."""
        for there, other in ((self.after, self.before), (self.before, self.after)):
            ref = found(there, "table", parts, self.search_path)
            if ref is not None and there[ref].address in other.by_address:
                return there[ref].address
        return None

    def _new_column(self, table: Address, name: str) -> Object | None:
        """The column behind the migration that the file wrote to, if it came with the file."""
        path = self.after.by_address[table].path
        last = self.names.get((table, name), name)
        column = self.after.get(Ref("column", (*path, last)))
        if column is None or column["generated"] or column.address in self.before.by_address:
            return None
        return column

    def _move(
        self, source: Object, table: Object, assigned: _Update, functions: Mapping[str, Any]
    ) -> Move | None:
        gone = {
            column.ref.name: column
            for column in self.before.columns(*table.ref.path)
            if column.address not in self.after.by_address and not column["generated"]
        }
        there = Schemas(self.before, self.after, self.search_path, self.updates.keys())
        by_lookup = looked_up(assigned.value, assigned.node, gone, source, there)
        if by_lookup is not None:
            return Move(by_lookup[0], source.address, by_lookup[1], assigned.place)
        named = {part.fields[-1].string.sval for part in _columns(assigned.value)}
        if len(named) != 1 or not named <= gone.keys() or assigned.node.from_clause:
            return None
        (name,) = named
        old = gone[name]
        if assigned.node.HasField("where_clause") and not self._is_not_null(assigned.node.where_clause, name):
            return None
        way = turned(assigned.value, name, old, source["type"], self.before, functions)
        way = way or _by_casts(assigned.value, old, source["type"])
        if not way.back or (not way.exact and way.back.startswith("CASE ") and way.why != UNNAMED):
            return None
        if way.why == UNNAMED and source["not_null"]:
            way = Turned(way.back, True, "", way.again)
        overwritten = (table.address, name) in self.updates
        if overwritten:
            way = Turned(way.back, False, "the migration overwrote them before", way.again)
        return Move(old, source.address, way, assigned.place)

    def _is_not_null(self, node: Any, name: str) -> bool:
        test = node.null_test
        plain = node.HasField("null_test") and test.nulltesttype == pb.IS_NOT_NULL
        return plain and is_leaf(test.arg, name)


def _columns(node: Any) -> Iterator[Any]:
    """The columns that an expression names; a star counts as none."""
    for part in parser.walk(node):
        if isinstance(part, pb.ColumnRef) and part.fields[-1].HasField("string"):
            yield part


def _by_casts(value: Any, old: Object, becomes: str) -> Turned:
    """The column itself, or casts of it: back by a cast."""
    kinds = [old["type"]]
    casts = []
    while value.HasField("type_cast"):
        casts.append(written.type_name(value.type_cast.type_name))
        value = value.type_cast.arg
    kinds += [*reversed(casts), becomes]
    cut = any(may_change(was, becomes) for was, becomes in pairwise(kinds))
    return Turned(f"{HOLE}::{old['type']}", not cut, ONLY_CUT if cut else "", f"{HOLE}::{becomes}")
