"""Values of a composite type, or of a table's row, that is made anew: brought over field by field, since
their text only knows positions."""

from __future__ import annotations

from dataclasses import dataclass

from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.types import attribute_type, first_identifier
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref


@dataclass(frozen=True, slots=True)
class Field:
    """A field of before: its type, and its name (as SQL) and type now; '' where it is not there any more."""

    type: str
    now: str = ""
    type_now: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """All fields of a type of before. `left_over`: now there are others, whose values go."""

    fields: tuple[Field, ...]
    left_over: bool
    positional: bool

    def conversions(self, column: str, target: str) -> tuple[str, str]:
        """USING in two wordings: as the fields are, and by way of text where their types differ."""
        return self._conversion(column, target, ""), self._conversion(column, target, "::text")

    def _conversion(self, column: str, target: str, by_way: str) -> str:
        values = [
            "NULL"
            if not field.now
            else f"({column}).{field.now}"
            if field.type == field.type_now
            else f"({column}).{field.now}{by_way}::{field.type}"
            for field in self.fields
        ]
        # IS DISTINCT FROM NULL is false where there is no value; IS NOT NULL for a row of NULLs, too.
        return f"CASE WHEN {column} IS DISTINCT FROM NULL THEN ROW({comma(values)})::{target} END"


def fields_of(target: str, context: Context) -> Fields | None:
    """How values come to the type that is written `target`, where it was set aside and made anew; None for
    other types."""
    for ref, old in context.replaced.items():
        if ref.kind not in ("table", "type") or dotted(ref.path) != target:
            continue
        if ref.kind == "table":
            return _of_rows(ref, old, context)
        before, now = context.before[ref], context.now.get(old)
        if now is not None and (before["form"], now["form"]) == ("c", "c"):
            return _of_composite(before, now)
    return None


def _of_rows(table: Ref, old: Ref, context: Context) -> Fields:
    there = {column.ref.name: column["type"] for column in context.now.columns(*old.path)}
    made, names = [], []
    for column in context.before.columns(*table.path):
        name = column.ref.name
        names.append(name)
        now = there.get(name)
        made.append(Field(column["type"], quoted(name), now) if now else Field(column["type"]))
    return Fields(tuple(made), bool(there.keys() - set(names)), names == list(there))


def _of_composite(before: Object, now: Object) -> Fields:
    """By the numbers of the attributes where it is the same type, which a rename does not change; else by
    their names."""
    same = before.address == now.address
    keys, wanted = (
        thing["attribute_numbers"] if same else [first_identifier(each) for each in thing["attributes"]]
        for thing in (now, before)
    )
    there = dict(zip(keys, now["attributes"], strict=True))
    made = []
    for key, attribute in zip(wanted, before["attributes"], strict=True):
        kind, written = attribute_type(attribute), there.get(key)
        now_is = (first_identifier(written), attribute_type(written)) if written else ()
        made.append(Field(kind, *now_is))
    return Fields(tuple(made), bool(there.keys() - set(wanted)), list(wanted) == list(there))
