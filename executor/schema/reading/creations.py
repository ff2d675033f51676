"""Read CREATE statements as effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis.parser import pb
from executor.schema.reading.alter import Place
from executor.schema.reading.said import (
    CREATED,
    Said,
)
from executor.schema.sql_text import range_parts


def _create(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    name = place.name(range_parts(node.relation))
    yield place.said(CREATED, "table", name, sql=sql, maybe=maybe)


def _create_as(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = "materialized view" if node.objtype == pb.OBJECT_MATVIEW else "table"
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, kind, place.name(range_parts(node.into.rel)), sql=sql, maybe=maybe)


def _view(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "OR REPLACE" if node.replace else ""
    yield place.said(CREATED, "view", place.name(range_parts(node.view)), sql=sql, maybe=maybe)


def _index(node: Any, place: Place, sql: str) -> Iterator[Said]:
    table = place.name(range_parts(node.relation))
    columns = tuple(each.index_elem.name for each in node.index_params)
    name = (table[0], node.idxname or default_name(table[1], [c or "expr" for c in columns], "idx"))
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, "index", name, sql=sql, maybe=maybe, on=table, columns=columns)


def default_name(table: str, columns: Sequence[str], label: str) -> str:
    """The name that PostgreSQL gives to an index without one, as long as that is free and short."""
    return "_".join([table, *columns, label])


def _function(node: Any, place: Place, sql: str) -> Iterator[Said]:
    arguments = [
        sql_names.type_name(each.function_parameter.arg_type)
        for each in node.parameters
        if each.function_parameter.mode not in (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_TABLE)
    ]
    name = (*place.name(sql_names.parts(node.funcname)), ", ".join(arguments))
    yield place.said(CREATED, "function", name, sql=sql, maybe="OR REPLACE" if node.replace else "")


def _trigger(node: Any, place: Place, sql: str) -> Iterator[Said]:
    name = (*place.name(range_parts(node.relation)), node.trigname)
    yield place.said(CREATED, "trigger", name, sql=sql, maybe="OR REPLACE" if node.replace else "")


def _policy(node: Any, place: Place, sql: str) -> Iterator[Said]:
    yield place.said(CREATED, "policy", (*place.name(range_parts(node.table)), node.policy_name), sql=sql)


def _rule(node: Any, place: Place, sql: str) -> Iterator[Said]:
    name = (*place.name(range_parts(node.relation)), node.rulename)
    yield place.said(CREATED, "rule", name, sql=sql, maybe="OR REPLACE" if node.replace else "")


def _sequence(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, "sequence", place.name(range_parts(node.sequence)), sql=sql, maybe=maybe)


def _type(node: Any, place: Place, sql: str) -> Iterator[Said]:
    if node.DESCRIPTOR.name == "CompositeTypeStmt":
        parts = range_parts(node.typevar)
    elif node.DESCRIPTOR.name == "CreateDomainStmt":
        parts = sql_names.parts(node.domainname)
    else:
        parts = sql_names.parts(node.type_name)
    yield place.said(CREATED, "type", place.name(parts), sql=sql)


def _schema(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, "schema", (node.schemaname,), sql=sql, maybe=maybe)


def _extension(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, "extension", (node.extname,), sql=sql, maybe=maybe)


def _statistics(node: Any, place: Place, sql: str) -> Iterator[Said]:
    maybe = "IF NOT EXISTS" if node.if_not_exists else ""
    yield place.said(CREATED, "statistics", place.name(sql_names.parts(node.defnames)), sql=sql, maybe=maybe)


def _publication(node: Any, place: Place, sql: str) -> Iterator[Said]:
    yield place.said(CREATED, "publication", (node.pubname,), sql=sql)


def _event_trigger(node: Any, place: Place, sql: str) -> Iterator[Said]:
    yield place.said(CREATED, "event trigger", (node.trigname,), sql=sql)


READERS: dict[str, Any] = {
    "create_stmt": _create,
    "create_table_as_stmt": _create_as,
    "view_stmt": _view,
    "index_stmt": _index,
    "create_function_stmt": _function,
    "create_trig_stmt": _trigger,
    "create_policy_stmt": _policy,
    "rule_stmt": _rule,
    "create_seq_stmt": _sequence,
    "create_enum_stmt": _type,
    "create_range_stmt": _type,
    "composite_type_stmt": _type,
    "create_domain_stmt": _type,
    "create_schema_stmt": _schema,
    "create_extension_stmt": _extension,
    "create_stats_stmt": _statistics,
    "create_publication_stmt": _publication,
    "create_event_trig_stmt": _event_trigger,
}
"""By kind of parse tree."""
