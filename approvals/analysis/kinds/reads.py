"""Rows that are read or copied: SELECT and COPY."""

from __future__ import annotations

from functools import cached_property

from approvals.analysis import names
from approvals.analysis.effects import effect_of
from approvals.analysis.kinds.queries import AroundQuery, called
from approvals.analysis.model import Lock
from approvals.analysis.registry import ACCESS_SHARE, ROW_EXCLUSIVE, registered


@registered("copy_stmt")
class Copy(AroundQuery):
    """COPY: in from a file or the client, out to one; PROGRAM runs a program on the server."""

    tags = ("COPY",)

    @property
    def name(self) -> str:
        other = "PROGRAM" if self.node.is_program else ""
        other = other or ("FILE" if self.node.filename else "STDIN" if self.node.is_from else "STDOUT")
        return f"COPY {'FROM' if self.node.is_from else 'TO'} {other}"

    @property
    def own_change(self) -> str:
        return "COPY IN" if self.node.is_from else "COPY OUT"

    @property
    def own_hazards(self) -> tuple[str, ...]:
        if self.node.is_program or self.node.filename:
            return ("unreadable",)
        return ("insert-rows",) if self.node.is_from else ("harmless",)

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def own_locks(self) -> tuple[Lock, ...]:
        mode = ROW_EXCLUSIVE if self.node.is_from else ACCESS_SHARE
        return (Lock(self.relation, mode),) if self.relation else ()

    @property
    def says(self) -> str:
        where = f"program {self.node.filename!r}" if self.node.is_program else self.node.filename
        where = where or "the client"
        if self.node.is_from:
            return f"Copies rows from {where} into {self.relation}."
        return f"Copies the rows of {self.relation or 'a query'} to {where}."


@registered("select_stmt")
class Query(AroundQuery):
    """SELECT, VALUES or TABLE: reads, unless a WITH query writes, INTO makes a table or a function acts."""

    tags = ("SELECT",)

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

    @property
    def name(self) -> str:
        if self._into:
            return "SELECT INTO"
        return "SELECT " + self._calls_only if self._calls_only else "SELECT"

    @property
    def own_change(self) -> str:
        if self._into:
            return "CREATE TABLE AS"
        return "CALL FUNCTION" if self._calls_only and not effect_of(self._calls_only) else "QUERY"

    @property
    def own_hazards(self) -> tuple[str, ...]:
        if self._into:
            return ("create-relation",)
        acts = self._calls_only and not effect_of(self._calls_only)
        return ("calls-function",) if acts else ("harmless",)

    @property
    def creates(self) -> tuple[str, ...]:
        return (self._into,) if self._into else ()

    @property
    def says(self) -> str:
        if self._into:
            return f"Creates table {self._into} from the rows of a query."
        if self.writes:
            return " ".join(kind.says for kind in self.writes)
        if self._calls_only:
            effect = effect_of(self._calls_only)
            return effect.says if effect else f"Calls function {self._calls_only}()."
        read = names.listed(lock.relation for lock in self.locks)
        return f"Reads {read}." if read else "Computes a value."
