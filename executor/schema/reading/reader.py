"""Read a file's statements as effects, without running it: one method per kind of parse tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from approvals.analysis import parser
from approvals.analysis.effects import effect_of
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.kinds.queries import called
from approvals.analysis.parser import Piece, Source, SqlError
from executor.schema.reading import changes, creations, rows
from executor.schema.reading.alter import Place, alter_table
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, NOTHING, UNREADABLE, Said
from executor.schema.sql_text import range_parts

_COMPUTES = re.compile(
    r"(?:pg_catalog\..+|pg_\w+|quote_\w+|(?:array|json|jsonb|string|regexp|date)_\w+|sum|min|max|avg|round|floor|ceil"
    r"|lower|upper|format|concat|length|replace|coalesce|nullif|to_char|exists|unnest|generate_series)\Z"
)
"""Functions of PostgreSQL itself that only compute, by name: most of those that migrations call."""


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


RELOADS = frozenset({"pg_reload_conf", "pg_rotate_logfile"})
"""Functions that reach beyond the database, too, and change nothing of it: the call is left out, and is no
effect."""


_OF_SERVER_WORDS = ("SYSTEM", "DATABASE", "TABLESPACE", "ROLE", "USER", "PG_RELOAD_CONF", "PG_ROTATE_LOGFILE")
"""Without any of these words no statement is one of them, and the text needs no parser."""


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
    """The text with blanks where statements reach beyond the database, and those of them that have an effect.
    Line numbers stay. A text that does not parse is given back as it is."""
    if not any(word in sql.upper() for word in _OF_SERVER_WORDS):
        return sql, []
    source = Source(sql)
    try:
        pieces = [piece for piece in parser.parse(source) if piece.which in OF_SERVER or _reloads(piece)]
    except SqlError:
        return sql, []
    data = bytearray(source.data)
    for piece in pieces:
        kept = bytes(c if c in b"\r\n" else 32 for c in data[piece.start : piece.end])
        data[piece.start : piece.end] = kept
    beyond = [source.slice(piece.start, piece.end) for piece in pieces if piece.which in OF_SERVER]
    return data.decode(), beyond


def _reloads(piece: Piece) -> bool:
    """Whether a query does nothing but to let the server read its files anew."""
    names = {name for name, _ in called(piece.node)} if piece.which == "select_stmt" else set()
    return bool(names) and names <= RELOADS


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


_READERS: dict[str, Any] = {
    **creations.READERS,
    **changes.READERS,
    **rows.READERS,
    "alter_table_stmt": alter_table,
    "do_stmt": _code,
    "call_stmt": _call,
    "select_stmt": _query,
}
