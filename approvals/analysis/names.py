"""Names and types in the form in which PostgreSQL itself would write them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from approvals.analysis import parser
from approvals.analysis.parser import pb

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_TYPE_WORDS = {
    "bool": "boolean",
    "bpchar": "character",
    "float4": "real",
    "float8": "double precision",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
}
_OBJECT_WORDS = {
    pb.OBJECT_AMOP: "operator of an access method",
    pb.OBJECT_AMPROC: "function of an access method",
    pb.OBJECT_DEFACL: "default privileges",
    pb.OBJECT_DOMCONSTRAINT: "domain constraint",
    pb.OBJECT_FDW: "foreign data wrapper",
    pb.OBJECT_FOREIGN_SERVER: "server",
    pb.OBJECT_LARGEOBJECT: "large object",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_OPCLASS: "operator class",
    pb.OBJECT_OPFAMILY: "operator family",
    pb.OBJECT_STATISTIC_EXT: "statistics",
    pb.OBJECT_TABCONSTRAINT: "constraint",
    pb.OBJECT_TSCONFIGURATION: "text search configuration",
    pb.OBJECT_TSDICTIONARY: "text search dictionary",
    pb.OBJECT_TSPARSER: "text search parser",
    pb.OBJECT_TSTEMPLATE: "text search template",
}


@cache
def _keywords() -> frozenset[str]:
    return parser.keywords()


@cache
def quoted(name: str) -> str:
    """A name, in double quotes where PostgreSQL's quote_ident would put them."""
    if name and not name[0].isdigit() and _PLAIN.issuperset(name) and name not in _keywords():
        return name
    return '"' + name.replace('"', '""') + '"'


def relation(node: Any) -> str:
    """A RangeVar as it was written: qualified only if it was."""
    if not (node.schemaname or node.catalogname):  # nearly all
        return quoted(node.relname) if node.relname else ""
    parts = [part for part in (node.catalogname, node.schemaname, node.relname) if part]
    return ".".join(quoted(part) for part in parts)


def parts(nodes: Iterable[Any]) -> list[str]:
    """The texts of a list of String nodes."""
    return [node.string.sval for node in nodes]


def dotted(nodes: Iterable[Any]) -> str:
    """A list of String nodes as a qualified name."""
    return ".".join(quoted(part) for part in parts(nodes))


def columns(items: Iterable[str]) -> str:
    """Column names with commas, as they stand in SQL."""
    return ", ".join(quoted(item) for item in items)


def listed(items: Iterable[str], most: int = 4) -> str:
    """`a, b and c`; beyond `most` items it counts the rest."""
    names = list(items)
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def object_word(object_type: int) -> str:
    """What an ObjectType is called in a sentence, for example 'materialized view'."""
    known = _OBJECT_WORDS.get(object_type)
    return known or enum_word(pb.ObjectType, object_type, "OBJECT_").replace("_", " ").lower()


def enum_word(enum: Any, value: int, prefix: str) -> str:
    """The name of a parse tree's enum value without its prefix, for example 'SCHEMA'."""
    return str(enum.Name(value)).removeprefix(prefix)


def type_name(node: Any) -> str:
    """A TypeName as PostgreSQL would print it, for example `numeric(12,2)` or `text[]`."""
    words = parts(node.names)
    if len(words) == 2 and words[0] == "pg_catalog":
        base = _TYPE_WORDS.get(words[1], words[1])
    else:
        base = ".".join(quoted(word) for word in words)
    modifiers = [str(mod.a_const.ival.ival) for mod in node.typmods if mod.HasField("a_const")]
    if base == "interval" or not all(mod.HasField("a_const") for mod in node.typmods):
        modifiers = []
    if modifiers and not (base == "character" and modifiers == ["1"]):
        head, _, tail = base.partition(" with ")
        base = f"{head}({','.join(modifiers)})" + (f" with {tail}" if tail else "")
    return base + "[]" * len(node.array_bounds) + (" set" if node.setof else "")


def signature(node: Any) -> str:
    """An ObjectWithArgs as `name(types)`, or only the name where it stands without arguments."""
    name = dotted(node.objname)
    if node.args_unspecified:
        return name
    return f"{name}({', '.join(type_name(argument.type_name) for argument in node.objargs)})"


def role(node: Any) -> str:
    """A RoleSpec: a role's name, PUBLIC or CURRENT_USER and the like."""
    if node.rolename:
        return quoted(node.rolename)
    return enum_word(pb.RoleSpecType, node.roletype, "ROLESPEC_")


def address(object_type: int, node: Any) -> str:
    """The name of a dropped, commented or altered object, whatever shape the tree gives it."""
    which = node.WhichOneof("node")
    if which == "list":
        items = parts(item for item in node.list.items if item.HasField("string"))
        return ".".join(quoted(item) for item in items)
    if which == "string":
        return quoted(node.string.sval)
    if which == "type_name":
        return type_name(node.type_name)
    if which == "object_with_args":
        return signature(node.object_with_args)
    return object_word(object_type)
