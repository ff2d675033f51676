"""Read statements on rows and on settings as effects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from executor.schema.reading.alter import Place
from executor.schema.reading.said import (
    NOTHING,
    ROWS,
    SET,
    Said,
)
from executor.schema.sql_text import expression, range_parts


def _rows(change: str) -> Any:
    def reader(node: Any, place: Place, sql: str) -> Iterator[Said]:
        table = place.name(range_parts(node.relation))
        columns = tuple(each.res_target.name for each in getattr(node, "target_list", ()))
        yield place.said(ROWS, "table", table, attribute=change, sql=sql, columns=columns)

    return reader


def _truncate(node: Any, place: Place, sql: str) -> Iterator[Said]:
    for each in node.relations:
        yield place.said(
            ROWS, "table", place.name(range_parts(each.range_var)), attribute="TRUNCATE", sql=sql
        )


def _copy(node: Any, place: Place, sql: str) -> Iterator[Said]:
    if node.is_from:
        yield place.said(ROWS, "table", place.name(range_parts(node.relation)), attribute="COPY IN", sql=sql)


def _setting(kind: str) -> Any:
    def reader(node: Any, place: Place, sql: str) -> Iterator[Said]:
        of = getattr(node, "dbname", "") or (node.role.rolename if hasattr(node, "role") else "")
        name = (of, node.setstmt.name) if of else (node.setstmt.name,)
        values = [expression(each) for each in node.setstmt.args]
        yield place.said(SET, kind, name, new=", ".join(values) or "DEFAULT", sql=sql)

    return reader


def _refresh(node: Any, place: Place, sql: str) -> Iterator[Said]:
    name = place.name(range_parts(node.relation))
    yield place.said(NOTHING, "materialized view", name, attribute="data", sql=sql)


READERS: dict[str, Any] = {
    "insert_stmt": _rows("INSERT DATA"),
    "update_stmt": _rows("UPDATE DATA"),
    "delete_stmt": _rows("DELETE DATA"),
    "merge_stmt": _rows("MERGE DATA"),
    "truncate_stmt": _truncate,
    "copy_stmt": _copy,
    "alter_system_stmt": _setting("server setting"),
    "alter_database_set_stmt": _setting("database setting"),
    "alter_role_set_stmt": _setting("role setting"),
    "refresh_mat_view_stmt": _refresh,
}
"""By kind of parse tree."""
