"""Rows: INSERT, UPDATE, DELETE, MERGE, COPY and queries."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from approvals.analysis import names
from approvals.analysis.effects import Effect, effect_of
from approvals.analysis.kinds.queries import called, read_locks
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb, walk
from approvals.analysis.registry import (
    ACCESS_SHARE,
    ROW_EXCLUSIVE,
    Compound,
    Kind,
    kind_of,
    registered,
    riskiest_change,
    strongest,
)


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


class _Write(Kind):
    """A statement that changes rows of one table and may read others."""

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return strongest([Lock(self.relation, ROW_EXCLUSIVE), *read_locks(self.node)])

    @property
    def notes(self) -> tuple[str, ...]:
        return _notes(self.node)


def _notes(node: Any) -> tuple[str, ...]:
    effects = (effect_of(function) for function, _ in called(node))
    return tuple(dict.fromkeys(effect.note for effect in effects if effect and effect.note))


@registered("insert_stmt")
class Insert(_Write):
    """INSERT; with ON CONFLICT DO UPDATE it overwrites rows too."""

    name = "INSERT"

    @property
    def _overwrites(self) -> bool:
        return bool(self.node.on_conflict_clause.action == pb.ONCONFLICT_UPDATE)

    @property
    def change(self) -> str:
        return "UPDATE DATA" if self._overwrites else "INSERT DATA"

    @property
    def hazard(self) -> str:
        return "update-rows" if self._overwrites else "insert-rows"

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
    change = "UPDATE DATA"

    @property
    def hazard(self) -> str:
        named = self.node.HasField("where_clause") and names_its_rows(self.node.where_clause)
        return "update-named-rows" if named and not self.node.from_clause else "update-rows"

    @property
    def says(self) -> str:
        columns = [names.quoted(each.res_target.name) for each in self.node.target_list]
        which = "the rows that meet its condition" if self.node.HasField("where_clause") else "every row"
        return f"Overwrites {names.listed(columns)} in {which} of {self.relation}."


@registered("delete_stmt")
class Delete(_Write):
    """DELETE: without WHERE every row goes."""

    name = "DELETE"
    change = "DELETE DATA"

    @property
    def hazard(self) -> str:
        if not self.node.HasField("where_clause"):
            return "delete-all-rows"
        named = names_its_rows(self.node.where_clause) and not self.node.using_clause
        return "delete-named-rows" if named else "delete-rows"

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return () if self.node.HasField("where_clause") else (Destroyed(self.relation),)

    @property
    def says(self) -> str:
        which = "the rows that meet its condition" if self.node.HasField("where_clause") else "every row"
        return f"Deletes {which} of {self.relation}."


@registered("merge_stmt")
class Merge(_Write):
    """MERGE: inserts, updates or deletes, row by row."""

    name = "MERGE"
    change = "MERGE DATA"
    hazard = "merge-rows"

    @property
    def says(self) -> str:
        return f"Merges rows into {self.relation}."


@registered("copy_stmt")
class Copy(Kind):
    """COPY: in from a file or the client, out to one; PROGRAM runs a program on the server."""

    tags = ("COPY",)

    @property
    def name(self) -> str:
        other = "PROGRAM" if self.node.is_program else ""
        other = other or ("FILE" if self.node.filename else "STDIN" if self.node.is_from else "STDOUT")
        return f"COPY {'FROM' if self.node.is_from else 'TO'} {other}"

    @property
    def change(self) -> str:
        return "COPY IN" if self.node.is_from else "COPY OUT"

    @property
    def hazard(self) -> str:
        if self.node.is_program or self.node.filename:
            return "unreadable"
        return "insert-rows" if self.node.is_from else "harmless"

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        if not self.relation:
            return read_locks(self.node.query)
        return (Lock(self.relation, ROW_EXCLUSIVE if self.node.is_from else ACCESS_SHARE),)

    @property
    def says(self) -> str:
        where = f"program {self.node.filename!r}" if self.node.is_program else self.node.filename
        where = where or "the client"
        if self.node.is_from:
            return f"Copies rows from {where} into {self.relation}."
        return f"Copies the rows of {self.relation or 'a query'} to {where}."


_INNER = {
    pb.InsertStmt: "insert_stmt",
    pb.UpdateStmt: "update_stmt",
    pb.DeleteStmt: "delete_stmt",
    pb.MergeStmt: "merge_stmt",
}


@registered("select_stmt")
class Query(Compound):
    """SELECT, VALUES or TABLE: reads, unless a WITH query writes, INTO makes a table or a function acts."""

    @cached_property
    def _inner(self) -> list[Kind]:
        """The writing statements inside WITH."""
        found = []
        for each in walk(self.node.with_clause):
            if type(each) in _INNER:
                found.append(kind_of(_INNER[type(each)], each, self.context))
        return found

    @property
    def _into(self) -> str:
        return names.relation(self.node.into_clause.rel) if self.node.HasField("into_clause") else ""

    @cached_property
    def _calls_only(self) -> str:
        """The function of a plain `SELECT function(…)`, which is called for what it does."""
        node = self.node
        if node.from_clause or len(node.target_list) != 1 or not node.target_list[0].HasField("res_target"):
            return ""
        value = node.target_list[0].res_target.val
        return next(called(value))[0] if value.HasField("func_call") else ""

    @cached_property
    def _effects(self) -> list[Effect]:
        return [effect for function, _ in called(self.node) if (effect := effect_of(function))]

    @property
    def name(self) -> str:
        if self._into:
            return "SELECT INTO"
        return "SELECT " + self._calls_only if self._calls_only else "SELECT"

    @property
    def change(self) -> str:
        changes = [kind.change for kind in self._inner]
        if self._into:
            changes.append("CREATE TABLE AS")
        if self._calls_only and not effect_of(self._calls_only):
            changes.append("CALL FUNCTION")
        return riskiest_change([*changes, "QUERY"])

    @property
    def hazards(self) -> tuple[str, ...]:
        hazards = [each for kind in self._inner for each in kind.hazards]
        hazards += [effect.hazard for effect in self._effects]
        if self._into:
            hazards.append("create-relation")
        if self._calls_only and not effect_of(self._calls_only):
            hazards.append("calls-function")
        return tuple(dict.fromkeys(hazards)) or ("harmless",)

    tags = ("SELECT",)

    @property
    def locks(self) -> tuple[Lock, ...]:
        inner = [lock for kind in self._inner for lock in kind.locks]
        return strongest([*inner, *read_locks(self.node)])

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return tuple(gone for kind in self._inner for gone in kind.destroys)

    @property
    def creates(self) -> tuple[str, ...]:
        return (self._into,) if self._into else ()

    @property
    def notes(self) -> tuple[str, ...]:
        inner = ("a WITH query writes",) if self._inner else ()
        return (*inner, *dict.fromkeys(effect.note for effect in self._effects if effect.note))

    @property
    def says(self) -> str:
        if self._into:
            return f"Creates table {self._into} from the rows of a query."
        if self._inner:
            return " ".join(kind.says for kind in self._inner)
        if self._calls_only:
            effect = effect_of(self._calls_only)
            return effect.says if effect else f"Calls function {self._calls_only}()."
        read = names.listed(lock.relation for lock in self.locks)
        return f"Reads {read}." if read else "Computes a value."
