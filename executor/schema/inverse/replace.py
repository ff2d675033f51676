"""What can't be altered is renamed away and made anew: types with another definition, tables whose columns
must
return to their places. Every dependent then differs in its text, and the plan brings it over."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse import options as choices
from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.fills import fill_value, needs_fill
from executor.schema.inverse.identities import carry_position
from executor.schema.inverse.renames import AWAY
from executor.schema.inverse.types import attributes_in_place
from executor.schema.lost import VALUES, Lost
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Object, Ref, Snapshot


def types(context: Context) -> Iterator[Action]:
    """Rename away each type that differs in what ALTER TYPE can't change."""
    for thing in context.before.of_kind("type"):
        now = context.now.get(thing.ref)
        if now is None or not _other_definition(now, thing, context):
            continue
        away = Ref("type", (thing.ref.path[0], shortened(thing.ref.name, AWAY)))
        context.replaced[thing.ref] = away
        sql = family_of(thing.ref).rename(now.ref, away.name, now)
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


def order_after(table: Ref, now: Snapshot, before: Snapshot) -> list[str]:
    """The columns' order if those that are missing were added at the end."""
    wanted = [column.ref.name for column in before.columns(*table.path)]
    there = [column.ref.name for column in now.columns(*table.path) if column.ref in before]
    there = [name for name in there if not _added_again(table, name, now, before)]
    return there + [name for name in wanted if name not in there]


def _added_again(table: Ref, name: str, now: Snapshot, before: Snapshot) -> bool:
    """Whether the column can only come back by dropping and adding it."""
    ref = Ref("column", (*table.path, name))
    current, target = now[ref], before[ref]
    if not (current["generated"] or target["generated"]):
        return False
    if current["generated"] and not target["generated"]:
        return bool(current["type"] != target["type"])
    if any(current[key] != target[key] for key in ("generated", "type", "collation")):
        return True
    retyped = any(
        other in now and other in before and now[other]["type"] != before[other]["type"]
        for other in now.needs.get(ref, ())
        if other.kind == "column"
    )
    return retyped or (current["expression"] != target["expression"] and now.version < 170000)


def out_of_place(context: Context) -> Iterator[Ref]:
    """Tables whose columns would not come back to their places."""
    now, before = context.now, context.before
    for table in before.of_kind("table"):
        if table.ref not in now:
            continue
        wanted = [column.ref.name for column in before.columns(*table.ref.path)]
        if wanted != [column.ref.name for column in now.columns(*table.ref.path)] and wanted != order_after(
            table.ref, now, before
        ):
            yield table.ref


def can_be_rebuilt(table: Ref, now: Snapshot, before: Snapshot) -> bool:
    """Whether the table stands alone: no partitions, parents or children, and no column of its row type."""
    thing = now[table]
    if thing["form"] != "r" or before[table]["form"] != "r" or thing["parents"] or thing["of_type"]:
        return False
    if Ref("partition", table.path) in now:
        return False
    return not any(
        dependent.kind in ("partition", "inheritance", "table")
        or (dependent.kind == "column" and dependent.relation != table.path)
        for dependent in now.needed_by.get(table, ())
    )


def tables(context: Context, refs: list[Ref]) -> Iterator[Action]:
    """Rename away tables that are to be written anew, and their identity sequences, whose names are
    needed."""
    for ref in refs:
        away = Ref("table", (ref.path[0], shortened(ref.name, AWAY)))
        context.replaced[ref] = away
        texts = [f"ALTER TABLE {dotted(ref.path)} RENAME TO {quoted(away.name)}"]
        for column in context.now.columns(*ref.path):
            if column["identity"]:
                schema, name = column["identity_sequence"][:2]
                texts.append(
                    f"ALTER SEQUENCE {dotted((schema, name))} RENAME TO {quoted(shortened(name, AWAY))}"
                )
        why = "columns must return to their places: the table is written anew"
        yield Action("set aside", ref, statements(*texts), why=why)


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


def copying(creation: Action, context: Context) -> None:
    """Let the creation of a table that was renamed away copy the rows, and the old one wait for that."""
    away = context.replaced.get(creation.ref)
    if away is None or creation.ref.kind != "table":
        return
    columns, values, carried = [], [], []
    for column in context.before.columns(*creation.ref.path):
        value = _value(column, away, context)
        if value is not None:
            columns.append(quoted(column.ref.name))
            values.append(value)
        old = context.now.get(Ref("column", (*away.path, column.ref.name)))
        if old is not None and column["identity"] and old["identity"]:
            carried.append(carry_position(column["identity_sequence"][:2], old["identity_sequence"][:2]))
    rows = Statement(_insert(creation.ref, away, columns, values), fills=True)
    creation.statements = (*creation.statements, rows, *carried)
    creation.reads = {away}


def _value(column: Object, away: Ref, context: Context) -> str | None:
    """What a row of the new table gets in the column; None where the column computes or defaults it."""
    if column["generated"]:
        return None
    old = context.now.get(Ref("column", (*away.path, column.ref.name)))
    name = quoted(column.ref.name)
    if old is not None:
        return name if old["type"] == column["type"] else f"{name}::text::{column['type']}"
    default = context.before.get(Ref("default", column.ref.path))
    return fill_value(column, context) if needs_fill(column, default) else None


def not_carried(away: Ref, context: Context) -> tuple[Lost, ...]:
    """Which values of a table that was written anew are not in the new one."""
    table = next((ref for ref, other in context.replaced.items() if other == away), None)
    if table is None or table.kind != "table":
        return ()
    return tuple(
        Lost(VALUES, column.ref.relation, column.ref.name)
        for column in context.now.columns(*away.path)
        if not column["generated"] and Ref("column", (*table.path, column.ref.name)) not in context.before
    )


def _insert(table: Ref, away: Ref, columns: list[str], values: list[str]) -> str:
    if not columns:
        return f"INSERT INTO {dotted(table.path)} SELECT FROM {dotted(away.path)}"
    return (
        f"INSERT INTO {dotted(table.path)} ({comma(columns)})\nOVERRIDING SYSTEM VALUE\n"
        f"SELECT {comma(values)}\n  FROM {dotted(away.path)}"
    )
