"""Kinds of objects as the parse tree calls them, and the names under which statements mean them."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis.parser import pb
from executor.schema.reading.alter import Place
from executor.schema.sql_text import of_object

OBJECTS = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_FOREIGN_TABLE: "table",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_INDEX: "index",
    pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "type",
    pb.OBJECT_FUNCTION: "function",
    pb.OBJECT_PROCEDURE: "function",
    pb.OBJECT_ROUTINE: "function",
    pb.OBJECT_AGGREGATE: "aggregate",
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_EXTENSION: "extension",
    pb.OBJECT_TRIGGER: "trigger",
    pb.OBJECT_POLICY: "policy",
    pb.OBJECT_RULE: "rule",
    pb.OBJECT_COLUMN: "column",
    pb.OBJECT_TABCONSTRAINT: "constraint",
    pb.OBJECT_STATISTIC_EXT: "statistics",
    pb.OBJECT_PUBLICATION: "publication",
    pb.OBJECT_SUBSCRIPTION: "subscription",
    pb.OBJECT_EVENT_TRIGGER: "event trigger",
    pb.OBJECT_ATTRIBUTE: "attribute",
    pb.OBJECT_DOMCONSTRAINT: "domain constraint",
}


ALONE = frozenset({"schema", "extension", "publication", "subscription", "event trigger", "role", "database"})


def name_of(kind: str, node: Any, place: Place) -> tuple[str, ...]:
    """The qualified name of an object in a DROP, COMMENT, GRANT or rename; a function's with its types."""
    parts = of_object(node)
    if kind in ALONE:
        return tuple(parts)
    if kind in ("function", "aggregate"):
        arguments = node.object_with_args
        name = place.name(parts)
        if arguments.args_unspecified:
            return name
        types = [sql_names.type_name(each.type_name) for each in arguments.objargs]
        return (*name, ", ".join(types))
    if kind in ("trigger", "policy", "rule", "column", "constraint"):
        return (*place.name(parts[:-1]), parts[-1])
    return place.name(parts)
