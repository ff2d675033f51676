"""Which tables are written anew, and what that costs: those whose columns must return to their places, and
those that were not partitioned, or not so. A partition is written anew with its whole tree. (How: see
`refill`.)"""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse import options as choices
from executor.schema.inverse import refill
from executor.schema.inverse.action import Action
from executor.schema.inverse.family import Context, comma
from executor.schema.inverse.options import Choice
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

ORDER = "columns must return to their places: the table is written anew"
KEY = "a type of its partition key is replaced: the table is written anew"
FORM = "it is partitioned now and was not: the table is written anew"
ROUTED = "it was partitioned, or by another key: its rows go back to their former partitions"
ALONE = "stands on its own now, and whether its rows are also in {table} can't be told: take it away by hand"


def set_aside(context: Context) -> tuple[list[Action], list[Choice]]:
    """Rename away the tables that are to be written anew, and say where there is a choice."""
    reasons: dict[Ref, str] = {}
    found: list[Choice] = []
    for table in context.before.of_kind("table"):
        now = context.now.get(table.ref)
        if now is None or table.ref in reasons:
            continue
        if (now["form"], table["form"]) == ("p", "r"):
            reasons[table.ref] = FORM
        elif _other_key(now, table):
            reasons.update(_routed(_root(table.ref, context.before), context))
    for root in _partitioned_by_replaced_types(context):
        reasons.update(dict.fromkeys(_members(root, context), KEY))
    for root, members in _out_of_place(context).items():
        if root in reasons:
            continue
        choice = _choose(context, root, members)
        found.append(choice)
        if choice.taken == choices.REBUILD:
            reasons.update(dict.fromkeys(members, ORDER))
    renamed = [refill.rename_away(context, ref, why) for ref, why in reasons.items()]
    return [*renamed, *refill.functions_away(context, list(reasons))], found


def _other_key(now: Object, before: Object) -> bool:
    """Whether a table was partitioned and is not, or by another key."""
    if before["form"] != "p" or now["form"] not in "rp":
        return False
    return bool(now["form"] == "r" or now["partition_key"] != before["partition_key"])


def _routed(table: Ref, context: Context) -> dict[Ref, str]:
    """The table and what of its former partitions is below it now, to be written anew; nothing, and a gap,
    where a former partition stands on its own with rows that may be the same."""
    inside, former = set(context.now.tree(table)), context.before.tree(table)
    for ref in former:
        if ref in context.now and ref not in inside:
            context.refused.append(f"{ref} {ALONE.format(table=dotted(table.path))}")
            return {}
    if table not in context.now:
        return {}
    context.routed.add(table)
    return {ref: ROUTED for ref in former if ref in context.now}


def _choose(context: Context, root: Ref, members: list[Ref]) -> Choice:
    options, now = context.options, context.now
    size = _bytes(context, members)
    taken = options.column_order
    if taken == choices.BY_SIZE:
        small = size is not None and size <= options.rebuild_below
        taken = choices.REBUILD if small else choices.APPEND
    if why := hindrance(members, now, context.before):
        if taken == choices.REBUILD:
            context.notes.append(f"{dotted(root.path)} can't be written anew: {why}.")
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
            members = _members(root, context)
            if table.ref in members:
                found[root] = members
            else:  # the migration made a partition of it
                found[table.ref] = [table.ref]
    return found


def _members(root: Ref, context: Context) -> list[Ref]:
    """The tables of a tree of partitions that belong to it in both schemas."""
    before = context.before
    return [ref for ref in context.now.tree(root) if ref in before and _root(ref, before) == root]


def _partitioned_by_replaced_types(context: Context) -> Iterator[Ref]:
    """Roots of partitioned tables that have a key column of a type that was set aside."""
    aside = {ref for ref in context.replaced if ref.kind == "type"}
    now, before = context.now, context.before
    for table in now.of_kind("table") if aside else ():
        key = table["partition_key"] or ""
        typed = (c for c in now.columns(*table.ref.path) if aside & now.needs.get(c.ref, {}).keys())
        root = _root(table.ref, now)
        keyed = root in before and any(quoted(column.ref.name) in key for column in typed)
        if keyed and can_be_rebuilt(_members(root, context), now, before):
            yield root


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


def can_be_rebuilt(members: list[Ref], now: Snapshot, before: Snapshot) -> bool:
    """Whether nothing hinders that the tables are written anew."""
    return not hindrance(members, now, before)


def hindrance(members: list[Ref], now: Snapshot, before: Snapshot) -> str:
    """Why the tables can't be written anew, in a few words; '' where they can."""
    inside = {ref.path for ref in members}
    for ref in members:
        thing = now[ref]
        if thing["form"] not in "rp" or thing["form"] != before[ref]["form"]:
            return "it is another kind of table"
        if thing["parents"]:
            return "it inherits from another table"
        if thing["of_type"]:
            return "it is a table of a type"
        for dependent in now.needed_by.get(ref, ()):
            if dependent.kind == "table" and Ref("partition", dependent.path) not in now:
                return f"{dependent} inherits from it"
            if dependent.kind == "type":
                return f"{dependent} is made of its rows"
            if dependent.kind == "column" and (why := _of_its_rows(dependent, ref, inside, now, before)):
                return why
    return ""


def _of_its_rows(
    column: Ref, table: Ref, inside: set[tuple[str, ...]], now: Snapshot, before: Snapshot
) -> str:
    """Why a column that needs the table hinders: one of its row type can be brought over field by field,
    where it is not an array."""
    if column.relation in inside:
        return ""
    partition = Ref("partition", column.relation)
    if partition in now and _root(Ref("table", column.relation), now).path in inside:
        return ""
    if now[column]["type"] == dotted(table.path):
        return "" if column in before else f"{column} is of its row type, and came with the migration"
    return f"{column} is made of its rows"


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
                yield from now.tree(Ref("table", dependent.relation))
            elif dependent.kind in ("view", "materialized view"):
                if dependent.kind == "materialized view":
                    yield dependent
                queue.append(dependent)
            elif dependent.kind == "constraint":
                queue.append(dependent)
