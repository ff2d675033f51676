"""Read a file's statements as effects, without running it. One method per kind of parse tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis import parser
from approvals.analysis.effects import effect_of
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.kinds.queries import called
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.reading_alter import Place, alter_table
from executor.schema.said import CHANGED, CREATED, DROPPED, NOTHING, RENAMED, ROWS, SET, UNREADABLE, Said
from executor.schema.sql_text import of_object, range_parts

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
_COMPUTES = re.compile(
    r"(?:pg_catalog\..+|pg_\w+|quote_\w+|(?:array|json|jsonb|string|regexp|date)_\w+|sum|min|max|avg|round|floor|ceil"
    r"|lower|upper|format|concat|length|replace|coalesce|nullif|to_char|exists|unnest|generate_series)\Z"
)
"""Functions of PostgreSQL itself that only compute, by name: most of those that migrations call."""
_ALONE = frozenset(
    {"schema", "extension", "publication", "subscription", "event trigger", "role", "database"}
)
_NO_EFFECT = frozenset(
    {
        "transaction_stmt", "variable_set_stmt", "variable_show_stmt", "vacuum_stmt", "reindex_stmt",
        "explain_stmt", "lock_stmt", "check_point_stmt", "discard_stmt", "constraints_set_stmt",
        "cluster_stmt", "load_stmt", "notify_stmt", "listen_stmt", "unlisten_stmt",
        "prepare_stmt", "deallocate_stmt", "declare_cursor_stmt", "close_portal_stmt", "fetch_stmt",
    }
)  # fmt: skip
_SERVER = {
    "create_role_stmt": (CREATED, "role"),
    "createdb_stmt": (CREATED, "database"),
    "dropdb_stmt": (DROPPED, "database"),
    "alter_role_stmt": (CHANGED, "role"),
    "grant_role_stmt": (CHANGED, "role"),
}
OF_SERVER = frozenset(
    {
        "alter_system_stmt", "alter_database_set_stmt", "alter_database_stmt", "alter_role_set_stmt",
        "createdb_stmt", "dropdb_stmt", "create_table_space_stmt", "drop_table_space_stmt",
    }
)  # fmt: skip
"""Statements that reach beyond the database: never run on a scratch server that others use."""


def read(sql: str, search_path: str = "public") -> list[Said]:
    """The effects of a file's statements, in order. Raises SqlError where the text does not parse."""
    return read_pieces(Source(sql), search_path)


def read_pieces(source: Source, search_path: str = "public") -> list[Said]:
    """The same for a text that is split already."""
    found: list[Said] = []
    for position, piece in enumerate(parser.parse(source), start=1):
        place = Place(position, *source.place(piece.start), search_path)
        found += statement(piece, place, source.slice(piece.start, piece.end))
    return found


def without_server(sql: str) -> tuple[str, list[str]]:
    """The text with blanks where statements reach beyond the database, and those statements. Line numbers
    stay. A text that does not parse is given back as it is."""
    source = Source(sql)
    try:
        pieces = [piece for piece in parser.parse(source) if piece.which in OF_SERVER]
    except SqlError:
        return sql, []
    data = bytearray(source.data)
    for piece in pieces:
        kept = bytes(c if c in b"\r\n" else 32 for c in data[piece.start : piece.end])
        data[piece.start : piece.end] = kept
    return data.decode(), [source.slice(piece.start, piece.end) for piece in pieces]


def statement(piece: Piece, place: Place, sql: str) -> Iterator[Said]:
    """The effects of one statement."""
    method = _READERS.get(piece.which)
    if method is not None:
        yield from method(piece.node, place, sql)
    elif piece.which in _SERVER:
        what, kind = _SERVER[piece.which]
        names = [getattr(piece.node, field, "") for field in ("role", "dbname")]
        name = next((one for one in names if isinstance(one, str) and one), "")
        yield place.said(what, kind, (name,) if name else (), attribute="properties", sql=sql)
    elif piece.which in _NO_EFFECT:
        yield place.said(NOTHING, "", (), sql=sql)
    else:
        words = piece.which.removesuffix("_stmt").replace("_", " ").upper()
        yield place.said(UNREADABLE, "", (), attribute=f"a statement of the kind {words}", sql=sql)


# Creations


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


# Changes, renames, drops


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
        name = _name_of(kind, node.object, place)
    yield place.said(RENAMED, kind, name, new=node.newname, maybe=maybe, sql=sql)


def _set_schema(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.object_type, "object")
    if node.HasField("relation"):
        name = place.name(range_parts(node.relation))
    else:
        name = _name_of(kind, node.object, place)
    yield place.said(CHANGED, kind, name, attribute="schema", new=node.newschema, sql=sql)


def _owner(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.object_type, "object")
    name = _name_of(kind, node.object, place)
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
            _name_of(kind, each, place),
            maybe="IF EXISTS" if node.missing_ok else "",
            cascade=node.behavior == pb.DROP_CASCADE,
            sql=sql,
        )


def _name_of(kind: str, node: Any, place: Place) -> tuple[str, ...]:
    parts = of_object(node)
    if kind in _ALONE:
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


def _comment(node: Any, place: Place, sql: str) -> Iterator[Said]:
    kind = OBJECTS.get(node.objtype)
    if kind is None:
        word = sql_names.object_word(node.objtype)
        name: tuple[str, ...] = (sql_names.address(node.objtype, node.object),)
    else:
        word, name = kind, _name_of(kind, node.object, place)
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
            yield place.said(CHANGED, kind, _name_of(kind, each, place), attribute=attribute, sql=sql)


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
            name = _name_of("function", holder, place)
        else:
            name = (getattr(node, "extname", "") or getattr(node, "pubname", ""),)
        yield place.said(CHANGED, kind, name, attribute="properties", sql=sql)

    return reader


# Rows, settings, code


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
        values = [
            parser.postgast.deparse(_as_select(each)).removeprefix("SELECT ") for each in node.setstmt.args
        ]
        yield place.said(SET, kind, name, new=", ".join(values) or "DEFAULT", sql=sql)

    return reader


def _as_select(node: Any) -> Any:
    tree = pb.ParseResult()
    select = tree.stmts.add().stmt.select_stmt
    select.limit_option, select.op = pb.LIMIT_OPTION_DEFAULT, pb.SETOP_NONE
    select.target_list.add().res_target.val.CopyFrom(node)
    return tree


def _code(node: Any, place: Place, sql: str) -> Iterator[Said]:
    try:
        body = do_body(node)
    except SqlError as error:
        yield place.said(UNREADABLE, "", (), attribute=error.message, sql=sql)
        return
    for piece in body.statements:
        for said in statement(piece, place, sql):
            if said.what != NOTHING:
                yield place.within_code(said)
    if body.dynamic:
        yield place.said(UNREADABLE, "", (), attribute="SQL that is put together while it runs", sql=sql)


def _call(node: Any, place: Place, sql: str) -> Iterator[Said]:
    yield place.said(UNREADABLE, "", (), attribute="what the procedure does is not in the file", sql=sql)


def _query(node: Any, place: Place, sql: str) -> Iterator[Said]:
    if node.HasField("into_clause"):
        yield place.said(CREATED, "table", place.name(range_parts(node.into_clause.rel)), sql=sql)
    for each in node.with_clause.ctes:
        query = each.common_table_expr.ctequery
        which = query.WhichOneof("node")
        if which != "select_stmt":
            yield from statement(Piece(which, getattr(query, which), 0, 0), place, sql)
    for function, _ in called(node):
        if function.rpartition(".")[2] == "setval":
            yield place.said(NOTHING, "", (), attribute="position of a sequence", sql=sql)
        if effect_of(function) is None and not _COMPUTES.match(function):
            yield place.said(
                UNREADABLE, "", (), attribute=f"what {function}() does is not in the file", sql=sql
            )


def _drop_role(node: Any, place: Place, sql: str) -> Iterator[Said]:
    for each in node.roles:
        yield place.said(DROPPED, "role", (each.role_spec.rolename,), sql=sql)


def _refresh(node: Any, place: Place, sql: str) -> Iterator[Said]:
    name = place.name(range_parts(node.relation))
    yield place.said(NOTHING, "materialized view", name, attribute="data", sql=sql)


_READERS: dict[str, Any] = {
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
    "alter_table_stmt": alter_table,
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
    "insert_stmt": _rows("INSERT DATA"),
    "update_stmt": _rows("UPDATE DATA"),
    "delete_stmt": _rows("DELETE DATA"),
    "merge_stmt": _rows("MERGE DATA"),
    "truncate_stmt": _truncate,
    "copy_stmt": _copy,
    "alter_system_stmt": _setting("server setting"),
    "alter_database_set_stmt": _setting("database setting"),
    "alter_role_set_stmt": _setting("role setting"),
    "do_stmt": _code,
    "call_stmt": _call,
    "refresh_mat_view_stmt": _refresh,
    "select_stmt": _query,
}
