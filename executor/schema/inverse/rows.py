"""Rows that the migration file itself changed: its INSERTs become DELETEs where the file gives values that
tell the rows; what it overwrote or deleted is in a backup only, and that is said, never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from approvals.analysis import matrix, parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.inverse.deletions import Deletion, Deletions
from executor.schema.inverse.family import comma
from executor.schema.inverse.from_backup import FromBackup
from executor.schema.inverse.queried import FROM_A_QUERY, NotTold, Queried
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot
from executor.schema.sql_text import found, range_parts


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What becomes of the rows: deletions (the last INSERT first), gaps, and what could not be read."""

    deletions: tuple[Deletion, ...]
    gaps: tuple[FromBackup, ...]
    notes: tuple[str, ...]


def row_changes(
    forward: str, before: Snapshot, after: Snapshot, search_path: tuple[str, ...] = ("public",)
) -> RowChanges:
    """Read the migration file for statements that change rows of tables that were there before. A file that
    does not parse yields a note."""
    source = Source(forward)
    reader = _Reader(source, before, after, search_path)
    try:
        pieces = parser.parse(source)
    except SqlError as error:
        return RowChanges(
            (), (), (f"The file can't be read, so its changes of rows are not known: {error}.",)
        )
    reader.fates = list(_fates(pieces))
    for reader.number, piece in enumerate(pieces):
        reader.read(piece)
    return RowChanges(tuple(reversed(reader.deletions)), tuple(reader.gaps), tuple(reader.notes))


@dataclass(frozen=True, slots=True)
class _Fate:
    """What a statement, by its number in the file, makes of a column that rows have already: another name, or
    '' where other values stand there then, or none."""

    number: int
    table: list[str]
    column: str
    becomes: str = ""


def _fates(pieces: list[Piece]) -> Iterator[_Fate]:
    for number, piece in enumerate(pieces):
        for each in _within(piece):
            if each.which == "rename_stmt" and each.node.rename_type == pb.OBJECT_COLUMN:
                yield _Fate(number, range_parts(each.node.relation), each.node.subname, each.node.newname)
            elif each.which == "update_stmt":
                for target in each.node.target_list:
                    yield _Fate(number, range_parts(each.node.relation), target.res_target.name)
            elif each.which == "alter_table_stmt":
                for command in (one.alter_table_cmd for one in each.node.cmds):
                    definition = getattr(command, "def").column_def
                    computed = command.subtype == pb.AT_AlterColumnType and definition.HasField("raw_default")
                    if computed or command.subtype == pb.AT_DropColumn:
                        yield _Fate(number, range_parts(each.node.relation), command.name)


def _within(piece: Piece) -> list[Piece]:
    """The statement, or those of a DO block as far as they can be read."""
    if piece.which != "do_stmt":
        return [piece]
    try:
        return list(do_body(piece.node).statements)
    except SqlError:
        return []


class _Reader:
    """Reads one file, statement by statement."""

    def __init__(
        self, source: Source, before: Snapshot, after: Snapshot, search_path: tuple[str, ...]
    ) -> None:
        self.source = source
        self.before, self.after = before, after
        self.search_path = search_path
        self.makes = Deletions(after)
        self.queries = Queried(after, search_path)
        self.deletions: list[Deletion] = []
        self.gaps: list[FromBackup] = []
        self.notes: list[str] = []
        self.place = (1, 1)
        self.within_code = False
        self.added: set[str] = set()
        self.number = 0
        self.fates: list[_Fate] = []

    def read(self, piece: Piece) -> None:
        """Take one statement."""
        if not self.within_code:
            self.place = self.source.place(piece.start)
        method = getattr(self, f"_{piece.which}", None)
        if method is not None:
            method(piece.node)

    def _alter_table_stmt(self, node: Any) -> None:
        for each in node.cmds:
            if each.alter_table_cmd.subtype == pb.AT_AddColumn:
                self.added.add(getattr(each.alter_table_cmd, "def").column_def.colname)

    def _insert_stmt(self, node: Any) -> None:
        self._inside_with(node)
        table = self._table(node.relation, "INSERT DATA")
        if table is None:
            return
        why = self._not_invertible(node, table)
        if why is None:
            try:
                rows = self.queries.rows(node.select_stmt.select_stmt)
                columns = self._by_now(self._columns(node, table), table)
            except NotTold as untold:
                self._gap(table, "INSERT DATA", str(untold))
                return
            deletion = self.makes.deletion(table, columns, rows, self.place)
            if deletion is not None:
                self.deletions.append(deletion)
                return
            why = "the file does not give values by which the rows can be told from others"
            if "" in columns:
                why += ", or writes other ones later on"
        self._gap(table, "INSERT DATA", why)

    def _update_stmt(self, node: Any) -> None:
        self._inside_with(node)
        table = self._table(node.relation, "UPDATE DATA")
        if table is None:
            return
        names = [each.res_target.name for each in node.target_list]
        old = [name for name in names if self._was_there(table, name)]
        if old:
            self._gap(table, "UPDATE DATA", f"the former values of {comma(map(quoted, old))} are overwritten")

    def _delete_stmt(self, node: Any) -> None:
        self._inside_with(node)
        if (table := self._table(node.relation, "DELETE DATA")) is not None:
            self._gap(table, "DELETE DATA", "the rows are gone")

    def _merge_stmt(self, node: Any) -> None:
        if (table := self._table(node.relation, "MERGE DATA")) is not None:
            self._gap(table, "MERGE DATA", "which rows it added or changed is not in the file")

    def _truncate_stmt(self, node: Any) -> None:
        for each in node.relations:
            if (table := self._table(each.range_var, "TRUNCATE")) is not None:
                self._gap(table, "TRUNCATE", "the rows are gone")

    def _copy_stmt(self, node: Any) -> None:
        if node.is_from and (table := self._table(node.relation, "COPY IN")) is not None:
            self._gap(table, "COPY IN", "the rows are data, not statements")

    def _select_stmt(self, node: Any) -> None:
        self._inside_with(node)

    def _do_stmt(self, node: Any) -> None:
        try:
            body = do_body(node)
        except SqlError as error:
            self.notes.append(f"line {self.place[0]}: {error.message} It may have changed rows.")
            return
        self.within_code = True
        for piece in body.statements:
            self.read(piece)
        self.within_code = False
        if body.dynamic:
            self.notes.append(
                f"line {self.place[0]}: SQL that is put together while it runs may have changed rows."
            )

    def _inside_with(self, node: Any) -> None:
        for each in node.with_clause.ctes:
            query = each.common_table_expr.ctequery
            which = query.WhichOneof("node")
            if which in ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"):
                outer, self.within_code = self.within_code, True
                self.read(Piece(which, getattr(query, which), 0, 0))
                self.within_code = outer

    # Tables and their keys

    def _table(self, node: Any, change: str) -> Object | None:
        """The table, if it was there before the migration and still is: rows of others come and go with
        them."""
        parts = range_parts(node)
        ref = found(self.after, "table", parts, self.search_path)
        earlier = found(self.before, "table", parts, self.search_path)
        if ref is not None and self.after[ref].address in self.before.by_address:
            return self.after[ref]
        if ref is None and earlier is not None and self.before[earlier].address in self.after.by_address:
            return self.after[self.after.by_address[self.before[earlier].address]]
        if ref is None and earlier is None and (view := self._view(parts)) is not None:
            self._gap(view, change, "by way of a view: what became of rows behind it is not told here")
        return None

    def _view(self, parts: list[str]) -> Object | None:
        """The view of that name, if it was there before the migration, or shows what was."""
        ref = found(self.before, "view", parts, self.search_path)
        if ref is not None:
            return self.before[ref]
        ref = found(self.after, "view", parts, self.search_path)
        if ref is None:
            return None
        shown = [need.relation for need in self.after.needs.get(ref, ()) if need.kind.endswith("column")]
        old = (self.after.get(Ref(kind, path)) for path in shown for kind in ("table", "view"))
        return (
            self.after[ref] if any(each and each.address in self.before.by_address for each in old) else None
        )

    def _was_there(self, table: Object, column: str) -> bool:
        now = self.after.get(Ref("column", (*table.ref.path, column)))
        return column not in self.added if now is None else now.address in self.before.by_address

    def _not_invertible(self, node: Any, table: Object) -> str | None:
        """Why the INSERT has no DELETE, if that is seen without its values."""
        if found(self.after, "table", range_parts(node.relation), self.search_path) != table.ref:
            return "the table is renamed by the same file"
        if self.within_code:
            return "whether code ran it can't be told from the file"
        if node.on_conflict_clause.action == pb.ONCONFLICT_NOTHING:
            return "ON CONFLICT DO NOTHING: which rows were there before is not known"
        if node.on_conflict_clause.action == pb.ONCONFLICT_UPDATE:
            return "ON CONFLICT DO UPDATE: rows that were there before are overwritten"
        if not node.HasField("select_stmt") or node.HasField("with_clause"):
            return FROM_A_QUERY
        return None

    def _columns(self, node: Any, table: Object) -> list[str]:
        columns = [each.res_target.name for each in node.cols]
        if not columns:
            columns = [
                column.ref.name
                for column in self.after.columns(*table.ref.path)
                if column.address in self.before.by_address
            ]
        return columns

    def _by_now(self, columns: list[str], table: Object) -> list[str]:
        """Their names behind the migration; '' for those that have not the values any more that came with the
        row."""
        for fate in self.fates:
            named = fate.number > self.number and fate.column in columns
            if named and found(self.after, "table", fate.table, self.search_path) == table.ref:
                columns = [fate.becomes if name == fate.column else name for name in columns]
        return columns

    def _gap(self, table: Object, change: str, why: str) -> None:
        line, column = self.place
        assert matrix.row(change)  # noqa: S101 (a row that the decision matrix has)
        self.gaps.append(FromBackup(dotted(table.ref.path), change, why, line, column))
