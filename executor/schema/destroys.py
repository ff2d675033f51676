"""What a script of any origin takes away, read from its statements and completed from the live catalog:
partitions, what CASCADE takes along, the tables of a schema, the columns of a type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.lost import CHANGED, ROWS, VALUES, Lost, may_change
from executor.schema.objects import Ref, Snapshot
from executor.schema.sql_text import condition, of_object, range_parts

_DROPPED = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_FOREIGN_TABLE: "table",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "type",
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_EXTENSION: "extension",
    pb.OBJECT_SEQUENCE: "sequence",
}


@dataclass(frozen=True, slots=True)
class Destroys:
    """`goes`: statement (counted from 1) and what it takes away, names as they stand before the script.
    `unknown`: statements of which it can't be read, and why."""

    goes: tuple[tuple[int, Lost], ...]
    unknown: tuple[tuple[int, str], ...]


def destroys(script: str, live: Snapshot, *, search_path: Sequence[str] = ("public",)) -> Destroys:
    """What a script takes away on a target whose schema is `live`. Raises SqlError where it can't be read."""
    source = Source(script)
    reader = _Reader(live, search_path)
    for number, piece in enumerate(parser.parse(source), start=1):
        reader.read(number, piece)
    return Destroys(tuple(dict.fromkeys(reader.goes)), tuple(reader.unknown))


class _Reader:
    """Goes through the statements; follows the renames of the script itself."""

    def __init__(self, live: Snapshot, search_path: Sequence[str]) -> None:
        self.live = live
        self.search_path = list(search_path)
        self.goes: list[tuple[int, Lost]] = []
        self.unknown: list[tuple[int, str]] = []
        self.renamed: dict[tuple[str, str], tuple[str, str]] = {}

    def read(self, number: int, piece: Piece) -> None:
        """Take one statement."""
        method = getattr(self, f"_{piece.which}", None)
        if method is not None:
            found = method(number, piece.node)
            self.goes += [(number, lost) for lost in found or ()]

    # Statements

    def _drop_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        kind = _DROPPED.get(node.remove_type)
        if kind is None:
            return
        for each in node.objects:
            ref = self._find(kind, of_object(each))
            if ref is not None:
                yield from self._gone(ref, cascade=node.behavior == pb.DROP_CASCADE)

    def _truncate_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        for each in node.relations:
            table = self._relation(each.range_var)
            if table is not None:
                yield Lost(ROWS, (table.path[0], table.path[1]))
                if node.behavior == pb.DROP_CASCADE:
                    yield from (Lost(ROWS, path) for path in self._referencing(table))

    def _delete_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._relation(node.relation)
        if table is None:
            return
        if node.using_clause or node.with_clause.ctes:
            self.unknown.append((number, f"which rows of {table} go follows from other tables"))
            return
        yield Lost(ROWS, (table.path[0], table.path[1]), condition=self._condition(number, node, table))

    def _update_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._relation(node.relation)
        if table is None:
            return
        if node.from_clause or node.with_clause.ctes:
            self.unknown.append((number, f"which rows of {table} are overwritten follows from other tables"))
            return
        where = self._condition(number, node, table)
        for each in node.target_list:
            yield Lost(VALUES, (table.path[0], table.path[1]), each.res_target.name, condition=where)

    def _alter_table_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._relation(node.relation)
        if table is None or table.kind != "table":
            return
        for each in node.cmds:
            command = each.alter_table_cmd
            ref = Ref("column", (*table.path, command.name))
            if ref not in self.live:
                continue
            if command.subtype == pb.AT_DropColumn:
                yield from self._gone(ref, cascade=command.behavior == pb.DROP_CASCADE)
            elif command.subtype == pb.AT_AlterColumnType:
                definition = getattr(command, "def").column_def
                becomes = written.type_name(definition.type_name)
                if definition.HasField("raw_default"):
                    self.unknown.append((number, f"{ref} is computed anew by a USING expression"))
                elif may_change(self.live[ref]["type"], becomes):
                    yield Lost(CHANGED, ref.relation, ref.name, becomes)

    def _insert_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._relation(node.relation)
        if table is not None and node.on_conflict_clause.action == pb.ONCONFLICT_UPDATE:
            self.unknown.append((number, f"rows of {table} that are there already are overwritten"))
        return iter(())

    def _merge_stmt(self, number: int, node: Any) -> None:
        self.unknown.append((number, f"which rows of {written.relation(node.relation)} change"))

    def _do_stmt(self, number: int, node: Any) -> None:
        try:
            body = do_body(node)
        except SqlError as error:
            self.unknown.append((number, error.message))
            return
        for piece in body.statements:
            self.read(number, piece)
        if body.dynamic:
            self.unknown.append((number, "SQL that is put together while it runs"))

    def _call_stmt(self, number: int, node: Any) -> None:
        self.unknown.append((number, "what the procedure does is not in the statement"))

    def _rename_stmt(self, number: int, node: Any) -> None:
        if node.rename_type == pb.OBJECT_TABLE and (table := self._relation(node.relation)) is not None:
            self.renamed[table.path[0], node.newname] = (table.path[0], table.path[1])

    # Names

    def _relation(self, node: Any) -> Ref | None:
        parts = range_parts(node)
        found = self._find("table", parts)
        return found if found is not None else self._find("materialized view", parts)

    def _find(self, kind: str, parts: Sequence[str]) -> Ref | None:
        if len(parts) == 1 and kind not in ("schema", "extension"):
            ways: Iterable[tuple[str, ...]] = ((schema, parts[0]) for schema in self.search_path)
        else:
            ways = (tuple(parts),)
        for path in ways:
            ref = Ref(kind, self.renamed.get((path[0], path[-1]), path) if len(path) == 2 else path)
            if ref in self.live:
                return ref
        return None

    def _condition(self, number: int, node: Any, table: Ref) -> str:
        """The WHERE clause as SQL; '' for all rows. One that calls functions is not asked again."""
        if not node.HasField("where_clause"):
            return ""
        parts = list(parser.walk(node.where_clause))
        if any(isinstance(part, (pb.FuncCall, pb.SubLink)) for part in parts):
            self.unknown.append((number, f"which rows of {table} are meant is computed; all are counted"))
            return ""
        return condition(node.where_clause)

    # What goes along

    def _gone(self, ref: Ref, *, cascade: bool) -> Iterator[Lost]:
        """The object and, transitively, what goes along with it. (A materialized view can be computed
        again; columns of a table that goes are told with its rows.)"""
        seen, queue = {ref}, [ref]
        while queue:
            one = queue.pop()
            if one.kind == "table" and self.live[one]["form"] != "f":
                if Ref("partition", one.path) not in self.live or one == ref:
                    yield Lost(ROWS, (one.path[0], one.path[1]))
            elif one.kind == "column" and not self.live[one]["generated"]:
                yield Lost(VALUES, one.relation, one.name)
            for dependent, kind in self.live.needed_by.get(one, {}).items():
                along = kind in "aiPS" or cascade
                part = dependent.kind == "column" and Ref("table", dependent.path[:2]) in seen
                if dependent not in seen and along and not part and dependent in self.live:
                    seen.add(dependent)
                    queue.append(dependent)

    def _referencing(self, table: Ref) -> Iterator[tuple[str, str]]:
        """Tables that TRUNCATE … CASCADE empties as well."""
        seen, queue = {table.path}, [table.path]
        while queue:
            path = queue.pop()
            for thing in self.live.of_kind("constraint"):
                other = thing.ref.relation
                if tuple(thing["references"] or ()) == path and other not in seen:
                    seen.add(other)
                    queue.append(other)
                    yield other
