"""How a migration computed the values of a column that it gave another type (ALTER TYPE … USING), and what
computes them back. Told from the expression alone, and only where it leaves no choice; never by trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from approvals.analysis import parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.inverse.turned import Turned, turned
from executor.schema.lost import HOLE
from executor.schema.objects import Object, Ref, Snapshot
from executor.schema.sql_text import found, range_parts


@dataclass(frozen=True, slots=True)
class Conversion:
    """One USING expression. `back` is SQL that computes a value of before from one of now, with HOLE where
    that stands ('' where nobody can tell), and `again` the expression of the file, likewise. `exact`: every
    value of before comes back; `why` is a sentence about what does not. `line` and `column` are its place."""

    back: str
    again: str
    exact: bool
    why: str
    line: int
    column: int

    @property
    def ways(self) -> tuple[str, str]:
        """Back and again, for counting what does not come out the same."""
        return self.back, self.again

    def of(self, name: str) -> str:
        """The expression for a column that is written `name`."""
        return self.back.replace(HOLE, name)


def conversions(
    forward: str, before: Snapshot, after: Snapshot, search_path: tuple[str, ...] = ("public",)
) -> Mapping[Ref, Conversion]:
    """For the columns of before whose values the migration computed while it changed their type. Empty for a
    text that does not parse."""
    source = Source(forward)
    try:
        pieces = parser.parse(source)
    except SqlError:
        return {}
    reader = _Reader(source, before, after, search_path)
    for piece in pieces:
        reader.read(piece, source.place(piece.start))
    return reader.made


class _Reader:
    """Reads one file."""

    def __init__(
        self, source: Source, before: Snapshot, after: Snapshot, search_path: tuple[str, ...]
    ) -> None:
        self.source = source
        self.before, self.after, self.search_path = before, after, search_path
        self.functions: dict[str, Any] = {}
        self.made: dict[Ref, Conversion] = {}

    def read(self, piece: Piece, place: tuple[int, int]) -> None:
        """Take one statement."""
        if piece.which == "create_function_stmt":
            self.functions[piece.node.funcname[-1].string.sval] = piece.node
        elif piece.which == "do_stmt":
            try:
                inside = do_body(piece.node).statements
            except SqlError:
                return
            for each in inside:
                self.read(each, place)
        elif piece.which == "alter_table_stmt":
            for name, using in _computed(piece.node):
                self._column(range_parts(piece.node.relation), name, using, place)

    def _column(self, table: list[str], name: str, using: Any, place: tuple[int, int]) -> None:
        column = self._find(table, name)
        now = self.after.by_address.get(column.address) if column is not None else None
        if column is None or now is None or column["generated"]:
            return
        becomes = self.after[now]["type"]
        way = turned(using, name, column, becomes, self.before, self.functions)
        if way is None:
            return
        if becomes == column["type"]:
            way = Turned("", False, "its type is the same, so that nothing changes it back")
        if column.ref in self.made:
            way = Turned("", False, "its values were computed more than once")
        self.made[column.ref] = Conversion(way.back, way.again, way.exact, way.why, *place)

    def _find(self, table: list[str], name: str) -> Object | None:
        """The column of before that is meant, by its name there or behind the migration."""
        for there in (self.before, self.after):
            ref = found(there, "table", table, self.search_path)
            column = there.get(Ref("column", (*ref.path, name))) if ref is not None else None
            if column is not None:
                was = self.before.by_address.get(column.address)
                return self.before[was] if was is not None else None
        return None


def _computed(node: Any) -> Iterator[tuple[str, Any]]:
    for each in node.cmds:
        command = each.alter_table_cmd
        if command.subtype == pb.AT_AlterColumnType:
            definition = getattr(command, "def").column_def
            if definition.HasField("raw_default"):
                yield command.name, definition.raw_default
