"""Which tables of a chain have rows, and fingerprints of their columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import psycopg

from executor.schema.filling import fill
from executor.schema.loss import Loss
from executor.schema.lost import ROWS, Lost
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
Prints = dict[Ref, tuple[int, str]]


def populate(connection: Connection, now: Snapshot) -> tuple[int, int]:
    """Give rows to tables that have none. Returns (tables with rows, tables)."""
    found = fill(connection, now)
    return len(found.tables), len(found.tables) + len(found.empty)


def fingerprints(connection: Connection, now: Snapshot) -> dict[Ref, tuple[int, str]]:
    """For each column of each table: how many values it has, and a hash of their sorted texts."""
    found = {}
    for table in now.of_kind("table"):
        columns = now.columns(*table.ref.path)
        if table["form"] in "rp" and columns:
            listed = ", ".join(_fingerprint(column) for column in columns)
            only = "ONLY " if table["form"] == "r" else ""
            row = connection.execute(f"SELECT {listed} FROM {only}{dotted(table.ref.path)}").fetchone()
            assert row is not None
            for place, column in enumerate(columns):
                found[column.ref] = (row[2 * place], row[2 * place + 1])
    return found


def _fingerprint(column: Object) -> str:
    name = quoted(column.ref.name)
    return (
        f"count({name}), md5(coalesce(string_agg({name}::text, '|' ORDER BY {name}::text COLLATE \"C\"), ''))"
    )


def lost(
    before: Snapshot,
    after: Snapshot,
    prints: tuple[dict[Ref, tuple[int, str]], dict[Ref, tuple[int, str]], dict[Ref, tuple[int, str]]],
    replaced: Collection[str] = (),
) -> Iterator[str]:
    """Columns whose values the migration kept (same table, same column, same values) and that differ behind
    the way back. `prints` are those before, behind the migration, and behind the way back. Of tables that are
    `replaced`, the migration took rows and added others, which the way back takes again, and says so: that a
    column has as many of each value then doesn't mean that they are the same."""
    first, second, third = prints
    for column in before.of_kind("column"):
        if dotted(column.ref.relation) in replaced:
            continue
        there = after.by_address.get(column.address)
        if there is not None and first.get(column.ref) == second.get(there) != third.get(column.ref):
            yield f"{column.ref}: {first.get(column.ref)} → {third.get(column.ref)}"


def unannounced(
    before: Snapshot,
    after: Snapshot,
    back: Snapshot,
    prints: tuple[Prints, Prints, Prints],
    announced: Iterable[Lost],
) -> Iterator[str]:
    """Values that stood behind the migration, are other ones behind the way back, and were not announced. Of
    columns that got another type only the number of values is compared: they are written otherwise."""
    known = set(announced)
    relations = {lost.relation for lost in known if not lost.column}
    columns = {(lost.relation, lost.column) for lost in known}
    _, second, third = prints
    types = [
        kind for kind in after.of_kind("type") if _other_labels(kind, before) or _other_fields(kind, before)
    ]
    relabelled = {dotted(kind.ref.path) for kind in types}
    for column in after.of_kind("column"):
        had = second.get(column.ref)
        if column["inherited"] and not column["local"]:
            continue  # told and counted with the parent
        if column["form"] == "p" and had is not None and not _same_partitions(column, after, back):
            continue  # other partitions, other rows: theirs are compared one by one
        if column["type"].removesuffix("[]") in relabelled:
            continue  # the same values are written in other words
        if column["generated"] or not had or not had[0] or column.ref.relation in relations:
            continue
        now = back.get(Ref("column", _before(column, before, after)))
        if (column.ref.relation, column.ref.name) in columns:
            continue
        has = third.get(now.ref) if now is not None else None
        if has != had and not (now and has and now["type"] != column["type"] and has[0] == had[0]):
            yield f"{column.ref}: {had} → {has}"


def kept_though_announced(
    before: Snapshot, after: Snapshot, prints: tuple[Prints, Prints], losses: Iterable[Loss]
) -> Iterator[str]:
    """Losses that were counted, and of which nothing is lost: what stood behind the migration stands there
    behind the way back too. `prints` are those behind the migration and behind the way back."""
    second, third = prints
    for loss in losses:
        if not loss.count or not loss.exact:
            continue
        columns = [
            column
            for column in after.of_kind("column")
            if column.ref.relation == loss.lost.relation and loss.lost.column in ("", column.ref.name)
            if column.address in before.by_address  # another one may have the name of one that came and goes
        ]
        same = [
            second[column.ref] == third.get(Ref("column", _before(column, before, after)))
            for column in columns
            if column.ref in second and not (loss.lost.kind == ROWS and column["generated"])
        ]
        if same and all(same) and any(second[column.ref][0] for column in columns if column.ref in second):
            yield f"{loss}"


def _before(column: Object, before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The name that the way back must give to a column, or to a new one of the same table."""
    there = before.by_address.get(column.address)
    if there is not None:
        return there.path
    table = before.by_address.get(after[Ref("table", column.ref.relation)].address)
    return (*table.path, column.ref.name) if table is not None else column.ref.path


def _other_labels(kind: Object, before: Snapshot) -> bool:
    """Whether an enum's labels had other names before: behind the way back they have them again, if need be
    in a type that was made anew."""
    was = before.by_address.get(kind.address)
    if kind["form"] != "e" or was is None:
        return False
    old = dict(zip(before[was]["label_oids"], before[was]["labels"], strict=True))
    new = dict(zip(kind["label_oids"], kind["labels"], strict=True))
    return any(new.get(oid, label) != label for oid, label in old.items())


def _other_fields(kind: Object, before: Snapshot) -> bool:
    """Whether a composite type had other attributes before: its values are written with other commas."""
    was = before.by_address.get(kind.address)
    return kind["form"] == "c" and was is not None and before[was]["attributes"] != kind["attributes"]


def _same_partitions(column: Object, after: Snapshot, back: Snapshot) -> bool:
    """Whether a partitioned table has as many partitions in both."""

    def count(of: Snapshot, table: Ref | None) -> int:
        return sum(table is not None and p["parent"] == list(table.path) for p in of.of_kind("partition"))

    table = after[Ref("table", column.ref.relation)]
    return count(after, table.ref) == count(back, back.by_address.get(table.address))
