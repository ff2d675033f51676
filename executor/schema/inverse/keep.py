"""Keep data in place: a table moves to the archive schema instead of being dropped, a column's values are
copied by key. Moving takes no time; copying is for the values of one column."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.belongings import Belongings
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.places import Places
from executor.schema.inverse.restoring import Restoring
from executor.schema.lost import Lost
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Ref

_TIES = frozenset({"trigger", "policy", "rule"})


NO_KEY = "no primary key finds its rows, and no unique key without NULL"
ROW_TYPES = "other columns are of its row type"


class Keeper:
    """Changes actions that take data away so that they keep it. `leaving` is what goes or is made anew."""

    def __init__(self, context: Context, leaving: set[Ref]) -> None:
        self.context = context
        self.now = context.now
        self.leaving = leaving
        self.of = Belongings(context, leaving)
        self.columns: list[Lost] = []
        self.places = Places(context.options)

    @property
    def used(self) -> bool:
        """Whether anything is kept."""
        return bool(self.of.tables or self.columns)

    def choose(self, dropped: list[Ref]) -> None:
        """Decide which of the tables that go are kept, and with them the types of their columns."""
        for ref in dropped:
            if ref.kind == "table" and (why := self._unmovable(ref)) is None:
                self.of.tables.append(ref)
                for one in self.of.tree(ref):
                    self.of.types |= self.of.types_of(one)
            elif ref.kind == "table" and why:
                self._say(ref, why)

    def change(self, action: Action) -> None:
        """Let an action keep what it would take away."""
        ref = action.ref
        if ref in self.of.tables and action.verb == "drop":
            self._move(action)
        elif ref in self.of.types and action.verb == "drop":
            self._move_type(action)
        elif action.loses and ref.kind == "type":
            for lost in action.loses:
                column = Ref("column", (*lost.relation, lost.column))
                self._say(column, "its type changes in place, and a copy would with it")
        elif action.loses and action.loses[0].column:
            self._copy(action)

    def archive(self) -> Action:
        """The archive schema, made if need be."""
        name = self.context.options.archive_schema
        sql = f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}"
        return Action("keep", Ref("schema", (name,)), statements(sql), priority=-2)

    def restoring(self) -> Iterator[str]:
        """SQL that brings the kept data back."""
        return Restoring(self.context, self.of, self.places).sql(self.columns)

    # Tables

    def _unmovable(self, table: Ref) -> str | None:
        """Why the table can't be moved away; '' where it holds no rows of its own; None where it can."""
        thing = self.now[table]
        if thing["form"] == "f":
            return ""
        if why := self.context.options.not_kept.get(Lost("rows", (table.path[0], table.path[1]))):
            return why
        if thing["of_type"]:
            return "it is a table of a type"
        for one in self.of.tree(table):
            if self.now[one]["parents"] or self.of.children(one):
                return "it inherits, or others inherit from it"
            for other in self.now.needed_by.get(one, ()):
                if other.kind == "column" and other.relation not in {
                    each.path for each in self.of.tree(table)
                }:
                    return ROW_TYPES
            strange = [need for need in self.of.types_of(one) if not self.of.movable_type(need)]
            if strange:
                return f"{strange[0]} goes or changes"
        return None

    def _move(self, action: Action) -> None:
        table = action.ref
        texts: list[str] = []
        for one in self.of.tree(table):
            texts += self._untie(one)
        if Ref("partition", table.path) in self.now:
            parent = self.now[Ref("partition", table.path)]["parent"]
            texts.append(f"ALTER TABLE {dotted(parent)} DETACH PARTITION {dotted(table.path)}")
        for one in self.of.tree(table):
            texts += self._carry(one)
        action.statements = statements(*texts)
        action.verb, action.loses = "keep", ()
        action.why = f"its rows stay in {dotted(self.places.of(table))}"
        action.removes |= {Ref("partition", one.path) for one in self.of.tree(table)}

    def _untie(self, table: Ref) -> Iterator[str]:
        """What would still tie the table to the rest goes first: keys to others, triggers, policies, rules,
        memberships, and what needs something that goes."""
        name = dotted(table.path)
        inherited = Ref("partition", table.path) in self.now
        for part in self.now.parts(*table.path):
            inner = quoted(part.ref.name)
            if part.ref.kind == "constraint" and (
                part["type"] == "f" or self.of.needs_what_goes(part, table)
            ):
                if not (inherited and part["type"] == "f"):
                    yield f"ALTER TABLE {name} DROP CONSTRAINT {inner}"
            elif part.ref.kind in _TIES:
                yield f"DROP {part.ref.kind.upper()} {inner} ON {name}"
            elif part.ref.kind == "default" and self.of.needs_what_goes(part, table):
                yield f"ALTER TABLE {name} ALTER COLUMN {inner} DROP DEFAULT"
            elif part.ref.kind == "column" and part["generated"] and self.of.needs_what_goes(part, table):
                ending = "DROP EXPRESSION" if part["generated"] == "s" else ""
                yield f"ALTER TABLE {name} " + (
                    f"ALTER {inner} {ending}" if ending else f"DROP COLUMN {inner}"
                )
        for thing in self.now.of_kind("index", "statistics", "publication table"):
            if thing.ref.kind == "publication table":
                if (
                    thing.ref.path[1:] == table.path
                    and Ref("publication", thing.ref.path[:1]) not in self.leaving
                ):
                    yield f"ALTER PUBLICATION {quoted(thing.ref.path[0])} DROP TABLE ONLY {name}"
            elif self.of.is_of(thing, table) and self.of.needs_what_goes(thing, table):
                yield f"DROP {thing.ref.kind.upper()} {dotted(thing.ref.path)}"

    def _carry(self, table: Ref) -> Iterator[str]:
        """The move itself, under names that differ by rollback."""
        schema, name = self.places.of(table)
        suffix = self.places.suffix
        if suffix:
            for thing in self.now.of_kind("index", "constraint"):
                if thing.ref.kind == "index" and tuple(thing["relation"]) == table.path:
                    own = thing.ref.path
                elif (
                    thing.ref.kind == "constraint"
                    and thing.ref.relation == table.path
                    and thing["type"] in "pux"
                ):
                    own = (thing.ref.path[0], thing.ref.name)
                else:
                    continue
                if self.of.needs_what_goes(thing, table):
                    continue
                yield f"ALTER INDEX {dotted(own)} RENAME TO {quoted(shortened(own[-1], suffix))}"
            for _, old in self.of.sequences(table):
                yield f"ALTER SEQUENCE {dotted(old)} RENAME TO {quoted(shortened(old[1], suffix))}"
        if name != table.name:
            yield f"ALTER TABLE {dotted(table.path)} RENAME TO {quoted(name)}"
        yield f"ALTER TABLE {dotted((table.path[0], name))} SET SCHEMA {quoted(schema)}"
        yield self.places.comment("TABLE", table)

    def _move_type(self, action: Action) -> None:
        schema, name = self.places.of(action.ref)
        word = "DOMAIN" if self.now[action.ref]["form"] == "d" else "TYPE"
        texts = []
        if name != action.ref.name:
            texts.append(f"ALTER {word} {dotted(action.ref.path)} RENAME TO {quoted(name)}")
        texts.append(f"ALTER {word} {dotted((action.ref.path[0], name))} SET SCHEMA {quoted(schema)}")
        action.statements = statements(*texts, self.places.comment(word, action.ref))
        action.verb, action.why = "keep", "kept rows are of it"

    # Columns

    def _copy(self, action: Action) -> None:
        texts = []
        kept = []
        for lost in action.loses:
            column = Ref("column", (*lost.relation, lost.column))
            at_start = self.context.at_start(lost)
            if why := self.context.options.not_kept.get(at_start):
                self._say(column, why)
            elif not (key := self.of.key(column)):
                self._say(column, NO_KEY)
            else:
                table = dotted(lost.relation)
                texts.append(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                listed = comma(self.of.as_kept(one) for one in [*key, column])
                texts.append(
                    f"CREATE TABLE {dotted(self.places.of(column))} AS\nSELECT {listed}\n"
                    f"  FROM {table}\n WHERE {quoted(column.name)} IS NOT NULL"
                )
                texts.append(self.places.comment("TABLE", column))
                kept.append(lost)
                self.columns.append(lost)
        if texts:
            action.statements = (*statements(*dict.fromkeys(texts)), *action.statements)
            action.loses = tuple(lost for lost in action.loses if lost not in kept)
            places = comma(
                dotted(self.places.of(Ref("column", (*lost.relation, lost.column)))) for lost in kept
            )
            action.why = "; ".join(filter(None, [f"its values stay, by key, in {places}", action.why]))

    def _say(self, ref: Ref, why: str) -> None:
        self.context.notes.append(f"{ref} is not kept: {why}")
