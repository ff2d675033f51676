"""What belongs to a table that is kept, and what ties it to the rest."""

from __future__ import annotations

from executor.schema.inverse.family import Context
from executor.schema.names import quoted
from executor.schema.objects import Object, Ref


class Belongings:
    """Questions on the schema as it stands. `leaving` is what goes or is made anew; `tables` are those that
    are kept, `types` those that move with them."""

    def __init__(self, context: Context, leaving: set[Ref]) -> None:
        self.now, self.before = context.now, context.before
        self.leaving = leaving
        self.replaced = context.replaced
        self.tables: list[Ref] = []
        self.types: set[Ref] = set()

    def tree(self, table: Ref) -> list[Ref]:
        """The table and, where it is partitioned, all below."""
        return self.now.tree(table)

    def children(self, table: Ref) -> bool:
        """Whether others inherit from the table."""
        path = list(table.path)
        return any(path in other["parents"] for other in self.now.of_kind("table") if other["parents"])

    def types_of(self, table: Ref) -> set[Ref]:
        """Types that go and that its columns are of, directly or inside of other types."""
        queue = [column.ref for column in self.now.columns(*table.path)]
        found: set[Ref] = set()
        while queue:
            for need in self.now.needs.get(queue.pop(), ()):
                if need.kind == "type" and need in self.leaving and need not in found:
                    found.add(need)
                    queue.append(need)
                elif need.kind == "extension" and need in self.leaving:
                    found.add(need)
        return found

    def movable_type(self, ref: Ref) -> bool:
        """Whether the type came with the migration, so that it may move."""
        return ref.kind == "type" and ref not in self.before and self.now[ref]["form"] in "edc"

    def is_of(self, thing: Object, table: Ref) -> bool:
        """Whether an index or statistics belong to the table."""
        if thing.ref.kind == "index":
            return bool(tuple(thing["relation"]) == table.path)
        return table in self.now.needs.get(thing.ref, ()) or any(
            need.kind == "column" and need.relation == table.path
            for need in self.now.needs.get(thing.ref, ())
        )

    def needs_what_goes(self, part: Object, table: Ref) -> bool:
        """Whether a part of the table needs something that goes and does not move along."""
        tree = {one.path for kept in (*self.tables, table) for one in self.tree(kept)}
        return any(
            need in self.leaving
            and need.path[:2] not in tree
            and need not in self.types
            and not self.owned(need, tree)
            for need in self.now.needs.get(part.ref, ())
        )

    def owned(self, ref: Ref, tables: set[tuple[str, ...]]) -> bool:
        """Whether it is a sequence or an index that moves along with one of the tables."""
        if ref.kind == "sequence":
            return tuple((self.now[ref]["owned_by"] or ())[:2]) in tables
        return ref.kind == "index" and tuple(self.now[ref]["relation"]) in tables

    def sequences(self, table: Ref) -> list[tuple[str, tuple[str, str]]]:
        """Columns with the sequences that they own, identities included."""
        found = [
            (thing["owned_by"][2], (thing.ref.path[0], thing.ref.path[1]))
            for thing in self.now.of_kind("sequence")
            if (thing["owned_by"] or ())[:2] == list(table.path)
        ]
        for column in self.now.columns(*table.path):
            if column["identity"]:
                found.append((column.ref.name, tuple(column["identity_sequence"][:2])))
        return found

    def key(self, column: Ref) -> list[Ref]:
        """The columns by which the column's rows can be found: those of the primary key, else of a unique
        constraint or index where each has a value. [] where there is none but with the column itself."""
        rank = {"p": 0, "u": 1}
        keys = [
            (rank[part["type"]], part.ref)
            for part in self.now.parts(*column.relation)
            if part.ref.kind == "constraint" and part["type"] in rank
        ]
        keys += [
            (2, index.ref)
            for index in self.now.of_kind("index")
            if tuple(index["relation"]) == column.relation
            and index["is_unique"]
            and index["valid"]
            and not index["computed"]
        ]
        for _, key in sorted(keys):
            columns = sorted(
                (
                    one
                    for one in self.now.needs.get(key, ())
                    if one.kind == "column" and one.relation == column.relation
                ),
                key=lambda one: self.now[one].address[2],
            )
            if column not in columns and all(self._identifies(one) for one in columns):
                return columns
        return []

    def _identifies(self, column: Ref) -> bool:
        """Whether the column always has a value, and still has that value behind the way back."""
        anew = [ref for ref, away in self.replaced.items() if away.path == column.relation]
        stays = (
            Ref("column", (*anew[0].path, column.name)) in self.before if anew else column not in self.leaving
        )
        return bool(self.now[column]["not_null"]) and stays

    def as_kept(self, column: Ref) -> str:
        """A column in a SELECT for the archive: as text where its type goes."""
        name = quoted(column.name)
        goes = any(need.kind == "type" and need in self.leaving for need in self.now.needs.get(column, ()))
        return f"{name}::text AS {name}" if goes else name

    def typed(self, column: Object, of: str = "") -> str:
        """A kept value in its column's own type."""
        name = f"{of}{quoted(column.ref.name)}"
        types = [n for n in self.now.needs.get(column.ref, ()) if n.kind == "type" and n in self.leaving]
        if not types:
            return name
        step = "text[]" if column["type"].endswith("[]") and not of else "text"
        return f"{name}::{step}::{column['type']}"

    def references(self, table: Ref) -> set[Ref]:
        """The tables to which its keys point."""
        return {
            Ref("table", tuple(part["references"]))
            for one in self.tree(table)
            for part in self.now.parts(*one.path)
            if part.ref.kind == "constraint" and part["references"]
        }
