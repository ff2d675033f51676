"""Sequences: every parameter in place; the owner column last."""

from __future__ import annotations

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.family import Changes, Context, Family
from executor.schema.inverse.identities import Bounds, carry_position, continue_after_rows
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref

PARAMETERS = (
    ("type", "AS"),
    ("increment", "INCREMENT BY"),
    ("minimum", "MINVALUE"),
    ("maximum", "MAXVALUE"),
    ("start", "START WITH"),
    ("cache", "CACHE"),
)


class Sequence(Family):
    """A sequence that is no identity column's."""

    kind = "sequence"
    word = "SEQUENCE"

    def create(self, thing: Object, context: Context) -> list[Action]:
        """CREATE SEQUENCE; then, with the column there, the owner and the position behind its rows."""
        parts = [f"{word} {thing[name]}" for name, word in PARAMETERS]
        unlogged = "UNLOGGED " if thing["persistence"] == "u" else ""
        cycle = " CYCLE" if thing["cycle"] else ""
        sql = f"CREATE {unlogged}SEQUENCE {dotted(thing.ref.path)} {' '.join(parts)}{cycle}"
        created = self.creating(thing, sql)
        column = context.now.get(Ref("column", tuple(thing["owned_by"] or ())))
        if column is None or not column["identity"]:
            return [created, *_own(thing, position=True)]
        old = Ref("sequence", tuple(column["identity_sequence"][:2]))
        bounds = Bounds(thing["start"], thing["maximum"], column.ref)
        narrower = bounds.less_than(int(column["identity_sequence"][6]))
        beyond = bounds.told(thing.ref.path, context) if narrower else None
        created.statements = (*created.statements, carry_position(thing.ref.path, old.path, beyond))
        created.reads = {old}
        return [created, *_own(thing, position=False)]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """DROP SEQUENCE; its position is lost with it."""
        return [self.dropping(thing, f"DROP SEQUENCE {dotted(thing.ref.path)}")]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """ALTER SEQUENCE keeps the position."""
        name = f"ALTER SEQUENCE {dotted(now.ref.path)}"
        actions = []
        parts = [f"{word} {before[key]}" for key, word in PARAMETERS if key in changes]
        if "cycle" in changes:
            parts.append("CYCLE" if before["cycle"] else "NO CYCLE")
        if parts:
            altered = self.altering(now, f"{name} {' '.join(parts)}")
            bounds = Bounds(
                before["start"], before["maximum"], Ref("column", tuple(before["owned_by"] or ()))
            )
            if before["owned_by"] and bounds.less_than(now["maximum"]):
                back = bounds.told(now.ref.path, context).back_into(now.ref.path)
                altered.statements = (Statement(back, fills=True), *altered.statements)
            actions.append(altered)
        if "persistence" in changes:
            actions.append(
                self.altering(now, f"{name} SET {'UNLOGGED' if before['persistence'] == 'u' else 'LOGGED'}")
            )
        if "owned_by" in changes:
            if now["owned_by"]:
                action = self.altering(now, f"{name} OWNED BY NONE")
                action.priority = 10
                actions.append(action)
            actions += _own(before, position=False)
        return actions


def _own(thing: Object, *, position: bool) -> list[Action]:
    owned_by = thing["owned_by"]
    if not owned_by:
        return []
    column = Ref("column", tuple(owned_by))
    made = [Statement(f"ALTER SEQUENCE {dotted(thing.ref.path)} OWNED BY {dotted(owned_by)}")]
    if position:
        sql = continue_after_rows(dotted(thing.ref.path), dotted(owned_by[:2]), quoted(owned_by[2]))
        made.append(Statement(sql, fills=True))
    return [Action("alter", thing.ref, made, after={column, thing.ref}, priority=86)]


__all__ = ["Sequence", "statements"]
