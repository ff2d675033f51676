"""What earlier files of a chain say about objects: the definitions that a later file replaces or drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from approvals.analysis import names as sql_names
from approvals.analysis import parser
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.reading import read_pieces
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, RENAMED, UNREADABLE, Said
from executor.schema.sql_text import expression, range_parts

Key = tuple[str, tuple[str, ...]]
_WHOLE = frozenset(
    {"function", "view", "materialized view", "index", "trigger", "policy", "rule", "constraint"}
)
"""Kinds whose own statement says all about them."""
_HOLDS_DATA = frozenset({"table", "column", "schema", "type", "sequence"})


@dataclass
class Earlier:
    """The objects as the files before leave them. `defined` holds the last statement that made an object, and
    its file; `known` is every object that is there; `types`, `defaults` and `comments` are what columns (and
    others) had last. `opaque` are texts of files that run SQL which is put together while it runs: what they
    made is not known. With `unknown` nothing at all is known of what came before."""

    unknown: bool = False
    defined: dict[Key, tuple[str, str]] = field(default_factory=dict)
    known: set[Key] = field(default_factory=set)
    types: dict[tuple[str, ...], str] = field(default_factory=dict)
    defaults: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    comments: dict[Key, str] = field(default_factory=dict)
    opaque: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, files: Iterable[tuple[str, str]]) -> Earlier:
        """Read the earlier files of a chain in their order: pairs of name and text. One that does not parse
        was never applied, so it made nothing."""
        made = cls()
        for name, text in files:
            made.add(name, text)
        return made

    def add(self, name: str, text: str) -> None:
        """Read one more file."""
        source = Source(text)
        try:
            effects = read_pieces(source)
            pieces = parser.parse(source)
        except SqlError:
            return
        many = Counter(said.position for said in effects)
        for said in effects:
            self._take(name, said, alone=many[said.position] == 1)
        for piece in pieces:
            for column, kind, default in _columns(piece.which, piece.node):
                self.types[column] = kind or self.types.get(column, "")
                self.defaults[column] = default
        if any(said.what == UNREADABLE for said in effects):
            self.opaque.append(text.lower())

    def _take(self, name: str, said: Said, *, alone: bool) -> None:
        key = (said.kind, said.name)
        if said.what == CREATED:
            if said.maybe == "IF NOT EXISTS" and key in self.known:
                return
            self.known.add(key)
            self.defined.pop(key, None)
            if said.kind in _WHOLE and alone:
                self.defined[key] = (said.sql, name)
        elif said.what == DROPPED:
            self.defined.pop(key, None)
            self.known.discard(key)
            self.types.pop(said.name, None)
        elif said.what == RENAMED:
            self.known.discard(key)
            self.known.add((said.kind, said.renamed))
            self.defined.pop(key, None)
        elif said.what == CHANGED and said.attribute == "comment":
            self.comments[key] = said.new
        elif said.what == CHANGED and said.attribute != "grants":
            self.defined.pop(key, None)
            if said.attribute == "type":
                self.types[said.name] = said.new
            elif said.attribute == "default":
                self.defaults.pop(said.name, None)

    def definition(self, kind: str, name: tuple[str, ...]) -> tuple[str, str] | None:
        """The statement that made the object as it stood, and its file; None where that isn't known."""
        return self.defined.get((kind, name))

    def may_have(self, kind: str, name: tuple[str, ...]) -> bool:
        """Whether the object may have been there before this file. Of files that can't be read to the end it
        is believed that they made nothing without data unless they name it."""
        if self.unknown or (kind, name) in self.known or (kind == "column" and name in self.types):
            return True
        if kind in _HOLDS_DATA:
            return bool(self.opaque)
        own = name[1] if kind == "function" and len(name) > 1 else name[-1]
        return any(own.lower() in text for text in self.opaque)


def _columns(which: str, node: Any) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """Columns that a statement makes or whose default it sets, with type ('' where it stays) and default."""
    if which not in ("create_stmt", "alter_table_stmt"):
        return
    parts = range_parts(node.relation)
    table = tuple(parts) if len(parts) > 1 else ("public", *parts)
    if which == "create_stmt":
        for each in node.table_elts:
            if each.HasField("column_def"):
                yield _column(table, each.column_def)
        return
    for each in node.cmds:
        command = each.alter_table_cmd
        definition = getattr(command, "def")
        if command.subtype == pb.AT_AddColumn:
            yield _column(table, definition.column_def)
        elif command.subtype == pb.AT_ColumnDefault:
            default = expression(definition) if command.HasField("def") else None
            yield (*table, command.name), "", default


def _column(table: tuple[str, ...], definition: Any) -> tuple[tuple[str, ...], str, str | None]:
    default = next(
        (
            expression(each.constraint.raw_expr)
            for each in definition.constraints
            if each.constraint.contype == pb.CONSTR_DEFAULT
        ),
        None,
    )
    return (*table, definition.colname), sql_names.type_name(definition.type_name), default
