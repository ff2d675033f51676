"""The way back by reading, where a chain does not replay: statement by statement out of the parse tree, with
facts from the live catalog. It is the weaker origin: what the file does not say is a TODO that stops the
script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from approvals.analysis.parser import Source, SqlError, parse
from executor.schema.complete.read import net
from executor.schema.complete.settings import of_server
from executor.schema.inverse.rows import row_changes
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Ref, Snapshot
from executor.schema.reading import read_pieces
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, RENAMED, ROWS, SET, UNREADABLE, Said
from executor.schema.static.earlier import Earlier
from executor.schema.static.facts import Facts
from executor.schema.static.todo import Todo, drop, or_replace, script, written

ORIGIN = "by reading"


SERIALS = ("serial", "bigserial", "smallserial")


@dataclass(frozen=True, slots=True)
class StaticInverse:
    """The script, its gaps (each stops it, so that it can't be submitted), and how many effects it undoes."""

    script: str
    todos: tuple[Todo, ...]
    undone: int
    origin: str = ORIGIN


def inverse_by_reading(
    forward: str, live: Snapshot | None = None, earlier: Earlier | None = None
) -> StaticInverse:
    """The way back of a file that can't be run. `live` is the target's schema behind the migration; `earlier`
    what the files before it say. A file that does not parse gives one TODO, with line and column."""
    source = Source(forward)
    try:
        effects = net(read_pieces(source))
        parse(source)
    except SqlError as error:
        problem = source.problem(error)
        todo = Todo(problem.line, problem.column, "the file", f"it can't be read: {problem.message}")
        return StaticInverse(script([todo]), (todo,), 0)
    server = [said for said in read_pieces(source) if of_server(said)]
    return _Static(forward, live, earlier or Earlier(unknown=True)).inverse([*effects, *server])


class _Static:
    def __init__(self, forward: str, live: Snapshot | None, earlier: Earlier) -> None:
        self.forward = forward
        self.live = live
        self.earlier = earlier
        self.facts = Facts(live, set())

    def inverse(self, effects: list[Said]) -> StaticInverse:
        """All effects, the last one first."""
        self.facts.made |= {(said.kind, said.name) for said in effects if said.what == CREATED}
        pieces = list(self._rows([said for said in effects if said.what == ROWS]))
        pieces += self.facts.keys_among(effects)
        for said in sorted(effects, key=lambda said: (_needed_by_others(said), -said.position)):
            if said.what != ROWS:
                pieces += self._back(said)
        todos = tuple(piece for piece in pieces if isinstance(piece, Todo))
        return StaticInverse(script(pieces), todos, len(pieces) - len(todos))

    def _back(self, said: Said) -> Iterator[str | Todo]:
        if said.what == UNREADABLE:
            yield self._todo(said, "what it did can't be told without running it")
        elif said.maybe == "in a DO block":
            yield self._todo(said, "whether code ran it can't be told from the file")
        elif said.what == CREATED:
            yield self._created(said)
        elif said.what == DROPPED:
            yield self._dropped(said)
        elif said.what == RENAMED:
            yield self._renamed(said)
        elif said.what == SET:
            yield self._todo(said, f"which value {dotted(said.name)} had before is not in the file")
        elif said.what == CHANGED:
            yield self._changed(said)

    def _created(self, said: Said) -> str | Todo:
        if said.maybe == "OR REPLACE" and self.earlier.may_have(said.kind, said.name):
            definition = self.earlier.definition(said.kind, said.name)
            if definition is None:
                return self._todo(said, "whether it replaced another definition, and which, is not known")
            return self._replaced(said, *definition)
        if said.maybe == "IF NOT EXISTS" and self.earlier.may_have(said.kind, said.name):
            return self._todo(said, "IF NOT EXISTS: it may have been there before")
        name = self.facts.name_in_catalog(said)
        if name is None:
            return self._todo(said, "the target's catalog has no such object any more")
        if strangers := self.facts.strangers(said, name):
            return self._todo(said, f"{strangers} needs it and was made by something else")
        return drop(said, name)

    def _replaced(self, said: Said, definition: str, file: str) -> str | Todo:
        """The definition that it replaced. (A view may only win columns by OR REPLACE, never lose one.)"""
        if said.kind != "view":
            return f"-- As it was in {file}\n{or_replace(definition)}"
        if strangers := self.facts.strangers(said, said.name):
            return self._todo(said, f"{strangers} needs it and was made by something else")
        return f"{drop(said, said.name)};\n-- As it was in {file}\n{definition}"

    def _dropped(self, said: Said) -> str | Todo:
        definition = self.earlier.definition(said.kind, said.name)
        if definition is not None:
            return f"-- As it was in {definition[1]}\n{definition[0]}"
        data = " Its data are in a backup only." if said.kind in ("table", "column") else ""
        return self._todo(said, f"how it was is not in this file.{data}")

    def _renamed(self, said: Said) -> str | Todo:
        now = said.renamed
        if self.live is not None and Ref(said.kind, now) not in self.live and said.kind != "function":
            return self._todo(said, "the target's catalog has nothing of the new name")
        old = said.name[1] if said.kind == "function" else said.name[-1]
        if said.kind in ("column", "constraint"):
            word = said.kind.upper()
            return f"ALTER TABLE {dotted(now[:2])} RENAME {word} {quoted(now[-1])} TO {quoted(old)}"
        if said.kind in ("trigger", "policy", "rule"):
            return f"ALTER {said.kind.upper()} {quoted(now[-1])} ON {dotted(now[:2])} RENAME TO {quoted(old)}"
        return f"ALTER {said.kind.upper()} {written(said.kind, now)} RENAME TO {quoted(old)}"

    def _changed(self, said: Said) -> str | Todo:
        table = dotted(said.name[:2])
        if said.kind == "column" and said.attribute == "not null":
            column = f"ALTER TABLE {table} ALTER COLUMN {quoted(said.name[-1])}"
            return f"{column} {'DROP' if said.new == 'SetNotNull' else 'SET'} NOT NULL"
        if said.attribute == "row security":
            switch = "DISABLE" if said.new.startswith("Enable") else "ENABLE"
            return f"ALTER TABLE {table} {switch} ROW LEVEL SECURITY"
        if said.attribute == "forced row security":
            return (
                f"ALTER TABLE {table} {'NO ' if said.new.startswith('Force') else ''}FORCE ROW LEVEL SECURITY"
            )
        if said.kind == "type" and said.attribute.startswith("label "):
            names = (literal(said.new).strip(), literal(said.attribute.removeprefix("label ")).strip())
            return f"ALTER TYPE {dotted(said.name)} RENAME VALUE {names[0]} TO {names[1]}"
        if said.kind == "type" and said.attribute.startswith("value "):
            return self._todo(said, "an enum's value can't be dropped: leave it, or replace the type")
        if said.attribute == "comment":
            return self._comment(said)
        kind = self.earlier.types.get(said.name, "")
        if said.kind == "column" and said.attribute == "type" and kind not in ("", *SERIALS):
            return f"ALTER TABLE {table} ALTER COLUMN {quoted(said.name[-1])} TYPE {kind}"
        if said.kind == "column" and said.attribute == "default" and said.name in self.earlier.defaults:
            default = self.earlier.defaults[said.name]
            column = f"ALTER TABLE {table} ALTER COLUMN {quoted(said.name[-1])}"
            return f"{column} SET DEFAULT {default}" if default is not None else f"{column} DROP DEFAULT"
        if said.attribute == "definition" and (found := self.earlier.definition(said.kind, said.name)):
            return f"{drop(said, said.name)};\n-- As it was in {found[1]}\n{found[0]}"
        return self._todo(said, f"its former {said.attribute} is not in the file")

    def _comment(self, said: Said) -> str | Todo:
        """The comment of an earlier file, or none where no earlier file says one."""
        known = self.earlier.comments.get((said.kind, said.name))
        if known is None and (self.earlier.unknown or said.name[-1].lower() in " ".join(self.earlier.opaque)):
            return self._todo(said, "which comment it had before is not in the file")
        text = literal(known).strip() if known else "NULL"
        if said.kind in ("constraint", "trigger", "policy", "rule"):
            on = f"{quoted(said.name[-1])} ON {dotted(said.name[:2])}"
        else:
            on = written(said.kind, said.name)
        return f"COMMENT ON {said.kind.upper()} {on} IS {text}"

    def _rows(self, said: list[Said]) -> Iterator[str | Todo]:
        """INSERTs by key, where the catalog knows the tables' keys."""
        if self.live is None:
            yield from (self._todo(each, "the table's key is not known without a catalog") for each in said)
            return
        changes = row_changes(self.forward, self.live, self.live)
        said = [each for each in said if not self.facts.of_new_columns(each)]
        places = {(each.line, each.column) for each in said}
        told = set()
        for deletion in changes.deletions:
            told.add((deletion.line, deletion.column))
            if (deletion.line, deletion.column) in places:
                yield deletion.action.statements[0].sql
        for gap in changes.gaps:
            place = (gap.line or 1, gap.column or 1)
            told.add(place)
            if place in places:
                yield Todo(*place, f"{gap.change} on {gap.relation}", f"{gap.why}. {gap.advice}")
        for each in said:
            if (each.line, each.column) not in told:
                yield self._todo(each, "the target's catalog has no such table")

    def _todo(self, said: Said, why: str) -> Todo:
        return Todo(said.line, said.column, str(said), why)


def _needed_by_others(said: Said) -> int:
    """What new objects of the same file may need goes behind them: functions, types, then schemas."""
    if said.what != CREATED:
        return 0
    return {"function": 1, "type": 2, "sequence": 2, "extension": 3, "schema": 4}.get(said.kind, 0)
