"""What scripts of any origin take away, read from their statements and completed from the live catalog:
partitions, what CASCADE and foreign keys take along, the tables of a schema, the columns of a type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.inverse.along import Along, Ways
from executor.schema.lost import CHANGED, ROWS, VALUES, Lost, may_change
from executor.schema.objects import Ref, Snapshot
from executor.schema.sql_text import condition, of_object, picked, range_parts

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


_WRITES = (pb.DeleteStmt, pb.UpdateStmt, pb.InsertStmt, pb.MergeStmt)
# Functions that a count may call: PostgreSQL's own, which only compute.
_COMPUTES = frozenset(
    """
    abs age btrim ceil date_part date_trunc floor left length lower ltrim make_date md5 now replace right
    round rtrim split_part starts_with strpos substr substring to_char to_date to_timestamp upper
    """.split()  # noqa: SIM905 (a list of so many strings reads worse)
)


@dataclass(frozen=True, slots=True)
class Destroys:
    """`goes`: statement (counted from 1) and what it takes away, names as they stand before the first one.
    `unknown`: statements of which it can't be read, and why."""

    goes: tuple[tuple[int, Lost], ...]
    unknown: tuple[tuple[int, str], ...]


def destroys(
    statements: Iterable[str], live: Snapshot, *, search_path: Sequence[str] = ("public",)
) -> Destroys:
    """What these statements, one after the other, take away on a target whose schema is `live`. Raises
    SqlError where one can't be read."""
    reader = _Reader(live, search_path)
    for number, statement in enumerate(statements, start=1):
        for piece in parser.parse(Source(statement)):
            reader.read(number, piece.which, piece.node)
    return Destroys(tuple(dict.fromkeys(reader.goes)), tuple(dict.fromkeys(reader.unknown)))


class _Reader:
    """Goes through the statements; follows what they themselves rename and drop."""

    def __init__(self, live: Snapshot, search_path: Sequence[str]) -> None:
        self.live = live
        self.search_path = list(search_path)
        self.goes: list[tuple[int, Lost]] = []
        self.unknown: list[tuple[int, str]] = []
        self.renamed: dict[tuple[str, str], tuple[str, str]] = {}
        self.ways = Ways(live)

    def read(self, number: int, which: str, node: Any) -> None:
        """Take one statement, and before it those that write within its WITH."""
        for write in _within(node):
            self.read(number, *write)
        method = getattr(self, f"_{which}", None)
        if method is not None:
            found = method(number, node)
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
        table = self._written(number, node)
        if table is None or (where := self._rows(number, node, table, node.using_clause)) is None:
            return
        yield Lost(ROWS, table.relation, condition=where)
        yield from Along(self.ways, table, where or "true").losses()

    def _update_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._written(number, node)
        if table is None or (where := self._rows(number, node, table, node.from_clause)) is None:
            return
        columns = [each.res_target.name for each in node.target_list]
        for name in columns:
            yield Lost(VALUES, table.relation, name, condition=where)
        yield from Along(self.ways, table, where or "true").overwritten(columns)

    def _alter_table_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        table = self._relation(node.relation)
        if table is None or table.kind != "table":
            return
        for each in node.cmds:
            command = each.alter_table_cmd
            if command.subtype == pb.AT_DropConstraint:
                self.ways = self.ways.without(Ref("constraint", (*table.path, command.name)))
            ref = Ref("column", (*table.path, command.name))
            if ref not in self.live:
                continue
            if command.subtype == pb.AT_DropColumn:
                yield from self._gone(ref, cascade=command.behavior == pb.DROP_CASCADE)
            elif command.subtype == pb.AT_AlterColumnType:
                definition = getattr(command, "def").column_def
                becomes = written.type_name(definition.type_name)
                if definition.HasField("raw_default") and not _is_cast_of(ref.name, definition.raw_default):
                    yield Lost(VALUES, ref.relation, ref.name)  # computed anew: none need stay
                elif may_change(self.live[ref]["type"], becomes):
                    yield Lost(CHANGED, ref.relation, ref.name, becomes)

    def _insert_stmt(self, number: int, node: Any) -> Iterator[Lost]:
        if node.on_conflict_clause.action == pb.ONCONFLICT_UPDATE:
            table = self._written(number, node)
            if table is not None:
                self.unknown.append((number, f"rows of {table} that are there already are overwritten"))
        return iter(())

    def _merge_stmt(self, number: int, node: Any) -> None:
        table = self._written(number, node)
        if table is not None:
            self.unknown.append((number, f"which rows of {table} change follows from other tables"))

    def _do_stmt(self, number: int, node: Any) -> None:
        try:
            body = do_body(node)
        except SqlError as error:
            self.unknown.append((number, error.message))
            return
        for piece in body.statements:
            self.read(number, piece.which, piece.node)
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

    def _written(self, number: int, node: Any) -> Ref | None:
        """The table whose rows a statement writes; None for one that the statements themselves have made, and
        for a view, of which nobody can tell what is written behind it."""
        parts = range_parts(node.relation)
        table = self._find("table", parts)
        if table is None and (view := self._find("view", parts)) is not None:
            self.unknown.append((number, f"what is written behind {view}"))
        return table

    def _rows(self, number: int, node: Any, table: Ref, others: Sequence[Any]) -> str | None:
        """SQL that picks the rows that a DELETE or UPDATE means, '' for all. None, with the reason on record,
        where to pick them is to call functions that do who knows what."""
        where = [node.where_clause] if node.HasField("where_clause") else []
        parts = [part for each in (*others, *node.with_clause.ctes, *where) for part in parser.walk(each)]
        called = [name for part in parts if isinstance(part, pb.FuncCall) and (name := _called(part))]
        if called or any(isinstance(part, _WRITES) for part in parts):
            by = f"is computed by {called[0]}()" if called else "follows from what else is written"
            self.unknown.append((number, f"which rows of {table} are meant {by}"))
            return None
        elsewhere = others or any(isinstance(part, pb.SubLink) for part in parts)
        if elsewhere or node.relation.HasField("alias") or not node.relation.inh:
            return picked(node, table.relation, others)
        return condition(node.where_clause) if where else ""

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


def _within(node: Any) -> Iterator[tuple[str, Any]]:
    """Statements that write within the WITH of another."""
    if "with_clause" not in node.DESCRIPTOR.fields_by_name:
        return
    for cte in node.with_clause.ctes:
        query = cte.common_table_expr.ctequery
        which = query.WhichOneof("node")
        if isinstance(getattr(query, which), _WRITES):
            yield which, getattr(query, which)


def _called(call: Any) -> str:
    """The name of a function that is not known to compute only, else ''."""
    *schema, name = written.parts(call.funcname)
    return "" if name in _COMPUTES and schema in ([], ["pg_catalog"]) else name


def _is_cast_of(column: str, expression: Any) -> bool:
    """Whether a USING does what ALTER TYPE does without it: casts the column, and nothing else."""
    while expression.HasField("type_cast"):
        expression = expression.type_cast.arg
    fields = expression.column_ref.fields if expression.HasField("column_ref") else ()
    return [each.string.sval for each in fields][-1:] == [column]
