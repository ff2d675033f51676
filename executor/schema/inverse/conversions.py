"""How a migration computed the values of a column that it gave another type (ALTER TYPE … USING) or replaced
by another column (UPDATE … SET), and what computes them back. Told from the expression alone, and only where
it leaves no choice; never by trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from approvals.analysis import parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.inverse.moved import Moves
from executor.schema.inverse.turned import Turned, turned
from executor.schema.lost import HOLE
from executor.schema.objects import Address, Object, Ref, Snapshot
from executor.schema.sql_text import found, range_parts


@dataclass(frozen=True, slots=True)
class Conversion:
    """One expression. `back` is SQL that computes a value of before from one of now, with HOLE where
    that stands ('' where nobody can tell), and `again` the expression of the file, likewise. `exact`: every
    value of before comes back; `why` is a sentence about what does not. `line` and `column` are its place.
    `source` is the address of the column to which an UPDATE brought the values; None: none did. `counted` is
    `back` as it can be computed where types of before are not there yet; '' where that is no other."""

    back: str
    again: str
    exact: bool
    why: str
    line: int
    column: int
    source: Address | None = None
    counted: str = ""

    @property
    def ways(self) -> tuple[str, str]:
        """Back and again, for counting what does not come out the same."""
        return self.counted or self.back, self.again

    @property
    def how(self) -> str:
        """By whom it is so."""
        return "as the engineer chose" if self.counted else "as the migration computed them"

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
    reader.take_moves()
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
        self.moves = Moves(before, after, search_path)

    def read(self, piece: Piece, place: tuple[int, int], *, sure: bool = True) -> None:
        """Take one statement; `sure`: nothing decides while it runs whether it is reached."""
        if piece.which == "create_function_stmt":
            self.functions[piece.node.funcname[-1].string.sval] = piece.node
        elif piece.which == "do_stmt":
            try:
                inside = do_body(piece.node).statements
            except SqlError:
                return
            for each in inside:
                self.read(each, place, sure=False)
        elif piece.which == "update_stmt":
            self.moves.update(piece.node, place, sure=sure)
        elif piece.which == "rename_stmt":
            self.moves.renamed(piece.node)
        elif piece.which == "alter_table_stmt":
            for name, using in _retyped(piece.node):
                self.moves.retyped(range_parts(piece.node.relation), name)
                if using is not None:
                    self._column(range_parts(piece.node.relation), name, using, place)

    def take_moves(self) -> None:
        """Add what was brought to other columns."""
        for move in self.moves.found(self.functions):
            now = self.after[self.after.by_address[move.source]]
            table = self.before.by_address[self.after[Ref("table", now.ref.relation)].address]
            own = move.old.ref == Ref("column", (*table.path, now.ref.name))
            way = move.way
            if own and now["type"] == move.old["type"] and way.back != f"{HOLE}::{now['type']}":
                continue  # nothing changes it back
            told = (way.back, way.again, way.exact, way.why, *move.place)
            for old, source in self._with_partitions(move.old, now):
                self.made[old.ref] = Conversion(*told, source=source.address)

    def _with_partitions(self, old: Object, source: Object) -> Iterator[tuple[Object, Object]]:
        """The two columns, and those of the partitions below, which may be written anew one by one."""
        for table in self.before.tree(Ref("table", old.ref.relation)):
            there = self.after.by_address.get(self.before[table].address)
            columns = self.after.columns(*there.path) if there is not None else []
            twin = self.before.get(Ref("column", (*table.path, old.ref.name)))
            same = next((column for column in columns if column.ref.name == source.ref.name), None)
            if twin is not None and same is not None:
                yield twin, same

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


def _retyped(node: Any) -> Iterator[tuple[str, Any]]:
    """Columns that get another type, and what computes their values (None: a cast)."""
    for each in node.cmds:
        command = each.alter_table_cmd
        if command.subtype == pb.AT_AlterColumnType:
            definition = getattr(command, "def").column_def
            yield command.name, definition.raw_default if definition.HasField("raw_default") else None
