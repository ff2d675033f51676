"""Tables that are written anew: columns that must return to their places, partitioned tables that were plain.
They are renamed away with all their partitions, made again and filled, and then the old ones go."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse import options as choices
from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.fills import fill_value, needs_fill
from executor.schema.inverse.identities import carry_position
from executor.schema.inverse.options import Choice
from executor.schema.inverse.renames import AWAY
from executor.schema.lost import ROWS, VALUES, Lost
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import Object, Ref, Snapshot

ORDER = "columns must return to their places: the table is written anew"
FORM = "it is partitioned now and was not: the table is written anew"


def set_aside(context: Context) -> tuple[list[Action], list[Choice]]:
    """Rename away the tables that are to be written anew, and say where there is a choice."""
    reasons: dict[Ref, str] = {}
    found: list[Choice] = []
    for table in context.before.of_kind("table"):
        now = context.now.get(table.ref)
        if now is not None and (now["form"], table["form"]) == ("p", "r"):
            reasons[table.ref] = FORM
    for root, members in _out_of_place(context).items():
        choice = _choose(context, root, members)
        found.append(choice)
        if choice.taken == choices.REBUILD:
            reasons.update(dict.fromkeys(members, ORDER))
    renamed = [_rename_away(context, ref, why) for ref, why in reasons.items()]
    return [*renamed, *_functions_away(context, list(reasons))], found


def _choose(context: Context, root: Ref, members: list[Ref]) -> Choice:
    options, now = context.options, context.now
    size = _bytes(context, members)
    taken = options.column_order
    if taken == choices.BY_SIZE:
        small = size is not None and size <= options.rebuild_below
        taken = choices.REBUILD if small else choices.APPEND
    if not can_be_rebuilt(members, now, context.before):
        taken = choices.APPEND
    missing = [c.ref.name for ref in members for c in context.before.columns(*ref.path) if c.ref not in now]
    names = comma(dict.fromkeys(missing)) or "columns"
    return choices.column_order(dotted(root.path), names, size, taken)


# What is out of place, and whether it can be written anew


def _out_of_place(context: Context) -> dict[Ref, list[Ref]]:
    """Tables whose columns would not come back to their places, by the root of their partitions: with a
    partition its whole tree, as far as it is in both schemas."""
    found: dict[Ref, list[Ref]] = {}
    now, before = context.now, context.before
    for table in before.of_kind("table"):
        if table.ref not in now:
            continue
        wanted = [column.ref.name for column in before.columns(*table.ref.path)]
        there = [column.ref.name for column in now.columns(*table.ref.path)]
        lost = wanted != there and wanted != _order_after(table.ref, now, before)
        if lost or table.ref in context.reordered:
            root = _root(table.ref, now)
            found[root] = [ref for ref in tree(root, now) if ref in before and _same_root(ref, root, before)]
    return found


def _order_after(table: Ref, now: Snapshot, before: Snapshot) -> list[str]:
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


def _root(table: Ref, schema: Snapshot) -> Ref:
    while (bond := schema.get(Ref("partition", table.path))) is not None:
        table = Ref("table", tuple(bond["parent"]))
    return table


def _same_root(table: Ref, root: Ref, schema: Snapshot) -> bool:
    return _root(table, schema) == root


def tree(table: Ref, schema: Snapshot) -> list[Ref]:
    """The table and, where it is partitioned, all below."""
    found = [table]
    for one in found:
        path = list(one.path)
        found += [Ref("table", p.ref.path) for p in schema.of_kind("partition") if p["parent"] == path]
    return found


def can_be_rebuilt(members: list[Ref], now: Snapshot, before: Snapshot) -> bool:
    """Whether the tables stand for themselves: nothing foreign, no inheritance, no column of a row type."""
    inside = {ref.path for ref in members}
    for ref in members:
        thing = now[ref]
        if thing["form"] not in "rp" or thing["form"] != before[ref]["form"]:
            return False
        if thing["parents"] or thing["of_type"]:
            return False
        for dependent in now.needed_by.get(ref, ()):
            if dependent.kind == "table" and Ref("partition", dependent.path) not in now:
                return False
            if dependent.kind == "column" and dependent.relation not in inside:
                partition = Ref("partition", dependent.relation)
                if partition not in now or _root(Ref("table", dependent.relation), now).path not in inside:
                    return False
    return True


# What it costs


def _bytes(context: Context, members: list[Ref]) -> int | None:
    """Bytes that are written or read under the lock: the tables', those of tables whose foreign keys are
    checked again, and those of materialized views that are filled again. None where any is not known."""
    sizes = context.options.sizes
    touched = {Ref("table", ref.path) for ref in members} | set(_checked_again(context.now, members))
    total = 0
    for ref in touched:
        if ref.kind == "table" and context.now[ref]["form"] != "r":
            continue
        path = context.path_at_start(ref)
        size = sizes.get((path[0], path[1])) if sizes is not None else None
        if size is None:
            return None
        total += size
    return total


def _checked_again(now: Snapshot, members: list[Ref]) -> Iterator[Ref]:
    """Relations with rows that need one of the tables: by a foreign key, or as a materialized view."""
    seen: set[Ref] = set()
    queue = [*members, *(column.ref for ref in members for column in now.columns(*ref.path))]
    while queue:
        for dependent in now.needed_by.get(queue.pop(), ()):
            if dependent in seen or dependent not in now:
                continue
            seen.add(dependent)
            if dependent.kind == "constraint" and now[dependent]["references"]:
                yield from tree(Ref("table", dependent.relation), now)
            elif dependent.kind in ("view", "materialized view"):
                if dependent.kind == "materialized view":
                    yield dependent
                queue.append(dependent)
            elif dependent.kind == "constraint":
                queue.append(dependent)


# Setting aside and filling


def _rename_away(context: Context, ref: Ref, why: str) -> Action:
    """Rename a table and its identity sequences, whose names are needed."""
    away = Ref("table", (ref.path[0], shortened(ref.name, AWAY)))
    context.replaced[ref] = away
    texts = [f"ALTER TABLE {dotted(ref.path)} RENAME TO {quoted(away.name)}"]
    for column in context.now.columns(*ref.path):
        if column["identity"]:
            schema, name = column["identity_sequence"][:2]
            texts.append(f"ALTER SEQUENCE {dotted((schema, name))} RENAME TO {quoted(shortened(name, AWAY))}")
    return Action("set aside", ref, statements(*texts), why=why)


def _functions_away(context: Context, tables: list[Ref]) -> Iterator[Action]:
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
