"""Why a migration does not apply again behind its way back: the statement that fails, and what of its first
run reaches it and is not undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psycopg

from approvals.analysis import parser
from approvals.analysis.kinds.procedural import do_body
from approvals.analysis.parser import Piece, Source, SqlError, pb
from executor.schema.inverse.from_backup import FromBackup
from executor.schema.names import dotted, quoted
from executor.schema.replay import where
from executor.schema.shadow import Shadow

Name = tuple[str, str]
"""Schema ('' where none is written) and table."""
MOST = 4
"""Causes that are named in one sentence."""
_WRITES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt", "do_stmt")


@dataclass(frozen=True, slots=True)
class Stays:
    """An effect of the first run that the way back does not undo: the table (as SQL, with its schema) and a
    sentence."""

    relation: str
    text: str

    @classmethod
    def of(cls, gap: FromBackup) -> Stays:
        """What the generator announced."""
        place = f"line {gap.line}: " if gap.line else ""
        return cls(gap.relation, f"{place}{gap.change} on {gap.relation}: {gap.why}")


@dataclass(frozen=True, slots=True)
class NotAgain:
    """What the server refused, at which place of the file; `tables` are those that the statement there names,
    and those from which rows or values came to them."""

    line: int
    column: int
    sqlstate: str
    message: str
    tables: frozenset[Name]

    def causes(self, stays: Iterable[Stays]) -> tuple[str, ...]:
        """What of `stays` reaches the statement; without any it is not known why it fails."""
        return tuple(dict.fromkeys(each.text for each in stays if _is_among(each.relation, self.tables)))

    def told(self, stays: Iterable[Stays]) -> str:
        """Place, error and causes."""
        said = f"line {self.line}, column {self.column}: {self.sqlstate} {self.message}"
        causes = [cause.rstrip(".") for cause in self.causes(stays)]
        if not causes:
            return said
        others = f", and {len(causes) - MOST} more" if len(causes) > MOST else ""
        listed = "; ".join(causes[:MOST])
        return f"{said}. What its first run did and is not undone stands in the way: {listed}{others}"


def not_again(shadow: Shadow, forward: str, error: psycopg.Error) -> NotAgain:
    """Read an error that a migration met on a shadow that stands behind its way back (and as before the
    error)."""
    place = where(shadow, forward, error)
    tables = frozenset(reached(forward, place) | _named(error))
    message = error.diag.message_primary or str(error)
    return NotAgain(*place, error.sqlstate or "", message, tables)


def reached(text: str, place: tuple[int, int]) -> set[Name]:
    """The tables that the statement at a place of a file names, and those from which earlier statements of
    the file brought rows or values to them. Empty for a text that does not parse."""
    source = Source(text)
    try:
        pieces = parser.parse(source)
    except SqlError:
        return set()
    done = [piece for piece in pieces if source.place(piece.start) <= place]
    found = set(_tables(done[-1])) if done else set()
    for piece in reversed(done[:-1]):
        named = set(_tables(piece))
        if piece.which in _WRITES and any(_same(one, other) for one in named for other in found):
            found |= named
    return found


def _tables(piece: Piece) -> Iterator[Name]:
    """The tables that a statement names, those of a DO's statements among them."""
    if piece.which == "do_stmt":
        try:
            inside = do_body(piece.node).statements
        except SqlError:
            return
        for each in inside:
            yield from _tables(each)
    for node in parser.walk(piece.node):
        if isinstance(node, pb.RangeVar):
            yield node.schemaname, node.relname


def _named(error: psycopg.Error) -> set[Name]:
    """The table that the server names."""
    name = error.diag.table_name
    return {(error.diag.schema_name or "", name)} if name else set()


def _same(one: Name, other: Name) -> bool:
    return one[1] == other[1] and (one[0] == other[0] or not one[0] or not other[0])


def _is_among(relation: str, tables: Iterable[Name]) -> bool:
    return any(
        relation == dotted((schema, name)) if schema else relation.endswith(f".{quoted(name)}")
        for schema, name in tables
    )
