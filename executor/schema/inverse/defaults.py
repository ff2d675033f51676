"""Defaults of columns, set and dropped apart from their columns."""

from __future__ import annotations

from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Changes, Context, Family, relation
from executor.schema.names import quoted
from executor.schema.objects import Object, Ref


class Default(Family):
    """A column's default."""

    kind = "default"
    word = ""
    ownable = False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """SET DEFAULT."""
        word = {"v": "VIEW", "f": "FOREIGN TABLE"}.get(thing["form"], "TABLE ONLY")
        column = f"ALTER {word} {relation(thing.ref)} ALTER COLUMN {quoted(thing.ref.name)}"
        sql = f"{column} SET DEFAULT {thing['expression']}"
        return [self.creating(thing, sql)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP DEFAULT."""
        word = {"v": "VIEW", "f": "FOREIGN TABLE"}.get(thing["form"], "TABLE ONLY")
        sql = f"ALTER {word} {relation(thing.ref)} ALTER COLUMN {quoted(thing.ref.name)} DROP DEFAULT"
        return [self.dropping(thing, sql)]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """One SET DEFAULT where nothing must be out of the way meanwhile."""
        column = Ref("column", now.ref.path)
        target, current = context.before.get(column), context.now.get(column)
        if (
            target
            and current
            and (target["type"], target["collation"]) == (current["type"], current["collation"])
        ):
            return [Action("alter", now.ref, self.create(before, context)[0].statements)]
        return None
