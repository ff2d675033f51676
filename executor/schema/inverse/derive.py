"""Derive the way back: run the migration on a shadow, compare, undo, and look whether all is as before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from executor.schema.difference import Change, Difference, difference
from executor.schema.effects import Effect
from executor.schema.inverse import rebuild, remaining, replace
from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.chosen import chosen
from executor.schema.inverse.conversions import Conversion, conversions
from executor.schema.inverse.deletions import Deletion
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.foreseen import foreseen
from executor.schema.inverse.from_backup import FromBackup, data_gone
from executor.schema.inverse.heard import AT_ONCE, waits
from executor.schema.inverse.live import Run
from executor.schema.inverse.options import Choice, Options
from executor.schema.inverse.plan import plan
from executor.schema.inverse.renames import LEVELS, renames
from executor.schema.inverse.result import DIFFERS, EXACT, MODULO_ORDER, REFUSED, Inverse
from executor.schema.inverse.rows import RowChanges, row_changes
from executor.schema.inverse.script import render, steps
from executor.schema.lost import Lost
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot
from executor.schema.reading.said import CHANGED
from executor.schema.scope import without
from executor.schema.snapshot import snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
PASSES = 5
ROUNDS = 4


class NotDerivable(Exception):
    """No way back can be given; the message says why."""


def undo(
    connection: Connection,
    before: Snapshot,
    after: Snapshot | None = None,
    options: Options | None = None,
    *,
    forward: str = "",
) -> Inverse:
    """The way from the connection's schema as it stands (`after`, read if not given) back to `before`.

    It really runs, in a transaction that is rolled back at the end; the connection must be in autocommit and
    idle. `forward` is the migration's text: with it, rows that it added are taken away, and rows that it
    changed are named in `from_backup`. Raises psycopg.Error where the connection itself fails.
    """
    made, surprises = _undo(connection, before, after, options or Options(), forward, frozenset())
    if surprises:
        made, _ = _undo(connection, before, after, options or Options(), forward, surprises)
    return made


def _undo(
    connection: Connection,
    before: Snapshot,
    after: Snapshot | None,
    options: Options,
    forward: str,
    reordered: frozenset[Ref],
) -> tuple[Inverse, frozenset[Ref]]:
    """The way back, and tables whose columns ended out of place without anyone having foreseen it: known
    as `reordered`, they are a choice like the others."""
    connection.execute("BEGIN")
    try:
        derivation = _Derivation(connection, before, after, options, reordered)
        return derivation.inverse(forward), derivation.surprises
    except NotDerivable as why:
        return Inverse("", (), (), (str(why),), REFUSED), frozenset()
    finally:
        connection.execute("ROLLBACK")


def _in_scope(found: Snapshot, options: Options) -> Snapshot:
    return without(found, schemas=(options.archive_schema,), tables=options.ignore_tables)


class _Derivation:
    def __init__(
        self,
        connection: Connection,
        before: Snapshot,
        after: Snapshot | None,
        options: Options,
        reordered: frozenset[Ref],
    ) -> None:
        self.connection = connection
        self.run = Run(connection)
        self.choices: list[Choice] = []
        self.from_backup: list[FromBackup] = []
        self.deletions: list[tuple[Deletion, str]] = []
        user = connection.execute("SELECT current_user::text").fetchone()
        assert user is not None  # noqa: S101 (it always has one row)
        now = after if after is not None else snapshot(connection)
        now, before = (_in_scope(one, options) for one in (now, before))
        self.after = now
        self.context = Context(now, before, options, user[0], start=now, reordered=reordered)
        self.surprises: frozenset[Ref] = frozenset()

    def inverse(self, forward: str) -> Inverse:
        """Undo, step by step, and say how it ended."""
        self.connection.execute("SET LOCAL check_function_bodies = off")
        before, now = self.context.before, self.context.now
        if forward:
            self.context.conversions = self._that_run(conversions(forward, before, now))
        gone = data_gone(before, now, self.context.conversions)
        self.from_backup = [each for each in gone if not each.invertible]
        self.context.conversions = {**self.context.conversions, **chosen(self.context)}
        if forward:
            self._take_rows_away(row_changes(forward, before, now))
        self._rename_back()
        self._rename_away()
        found = self._converge()
        if self._take_the_last_rows_away():
            found = self._converge()  # a key that they stood in the way of
        if not self.context.reordered:
            said = {choice.subject for choice in self.choices}
            self.surprises = frozenset(ref for ref in found.reordered if dotted(ref.path) not in said)
        self._guard_rows()
        return self._told(found)

    def _that_run(self, found: Mapping[Ref, Conversion]) -> Mapping[Ref, Conversion]:
        """Without what the server refuses to compute from another column: the former one comes back empty."""
        return {ref: each for ref, each in found.items() if self._runs(ref, each)}

    def _runs(self, ref: Ref, computed: Conversion) -> bool:
        if computed.source is None or not computed.back:
            return True
        source = self.after.by_address[computed.source]
        value = f"({computed.of(quoted(source.name))})::{self.context.before[ref]['type']}"
        return self.run.possible(f"SELECT {value} FROM {dotted(source.relation)} LIMIT 0")

    def _take_rows_away(self, changes: RowChanges) -> None:
        """Delete what the migration added. What can't go yet, such as rows to which a new table refers, is
        tried again behind the rest."""
        self.from_backup += changes.gaps
        self.context.notes += changes.notes
        if changes.deletions and waits(self.after):
            why = "what refers to rows is checked at once: no table can be altered that waits for it"
            self._must([Action("rows", changes.deletions[0].action.ref, statements(AT_ONCE), why)])
        for deletion in changes.deletions:
            refusal = self.run.delete(deletion.action, deletion.rows)
            if refusal:
                self.deletions.append((deletion, refusal))

    def _take_the_last_rows_away(self) -> bool:
        """Try those again that could not go before. Whether any went."""
        done = len(self.run.done)
        for deletion, refusal in self.deletions:
            if deletion.still_means(self.context.now, self.after):
                deletion.follow(self.context.now, self.after)
                refusal = self.run.delete(deletion.action, deletion.rows)
            if refusal:
                table = dotted(deletion.action.ref.path)
                gap = FromBackup(table, "INSERT DATA", refusal, deletion.line, deletion.column)
                self.from_backup.append(gap)
        return len(self.run.done) > done

    def _rename_back(self) -> None:
        for level in range(len(LEVELS)):
            for _ in range(ROUNDS):
                made = renames(self.context.now, self.context.before, level)
                if not made:
                    break
                self._must(made)

    def _rename_away(self) -> None:
        context = self.context
        made = list(replace.types(context))
        tables, said = rebuild.set_aside(context)
        made += tables
        self.choices += said
        made += replace.sequences(context)
        self.choices += foreseen(context)
        if made:
            self._must(made)

    def _must(self, actions: list[Action]) -> None:
        """Run what later steps rely on. Raises NotDerivable: going on would drop what only has another
        name."""
        self._execute(actions)
        if self.run.failed:
            raise NotDerivable("; ".join(map(str, self.run.failed)))

    def _converge(self) -> Difference:
        """Plan and run until nothing is left to do; more than two rounds are rare."""
        seen: list[str] | None = None
        while True:
            found = difference(self.context.before, self.context.now)
            if found.same_but_order or self.context.attempt > PASSES:
                return found
            self.context.gaps = []
            actions = plan(self.context, found)
            if not actions or found.lines() == seen:
                return found
            seen = found.lines()
            self._execute(actions)
            self.context.attempt += 1

    def _guard_rows(self) -> None:
        """What the migration kept is still the same table and the same column, unless it was written anew."""
        before, now = self.context.before, self.context.now
        for thing in before.of_kind("table", "column"):
            kept = thing.address in self.after.by_address and thing.address not in now.by_address
            if kept and not self._written_anew(thing):
                raise NotDerivable(f"{thing.ref} would be dropped and made again, without its data")

    def _written_anew(self, thing: Object) -> bool:
        """Whether the rows were copied, or can be computed again."""
        if Ref("table", thing.ref.path[:2]) in self.context.replaced:
            return True
        return thing.ref.kind == "column" and bool(thing["generated"])

    def _execute(self, actions: list[Action]) -> None:
        for action in actions:
            action.loses = tuple(self.context.at_start(lost) for lost in action.loses)
        self.run.run(actions)
        found = snapshot(self.connection)
        self.context.now = _in_scope(found, self.context.options)

    def _told(self, found: Difference) -> Inverse:
        gaps = remaining.gaps(found, self.run, self.context, self.choices)
        left = (change for change in found.changed if remaining.on_purpose(change, self.context.options))
        made = steps(self.run.done)
        verdict = DIFFERS if gaps else MODULO_ORDER if found.reordered else EXACT
        restore = "".join(f"{sql};\n" for sql in self.context.restoring)
        notes = tuple(dict.fromkeys(self.context.notes))
        return Inverse(
            script=render(made),
            steps=made,
            choices=tuple(self.choices),
            gaps=tuple(gaps),
            verdict=verdict,
            retried=self.run.retried,
            restore=restore,
            notes=notes,
            from_backup=tuple(self.from_backup),
            came=frozenset(lost for step in made for lost in step.loses if self._came(lost)),
            left=tuple(map(self._declared, left)),
        )

    def _came(self, lost: Lost) -> bool:
        """Whether the migration made the rows, their table or their column: nothing there is older."""
        if lost.condition:
            return True
        refs = [Ref("table", lost.relation)]
        refs += [Ref("column", (*lost.relation, lost.column))] if lost.column else []
        there = (self.after.get(ref) for ref in refs)
        return any(thing and thing.address not in self.context.before.by_address for thing in there)

    def _declared(self, change: Change) -> tuple[str, str]:
        """An enum that keeps what the migration added: the effect, and why it stays."""
        was, now = change.attributes["labels"]
        there = self.after.by_address.get(self.context.before[change.ref].address, change.ref)
        added = comma(label for label in now if label not in was)
        reason = f"Chosen when it was generated: {added} stays. No row of before has it; rows may by now."
        return str(Effect(CHANGED, there, "labels")), reason


__all__ = ["Inverse", "Ref", "undo"]
