"""Functions, procedures, aggregates, event triggers."""

from __future__ import annotations

from executor.schema.inverse.action import Action
from executor.schema.inverse.attached import ENABLED
from executor.schema.inverse.family import Changes, Context, Family
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref


class Function(Family):
    """A function, procedure or window function."""

    kind = "function"
    word = "FUNCTION"

    def word_of(self, thing: Object) -> str:
        """FUNCTION or PROCEDURE."""
        return "PROCEDURE" if thing["form"] == "p" else "FUNCTION"

    def name(self, ref: Ref) -> str:
        """Name and arguments."""
        return f"{dotted(ref.path[:2])}({ref.path[2]})"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE FUNCTION as the server writes it."""
        definition = thing["definition"].rstrip()
        head = "CREATE OR REPLACE "
        return [self.creating(thing, "CREATE " + definition.removeprefix(head))]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """CREATE OR REPLACE where the server allows it: same result, same names, no default taken away."""
        fixed = ("form", "result", "argument_names", "argument_modes")
        if any(now[name] != before[name] for name in fixed) or before["defaults"] < now["defaults"]:
            return None
        return [self.altering(now, before["definition"].rstrip())]

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """ALTER … RENAME."""
        return f"ALTER {self.word_of(thing)} {self.name(now)} RENAME TO {quoted(name)}"


class Aggregate(Family):
    """An aggregate."""

    kind = "aggregate"
    word = "AGGREGATE"

    def name(self, ref: Ref) -> str:
        """Name and arguments."""
        return f"{dotted(ref.path[:2])}({ref.path[2] or '*'})"


class EventTrigger(Family):
    """An event trigger."""

    kind = "event trigger"
    word = "EVENT TRIGGER"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE EVENT TRIGGER, and its state."""
        made = [thing["definition"]]
        if thing["enabled"] != "O":
            made.append(f"ALTER EVENT TRIGGER {quoted(thing.ref.name)} {ENABLED[thing['enabled']]}")
        return [self.creating(thing, *made)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """The state in place."""
        if changes.keys() != {"enabled"}:
            return None
        return [
            self.altering(now, f"ALTER EVENT TRIGGER {quoted(now.ref.name)} {ENABLED[before['enabled']]}")
        ]
