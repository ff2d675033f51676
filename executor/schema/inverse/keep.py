"""Keep data in place: a table moves to the archive schema instead of being dropped, a column's values are
copied by key. Moving takes no time; copying is for the values of one column."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.archive import comment
from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.belongings import Belongings
from executor.schema.inverse.family import Context, comma
from executor.schema.lost import Lost
from executor.schema.names import dotted, literal, quoted, shortened
from executor.schema.objects import Ref

_TIES = frozenset({"trigger", "policy", "rule"})


ROW_TYPES = "other columns are of its row type"


class Keeper:
    """Changes actions that take data away so that they keep it. `leaving` is what goes or is made anew."""

    def __init__(self, context: Context, leaving: set[Ref]) -> None:
        self.context = context
        self.now = context.now
        self.leaving = leaving
        self.of = Belongings(context, leaving)
        self.columns: list[Lost] = []
        self.places: dict[Ref, tuple[str, str]] = {}

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
        elif action.loses and action.loses[0].column:
            self._copy(action)

    def archive(self) -> Action:
        """The archive schema, made if need be."""
        name = self.context.options.archive_schema
        sql = f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}"
        return Action("keep", Ref("schema", (name,)), statements(sql), priority=-2)

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
        action.why = f"its rows stay in {dotted(self._place(table))}"
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
        schema, name = self._place(table)
        suffix = self._suffix
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
        yield self._comment("TABLE", table)

    def _move_type(self, action: Action) -> None:
        schema, name = self._place(action.ref)
        word = "DOMAIN" if self.now[action.ref]["form"] == "d" else "TYPE"
        texts = []
        if name != action.ref.name:
            texts.append(f"ALTER {word} {dotted(action.ref.path)} RENAME TO {quoted(name)}")
        texts.append(f"ALTER {word} {dotted((action.ref.path[0], name))} SET SCHEMA {quoted(schema)}")
        action.statements = statements(*texts, self._comment(word, action.ref))
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
                self._say(column, "its table has no primary key to find its rows by")
            else:
                table = dotted(lost.relation)
                texts.append(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                listed = comma(self.of.as_kept(one) for one in [*key, column])
                texts.append(
                    f"CREATE TABLE {dotted(self._place(column))} AS\nSELECT {listed}\n"
                    f"  FROM {table}\n WHERE {quoted(column.name)} IS NOT NULL"
                )
                texts.append(self._comment("TABLE", column))
                kept.append(lost)
                self.columns.append(lost)
        if texts:
            action.statements = (*statements(*dict.fromkeys(texts)), *action.statements)
            action.loses = tuple(lost for lost in action.loses if lost not in kept)
            places = comma(dotted(self._place(Ref("column", (*lost.relation, lost.column)))) for lost in kept)
            action.why = "; ".join(filter(None, [f"its values stay, by key, in {places}", action.why]))

    # Names

    @property
    def _suffix(self) -> str:
        label = self.context.options.archive_label
        return f"__{label}" if label else ""

    def _place(self, ref: Ref) -> tuple[str, str]:
        """Where in the archive the object is, under a name that nothing else kept here has."""
        if ref not in self.places:
            parts = ref.path if ref.path[0] != "public" else ref.path[1:]
            taken = {place[1] for place in self.places.values()}
            name, number = shortened("__".join(parts), self._suffix), 1
            while name in taken:
                number += 1
                name = shortened("__".join(parts), f"_{number}{self._suffix}")
            self.places[ref] = (self.context.options.archive_schema, name)
        return self.places[ref]

    def _comment(self, word: str, ref: Ref) -> str:
        options = self.context.options
        text = comment(dotted(ref.path), options.archive_label, options.purge_after)
        return f"COMMENT ON {word} {dotted(self._place(ref))} IS {literal(text).strip()}"

    def _say(self, ref: Ref, why: str) -> None:
        self.context.notes.append(f"{ref} is not kept: {why}")

    # The way back of the data

    def restoring(self) -> Iterator[str]:
        """SQL that brings the kept data back, once the migration has been applied again."""
        for table in self._parents_first():
            path = self.context.path_at_start(table)
            columns = [column for column in self.now.columns(*table.path) if not column["generated"]]
            pairs = [(quoted(self.context.path_at_start(one.ref)[-1]), self.of.typed(one)) for one in columns]
            yield (
                f"INSERT INTO {dotted(path)} ({comma(name for name, _ in pairs)})\nOVERRIDING SYSTEM VALUE\n"
                f"SELECT {comma(value for _, value in pairs)}\n  FROM {dotted(self._place(table))}"
            )
            for column, old in self.of.sequences(table):
                kept = (
                    self.context.options.archive_schema,
                    shortened(old[1], self._suffix) if self._suffix else old[1],
                )
                name = self.context.path_at_start(Ref("column", (*table.path, column)))[-1]
                owner = f"pg_catalog.pg_get_serial_sequence({literal(dotted(path))}, {literal(name)})"
                yield f"SELECT pg_catalog.setval({owner}, last_value, is_called) FROM {dotted(kept)}"
        for lost in self.columns:
            column_ref = Ref("column", (*lost.relation, lost.column))
            keys = self.of.key(column_ref)
            path = self.context.path_at_start(column_ref)
            same = " AND ".join(
                f"t.{quoted(self.context.path_at_start(one)[-1])} = {self.of.typed(self.now[one], 'k.')}"
                for one in keys
            )
            value = self.of.typed(self.now[column_ref], "k.")
            yield (
                f"UPDATE {dotted(path[:2])} t\n   SET {quoted(path[-1])} = {value}\n"
                f"  FROM {dotted(self._place(column_ref))} k\n WHERE {same}"
            )

    def _parents_first(self) -> list[Ref]:
        waiting, done = list(self.of.tables), list[Ref]()
        while waiting:
            ready = [table for table in waiting if not (self.of.references(table) & (set(waiting) - {table}))]
            if not ready:
                self.context.notes.append(
                    f"{waiting[0]} and others refer to each other: bring them back by hand"
                )
                ready = waiting[:1]
            done += ready
            waiting = [table for table in waiting if table not in ready]
        return done
