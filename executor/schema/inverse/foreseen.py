"""Choices that are seen before anything is undone: values of enums, and values that rows need."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse import options as choices
from executor.schema.inverse.chosen import may_not_fit, proposal, retyped
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.fills import fill_value, needs_fill, referred_to
from executor.schema.inverse.options import ASK, Choice
from executor.schema.names import dotted
from executor.schema.objects import Ref


def foreseen(context: Context) -> Iterator[Choice]:
    """The choices, with what was chosen."""
    for thing in context.before.of_kind("type"):
        now = context.now.get(thing.ref)
        if now is None or (thing["form"], now["form"]) != ("e", "e"):
            continue
        added = [label for label in now["labels"] if label not in thing["labels"]]
        if added:
            yield choices.enum_value(dotted(thing.ref.path), comma(added), context.options.enum_value)
    yield from _retyped(context)
    yield from _fills(context)


def _retyped(context: Context) -> Iterator[Choice]:
    """Columns whose former type does not hold each value of the one of now."""
    for column, there in retyped(context):
        computed = context.conversions.get(column.ref)
        schema, table, name = column.ref.path
        chosen = (
            context.options.fill[schema, table, name] if computed is not None and computed.counted else ""
        )
        if chosen or (computed is None and may_not_fit(there["type"], column["type"])):
            proposed = proposal(column, context)
            yield choices.retyped(dotted(column.ref.path), column["type"], proposed, chosen)


def _fills(context: Context) -> Iterator[Choice]:
    """Columns that come back NOT NULL in tables that are there."""
    for column in context.before.of_kind("column"):
        now = context.now.get(column.ref)
        if Ref("table", column.ref.relation) not in context.now or (now is not None and now["not_null"]):
            continue
        computed = context.conversions.get(column.ref)
        if now is None and computed is not None and computed.source is not None and computed.exact:
            continue
        default = context.before.get(Ref("default", column.ref.path))
        if needs_fill(column, default if now is None else None, context):
            taken = fill_value(column, context) or ASK
            yield choices.fill(dotted(column.ref.path), taken, referred_to(column, context))
