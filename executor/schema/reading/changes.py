"""Read renames, drops, comments, grants and ALTERs other than that of tables as effects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis.parser import pb
from executor.schema.reading.alter import Place
from executor.schema.reading.objects import OBJECTS, name_of
from executor.schema.reading.said import (
    CHANGED,
    DROPPED,
    RENAMED,
    UNREADABLE,
    Said,
)
from executor.schema.sql_text import range_parts


def _rename(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.rename_type)
    if kind is None or kind == "attribute":
        yield place.said(UNREADABLE, "", (), attribute="a rename of a rare kind", sql=sql)
        return
    maybe = "IF EXISTS" if node.missing_ok else ""
    if node.HasField("relation"):
        relation = place.name(range_parts(node.relation))
        name = (*relation, node.subname) if node.subname else relation
    else:
        name = name_of(kind, node.object, place)
    yield place.said(RENAMED, kind, name, new=node.newname, maybe=maybe, sql=sql)


def _set_schema(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.object_type, "object")
    if node.HasField("relation"):
        name = place.name(range_parts(node.relation))
    else:
        name = name_of(kind, node.object, place)
    yield place.said(CHANGED, kind, name, attribute="schema", new=node.newschema, sql=sql)


def _owner(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.object_type, "object")
    name = name_of(kind, node.object, place)
    yield place.said(CHANGED, kind, name, attribute="owner", new=sql_names.role(node.newowner), sql=sql)


def _drop(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.remove_type)
    if kind is None:
        word = sql_names.object_word(node.remove_type)
        for each in node.objects:
            name = sql_names.address(node.remove_type, each)
            yield place.said(DROPPED, word, (name,), maybe="IF EXISTS" if node.missing_ok else "", sql=sql)
        return
    for each in node.objects:
        yield place.said(
            DROPPED,
            kind,
            name_of(kind, each, place),
            maybe="IF EXISTS" if node.missing_ok else "",
            cascade=node.behavior == pb.DROP_CASCADE,
            sql=sql,
        )


def _drop_role(node: Any, place: Place, sql: str) -> Iterator[Said]:
    for each in node.roles:
        yield place.said(DROPPED, "role", (each.role_spec.rolename,), sql=sql)


def _comment(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.objtype)
    if kind is None:
        word = sql_names.object_word(node.objtype)
        name: tuple[str, ...] = (sql_names.address(node.objtype, node.object),)
    else:
        word, name = kind, name_of(kind, node.object, place)
    yield place.said(CHANGED, word, name, attribute="comment", new=node.comment, sql=sql)


def _grant(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.objtype, "object")
    attribute = "grants"
    if node.targtype != pb.ACL_TARGET_OBJECT:
        names = [(each,) for each in sql_names.parts(node.objects)]
        yield from (place.said(CHANGED, "schema", name, attribute=attribute, sql=sql) for name in names)
        return
    for each in node.objects:
        if each.HasField("range_var"):
            yield place.said(
                CHANGED, "table", place.name(range_parts(each.range_var)), attribute=attribute, sql=sql
            )
        else:
            yield place.said(CHANGED, kind, name_of(kind, each, place), attribute=attribute, sql=sql)


def _default_privileges(node: Any, place: Place, sql: str) -> Iterator[Said]:
    yield place.said(CHANGED, "default privileges", (), attribute="grants", sql=sql)


def _enum(node: Any, place: Place, sql: str) -> Iterator[Said]:
    name = place.name(sql_names.parts(node.type_name))
    if node.old_val:
        yield place.said(CHANGED, "type", name, attribute=f"label {node.old_val}", new=node.new_val, sql=sql)
    else:
        maybe = "IF NOT EXISTS" if node.skip_if_new_val_exists else ""
        yield place.said(
            CHANGED, "type", name, attribute=f"value {node.new_val}", new=node.new_val, maybe=maybe, sql=sql
        )


def _altered(kind: str) -> Any:
    def reader(node: Any, place: Place, sql: str) -> Iterator[Said]:
        if node.DESCRIPTOR.name == "AlterSeqStmt":
            name = place.name(range_parts(node.sequence))
        elif node.DESCRIPTOR.name == "AlterDomainStmt":
            name = place.name(sql_names.parts(node.type_name))
        elif node.DESCRIPTOR.name == "AlterFunctionStmt":
            holder = pb.Node()
            holder.object_with_args.CopyFrom(node.func)
            name = name_of("function", holder, place)
        else:
            name = (getattr(node, "extname", "") or getattr(node, "pubname", ""),)
        yield place.said(CHANGED, kind, name, attribute="properties", sql=sql)

    return reader


READERS: dict[str, Any] = {
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "alter_owner_stmt": _owner,
    "drop_stmt": _drop,
    "drop_role_stmt": _drop_role,
    "comment_stmt": _comment,
    "grant_stmt": _grant,
    "alter_default_privileges_stmt": _default_privileges,
    "alter_enum_stmt": _enum,
    "alter_seq_stmt": _altered("sequence"),
    "alter_domain_stmt": _altered("type"),
    "alter_function_stmt": _altered("function"),
    "alter_extension_stmt": _altered("extension"),
    "alter_publication_stmt": _altered("publication"),
}
"""By kind of parse tree."""
