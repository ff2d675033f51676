"""Documents for columns of JSON from which a table computes others: with the keys that their expressions
read, and values that these accept. Tried on the server, since functions decide what they take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import psycopg

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
Path = tuple[str, ...]
Documents = dict[str, dict[Path, str]]
"""By column: for each key that is read, the kind of value that goes there (see `document`)."""
_STEPS, _PATHS = ("->", "->>"), ("#>", "#>>")
_KINDS = ("text", "number", "true", "moment", "day", "duration", "uuid")
_LIKELY = (
    (("boolean",), "true"),
    (("timestamp",), "moment"),
    (("date",), "day"),
    (("smallint", "integer", "bigint", "numeric", "real", "double"), "number"),
    (("interval",), "duration"),
    (("uuid",), "uuid"),
)


def documents(connection: Connection, columns: Iterable[Object], now: Snapshot) -> Documents:
    """What to put into the columns of JSON among these, so that the others can be computed. What reads one
    key only is settled first. The connection is in autocommit, or in a transaction."""
    columns = list(columns)
    kinds = {column.ref.name: column["type"] for column in columns}
    read = [
        (column, sorted(set(_read(column["expression"], kinds)))) for column in columns if column["generated"]
    ]
    made: Documents = {}
    for column, keys in sorted(read, key=lambda each: len(each[1])):
        if not keys:
            continue
        before = {name: dict(keyed) for name, keyed in made.items()}
        for kind in _candidates(column, now):
            made = {name: dict(keyed) for name, keyed in before.items()}
            for name, path in keys:
                made.setdefault(name, {}).setdefault(path, kind)
            if _accepts(connection, column, made, kinds):
                break
    return made


def document(keys: Mapping[Path, str], number: int) -> str:
    """The document of a row, as SQL."""
    made: dict[str, Any] = {"k": number}
    for path, kind in keys.items():
        inner = made
        for key in path[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(inner.get(key, {}), dict) else {}
        inner[path[-1]] = _value(kind, number)
    return literal(json.dumps(made))


def _value(kind: str, number: int) -> Any:
    day = date(2024, 1, 1) + timedelta(days=number - 1)
    return {
        "number": number,
        "true": True,
        "moment": f"{day}T12:34:56Z",
        "day": str(day),
        "duration": f"PT{number}S",
        "uuid": f"00000000-0000-0000-0000-{number:012}",
        "text": str(number),
    }.get(kind, kind.removeprefix("="))


def _candidates(column: Object, now: Snapshot) -> list[str]:
    """Kinds of values in the order in which they are tried; a label of an enum is named by itself."""
    first = [kind for beginnings, kind in _LIKELY if column["type"].startswith(beginnings)]
    for kind in now.of_kind("type"):
        if kind["form"] == "e" and dotted(kind.ref.path) == column["type"]:
            first += [f"={label}" for label in kind["labels"][:1]]
    return list(dict.fromkeys([*first, *_KINDS]))


def _accepts(connection: Connection, column: Object, made: Documents, kinds: Mapping[str, str]) -> bool:
    """Whether the expression gives a value for the documents as they are, of the length that is allowed."""
    given = ", ".join(
        f"{document(made[name], 1) if name in made else 'NULL'}::{kind} AS {quoted(name)}"
        for name, kind in kinds.items()
    )
    try:
        with connection.transaction():
            row = connection.execute(
                f"SELECT ({column['expression']})::{column['type']} IS NOT NULL FROM (SELECT {given}) AS t"
            ).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


def _read(expression: str, kinds: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Columns of JSON and the keys that an expression reads of them."""
    try:
        (piece,) = parser.parse(Source(f"SELECT {expression}"))
    except (SqlError, ValueError):
        return
    inner = set()
    for node in parser.walk(piece.node):
        if isinstance(node, pb.A_Expr) and (found := _path(node)) is not None:
            name, path = found
            if path in inner or not kinds.get(name, "").startswith("json"):
                continue
            inner |= {path[:length] for length in range(1, len(path))}  # what leads there is no value
            yield name, path


def _path(node: Any) -> tuple[str, Path] | None:
    """The column and the keys that lead from it, for one of the operators on JSON."""
    operator, left, right = written.parts(node.name)[-1], node.lexpr, node.rexpr
    while right.HasField("type_cast"):
        right = right.type_cast.arg
    text = right.a_const.sval.sval if right.HasField("a_const") else ""
    if operator in _STEPS and text:
        keys: Path = (text,)
    elif operator in _PATHS and text.startswith("{"):
        keys = tuple(each.strip(' "') for each in text.strip("{}").split(","))
    else:
        return None
    while left.HasField("type_cast"):
        left = left.type_cast.arg
    if left.HasField("column_ref"):
        return left.column_ref.fields[-1].string.sval, keys
    deeper = _path(left.a_expr) if left.HasField("a_expr") else None
    return (deeper[0], (*deeper[1], *keys)) if deeper else None
