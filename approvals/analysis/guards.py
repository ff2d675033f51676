"""What a rollback script may not do. Guidance that comes early: the database role is the boundary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from approvals.analysis import names
from approvals.analysis.effects import effect_of
from approvals.analysis.kinds.common import constant
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.kinds.queries import called
from approvals.analysis.kinds.server import values
from approvals.analysis.parser import Piece, Source, SqlError, pb, walk
from approvals.analysis.plpgsql import read_body
from approvals.analysis.registry import ACCESS_SHARE, ROW_SHARE, Context, bare, kind_of

MARKER_SCHEMA = "waqiti_rollback"
REPLICA_ROLE = "session_replication_role"

_IDENTITY = "The executor decides as whom the script runs."
_TRANSACTION = "The executor starts the transaction and decides its properties."
_GUARDED = {
    "role": _IDENTITY,
    "session_authorization": _IDENTITY,
    "client_encoding": "Parser and server would read the text differently.",
    "standard_conforming_strings": "Parser and server would read backslashes differently.",
    "row_security": "It stays off, so that no row is silently left out.",
    "transaction_isolation": _TRANSACTION,
    "transaction_read_only": _TRANSACTION,
    "transaction_deferrable": _TRANSACTION,
    "search_path": "Write SET search_path, which a reviewer can see.",
    REPLICA_ROLE: "It switches triggers and foreign keys off.",
}
_CONTROL_WHY = "The executor alone starts and ends the transaction"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a statement is refused, at a byte offset of the text. `line` overrides the offset's line."""

    offset: int
    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules, with what they need to know of the whole script."""

    source: Source
    context: Context
    history_table: str
    procedures: Mapping[str, str] = field(default_factory=dict)  # name → the text of its CREATE PROCEDURE

    def refusals(self, piece: Piece) -> Iterator[Refusal]:
        """Every reason to refuse a statement; none for one that may stand in a script."""
        for code, message in self._reasons(piece):
            yield Refusal(piece.start, code, message)
        if piece.which == "do_stmt":
            yield from self._in_do(piece)
        elif piece.which == "call_stmt":
            yield from self._in_procedure(piece)

    def _reasons(self, piece: Piece) -> list[tuple[str, str]]:
        kind = kind_of(piece.which, piece.node, self.context)
        found = list(_functions(piece.node))
        if piece.which == "copy_stmt":
            found += _copy(piece.node)
        if piece.which == "variable_set_stmt":
            found += _setting(piece.node)
        if piece.which == "discard_stmt":
            found.append(("session", f"{kind.name}: it throws away what the executor has set up."))
        if _mentions(piece.node, MARKER_SCHEMA):
            found.append(("marker", f"The schema {MARKER_SCHEMA} holds the executor's own record."))
        reads = (ACCESS_SHARE, ROW_SHARE)
        if any(bare(lock.relation) == self.history_table and lock.mode not in reads for lock in kind.locks):
            found.append(("history", f"Only the executor changes {self.history_table}: the pinned row."))
        if not found and "unreadable" in kind.hazards and piece.which != "do_stmt":
            found.append(("unknown", f"{kind.name}: the analysis does not know this statement."))
        return found

    def _in_do(self, piece: Piece) -> Iterator[Refusal]:
        """The same rules for the SQL in a DO block, and no COMMIT in it."""
        try:
            body = do_body(piece.node)
        except SqlError as error:
            yield Refusal(piece.start, "body", error.message)
            return
        first = self.source.place(_body_offset(piece))[0]
        for word, line in body.control:
            message = f"{word} inside DO: {_CONTROL_WHY}, and the server refuses it here."
            yield Refusal(piece.start, "commit-in-body", message, first + line - 1)
        for inner in (*body.statements, *body.expressions):
            inside = Piece(inner.which, inner.node, piece.start, piece.end)
            if inner.which == "transaction_stmt":
                yield Refusal(piece.start, "transaction", f"Transaction control inside DO: {_CONTROL_WHY}.")
            elif inner.which == "variable_set_stmt" and inner.node.name.lower() == REPLICA_ROLE:
                yield Refusal(piece.start, "setting", f"{REPLICA_ROLE} inside DO: {_GUARDED[REPLICA_ROLE]}")
            elif not kind_of(inner.which, inner.node, self.context).transactional:
                name = kind_of(inner.which, inner.node, self.context).name
                yield Refusal(piece.start, "not-in-block", f"{name} cannot run inside a DO block.")
            else:
                yield from self.refusals(inside)

    def _in_procedure(self, piece: Piece) -> Iterator[Refusal]:
        """No COMMIT in a procedure that the script itself makes and calls."""
        name = names.dotted(piece.node.funccall.funcname)
        text = self.procedures.get(bare(name))
        if text is None:
            return
        try:
            body = read_body(text)
        except SqlError as error:
            yield Refusal(piece.start, "body", f"Procedure {name}: {error.message}")
            return
        for word, line in body.control:
            message = f"Procedure {name} says {word} in line {line} of its body: {_CONTROL_WHY}."
            yield Refusal(piece.start, "commit-in-body", message)


def procedures(source: Source, pieces: list[Piece]) -> dict[str, str]:
    """The texts of the PL/pgSQL procedures that a script makes, by bare name."""
    found = {}
    for piece in pieces:
        if piece.which == "create_function_stmt" and piece.node.is_procedure:
            language = [
                each.def_elem.arg.string.sval
                for each in piece.node.options
                if each.def_elem.defname == "language"
            ]
            if language == ["plpgsql"]:
                own = names.dotted(piece.node.funcname)
                found[bare(own)] = source.slice(piece.start, piece.end)
    return found


def _body_offset(piece: Piece) -> int:
    """Where the body of a DO statement starts (bytes)."""
    for each in piece.node.args:
        if each.def_elem.defname == "as":
            return int(each.def_elem.location)
    return piece.start


def _copy(node: Any) -> Iterator[tuple[str, str]]:
    if node.is_program:
        yield "program", "COPY … PROGRAM runs a program on the server, outside the transaction."
    elif node.filename:
        yield "server-file", "COPY with a file reads or writes the server's disk, outside the transaction."
    elif node.is_from:
        yield "copy-data", "COPY FROM STDIN needs data that is no SQL; write INSERT."
    else:
        yield "copy-data", "COPY TO STDOUT sends rows to the client; a script has nowhere to put them."


def _setting(node: Any) -> Iterator[tuple[str, str]]:
    name, value = node.name.lower(), values(node.args).lower()
    if node.kind == pb.VAR_RESET_ALL:
        yield "setting", "RESET ALL: it takes back what the executor has set up."
    elif node.kind == pb.VAR_SET_MULTI:
        yield "setting", f"SET {node.name}: {_TRANSACTION}"
    elif name == "standard_conforming_strings" and value in ("on", "true", "1", "yes"):
        return
    elif name in _GUARDED and name not in ("search_path", REPLICA_ROLE):
        yield "setting", f"{name}: {_GUARDED[name]}"


def _functions(node: Any) -> Iterator[tuple[str, str]]:
    for function, arguments in called(node):
        effect = effect_of(function)
        if effect and effect.refused:
            yield "function", f"{function}(): {effect.refused}"
        if bare(function) == "set_config":
            yield from _set_config(arguments)


def _set_config(arguments: list[Any]) -> Iterator[tuple[str, str]]:
    if not arguments or not arguments[0].HasField("a_const"):
        yield "setting", "set_config() of a setting that is not written out."
        return
    name = constant(arguments[0].a_const).lower()
    if name in _GUARDED:
        yield "setting", f"set_config('{name}'): {_GUARDED[name]}"


def _mentions(node: Any, schema: str) -> bool:
    for each in walk(node):
        if isinstance(each, pb.String) and each.sval.lower() == schema:
            return True
        if isinstance(each, pb.RangeVar) and each.schemaname == schema:
            return True
    return False
