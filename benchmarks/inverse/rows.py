"""Put rows into tables, as far as constraints allow, and take fingerprints of columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from executor.schema.lost import Lost
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
ROWS = 3
ATTEMPTS = 10
"""Ways to fill a table before it is left empty."""
Prints = dict[Ref, tuple[int, str]]


def populate(connection: Connection, now: Snapshot) -> tuple[int, int]:
    """Give rows to tables that have none. Returns (tables with rows, tables)."""
    waiting = [table for table in now.of_kind("table") if table["form"] in "rp" and not _child(table, now)]
    total, filled = len(waiting), 0
    for _ in range(6):
        still = []
        for table in waiting:
            if _has_rows(connection, table) or _fill(connection, table, now):
                filled += 1
            else:
                still.append(table)
        if len(still) == len(waiting):
            break
        waiting = still
    return filled, total


def _child(table: Object, now: Snapshot) -> bool:
    return Ref("partition", table.ref.path) in now


def _has_rows(connection: Connection, table: Object) -> bool:
    return connection.execute(f"SELECT FROM {dotted(table.ref.path)} LIMIT 1").fetchone() is not None


def _fill(connection: Connection, table: Object, now: Snapshot) -> bool:
    columns = [c for c in now.columns(*table.ref.path) if not c["generated"] and c["identity"] != "a"]
    if not columns:
        return False
    parents = _parents(connection, table, now)
    named = _named_by_checks(table, now)
    for attempt in range(ATTEMPTS):
        try:
            with connection.transaction():
                for number in range(1, ROWS + 1):
                    values = [
                        _otherwise(column, place, attempt, named)
                        or _value(column, number, attempt, parents, now)
                        for place, column in enumerate(columns)
                    ]
                    names = ", ".join(quoted(column.ref.name) for column in columns)
                    connection.execute(
                        f"INSERT INTO {dotted(table.ref.path)} ({names}) VALUES ({', '.join(values)})"
                    )
            return True
        except psycopg.Error:
            continue
    return False


def _named_by_checks(table: Object, now: Snapshot) -> dict[str, str]:
    """For columns of which a check names values: the first of them, as SQL."""
    found: dict[str, str] = {}
    for part in now.parts(*table.ref.path):
        if part.ref.kind == "constraint" and part["type"] == "c":
            text = re.search(r"'(?:[^']|'')*'(?:::[a-z ]+)?", part["definition"])
            for need in now.needs.get(part.ref, ()):
                if text and need.kind == "column":
                    found.setdefault(need.name, text[0])
    return found


def _otherwise(column: Object, place: int, attempt: int, named: dict[str, str]) -> str | None:
    """After the first attempts: values that checks name, and other columns NULL each time."""
    if attempt < 3:
        return None
    if not column["not_null"] and (attempt - 2) >> place % 3 & 1:
        return "NULL"
    return named.get(column.ref.name)


def _parents(connection: Connection, table: Object, now: Snapshot) -> dict[str, list[str]]:
    """For columns with foreign keys: values of the referenced column, as SQL."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(
        """SELECT a.attname::text, k.confrelid::regclass::text, quote_ident(b.attname),
        b.atttypid::regtype::text
             FROM pg_constraint k
             CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (mine, theirs)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.mine
             JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.theirs
            WHERE k.contype = 'f' AND k.conrelid = %s::oid AND k.confrelid <> k.conrelid""",
        [table.address[1]],
    ).fetchall():
        name, relation, column, type_name = row
        values = connection.execute(
            f"SELECT DISTINCT quote_literal({column}::text) FROM {relation} ORDER BY 1 LIMIT {ROWS}"
        ).fetchall()
        if values:
            found[name] = [f"{value[0]}::{type_name}" for value in values]
    return found


def _value(column: Object, number: int, attempt: int, parents: dict[str, list[str]], now: Snapshot) -> str:
    if column.ref.name in parents:
        values = parents[column.ref.name]
        return values[(number - 1) % len(values)]
    if attempt == 1 and not column["not_null"]:
        return "NULL"
    if attempt == 2 and Ref("default", column.ref.path) in now:
        return "DEFAULT"
    return _by_type(column["type"], number, now)


_BY_TYPE = (
    (("smallint", "integer", "bigint", "numeric", "real", "double", "oid", "money"), "{n}"),
    (("boolean",), "true"),
    (("timestamp", "date"), "'2024-01-0{n}'"),
    (("time",), "'0{n}:00'"),
    (("interval",), "'{n} days'"),
    (("jsonb", "json"), "'{{\"k\": {n}}}'"),
    (("uuid",), "'00000000-0000-0000-0000-00000000000{n}'"),
    (("bytea",), "'\\x0{n}'"),
    (("inet", "cidr"), "'10.0.0.{n}'"),
    (("character", "text", "citext", "ltree", "xml"), "'{n}'"),
)


def _by_type(written: str, number: int, now: Snapshot) -> str:
    if written.endswith("[]"):
        return f"ARRAY[{_by_type(written[:-2], number, now)}]::{written}"
    for beginnings, value in _BY_TYPE:
        if written.startswith(beginnings):
            return value.format(n=number)
    for kind in now.of_kind("type"):
        if dotted(kind.ref.path) == written and kind["form"] == "e":
            return literal(kind["labels"][(number - 1) % len(kind["labels"])])
        if dotted(kind.ref.path) == written and kind["form"] == "d":
            return _by_type(kind["base"], number, now)
    return "NULL"


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
) -> Iterator[str]:
    """Columns whose values the migration kept (same table, same column, same values) and that differ behind
    the way back. `prints` are those before, behind the migration, and behind the way back."""
    first, second, third = prints
    for column in before.of_kind("column"):
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
    relabelled = {dotted(kind.ref.path) for kind in after.of_kind("type") if _other_labels(kind, back)}
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


def _before(column: Object, before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The name that the way back must give to a column, or to a new one of the same table."""
    there = before.by_address.get(column.address)
    if there is not None:
        return there.path
    table = before.by_address.get(after[Ref("table", column.ref.relation)].address)
    return (*table.path, column.ref.name) if table is not None else column.ref.path


def _other_labels(kind: Object, back: Snapshot) -> bool:
    """Whether an enum's labels have other names behind the way back."""
    now = back.by_address.get(kind.address)
    if kind["form"] != "e" or now is None:
        return False
    old = dict(zip(kind["label_oids"], kind["labels"], strict=True))
    new = dict(zip(back[now]["label_oids"], back[now]["labels"], strict=True))
    return any(new.get(oid, label) != label for oid, label in old.items())


def _same_partitions(column: Object, after: Snapshot, back: Snapshot) -> bool:
    """Whether a partitioned table has as many partitions in both."""

    def count(of: Snapshot, table: Ref | None) -> int:
        return sum(table is not None and p["parent"] == list(table.path) for p in of.of_kind("partition"))

    table = after[Ref("table", column.ref.relation)]
    return count(after, table.ref) == count(back, back.by_address.get(table.address))
