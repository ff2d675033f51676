"""Put rows into the tables of a shadow, as far as their constraints allow: what SQL does to rows can be seen
then."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import psycopg

from executor.schema.documents import document, documents
from executor.schema.inverse.types import attribute_type
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
ROWS = 3
MOST = 9
"""Rows for one table."""
ATTEMPTS = 10
"""Ways to fill a table before it is left empty."""
ROUNDS = 6
"""How often tables are tried again that wait for others."""
ABOVE = 71
"""The number of the first row where a table has rows already, whose keys are usually small."""


@dataclass(slots=True)
class Filled:
    """Tables that have rows, and why others have none."""

    tables: set[Ref] = field(default_factory=set)
    empty: dict[Ref, str] = field(default_factory=dict)


def fill(
    connection: Connection,
    now: Snapshot,
    tables: Iterable[Ref] | None = None,
    *,
    words: Mapping[str, Sequence[str]] | None = None,
    telling: bool = False,
    seconds: float | None = None,
) -> Filled:
    """Give rows to tables: `tables`, or without them all, those that are partitioned by way of their root.

    `words` are constants by name of column, as SQL: as long as they are not refused there is a row for each,
    and at least one other. With them, tables that have rows get more. `telling` values differ from column to
    column, and are such as rounding, trimming and another case change. What is not done in `seconds` is left.
    The connection is in autocommit.
    """
    until = None if seconds is None else time.monotonic() + seconds
    wanted = None if tables is None else set(tables)
    found = Filled()
    waiting = [table for table in now.of_kind("table") if table["form"] in "rp" and not _child(table, now)]
    waiting = [table for table in waiting if wanted is None or table.ref in wanted]
    for _ in range(ROUNDS):
        still = []
        for table in waiting:
            if until is not None and time.monotonic() > until:
                found.empty[table.ref] = "there was no time left"
            elif why := _Table(connection, table, now, words or {}, telling).fill():
                found.empty[table.ref] = why
            else:
                found.empty.pop(table.ref, None)
                found.tables.add(table.ref)
                continue
            still.append(table)
        if len(still) == len(waiting):
            break
        waiting = still
    return found


def _child(table: Object, now: Snapshot) -> bool:
    return Ref("partition", table.ref.path) in now


class _Table:
    """Fills one table."""

    def __init__(
        self,
        connection: Connection,
        table: Object,
        now: Snapshot,
        words: Mapping[str, Sequence[str]],
        telling: bool,
    ) -> None:
        self.connection, self.table, self.now, self.telling = connection, table, now, telling
        columns = now.columns(*table.ref.path)
        self.columns = [c for c in columns if not c["generated"] and c["identity"] != "a"]
        names = {column.ref.name for column in self.columns}
        self.words = {name: list(found) for name, found in words.items() if name in names and found}

    def fill(self) -> str:
        """Add rows where there are none, or where words are known for it. '' or why there are none."""
        try:
            has_rows = self._has_rows()
        except psycopg.Error as error:
            return _said(error)
        if has_rows and not self.words:
            return ""
        if not self.columns:
            return "" if has_rows else "all of its columns are computed"
        self.parents, self.named = self._parents(), self._named_by_checks()
        every = self.now.columns(*self.table.ref.path)
        computed = any(column["generated"] for column in every)
        self.documents = documents(self.connection, every, self.now) if computed else {}
        first, why = (ABOVE if has_rows else 1), ""
        begin = -2 if self.telling else -1 if self.words else 0
        for attempt in range(begin, 0 if has_rows else ATTEMPTS):
            try:
                with self.connection.transaction():
                    for number in range(self._count(attempt)):
                        self._insert(number, first + number, attempt)
                return ""
            except psycopg.Error as error:
                why = why or _said(error)
        return "" if has_rows else why

    def _has_rows(self) -> bool:
        found = self.connection.execute(f"SELECT FROM {dotted(self.table.ref.path)} LIMIT 1").fetchone()
        return found is not None

    def _count(self, attempt: int) -> int:
        if attempt >= 0 or not self.words:
            return ROWS
        return min(MOST, max(ROWS, 1 + max(map(len, self.words.values()))))

    def _insert(self, place: int, number: int, attempt: int) -> None:
        values = [
            self._otherwise(column, which, attempt) or self._value(column, which, place, number, attempt)
            for which, column in enumerate(self.columns)
        ]
        names = ", ".join(quoted(column.ref.name) for column in self.columns)
        self.connection.execute(
            f"INSERT INTO {dotted(self.table.ref.path)} ({names}) VALUES ({', '.join(values)})"
        )

    def _otherwise(self, column: Object, which: int, attempt: int) -> str | None:
        """After the first attempts: values that checks name, and other columns NULL each time."""
        if attempt < 3:
            return None
        if not column["not_null"] and (attempt - 2) >> which % 3 & 1:
            return "NULL"
        return self.named.get(column.ref.name)

    def _value(self, column: Object, which: int, place: int, number: int, attempt: int) -> str:
        words = self.words.get(column.ref.name, [])
        if attempt < 0 and place < len(words):
            return words[place]
        if column.ref.name in self.parents:
            values = self.parents[column.ref.name]
            return values[place % len(values)]
        if column.ref.name in self.documents:
            return document(self.documents[column.ref.name], number)
        if attempt == 1 and not column["not_null"]:
            return "NULL"
        if attempt == 2 and Ref("default", column.ref.path) in self.now:
            return "DEFAULT"
        if attempt == -2 and (value := _telling(column["type"], number, which)):
            return value
        return _by_type(column["type"], number, self.now)

    def _parents(self) -> dict[str, list[str]]:
        """For columns with foreign keys: values of the referenced column, as SQL."""
        found: dict[str, list[str]] = {}
        for row in self.connection.execute(
            """SELECT a.attname::text, k.confrelid::regclass::text, quote_ident(b.attname),
            b.atttypid::regtype::text
                 FROM pg_constraint k
                 CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (mine, theirs)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.mine
                 JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.theirs
                WHERE k.contype = 'f' AND k.conrelid = %s::oid AND k.confrelid <> k.conrelid""",
            [self.table.address[1]],
        ).fetchall():
            name, relation, column, type_name = row
            values = self.connection.execute(
                f"SELECT DISTINCT quote_literal({column}::text) FROM {relation} ORDER BY 1 LIMIT {ROWS}"
            ).fetchall()
            if values:
                found[name] = [f"{value[0]}::{type_name}" for value in values]
        return found

    def _named_by_checks(self) -> dict[str, str]:
        """For columns of which a check names values: the first of them, as SQL."""
        found: dict[str, str] = {}
        for part in self.now.parts(*self.table.ref.path):
            if part.ref.kind == "constraint" and part["type"] == "c":
                text = re.search(r"'(?:[^']|'')*'(?:::[a-z ]+)?", part["definition"])
                for need in self.now.needs.get(part.ref, ()):
                    if text and need.kind == "column":
                        found.setdefault(need.name, text[0])
        return found


def _said(error: psycopg.Error) -> str:
    return f"{error.sqlstate}: {error.diag.message_primary or error}"


_TELLING = (
    (("smallint", "integer", "bigint"), "{which}{n:02}"),
    (("numeric", "real", "double"), "{n}.{which}5"),
    (("timestamp",), "'{day} 12:34:{which}6.789'"),
    (("character", "text", "citext"), "'Aa {n}{which} '"),
)


def _telling(written: str, number: int, which: int) -> str:
    day = date(2024, 1, 1) + timedelta(days=number - 1)
    for beginnings, value in _TELLING:
        if written.startswith(beginnings) and not written.endswith("[]"):
            return value.format(n=number, which=1 + which % 5, day=day.isoformat())
    return ""


_BY_TYPE = (
    (("int4range", "int8range", "numrange"), "'[{n},{n}]'"),
    (("int4multirange", "int8multirange", "nummultirange"), "'{{[{n},{n}]}}'"),
    (("daterange",), "'[{day},{day}]'"),
    (("tsrange", "tstzrange"), "'[{day} 00:00,{day} 12:00]'"),
    (("datemultirange", "tsmultirange", "tstzmultirange"), "'{{[{day},{day}]}}'"),
    (("bit varying",), "B'1'"),
    (("bit",), "{n}::{written}"),
    (("macaddr",), "'08:00:2b:01:02:{n:02x}'"),
    (("point",), "'({n},{n})'"),
    (("box", "lseg"), "'(0,0),({n},{n})'"),
    (("circle",), "'<({n},{n}),1>'"),
    (("polygon", "path"), "'((0,0),({n},{n}))'"),
    (("line",), "'{{1,1,{n}}}'"),
    (("pg_lsn",), "'0/{n:X}'"),
    (("hstore",), "'k=>{n}'"),
    (("smallint", "integer", "bigint", "numeric", "real", "double", "oid", "money"), "{n}"),
    (("boolean",), "true"),
    (("timestamp", "date"), "'{day}'"),
    (("time",), "'0{digit}:00'"),
    (("interval",), "'{n} days'"),
    (("jsonb", "json"), "'{{\"k\": {n}}}'"),
    (("uuid",), "'00000000-0000-0000-0000-{n:012}'"),
    (("bytea",), "'\\x{n:02}'"),
    (("inet", "cidr"), "'10.0.0.{n}'"),
    (("character", "text", "citext", "ltree", "xml", "name", '"char"', "tsvector"), "'{n}'"),
)


def _by_type(written: str, number: int, now: Snapshot) -> str:
    if written.endswith("[]"):
        return f"ARRAY[{_by_type(written[:-2], number, now)}]::{written}"
    for beginnings, value in _BY_TYPE:
        if written.startswith(beginnings):
            day = date(2024, 1, 1) + timedelta(days=number - 1)
            return value.format(n=number, day=day.isoformat(), digit=number % 10, written=written)
    for kind in now.of_kind("type"):
        if dotted(kind.ref.path) == written and kind["form"] == "e" and kind["labels"]:
            return literal(kind["labels"][(number - 1) % len(kind["labels"])])
        if dotted(kind.ref.path) == written and kind["form"] == "d":
            return _by_type(kind["base"], number, now)
        if dotted(kind.ref.path) == written and kind["form"] == "c":
            values = (_by_type(attribute_type(each), number, now) for each in kind["attributes"])
            return f"ROW({', '.join(values)})::{written}"
    return "NULL"
