"""The only door to the SQL parser (libpg_query with PostgreSQL's own grammar, through postgast).

Facts that the conformance tests hold: statement offsets count UTF-8 bytes and start at the first token;
error positions count characters; a NUL byte silently ends the input; a long chain of operators overflows the
C stack and ends the process. So texts are guarded before they are parsed, and nothing else imports postgast.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import accumulate
from typing import Any

from google.protobuf.message import DecodeError, Message

from approvals.analysis.model import Problem

__all__ = ["Piece", "Source", "SqlError", "keywords", "parse", "parse_body", "pb", "salvage", "walk"]

# Imported this way because postgast's type stubs use Python keywords as names, at which mypy stops.
postgast: Any = import_module("postgast")
pb: Any = import_module("postgast.pg_query_pb2")

# A chain of n operators nests n deep: libpg_query's writer takes some 390 bytes of C stack per level, and
# time that grows with the square. Measured: 21,000 levels overflow a stack of 8 MB, 8,000 take 0.1 s.
MAX_DEPTH = 8_000
MAX_ERRORS = 20

_OPEN = frozenset({pb.ASCII_40, pb.ASCII_91})
_CLOSE = frozenset({pb.ASCII_41, pb.ASCII_93})
_COMMENTS = frozenset({pb.SQL_COMMENT, pb.C_COMMENT})

with suppress(ImportError, AttributeError):
    # Python's protobuf gives up at 100 levels, which forty "+" reach; this lifts the limit to 65,535.
    from google._upb import _message

    _message.SetAllowOversizeProtos(True)


class SqlError(Exception):
    """SQL that cannot be read. `offset` counts bytes from the start of the text."""

    def __init__(self, message: str, offset: int = 0, code: str = "syntax") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.code = code


class Source:
    """A text and its UTF-8 bytes: turns byte offsets into lines and columns. Drops a byte-order mark."""

    def __init__(self, text: str) -> None:
        self.had_mark = text.startswith("\ufeff")
        self.text = text[1:] if self.had_mark else text
        self.invalid: int | None = None  # the first character without a UTF-8 form (half a surrogate pair)
        try:
            self.data = self.text.encode()
        except UnicodeEncodeError as error:
            self.invalid = error.start
            self.data = self.text.encode(errors="replace")

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *accumulate(len(line) + 1 for line in self.data.split(b"\n")[:-1])]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column (from 1; the column in characters) of a byte offset."""
        offset = max(0, min(offset, len(self.data)))
        line = bisect_right(self._line_starts, offset)
        return line, len(self.data[self._line_starts[line - 1] : offset].decode(errors="ignore")) + 1

    def slice(self, start: int, end: int) -> str:
        """The text between two byte offsets."""
        return self.data[start:end].decode(errors="replace")

    def byte_offset(self, character: int) -> int:
        """The byte offset of a character offset."""
        return len(self.text[:character].encode(errors="replace"))

    def problem(self, error: SqlError) -> Problem:
        """The error as a problem at its place."""
        line, column = self.place(error.offset)
        return Problem(line, column, error.message, error.code)


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement's parse tree (`node`, of the type named `which`), and the bytes of its text."""

    which: str
    node: Any
    start: int
    end: int


def parse(source: Source) -> list[Piece]:
    """The statements of a text, in order. Raises SqlError at the first that PostgreSQL could not read."""
    _refuse_unreadable(source)
    _refuse_deep(source)
    return _parse(source, 0, len(source.data))


def salvage(source: Source) -> tuple[list[Piece], list[SqlError]]:
    """What can be read of a text that does not parse as a whole: its good statements and up to 20 errors."""
    pieces: list[Piece] = []
    errors: list[SqlError] = []
    try:
        _refuse_unreadable(source)
        for start, end in _split(source):
            try:
                _refuse_deep_statement(source, start, end)
                pieces += _parse(source, start, end)
            except SqlError as error:
                errors.append(error)
    except SqlError as error:
        errors.append(error)
    return pieces, errors[:MAX_ERRORS]


def parse_body(statement: str) -> list[Any]:
    """The PL/pgSQL trees of a DO, CREATE FUNCTION or CREATE PROCEDURE statement, as JSON values.

    Raises SqlError (of unknown offset: the line that libpg_query names is wrong) where it could not be read.
    """
    try:
        trees = postgast.parse_plpgsql(statement)
    except postgast.PgQueryError as error:
        raise SqlError(f"PL/pgSQL: {error.message}.", code="body") from None
    except (RecursionError, json.JSONDecodeError, UnicodeDecodeError):
        raise SqlError("The PL/pgSQL body cannot be read: it is nested too deeply.", code="depth") from None
    return list(trees)


def walk(node: Message) -> Iterator[Message]:
    """Every message below and including a parse tree's node, parents first. Never recurses."""
    todo = [node]
    while todo:
        message = todo.pop()
        yield message
        for field, value in reversed(message.ListFields()):
            if field.message_type is None:
                continue
            if isinstance(value, Message):
                todo.append(value)
            else:
                todo.extend(reversed(value))


def keywords() -> frozenset[str]:
    """Words that PostgreSQL quotes when they are names: every keyword of the grammar but the unreserved."""
    words = " ".join(name.removesuffix("_P").lower() for name in pb.Token.keys())  # noqa: SIM118
    plain = (pb.NO_KEYWORD, pb.UNRESERVED_KEYWORD)
    found = postgast.scan(words).tokens
    return frozenset(words[token.start : token.end] for token in found if token.keyword_kind not in plain)


def _refuse_unreadable(source: Source) -> None:
    nul = source.data.find(b"\0")
    if nul >= 0:
        raise SqlError("A NUL character: parsers and drivers stop reading at it.", nul, "nul")
    if source.invalid is not None:
        at = source.byte_offset(source.invalid)
        raise SqlError("A character that is not valid Unicode.", at, "encoding")


def _refuse_deep(source: Source) -> None:
    """Raise SqlError for a statement that would nest deeper than the C stack is."""
    if len(source.data) <= MAX_DEPTH:
        return
    for start, end in _split(source):
        _refuse_deep_statement(source, start, end)


def _refuse_deep_statement(source: Source, start: int, end: int) -> None:
    if end - start > MAX_DEPTH and _depth(source.slice(start, end)) > MAX_DEPTH:
        raise SqlError("One expression here is too long or nested too deeply to be read.", start, "depth")


def _depth(sql: str) -> int:
    """An upper bound of how deep a statement nests: its longest run of tokens between commas."""
    outer: list[tuple[int, int]] = []
    run = best = 0
    for token in _scan(sql):
        if token.token in _COMMENTS:
            continue
        run += 1
        if token.token == pb.ASCII_44:
            best, run = max(best, run), 0
        elif token.token in _OPEN:
            outer.append((run, best))
            run = best = 0
        elif token.token in _CLOSE and outer:
            inner = max(run, best)
            run, best = outer.pop()
            run += inner
    return max(run, best, *(max(pair) for pair in outer), 0) + sum(pair[0] for pair in outer)


def _split(source: Source) -> list[tuple[int, int]]:
    """Where the scanner alone would cut the text (bytes); it also cuts inside BEGIN ATOMIC bodies."""
    try:
        texts = postgast.split(source.slice(0, len(source.data)), method="scanner")
    except postgast.PgQueryError as error:
        raise _error(source, error, 0, source.text) from None
    places, at = [], 0
    for text in texts:
        data = text.encode()
        start = source.data.find(data, at)
        at = start + len(data)
        places.append((start, at))
    return places


def _parse(source: Source, start: int, end: int) -> list[Piece]:
    sql = source.text if start == 0 and end == len(source.data) else source.slice(start, end)
    try:
        tree = postgast.parse(sql)
    except postgast.PgQueryError as error:
        raise _error(source, error, start, sql) from None
    except DecodeError:
        raise SqlError("The SQL is nested too deeply to be read.", start, "depth") from None
    pieces = []
    for raw in tree.stmts:
        first = start + raw.stmt_location
        last = first + raw.stmt_len if raw.stmt_len else _last_token(source, first, end)
        which = raw.stmt.WhichOneof("node")
        pieces.append(Piece(which, getattr(raw.stmt, which), first, last))
    return pieces


def _last_token(source: Source, start: int, end: int) -> int:
    """Where the last token ends that is no comment; for a statement that no semicolon ends."""
    tokens = [token for token in _scan(source.slice(start, end)) if token.token not in _COMMENTS]
    return start + tokens[-1].end if tokens else end


def _scan(sql: str) -> Any:
    try:
        return postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return ()  # the parser reports the same error, with its place


def _error(source: Source, error: Any, start: int, sql: str) -> SqlError:
    """The parser's error at its byte offset; its own position counts characters from 1."""
    before = sql[: max(error.cursorpos - 1, 0)]
    return SqlError(error.message, start + len(before.encode(errors="replace")))
