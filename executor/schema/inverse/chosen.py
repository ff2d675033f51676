"""What becomes of values that the type of before does not hold: the engineer gives an expression of the
column, where no cast leads back."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.analysis import parser
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.inverse.conversions import Conversion
from executor.schema.inverse.family import Context
from executor.schema.inverse.mapping import is_leaf
from executor.schema.lost import HOLE, may_change
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref
from executor.schema.sql_text import expression

_MARK = "waqiti_value"
_FITS = ("character varying", "character", "bit")
"""Types whose casts cut what is too long without a word, unlike their assignment."""
WHY = "they come back as the engineer chose"


def retyped(context: Context) -> Iterator[tuple[Object, Object]]:
    """Columns that have another type behind the migration: as they were before, and as they are there."""
    start = context.start or context.now
    for column in context.before.of_kind("column"):
        there = start.by_address.get(column.address)
        if there is not None and not column["generated"] and start[there]["type"] != column["type"]:
            yield column, start[there]


def chosen(context: Context) -> dict[Ref, Conversion]:
    """The conversions that the engineer gave for such columns. A value that does not name its column is none:
    rows that have no value get it (see `fills`), and others keep theirs."""
    found = {}
    for column, there in retyped(context):
        schema, table, name = column.ref.path
        given = context.options.fill.get((schema, table, name))
        if given is None:
            continue
        try:
            value = _holed(given, name)
        except (SqlError, ValueError) as error:
            context.refused.append(f"the value that was chosen for {dotted(column.ref.path)}: {error}")
            continue
        if value:
            found[column.ref] = _conversion(value, column, there)
    return found


_WHOLE = ("smallint", "integer", "bigint")
_HOLDS_ALL = ("text", "character varying", "numeric")


def may_not_fit(now: str, before: str) -> bool:
    """Whether a type of now, as format_type writes it, may have values that the one of before refuses."""
    if now in _WHOLE and before in _WHOLE:
        return _WHOLE.index(now) > _WHOLE.index(before)
    return before not in _HOLDS_ALL and may_change(now, before)


def _conversion(value: str, column: Object, there: Object) -> Conversion:
    kind = column["type"]
    back = f"({value})" if kind.startswith(_FITS) else f"({value})::{kind}"
    return Conversion(back, f"{HOLE}::{there['type']}", False, WHY, 0, 0, counted=value)


def _holed(given: str, name: str) -> str:
    """The expression with HOLE for the column; '' where it does not name it. Raises SqlError or ValueError
    where it can't be read as one expression."""
    pieces = parser.parse(Source(f"SELECT {given}"))
    if len(pieces) != 1 or pieces[0].which != "select_stmt" or len(pieces[0].node.target_list) != 1:
        raise ValueError("it is no single expression")
    value = pieces[0].node.target_list[0].res_target.val
    named = False
    for part in parser.walk(value):
        if isinstance(part, pb.Node) and part.HasField("column_ref") and is_leaf(part, name):
            named = True
            part.column_ref.Clear()
            part.column_ref.fields.add().string.sval = _MARK
    return expression(value).replace(_MARK, HOLE) if named else ""


def proposal(column: Object, context: Context) -> str:
    """How such an expression may look."""
    name, kind = quoted(column.ref.name), column["type"]
    value = f"CASE WHEN … THEN … ELSE {name} END"
    if kind.startswith(("character varying(", "character(")):
        value = f"left({name}, {kind.partition('(')[2].removesuffix(')')})"
    for each in context.before.of_kind("type"):
        if each["form"] == "e" and dotted(each.ref.path) == kind and each["labels"]:
            value = f"CASE {name} WHEN '…' THEN {literal(each['labels'][0])} ELSE {name} END"
    return value
