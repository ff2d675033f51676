"""What can't be altered is renamed away and made anew: types with another definition, sequences that change
hands. (For tables see `rebuild`.) Every dependent then differs in its text, and the plan brings it over."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse import options as choices
from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.taken import AWAY, away
from executor.schema.inverse.types import attributes_in_place
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Object, Ref


def types(context: Context) -> Iterator[Action]:
    """Rename away each type that differs in what ALTER TYPE can't change."""
    for thing in context.before.of_kind("type"):
        now = context.now.get(thing.ref)
        if now is None or not _other_definition(now, thing, context):
            continue
        new = away(thing.ref, context.now)
        context.replaced[thing.ref] = new
        sql = family_of(thing.ref).rename(now.ref, new.name, now)
        yield Action("set aside", now.ref, statements(sql), why=_why(now, thing))


def _other_definition(now: Object, before: Object, context: Context) -> bool:
    if now["form"] != before["form"]:
        return True
    if now["form"] == "e" and context.options.enum_value == choices.LEAVE:
        return not set(before["labels"]) <= set(now["labels"])
    if now["form"] == "c" and attributes_in_place(now, before):
        return False
    names = ("labels", "attributes", "base", "collation", "range", "base_type")
    return any(now[name] != before[name] for name in names)


def _why(now: Object, before: Object) -> str:
    if now["form"] != "e" or before["form"] != "e":
        return "its definition can't be altered: it is replaced"
    added = [label for label in now["labels"] if label not in before["labels"]]
    if not added:
        return "the values of an enum can't be altered: the type is replaced"
    return f"{comma(added)} was added and can't be dropped: the type is replaced; fails where rows use it"


def sequences(context: Context) -> Iterator[Action]:
    """Rename away the sequence of a column that changes between serial and identity, where the other kind had
    the same name: its position is carried over before it goes."""
    for column in context.before.of_kind("column"):
        now = context.now.get(column.ref)
        if (
            now is None
            or bool(now["identity"]) == bool(column["identity"])
            or Ref("table", column.ref.path[:2]) in context.replaced
        ):
            continue
        if now["identity"]:
            old = Ref("sequence", tuple(now["identity_sequence"][:2]))
            clash = old in context.before
        else:
            old = Ref("sequence", tuple(column["identity_sequence"][:2]))
            clash = old in context.now
        if clash:
            sql = f"ALTER SEQUENCE {dotted(old.path)} RENAME TO {quoted(shortened(old.name, AWAY))}"
            yield Action("set aside", old, statements(sql), why="its position is carried over below")
