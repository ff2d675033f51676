"""What stands inside a query: relations it reads, WITH queries that write, functions it calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from approvals.analysis import names
from approvals.analysis.effects import Effect, effect_of
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import pb, walk
from approvals.analysis.registry import (
    ACCESS_SHARE,
    ROW_SHARE,
    Compound,
    Kind,
    kind_of,
    riskiest_change,
    strongest,
)

_WRITES = {
    pb.InsertStmt: "insert_stmt",
    pb.UpdateStmt: "update_stmt",
    pb.DeleteStmt: "delete_stmt",
    pb.MergeStmt: "merge_stmt",
}


def read_locks(node: Any) -> tuple[Lock, ...]:
    """The locks of a query's relations: ACCESS SHARE, or ROW SHARE where it says FOR UPDATE or FOR SHARE.

    Names of its own WITH queries and of SELECT INTO are left out.
    """
    return _read_locks(walk(node))


def _read_locks(nodes: Iterable[Any]) -> tuple[Lock, ...]:
    tables: dict[str, None] = {}
    own: set[str] = set()
    mode = ACCESS_SHARE
    for each in nodes:
        if isinstance(each, pb.RangeVar):
            tables[names.relation(each)] = None
        elif isinstance(each, pb.CommonTableExpr):
            own.add(names.quoted(each.ctename))
        elif isinstance(each, pb.LockingClause):
            mode = ROW_SHARE
        elif isinstance(each, pb.IntoClause):
            own.add(names.relation(each.rel))
    return tuple(Lock(table, mode) for table in tables if table not in own)


def called(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every function call below a node: its qualified name (without pg_catalog) and its arguments."""
    return _called(walk(node))


def _called(nodes: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    for each in nodes:
        if isinstance(each, pb.FuncCall):
            words = names.parts(each.funcname)
            words = words[1:] if words[0] == "pg_catalog" and len(words) > 1 else words
            yield ".".join(words), list(each.args)


def call_hazards(node: Any, made: set[str]) -> list[str]:
    """The hazards of the functions called below a node. `made`: functions that the file itself makes.

    A plain name that is not listed counts as one of PostgreSQL's own; with a schema it is somebody's.
    """
    return _call_hazards(walk(node), made)


def _call_hazards(nodes: Iterable[Any], made: set[str]) -> list[str]:
    found = []
    for function, _ in _called(nodes):
        effect = effect_of(function)
        if effect:
            found.append(effect.hazard)
        elif function.rpartition(".")[2] in made:
            found.append("calls-own-code")
        elif "." in function:
            found.append("calls-function")
    return found


class AroundQuery(Compound):
    """A statement with a query in it: what the query writes, calls and reads counts as the statement's own.

    Subclasses give the `own_…` part.
    """

    @property
    def own_change(self) -> str:
        """The matrix row of the statement without what stands inside its query."""
        raise NotImplementedError

    @property
    def own_hazards(self) -> tuple[str, ...]:
        """The hazards of the statement without what stands inside its query."""
        raise NotImplementedError

    @property
    def own_locks(self) -> tuple[Lock, ...]:
        """The locks on relations that the statement does not just read."""
        return ()

    @property
    def own_destroys(self) -> tuple[Destroyed, ...]:
        """The data that goes by the statement itself."""
        return ()

    @cached_property
    def _nodes(self) -> tuple[Any, ...]:
        return tuple(walk(self.node))  # once: whatever is asked about the query is asked of each of them

    @cached_property
    def writes(self) -> list[Kind]:
        """The statements inside that write, as data-modifying WITH queries."""
        found = []
        for each in self._nodes:
            if type(each) in _WRITES and each is not self.node:
                found.append(kind_of(_WRITES[type(each)], each, self.context))
        return found

    @cached_property
    def effects(self) -> list[Effect]:
        """The known effects of the functions that it calls."""
        return [effect for function, _ in _called(self._nodes) if (effect := effect_of(function))]

    @property
    def change(self) -> str:
        return riskiest_change([self.own_change, *(kind.change for kind in self.writes)])

    @property
    def hazards(self) -> tuple[str, ...]:
        inner = (each for kind in self.writes for each in kind.hazards)
        return tuple(
            dict.fromkeys([*self.own_hazards, *inner, *_call_hazards(self._nodes, self.context.functions)])
        )

    @property
    def locks(self) -> tuple[Lock, ...]:
        inner = (lock for kind in self.writes for lock in kind.locks)
        return strongest([*self.own_locks, *inner, *_read_locks(self._nodes)])

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return (*self.own_destroys, *(gone for kind in self.writes for gone in kind.destroys))

    @property
    def notes(self) -> tuple[str, ...]:
        inner = ("a WITH query writes",) if self.writes else ()
        return (*inner, *dict.fromkeys(effect.note for effect in self.effects if effect.note))
