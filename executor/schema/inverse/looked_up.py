"""Values that an UPDATE took from the rows of another table: what looks up the other way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from approvals.analysis import names as written
from approvals.analysis.parser import pb
from executor.schema.inverse.mapping import uncast
from executor.schema.inverse.turned import Turned
from executor.schema.keys import unique_keys
from executor.schema.lost import HOLE
from executor.schema.names import dotted, quoted
from executor.schema.objects import Address, Object, Ref, Snapshot
from executor.schema.sql_text import column_path, found, range_parts

NOT_FOUND = "rows without one there have none"


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas around a migration; `written` are columns that its UPDATEs write to, by table and name."""

    before: Snapshot
    after: Snapshot
    search_path: tuple[str, ...]
    written: Collection[tuple[Address, str]]


def looked_up(
    value: Any, node: Any, gone: Mapping[str, Object], source: Object, there: Schemas
) -> tuple[Object, Turned] | None:
    """UPDATE t SET new = r.x FROM r WHERE t.old = r.k, or that as a subquery, where x tells the row."""
    if value.HasField("sub_link") and value.sub_link.sub_link_type == pb.EXPR_SUBLINK:
        if node.from_clause or node.HasField("where_clause"):
            return None
        node = value.sub_link.subselect.select_stmt
        if len(node.target_list) != 1 or node.group_clause or node.HasField("limit_count"):
            return None
        value = node.target_list[0].res_target.val
    if len(node.from_clause) != 1 or not node.from_clause[0].HasField("range_var"):
        return None
    item = node.from_clause[0].range_var
    ref = found(there.after, "table", range_parts(item), there.search_path)
    test = node.where_clause.a_expr
    sides = [column_path(uncast(test.lexpr)), column_path(uncast(test.rexpr))]
    if ref is None or written.parts(test.name) != ["="] or not all([column_path(value), *sides]):
        return None
    named = item.alias.aliasname or item.relname
    for own, other in (sides, sides[::-1]):
        k, name, x = own[-1], other[-1], column_path(value)[-1]
        hidden = Ref("column", (*ref.path, name)) in there.after
        if any(path[:-1] not in ([], [named]) for path in (own, column_path(value))):
            continue
        if other[:-1] == [named] or (len(other) == 1 and hidden) or name not in gone:
            continue
        if (why := _tells(ref, k, x, gone[name], source, there)) is not None:
            back, again = _lookup(ref, k, x), _lookup(ref, x, k)
            return gone[name], Turned(back, not why, why, again)
    return None


def _tells(ref: Ref, k: str, x: str, old: Object, source: Object, there: Schemas) -> str | None:
    """Whether x finds the row with k, in a table that stays: '' if each value of the old column has such
    a row, else what does not come back; None where it does not."""
    columns = [Ref("column", (*ref.path, each)) for each in (k, x)]
    if any(there.after.get(each) is None for each in columns):
        return None
    same = (there.before.get(each) for each in columns)
    if any(b is None or b.address != there.after[a].address for b, a in zip(same, columns, strict=True)):
        return None
    if [x] not in unique_keys(there.after[ref], there.after):
        return None
    keys = (part for part in there.before.parts(*old.ref.relation) if part.ref.kind == "constraint")
    refers = any(
        key["type"] == "f" and {old.ref, columns[0]} <= there.before.needs.get(key.ref, {}).keys()
        for key in keys
    )
    if any((there.after[ref].address, each) in there.written for each in (k, x)):
        return f"the migration changed {dotted(ref.path)} as well"
    always = refers and there.after[columns[1]]["not_null"]
    return "" if always or source["not_null"] else NOT_FOUND


def _lookup(table: Ref, wanted: str, key: str) -> str:
    """The value of one column where another one is HOLE. Its names hide none of the rows around it."""
    inner = f"SELECT {quoted(wanted)} AS found_value, {quoted(key)} AS found_by FROM {dotted(table.path)}"
    return f"(SELECT found_value FROM ({inner}) AS found WHERE found_by = {HOLE})"
