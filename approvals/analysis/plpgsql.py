"""Reading PL/pgSQL bodies: the static SQL in them, what is put together while it runs, and COMMIT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from approvals.analysis import parser
from approvals.analysis.parser import Piece, Source, SqlError

_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
_CONTROL = {"PLpgSQL_stmt_commit": "COMMIT", "PLpgSQL_stmt_rollback": "ROLLBACK"}
# PLpgSQL_expr.parseMode as PostgreSQL counts it: whole statements, expressions, and the assignments above.
_STATEMENT, _EXPRESSION = 0, 2


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds.

    `statements`: SQL that is written out, also as a constant after EXECUTE. `expressions`: conditions and
    values, each read as a query. `dynamic`: some SQL is put together while it runs. `control`: pairs of
    COMMIT or ROLLBACK and the line of the body (from 1) where it stands.
    """

    statements: tuple[Piece, ...] = ()
    expressions: tuple[Piece, ...] = ()
    dynamic: bool = False
    control: tuple[tuple[str, int], ...] = ()


def read_body(statement: str) -> Body:
    """The body of a DO, CREATE FUNCTION or CREATE PROCEDURE in PL/pgSQL. Raises SqlError if unreadable."""
    statements: list[Piece] = []
    expressions: list[Piece] = []
    control: list[tuple[str, int]] = []
    dynamic = False
    for kind, node in _nodes(parser.parse_body(statement)):
        if kind in _CONTROL:
            control.append((_CONTROL[kind], int(node.get("lineno", 1))))
        elif kind in _DYNAMIC or "dynquery" in node:
            literal = _literal(node.get("query"))
            statements += literal
            dynamic = dynamic or not literal
        elif kind == "PLpgSQL_expr" and node.get("parseMode", _STATEMENT) == _STATEMENT:
            statements += parser.parse(Source(str(node["query"])))
        elif kind == "PLpgSQL_expr" and "(" in node["query"]:
            expressions += parser.parse(Source("SELECT " + _value(node)))
    return Body(tuple(statements), tuple(expressions), dynamic, tuple(control))


def _value(expression: dict[str, Any]) -> str:
    """The expression, without the variable that an assignment puts it into."""
    text = str(expression["query"])
    if expression["parseMode"] == _EXPRESSION:
        return text
    _, found, value = text.partition(":=")
    return value if found else text.partition("=")[2]


def _nodes(tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every `{"PLpgSQL_…": {…}}` of the tree, in the order of the text. Never recurses."""
    todo = [tree]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo.extend(reversed(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key.startswith("PLpgSQL_") and isinstance(inner, dict):
                    yield key, inner
            todo.extend(reversed(list(value.values())))


def _literal(expression: Any) -> list[Piece]:
    """The statements of EXECUTE 'constant', which is as good as written out; nothing for any other."""
    query = (expression or {}).get("PLpgSQL_expr", {}).get("query", "")
    try:
        (select,) = parser.parse(Source(f"SELECT {query}"))
        (target,) = select.node.target_list
        value = target.res_target.val
        if not value.HasField("a_const") or value.a_const.WhichOneof("val") != "sval":
            return []
        return parser.parse(Source(value.a_const.sval.sval))
    except (SqlError, ValueError):
        return []
