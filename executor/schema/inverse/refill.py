"""Tables that are written anew: renamed away, made again and filled from what was renamed."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.columns import is_enum
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.fields import fields_of
from executor.schema.inverse.fills import fill_value, lost_with, moved_from, needs_fill
from executor.schema.inverse.identities import carry_position
from executor.schema.inverse.taken import away
from executor.schema.lost import CHANGED, ROWS, Lost, may_change
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref

ROUTE = 76
"""Among the priorities: with the partitions, before keys that refer to them, views and triggers."""


def rename_away(context: Context, ref: Ref, why: str) -> Action:
    """Rename a table and its identity sequences, whose names are needed."""
    new = away(ref, context.now)
    context.replaced[ref] = new
    texts = [f"ALTER TABLE {dotted(ref.path)} RENAME TO {quoted(new.name)}"]
    if any(ref in context.before.tree(root) for root in context.routed):
        texts += _indexes_away(context, ref)
    for column in context.now.columns(*ref.path):
        if column["identity"]:
            schema, name = column["identity_sequence"][:2]
            other = away(Ref("sequence", (schema, name)), context.now)
            texts.append(f"ALTER SEQUENCE {dotted((schema, name))} RENAME TO {quoted(other.name)}")
    return Action("set aside", ref, statements(*texts), why=why)


def _indexes_away(context: Context, table: Ref) -> Iterator[str]:
    """Free the names of a table's indexes: those of before must be there before the rows can go back."""
    for thing in context.now.of_kind("index", "constraint"):
        path = thing.ref.path
        if thing.ref.kind == "index":
            if tuple(thing["relation"]) != table.path:
                continue
        elif thing.ref.relation != table.path or thing["type"] not in "pux":
            continue
        else:
            path = (path[0], path[2])
        other = away(Ref("index", path), context.now)
        yield f"ALTER INDEX {dotted(path)} RENAME TO {quoted(other.name)}"


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
        new = away(ref, context.now)
        context.replaced[ref] = new
        sql = family_of(ref).rename(ref, new.path[1], context.now[ref])
        yield Action("set aside", ref, statements(sql), why="a type that it needs is replaced")


def copying(creation: Action, context: Context) -> None:
    """Let the creation of a table that was renamed away copy the rows, and the old one wait for that. A
    partitioned table's rows come with its partitions."""
    old = context.replaced.get(creation.ref)
    if old is None or creation.ref.kind != "table":
        return
    columns, ways, carried = [], [], []
    for column in context.before.columns(*creation.ref.path):
        values = _values(column, old, context)
        if values:
            columns.append(quoted(column.ref.name))
            ways.append(values)
        was = context.now.get(Ref("column", (*old.path, column.ref.name)))
        if was is not None and column["identity"] and was["identity"]:
            carried.append(carry_position(column["identity_sequence"][:2], was["identity_sequence"][:2]))
    texts = (_insert(creation.ref, old, columns, list(values)) for values in zip(*ways, strict=True))
    first, *others = dict.fromkeys(texts) or [_insert(creation.ref, old, [], [])]
    rows = [Statement(first, tuple(others), fills=True)]
    if creation.ref in context.routed:
        context.routes[creation.ref] = rows
    if context.before[creation.ref]["form"] == "p" or _is_routed(creation.ref, context):
        rows = []
    creation.statements = (*creation.statements, *rows, *carried)
    creation.reads = set(context.now.tree(old))


def routing(creations: list[Action], context: Context) -> Iterator[Action]:
    """Give rows back to the partitions of before, once all of these are attached, and before anything is
    there that looks at rows which come."""
    for root, rows in context.routes.items():
        old, tree = context.replaced[root], context.before.tree(root)
        bonds = {Ref("partition", ref.path) for ref in tree[1:]}
        mark = Ref("rows", root.path)
        for creation in creations:
            if _looks_at_rows(creation.ref, {ref.path for ref in tree}, context):
                creation.after.add(mark)
        yield Action(
            "route",
            root,
            rows,
            why="each row finds its partition; fails where one fits none",
            provides={mark},
            reads=set(context.now.tree(old)),
            after={root, *tree, *bonds},
            priority=ROUTE,
        )
    context.routes = {}


def _looks_at_rows(ref: Ref, tree: set[tuple[str, ...]], context: Context) -> bool:
    """Whether an object that is made would change rows that come, or must find them all."""
    thing = context.before.get(ref)
    if ref.kind in ("trigger", "rule", "policy"):
        return ref.path[:2] in tree
    references = thing["references"] if thing is not None and ref.kind == "constraint" else None
    return bool(references) and tuple(references or ()) in tree


def _is_routed(table: Ref, context: Context) -> bool:
    """Whether the table is a partition, of before, of one whose rows are routed."""
    return any(table in context.before.tree(root) for root in context.routed)


def emptied(table: Ref, context: Context) -> bool:
    """Whether all rows of a table that goes were routed to partitions of before."""
    return any(
        root in context.replaced and table in context.now.tree(context.replaced[root])
        for root in context.routed
    )


def _values(column: Object, old: Ref, context: Context) -> tuple[str, ...]:
    """What a row of the new table gets in the column, in three wordings: as it is, which stops at what does
    not fit, cast, and cast by way of text. () where the column computes or defaults it."""
    if column["generated"]:
        return ()
    was = context.now.get(Ref("column", (*old.path, column.ref.name)))
    name, kind = quoted(column.ref.name), column["type"]
    if was is not None and column["not_null"] and not (was["not_null"] or column["identity"]):
        filling = fill_value(column, context)
        ways = _converted(name, kind, was, column, context)
        return ways if filling is None else tuple(f"coalesce({way}, ({filling})::{kind})" for way in ways)
    if was is not None:
        return _converted(name, kind, was, column, context)
    default = context.before.get(Ref("default", column.ref.path))
    value = fill_value(column, context) if needs_fill(column, default, context) else None
    _, value = moved_from(column, value, context)
    return () if value is None else (value, value, value)


def _converted(name: str, kind: str, was: Object, column: Object, context: Context) -> tuple[str, ...]:
    """A value that is there, in three wordings."""
    if (fields := fields_of(kind, context)) is not None:
        plain, by_text = fields.conversions(name, kind)
        return (plain, by_text, by_text)
    computed = context.conversions.get(column.ref)
    if computed is not None and computed.back and was["type"] != kind:
        back = computed.of(name)
        return (back, back, back)
    same = was["type"] == kind
    return (name, name, name) if same else (name, f"{name}::{kind}", f"{name}::text::{kind}")


def not_carried(old: Ref, context: Context) -> tuple[Lost, ...]:
    """What of a table that was written anew is not in the new one: columns, and rows of partitions that come
    with the migration."""
    table = next((ref for ref, other in context.replaced.items() if other == old), None)
    if table is None or table.kind != "table":
        return ()
    lost = [
        lost_with(column, context)
        for column in context.now.columns(*old.path)
        if not column["generated"] and Ref("column", (*table.path, column.ref.name)) not in context.before
    ]
    for column in context.now.columns(*old.path):
        back = context.before.get(Ref("column", (*table.path, column.ref.name)))
        if back is None or column["type"] == back["type"]:
            continue
        computed = context.conversions.get(back.ref)
        if computed is not None and computed.back:
            ways = computed.ways
            lost.append(Lost(CHANGED, column.ref.relation, column.ref.name, back["type"], ways=ways))
        elif may_change(column["type"], back["type"]) and not is_enum(back["type"], context):
            lost.append(Lost(CHANGED, column.ref.relation, column.ref.name, back["type"]))
    if context.before[table]["form"] == "p" and table not in context.routed:
        lost += [Lost(ROWS, (ref.path[0], ref.path[1])) for ref in _new_partitions(old, context)]
    return tuple(lost)


def _new_partitions(old: Ref, context: Context) -> Iterator[Ref]:
    """Partitions right below that go with the table and are not written anew."""
    for bond in context.now.of_kind("partition"):
        ref = Ref("table", bond.ref.path)
        there = ref in context.before or ref in context.replaced.values()
        if bond["parent"] == list(old.path) and not there:
            yield ref


def _insert(table: Ref, old: Ref, columns: list[str], values: list[str]) -> str:
    if not columns:
        return f"INSERT INTO {dotted(table.path)} SELECT FROM {dotted(old.path)}"
    return (
        f"INSERT INTO {dotted(table.path)} ({comma(columns)})\nOVERRIDING SYSTEM VALUE\n"
        f"SELECT {comma(values)}\n  FROM {dotted(old.path)}"
    )
