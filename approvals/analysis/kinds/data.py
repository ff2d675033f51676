"""Rows that change: INSERT, UPDATE, DELETE, MERGE."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names
from approvals.analysis.kinds.queries import AroundQuery
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ROW_EXCLUSIVE, registered


def names_its_rows(condition: Any) -> bool:
    """Whether a WHERE clause is nothing but `column = constant` or `column IN (constants)`, joined by AND."""
    which = condition.WhichOneof("node")
    if which == "bool_expr":
        joined = condition.bool_expr
        return joined.boolop == pb.AND_EXPR and all(names_its_rows(each) for each in joined.args)
    if which != "a_expr":
        return False
    expression = condition.a_expr
    if names.parts(expression.name) != ["="] or not expression.lexpr.HasField("column_ref"):
        return False
    if expression.kind == pb.AEXPR_IN:
        return all(_is_constant(each) for each in expression.rexpr.list.items)
    return bool(expression.kind == pb.AEXPR_OP) and _is_constant(expression.rexpr)


def _is_constant(node: Any) -> bool:
    while node.HasField("type_cast"):
        node = node.type_cast.arg
    return bool(node.HasField("a_const")) and not node.a_const.isnull


class _Write(AroundQuery):
    """A statement that changes rows of one table and may read others."""

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def own_locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ROW_EXCLUSIVE),)


@registered("insert_stmt")
class Insert(_Write):
    """INSERT; with ON CONFLICT DO UPDATE it overwrites rows too."""

    name = "INSERT"

    @property
    def _overwrites(self) -> bool:
        return bool(self.node.on_conflict_clause.action == pb.ONCONFLICT_UPDATE)

    @property
    def own_change(self) -> str:
        return "UPDATE DATA" if self._overwrites else "INSERT DATA"

    @property
    def own_hazards(self) -> tuple[str, ...]:
        return ("update-rows",) if self._overwrites else ("insert-rows",)

    @property
    def says(self) -> str:
        query = self.node.select_stmt.select_stmt
        count = len(query.values_lists)
        rows = f"{count} row{'' if count == 1 else 's'}" if count else "the rows of a query"
        rows = rows if self.node.HasField("select_stmt") else "one row of defaults"
        conflict = ", and overwrites those that exist" if self._overwrites else ""
        return f"Adds {rows} to {self.relation}{conflict}."


@registered("update_stmt")
class Update(_Write):
    """UPDATE: the present values are lost."""

    name = "UPDATE"
    own_change = "UPDATE DATA"

    @property
    def own_hazards(self) -> tuple[str, ...]:
        named = self.node.HasField("where_clause") and names_its_rows(self.node.where_clause)
        return ("update-named-rows",) if named and not self.node.from_clause else ("update-rows",)

    @property
    def says(self) -> str:
        columns = [names.quoted(each.res_target.name) for each in self.node.target_list]
        which = "the rows that meet its condition" if self.node.HasField("where_clause") else "every row"
        return f"Overwrites {names.listed(columns)} in {which} of {self.relation}."


@registered("delete_stmt")
class Delete(_Write):
    """DELETE: without WHERE every row goes."""

    name = "DELETE"
    own_change = "DELETE DATA"

    @property
    def own_hazards(self) -> tuple[str, ...]:
        if not self.node.HasField("where_clause"):
            return ("delete-all-rows",)
        named = names_its_rows(self.node.where_clause) and not self.node.using_clause
        return ("delete-named-rows",) if named else ("delete-rows",)

    @property
    def own_destroys(self) -> tuple[Destroyed, ...]:
        return () if self.node.HasField("where_clause") else (Destroyed(self.relation),)

    @property
    def says(self) -> str:
        which = "the rows that meet its condition" if self.node.HasField("where_clause") else "every row"
        return f"Deletes {which} of {self.relation}."


@registered("merge_stmt")
class Merge(_Write):
    """MERGE: inserts, updates or deletes, row by row."""

    name = "MERGE"
    own_change = "MERGE DATA"
    own_hazards = ("merge-rows",)

    @property
    def says(self) -> str:
        return f"Merges rows into {self.relation}."
