"""Code that runs at once: DO blocks and CALL."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from approvals.analysis import names
from approvals.analysis.effects import Effect, effect_of
from approvals.analysis.kinds.queries import called, read_locks
from approvals.analysis.model import Destroyed, Lock
from approvals.analysis.parser import SqlError
from approvals.analysis.plpgsql import Body, read_body
from approvals.analysis.registry import (
    Compound,
    Kind,
    kind_of,
    registered,
    riskiest_change,
    strongest,
)

DYNAMIC = "dynamic SQL: what runs is put together while it runs"


def do_body(node: Any) -> Body:
    """The body of a DO statement. Raises SqlError for another language than PL/pgSQL or unreadable code."""
    language, text = "plpgsql", ""
    for each in node.args:
        if each.def_elem.defname == "language":
            language = each.def_elem.arg.string.sval
        elif each.def_elem.defname == "as":
            text = each.def_elem.arg.string.sval
    if language != "plpgsql":
        raise SqlError(f"A DO block in {language}, which the analysis does not read.", code="body")
    tag = "$do$"
    while tag in text:
        tag = f"{tag[:-1]}o$"
    return read_body(f"DO {tag}{text}{tag}")


@registered("do_stmt")
class Do(Compound):
    """DO: rated by the SQL written out in it; SQL put together while it runs is named as such."""

    name = "DO"

    @cached_property
    def _body(self) -> Body | None:
        try:
            return do_body(self.node)
        except SqlError:
            return None

    @cached_property
    def _kinds(self) -> list[Kind]:
        pieces = self._body.statements if self._body else ()
        return [kind_of(piece.which, piece.node, self.context) for piece in pieces]

    @cached_property
    def _effects(self) -> list[Effect]:
        pieces = self._body.expressions if self._body else ()
        functions = (function for piece in pieces for function, _ in called(piece.node))
        return [effect for function in functions if (effect := effect_of(function))]

    @property
    def change(self) -> str:
        if self._body is None:
            return "UNKNOWN"
        own = ["DYNAMIC SQL"] if self._body.dynamic else ["DO BLOCK"]
        return riskiest_change([*own, *(kind.change for kind in self._kinds)])

    @property
    def hazards(self) -> tuple[str, ...]:
        if self._body is None:
            return ("unreadable",)
        own = "dynamic-sql" if self._body.dynamic else "catalog-change"
        effects = (effect.hazard for effect in self._effects)
        inner = (each for kind in self._kinds for each in kind.hazards)
        return tuple(dict.fromkeys([own, *effects, *inner]))

    @property
    def locks(self) -> tuple[Lock, ...]:
        pieces = self._body.expressions if self._body else ()
        read = [lock for piece in pieces for lock in read_locks(piece.node)]
        return strongest([*(lock for kind in self._kinds for lock in kind.locks), *read])

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        return tuple(gone for kind in self._kinds for gone in kind.destroys)

    @property
    def notes(self) -> tuple[str, ...]:
        dynamic = [DYNAMIC] if self._body and self._body.dynamic else []
        inner = [note for kind in self._kinds for note in kind.notes]
        return tuple(dict.fromkeys([*dynamic, *inner, *(each.note for each in self._effects if each.note)]))

    @property
    def says(self) -> str:
        if self._body is None:
            return "Runs a block of code that the analysis cannot read."
        acts = [kind.says.removesuffix(".") for kind in self._kinds if kind.change != "QUERY"]
        if len(acts) > 4:
            acts = [*acts[:3], f"and {len(acts) - 3} statements more"]
        what = "Runs a block of code" + (": " + "; ".join(acts) if acts else "")
        return what + (". Some of its SQL is put together while it runs." if self._body.dynamic else ".")


@registered("call_stmt")
class Call(Kind):
    """CALL: what the procedure does is not in the statement."""

    name = "CALL"
    change = "CALL PROCEDURE"
    hazard = "calls-procedure"

    @property
    def says(self) -> str:
        return f"Calls procedure {names.dotted(self.node.funccall.funcname)}()."
