"""Tables that are written anew: renamed away, made again and filled from what was renamed."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.fills import fill_value, needs_fill
from executor.schema.inverse.identities import carry_position
from executor.schema.inverse.taken import AWAY
from executor.schema.lost import ROWS, VALUES, Lost
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Object, Ref, Snapshot


def tree(table: Ref, schema: Snapshot) -> list[Ref]:
    """The table and, where it is partitioned, all below."""
    found = [table]
    for one in found:
        path = list(one.path)
        found += [Ref("table", p.ref.path) for p in schema.of_kind("partition") if p["parent"] == path]
    return found


def rename_away(context: Context, ref: Ref, why: str) -> Action:
    """Rename a table and its identity sequences, whose names are needed."""
    away = Ref("table", (ref.path[0], shortened(ref.name, AWAY)))
    context.replaced[ref] = away
    texts = [f"ALTER TABLE {dotted(ref.path)} RENAME TO {quoted(away.name)}"]
    for column in context.now.columns(*ref.path):
        if column["identity"]:
            schema, name = column["identity_sequence"][:2]
            texts.append(f"ALTER SEQUENCE {dotted((schema, name))} RENAME TO {quoted(shortened(name, AWAY))}")
    return Action("set aside", ref, statements(*texts), why=why)


def functions_away(context: Context, tables: list[Ref]) -> Iterator[Action]:
    """Rename functions that the tables compute with and that a type set aside forces to be made anew: old
    and new table need one each while the rows are copied."""
    aside = {ref for ref in context.replaced if ref.kind == "type"}
    if not aside:
        return
    used = {
        need
        for table in tables
        for part in (*context.now.parts(*table.path), context.now[table])
        for need in context.now.needs.get(part.ref, ())
        if need.kind == "function" and aside & context.now.needs.get(need, {}).keys()
    }
    for ref in sorted(used):
        away = Ref("function", (ref.path[0], shortened(ref.path[1], AWAY), *ref.path[2:]))
        context.replaced[ref] = away
        sql = family_of(ref).rename(ref, away.path[1], context.now[ref])
        yield Action("set aside", ref, statements(sql), why="a type that it needs is replaced")


def copying(creation: Action, context: Context) -> None:
    """Let the creation of a table that was renamed away copy the rows, and the old one wait for that. A
    partitioned table's rows come with its partitions."""
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
    rows = [Statement(_insert(creation.ref, away, columns, values), fills=True)]
    if context.before[creation.ref]["form"] == "p":
        rows = []
    creation.statements = (*creation.statements, *rows, *carried)
    creation.reads = set(tree(away, context.now))


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
    """What of a table that was written anew is not in the new one: columns, and rows of partitions that come
    with the migration."""
    table = next((ref for ref, other in context.replaced.items() if other == away), None)
    if table is None or table.kind != "table":
        return ()
    lost = [
        Lost(VALUES, column.ref.relation, column.ref.name)
        for column in context.now.columns(*away.path)
        if not column["generated"] and Ref("column", (*table.path, column.ref.name)) not in context.before
    ]
    if context.before[table]["form"] == "p":
        lost += [Lost(ROWS, (ref.path[0], ref.path[1])) for ref in _new_partitions(away, context)]
    return tuple(lost)


def _new_partitions(away: Ref, context: Context) -> Iterator[Ref]:
    """Partitions right below that go with the table and are not written anew."""
    for bond in context.now.of_kind("partition"):
        ref = Ref("table", bond.ref.path)
        there = ref in context.before or ref in context.replaced.values()
        if bond["parent"] == list(away.path) and not there:
            yield ref


def _insert(table: Ref, away: Ref, columns: list[str], values: list[str]) -> str:
    if not columns:
        return f"INSERT INTO {dotted(table.path)} SELECT FROM {dotted(away.path)}"
    return (
        f"INSERT INTO {dotted(table.path)} ({comma(columns)})\nOVERRIDING SYSTEM VALUE\n"
        f"SELECT {comma(values)}\n  FROM {dotted(away.path)}"
    )
