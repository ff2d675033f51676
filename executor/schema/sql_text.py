"""Parts of parse trees as SQL again, and the names that stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.parser import pb
from executor.schema.objects import Ref, Snapshot

_NOT_CONSTANT = frozenset({"now", "today", "tomorrow", "yesterday"})
"""Words that date and time types read as a moment."""
PICKED = "(tableoid, ctid) IN"
"""So begins a condition that is not for people: see `picked`."""


def expression(node: Any) -> str:
    """An expression of a parse tree as SQL."""
    tree = _select()
    tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    text: str = parser.postgast.deparse(tree)
    return text.removeprefix("SELECT ")


def condition(node: Any) -> str:
    """A WHERE clause of a parse tree as SQL."""
    tree = _select()
    select = tree.stmts[0].stmt.select_stmt
    select.target_list[0].res_target.val.a_const.ival.ival = 1
    select.where_clause.CopyFrom(node)
    text: str = parser.postgast.deparse(tree)
    return text.partition(" WHERE ")[2]


def picked(node: Any, path: Sequence[str], others: Iterable[Any]) -> str:
    """A condition for the rows of a table (its name now) that a DELETE or UPDATE of a parse tree means, which
    looks into other tables, by alias or subquery: what each name in it means stays as it was written."""
    tree = _select()
    select = tree.stmts[0].stmt.select_stmt
    alias = node.relation.alias.aliasname or node.relation.relname
    del select.target_list[:]
    for name in ("tableoid", "ctid"):
        fields = select.target_list.add().res_target.val.column_ref.fields
        for part in (alias, name):
            fields.add().string.sval = part
    relation = select.from_clause.add().range_var
    relation.CopyFrom(node.relation)
    relation.schemaname, relation.relname = path
    if relation.relname != alias:
        relation.alias.aliasname = alias
    select.from_clause.extend(others)
    if node.HasField("where_clause"):
        select.where_clause.CopyFrom(node.where_clause)
    if node.HasField("with_clause"):
        select.with_clause.CopyFrom(node.with_clause)
    return f"{PICKED} ({parser.postgast.deparse(tree)})"


def _select() -> Any:
    tree = pb.ParseResult()
    select = tree.stmts.add().stmt.select_stmt
    select.limit_option, select.op = pb.LIMIT_OPTION_DEFAULT, pb.SETOP_NONE
    select.target_list.add().res_target.SetInParent()
    return tree


def constant(node: Any) -> str | None:
    """A literal, perhaps signed or cast, as SQL; None where the value is not in the text, and for NULL."""
    inner = node
    while inner.HasField("type_cast"):
        inner = inner.type_cast.arg
    if inner.HasField("a_expr") and not inner.a_expr.HasField("lexpr"):
        if written.parts(inner.a_expr.name) not in (["-"], ["+"]):
            return None
        inner = inner.a_expr.rexpr
    if not inner.HasField("a_const") or inner.a_const.isnull:
        return None
    if inner.a_const.HasField("sval") and inner.a_const.sval.sval.strip().lower() in _NOT_CONSTANT:
        return None
    return expression(node)


def stands_alone(text: str) -> bool:
    """Whether an expression needs neither a row nor a table, so that a column may have it as default."""
    try:
        pieces = parser.parse(parser.Source(f"SELECT {text}"))
    except parser.SqlError:
        return False
    needs = (pb.ColumnRef, pb.SubLink, pb.RangeVar)
    return len(pieces) == 1 and not any(isinstance(node, needs) for node in parser.walk(pieces[0].node))


_SAFE = frozenset({"max", "min", "lower", "upper"})
"""Functions that say the same again as long as the rows are the same."""


def lookup(node: Any, snapshot: Snapshot, search_path: Sequence[str] = ("public",)) -> str | None:
    """A scalar subquery on tables of the snapshot, as SQL with qualified names; None where the value is no
    such subquery, or where it may be another one next time though the rows are the same."""
    if not node.HasField("sub_link") or node.sub_link.sub_link_type != pb.EXPR_SUBLINK:
        return None
    copy = type(node)()
    copy.CopyFrom(node)
    for part in parser.walk(copy):
        if isinstance(part, pb.FuncCall):
            if written.parts(part.funcname)[-1:] not in [[name] for name in _SAFE]:
                return None
        elif isinstance(part, pb.SQLValueFunction | pb.WithClause):
            return None
        elif isinstance(part, pb.RangeVar):
            table = found(snapshot, "table", range_parts(part), search_path)
            if table is None:
                return None
            part.schemaname, part.relname = table.path[0], table.path[1]
    return expression(copy)


def is_null(node: Any) -> bool:
    """Whether the value is NULL by name."""
    return bool(node.HasField("a_const") and node.a_const.isnull)


def column_path(node: Any) -> list[str]:
    """The parts of a column's name; [] for anything else, and for a star."""
    fields = node.column_ref.fields if node.HasField("column_ref") else []
    return [each.string.sval for each in fields] if all(each.HasField("string") for each in fields) else []


def of_object(node: Any) -> list[str]:
    """The parts of an object's name in a DROP or COMMENT, whatever shape the tree gives it."""
    which = node.WhichOneof("node")
    if which == "list":
        return written.parts(item for item in node.list.items if item.HasField("string"))
    if which == "string":
        return [node.string.sval]
    if which == "type_name":
        return written.parts(node.type_name.names)
    if which == "object_with_args":
        return written.parts(node.object_with_args.objname)
    return []


def found(
    snapshot: Snapshot, kind: str, parts: Sequence[str], search_path: Sequence[str] = ("public",)
) -> Ref | None:
    """The object that a written name means; None where there is none."""
    if len(parts) > 1 or kind in ("schema", "extension"):
        ref = Ref(kind, tuple(parts))
        return ref if ref in snapshot else None
    ways = (Ref(kind, (schema, *parts)) for schema in search_path)
    return next((ref for ref in ways if ref in snapshot), None)


def range_parts(node: Any) -> list[str]:
    """The parts of a RangeVar's name."""
    return [part for part in (node.schemaname, node.relname) if part]
