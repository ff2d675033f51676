"""Keep data in place: a table moves to the archive schema instead of being dropped, a column's values are
copied by
key. Moving takes no time; copying is for the values of one column."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.family import Context, comma
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Ref, Snapshot


def archive(context: Context) -> Action:
    """The archive schema, made if need be."""
    name = context.options.archive_schema
    sql = f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}"
    return Action("keep", Ref("schema", (name,)), statements(sql), priority=-2)


def kept(action: Action, context: Context) -> bool:
    """Change the dropping of a table, or of a column, so that its data stay in the archive. False where that
    is not possible: a column without a key to find its rows by, a partition, a parent of others."""
    ref = action.ref
    if ref.kind == "table" and _stands_alone(ref, context.now):
        action.statements = statements(*_moves(ref, context))
        action.verb, action.loses = "keep", ()
        action.why = f"its rows stay in {dotted(_place(ref, context))}"
        return True
    if ref.kind == "column" and not context.now[ref]["generated"] and (key := _key(ref, context)):
        copy = _copy(ref, key, context)
        action.statements = (*statements(copy), *action.statements)
        action.loses = ()
        action.why = f"its values stay, by key, in {dotted(_place(ref, context))}"
        return True
    return False


def restoring(actions: list[Action], context: Context) -> Iterator[str]:
    """SQL that brings the kept data back, once the migration has been applied again."""
    for action in actions:
        ref = action.ref
        place = dotted(_place(ref, context))
        if ref.kind == "table" and action.verb == "keep":
            names = comma(quoted(c.ref.name) for c in context.now.columns(*ref.path) if not c["generated"])
            yield (
                f"INSERT INTO {dotted(ref.path)} ({names})\nOVERRIDING SYSTEM VALUE\n"
                f"SELECT {names}\n  FROM {place}"
            )
        elif ref.kind == "column" and (key := _key(ref, context)):
            column = quoted(ref.name)
            same = " AND ".join(f"t.{name} = k.{name}" for name in key)
            table = dotted(ref.path[:2])
            yield f"UPDATE {table} t\n   SET {column} = k.{column}\n  FROM {place} k\n WHERE {same}"


def _stands_alone(table: Ref, now: Snapshot) -> bool:
    others = now.needed_by.get(table, ())
    return (
        now[table]["form"] == "r"
        and Ref("partition", table.path) not in now
        and not now[table]["parents"]
        and not any(other.kind in ("table", "partition") for other in others)
    )


def _moves(table: Ref, context: Context) -> Iterator[str]:
    """What would still tie the table to the rest goes first: its own keys to others, triggers, policies,
    rules."""
    name = dotted(table.path)
    for part in context.now.parts(*table.path):
        inner = quoted(part.ref.name)
        if part.ref.kind == "constraint" and part["type"] == "f":
            yield f"ALTER TABLE {name} DROP CONSTRAINT {inner}"
        elif part.ref.kind in ("trigger", "policy", "rule"):
            yield f"DROP {part.ref.kind.upper()} {inner} ON {name}"
    new = _place(table, context)
    yield f"ALTER TABLE {name} SET SCHEMA {quoted(new[0])}"
    if new[1] != table.name:
        yield f"ALTER TABLE {dotted((new[0], table.name))} RENAME TO {quoted(new[1])}"


def _copy(column: Ref, key: list[str], context: Context) -> str:
    name = quoted(column.name)
    return (
        f"CREATE TABLE {dotted(_place(column, context))} AS\nSELECT {comma([*key, name])}\n"
        f"  FROM {dotted(column.path[:2])}\n WHERE {name} IS NOT NULL"
    )


def _key(column: Ref, context: Context) -> list[str]:
    """The primary key's columns as SQL, if rows can be found by them."""
    for part in context.now.parts(*column.relation):
        if part.ref.kind == "constraint" and part["type"] == "p":
            listed: str = part["definition"].partition("(")[2].partition(")")[0]
            names = listed.split(", ")
            return names if quoted(column.name) not in names else []
    return []


def _place(ref: Ref, context: Context) -> tuple[str, str]:
    suffix = f"__{context.options.archive_label}" if context.options.archive_label else ""
    name = "__".join(ref.path[1:]) if ref.kind == "column" else ref.name
    return context.options.archive_schema, shortened(name, suffix)
