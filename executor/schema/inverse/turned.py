"""Turn an expression of one column around: from what computes the new value to what computes the old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.inverse.mapping import Pairs, is_leaf, literal_of, of_case, of_comparison, plain, uncast
from executor.schema.lost import HOLE
from executor.schema.names import dotted, literal
from executor.schema.objects import Object, Snapshot
from executor.schema.sql_text import constant, expression

_MARK = "waqiti_value"
_WHOLE = ("smallint", "integer", "bigint")
_WITH_ZONE, _WITHOUT_ZONE = _ZONES = "timestamp with time zone", "timestamp without time zone"
_TENS = {10**power: power for power in range(1, 7)}
NOBODY = "nothing turns the expression around that the migration computed them by"
ROUNDED = "the migration kept no fraction of them"
NO_NULL = "rows without a value got one"
UNNAMED = "what the migration does not name became NULL"
ONLY_CUT = "casts of the migration may have cut or rounded them"


@dataclass(frozen=True, slots=True)
class Turned:
    """`back` is SQL with HOLE for the value of now; '' where there is none. `exact`: what was there before
    comes back whatever it was; else `why` says what does not. `again` is the expression itself."""

    back: str
    exact: bool
    why: str
    again: str = ""


@dataclass(frozen=True, slots=True)
class _Way:
    """How far it is turned: what is left to turn around, the value of it, that value's type ('' where it is
    not known), and what does not come back."""

    node: Any
    value: str
    type: str
    lost: tuple[str, ...] = ()
    ready: bool = False


def turned(
    using: Any, name: str, column: Object, becomes: str, before: Snapshot, functions: Mapping[str, Any]
) -> Turned | None:
    """The expression turned around. None where it only is the column, or a cast of it: what leads back from a
    cast does not depend on the expression."""
    node = uncast(using)
    if is_leaf(node, name):
        return None
    body, leaf = _inlined(node, name, functions)
    again = _holed(uncast(body), leaf)
    way: _Way | None = _Way(body, HOLE, becomes)
    while way is not None and not way.ready:
        way = _Step(column, before, leaf).back(way)
    if way is None:
        return Turned("", False, NOBODY)
    why = "; ".join(dict.fromkeys(way.lost))
    if way.value == HOLE:
        back = f"{HOLE}::{column['type']}"
    else:
        back = way.value if way.value.startswith("CASE ") else f"({way.value})::{column['type']}"
    return Turned(back, not way.lost, why, again)


def _inlined(node: Any, name: str, functions: Mapping[str, Any]) -> tuple[Any, str]:
    """The body of a function in SQL that the same file makes, where the expression is a call of it for the
    column; and what the value is called in it."""
    if not node.HasField("func_call") or len(node.func_call.args) != 1:
        return node, name
    made = functions.get(node.func_call.funcname[-1].string.sval)
    if made is None or not is_leaf(uncast(node.func_call.args[0]), name):
        return node, name
    options = {each.def_elem.defname: each.def_elem.arg for each in made.options}
    if "language" not in options or options["language"].string.sval.lower() != "sql" or "as" not in options:
        return node, name
    try:
        (piece,) = parser.parse(Source(options["as"].list.items[0].string.sval))
    except (SqlError, ValueError):
        return node, name
    select = piece.node
    if piece.which != "select_stmt" or len(select.target_list) != 1 or select.from_clause:
        return node, name
    return select.target_list[0].res_target.val, made.parameters[0].function_parameter.name


def _holed(node: Any, name: str) -> str:
    """The expression as SQL, HOLE for the column."""
    copy = type(node)()
    copy.CopyFrom(node)
    for part in parser.walk(copy):
        if isinstance(part, pb.Node) and is_leaf(part, name):
            part.column_ref.Clear()
            part.column_ref.fields.add().string.sval = _MARK
    return expression(copy).replace(_MARK, HOLE)


class _Step:
    """Turns around what is outermost."""

    def __init__(self, column: Object, before: Snapshot, name: str) -> None:
        self.column, self.before, self.name = column, before, name

    def back(self, way: _Way) -> _Way | None:
        """One step nearer to the column; None where nobody can tell."""
        node = way.node
        if is_leaf(node, self.name):
            other = way.type in _ZONES and way.type != self.column["type"]
            return None if other else replace(way, ready=True)
        which = node.WhichOneof("node")
        method: Callable[[Any, _Way], _Way | None] | None = getattr(self, f"_{which}", None)
        return method(getattr(node, which), way) if method is not None else None

    def _type_cast(self, node: Any, way: _Way) -> _Way | None:
        inner = node.arg
        if uncast(inner).HasField("case_expr") or is_leaf(uncast(inner), self.name):
            return replace(way, node=inner)
        kind = written.type_name(node.type_name)
        lost = way.lost
        if kind.startswith(_WHOLE):
            lost = (*lost, ROUNDED)
        elif kind not in ("numeric", "double precision", _WITH_ZONE, "text"):
            lost = (*lost, ONLY_CUT)
        return replace(way, node=inner, type=kind, lost=lost)

    def _coalesce_expr(self, node: Any, way: _Way) -> _Way | None:
        if len(node.args) != 2 or constant(node.args[1]) is None:
            return None
        lost = way.lost if self.column["not_null"] else (*way.lost, NO_NULL)
        return replace(way, node=node.args[0], type="", lost=lost)

    def _a_array_expr(self, node: Any, way: _Way) -> _Way | None:
        if len(node.elements) != 1:
            return None
        return replace(way, node=node.elements[0], value=f"({way.value})[1]", type="")

    def _func_call(self, node: Any, way: _Way) -> _Way | None:
        name, arguments = node.funcname[-1].string.sval, list(node.args)
        if name in _PAIRS and len(arguments) == 2:
            return self._paired(name, arguments, way)
        method: Callable[[list[Any], _Way], _Way | None] | None = _FUNCTIONS.get((name, len(arguments)))
        return method(self, arguments, way) if method is not None else None  # type: ignore[call-arg, arg-type]

    def _to_timestamp(self, arguments: list[Any], way: _Way) -> _Way | None:
        if way.type != _WITH_ZONE:
            return None  # by the time zone of whoever migrated
        return replace(way, node=arguments[0], value=f"extract(epoch FROM {way.value})", type="moment")

    def _epoch(self, arguments: list[Any], way: _Way) -> _Way | None:
        field, inner = arguments
        if constant(field) != "'epoch'" or not self.column["type"].startswith("timestamp"):
            return None
        value = f"to_timestamp({way.value})"
        if self.column["type"].startswith(_WITHOUT_ZONE):
            value += " AT TIME ZONE 'UTC'"
        whole = way.type.startswith(_WHOLE)
        return replace(way, node=inner, value=value, lost=(*way.lost, *([ROUNDED] if whole else [])))

    def _zone(self, arguments: list[Any], way: _Way) -> _Way | None:
        zone = constant(arguments[0])
        other = {_WITH_ZONE: _WITHOUT_ZONE, _WITHOUT_ZONE: _WITH_ZONE}.get(way.type)
        if zone is None or other is None:
            return None
        always = zone.strip("'").upper() in ("UTC", "GMT", "Z")
        lost = () if always else ("hours that a change of the clocks leaves out or repeats",)
        value = f"{way.value} AT TIME ZONE {zone}"
        return replace(way, node=arguments[1], value=value, type=other, lost=(*way.lost, *lost))

    def _to_jsonb(self, arguments: list[Any], way: _Way) -> _Way | None:
        return replace(way, node=arguments[0], value=f"({way.value}) #>> '{{}}'", type="")

    def _paired(self, name: str, arguments: list[Any], way: _Way) -> _Way | None:
        """A function of a value and a constant that another one with the same constant turns around."""
        opposite, lost = _PAIRS[name]
        if (by := constant(arguments[1])) is None:
            return None
        value = f"{opposite}({way.value}, {by})"
        return replace(way, node=arguments[0], value=value, type="", lost=(*way.lost, *lost))

    def _bool_expr(self, node: Any, way: _Way) -> _Way | None:
        if node.boolop != pb.NOT_EXPR:
            return None
        return replace(way, node=node.args[0], value=f"(NOT {way.value})", type="boolean")

    def _a_expr(self, node: Any, way: _Way) -> _Way | None:
        operator = written.parts(node.name)[-1]
        if node.kind != pb.AEXPR_OP or not node.HasField("lexpr"):
            return None
        if operator in ("=", "<>"):
            return self._mapped(of_comparison(node, operator == "="), way)
        return self._computed(node, operator, way)

    def _computed(self, node: Any, operator: str, way: _Way) -> _Way | None:
        number = _number(node.rexpr)
        inner = node.lexpr
        if number is None and operator in "+*":
            number, inner = _number(node.lexpr), node.rexpr
        if number is None or operator not in _OPPOSITE or (operator in "*/" and float(number) == 0):
            return None
        whole = "." not in number and self.column["type"].startswith(_WHOLE) and is_leaf(inner, self.name)
        if operator == "/" and whole:
            return None  # the remainder is gone
        lost = () if self._keeps(operator, number, way) else ("rounding",)
        value = f"{way.value} {_OPPOSITE[operator]} {number}"
        return replace(way, node=inner, value=f"({value})", lost=(*way.lost, *lost), type="")

    def _keeps(self, operator: str, number: str, way: _Way) -> bool:
        """Whether the type in which the result is kept has room for each digit."""
        if not self.column["type"].startswith(_WHOLE):
            return way.type == "numeric" and self.column["type"].startswith("numeric") and operator != "/"
        if operator == "/":
            power = _TENS.get(int(float(number))) if float(number) == int(float(number)) else None
            scale = _scale(way.type)
            return power is not None and (way.type == "moment" or (scale is not None and scale >= power))
        return "." not in number and way.type.startswith((*_WHOLE, "numeric"))

    def _case_expr(self, node: Any, way: _Way) -> _Way | None:
        return self._mapped(of_case(node), way)

    def _mapped(self, found: Pairs | None, way: _Way) -> _Way | None:
        """A value for each of some constants: the same from right to left."""
        if found is None or not found.of(self.name):
            return None
        pairs, lost = found.pairs, list(way.lost)
        domain = self._domain()
        if len({plain(value) for _, value in pairs}) != len(pairs):
            return None  # several became one
        if found.otherwise is not None:
            listed = {self._key(key) for key, _ in pairs}
            left = [key for key in domain or () if self._key(key) not in listed]
            known = found.otherwise in dict(pairs).values()
            if domain is None and not known and (key := self._number_for(found.otherwise, way)) not in listed:
                left = [key] if key else []
            if domain is not None and len(left) > (0 if known else 1):
                return None
            if left and not known:
                pairs = [*pairs, (left[0], found.otherwise)]
            if domain is None:
                lost.append(f"all that the migration does not name became {found.otherwise}")
            if found.takes_null and not self.column["not_null"]:
                lost.append(NO_NULL)
        elif domain is None or len(pairs) < len(domain):
            lost.append(UNNAMED)
        return replace(way, value=self._case(way.value, pairs), lost=tuple(lost), ready=True)

    def _case(self, value: str, pairs: list[tuple[str, str]]) -> str:
        """CASE from right to left. A value of which nothing is known stops it: no words are a number."""
        lines = " ".join(f"WHEN {new} THEN {old}" for old, new in pairs)
        stops = f"('{STOPS}: ' || {value}::text)::integer::text::{self.column['type']}"
        return f"CASE {value} {lines} ELSE {stops} END"

    def _domain(self) -> list[str] | None:
        """All values that the column could have before, as SQL; None where they are too many to tell."""
        if self.column["type"] == "boolean":
            return ["true", "false"]
        for kind in self.before.of_kind("type"):
            if kind["form"] == "e" and dotted(kind.ref.path) == self.column["type"]:
                return [literal(label) for label in kind["labels"]]
        return None

    def _number_for(self, word: str, way: _Way) -> str:
        """The number that a cast makes of a truth value, where the column had numbers; '' elsewhere."""
        if way.type != "boolean" or not self.column["type"].startswith(_WHOLE):
            return ""
        return {"true": "1", "false": "0"}.get(word, "")

    def _key(self, key: str) -> str:
        word = plain(key)
        if self.column["type"] == "boolean":
            return {"t": "true", "f": "false"}.get(word[:1].lower(), word)
        return word


_SPELLING = ("other spellings of the same bytes",)
_PAIRS: dict[str, tuple[str, tuple[str, ...]]] = {
    "string_to_array": ("array_to_string", ()),
    "array_to_string": ("string_to_array", ("NULLs, and elements that contain what parts them",)),
    "convert_to": ("convert_from", ()),
    "convert_from": ("convert_to", ()),
    "encode": ("decode", ()),
    "decode": ("encode", _SPELLING),
}
STOPS = "no value of before"
_OPPOSITE = {"+": "-", "-": "+", "*": "/", "/": "*"}
_FUNCTIONS: dict[tuple[str, int], Any] = {
    ("to_timestamp", 1): _Step._to_timestamp,
    ("extract", 2): _Step._epoch,
    ("date_part", 2): _Step._epoch,
    ("timezone", 2): _Step._zone,
    ("to_jsonb", 1): _Step._to_jsonb,
}


def _number(node: Any) -> str | None:
    """A number that the text gives, as SQL."""
    value = literal_of(node)
    try:
        float(value or "")
    except ValueError:
        return None
    return value


def _scale(kind: str) -> int | None:
    """Digits behind the point that a numeric type keeps; None for other types."""
    if kind == "numeric":
        return 1000
    if not kind.startswith("numeric("):
        return None
    return int(kind.removesuffix(")").partition(",")[2] or 0)
