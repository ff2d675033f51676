"""What an expression of one column maps to what: CASE over constants and comparisons, as pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.analysis import names as written
from approvals.analysis.parser import pb
from executor.schema.sql_text import constant, is_null


def uncast(node: Any) -> Any:
    """What is cast, or the node itself."""
    while node.HasField("type_cast"):
        node = node.type_cast.arg
    return node


def is_leaf(node: Any, name: str) -> bool:
    """Whether a node is the column itself (or the parameter of a function that stands for it)."""
    if node.HasField("param_ref"):
        return bool(node.param_ref.number == 1)
    if not node.HasField("column_ref"):
        return False
    last = node.column_ref.fields[-1]
    return bool(last.HasField("string") and last.string.sval == name)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of constants, the old one first, as SQL; the nodes that must be the column; what other values
    become, and whether NULL does, too."""

    pairs: list[tuple[str, str]]
    subjects: list[Any]
    otherwise: str | None
    takes_null: bool

    def of(self, name: str) -> bool:
        """Whether all of it is about the column."""
        return all(is_leaf(uncast(node), name) for node in self.subjects)


def of_case(node: Any) -> Pairs | None:
    """A CASE over constants, in either form."""
    pairs: list[tuple[str, str]] = []
    subjects = [node.arg] if node.HasField("arg") else []
    for each in node.args:
        when, result = each.case_when.expr, literal_of(each.case_when.result)
        if node.HasField("arg"):
            subject, key = node.arg, literal_of(when)
        else:
            subject, key = _condition(when)
        if key is None or result is None:
            return None
        subjects.append(subject)
        pairs.append((key, result))
    otherwise = None
    if node.HasField("defresult") and not is_null(uncast(node.defresult)):
        otherwise = literal_of(node.defresult)
        if otherwise is None:
            return None
    return Pairs(pairs, subjects, otherwise, takes_null=True)


def _condition(node: Any) -> tuple[Any, str | None]:
    """What a condition is about, and the one value for which it holds."""
    which = node.WhichOneof("node")
    if which == "a_expr" and node.a_expr.kind == pb.AEXPR_OP and written.parts(node.a_expr.name) == ["="]:
        left, right = node.a_expr.lexpr, node.a_expr.rexpr
        if (value := literal_of(right)) is not None:
            return left, value
        return right, literal_of(left)
    if which == "bool_expr" and node.bool_expr.boolop == pb.NOT_EXPR:
        return node.bool_expr.args[0], "false"
    if which == "boolean_test":
        word = {pb.IS_TRUE: "true", pb.IS_FALSE: "false"}.get(node.boolean_test.booltesttype)
        return node.boolean_test.arg, word
    return node, "true"


def of_comparison(node: Any, equal: bool) -> Pairs | None:
    """A comparison with a constant, as truth values."""
    value = literal_of(node.rexpr)
    if value is None:
        return None
    names = ("true", "false") if equal else ("false", "true")
    return Pairs([(value, names[0])], [node.lexpr], names[1], takes_null=False)


def literal_of(node: Any) -> str | None:
    """A constant without its casts: where it stands, its type is known."""
    return constant(uncast(node))


def plain(value: str) -> str:
    """A constant without its quotes."""
    return value.strip("'")
