"""Fill an empty database from a dump so that nobody finds a person in it: rows masked, or none at all.

The rows are masked when they are there and nothing else is: `pg_restore` brings tables, then rows, and only
then keys, indexes, triggers and materialized views. So no trigger fires, no key stands in the way, what is
indexed is what was masked, and a rule that breaks a key fails the restore.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import sql

from approvals.masks import SHIPPED, SUSPECT, Masking, Method, Rule, named
from executor.connect import Connection, Endpoint, connect
from executor.dumped_keys import Name, foreign_keys
from executor.errors import BackupFailed, CloneFailed, plain
from executor.maskers import FUNCTIONS
from executor.recognising import Column, called, from_table, look, read_columns
from executor.restore import restore

MOST_NAMED = 200
# Behind the first error pg_restore may quote the row at which it happened.
_QUOTES = re.compile(r"\b(DETAIL|CONTEXT|STATEMENT|Command was):.*", re.DOTALL)
Json = dict[str, Any]
LeftOut = Mapping[int, str]
"""Foreign keys that a dump can't have, by OID: the statement that makes each anew, unvalidated, or ''."""
NONE_LEFT_OUT: LeftOut = MappingProxyType({})

_PARTITIONS = """
    SELECT n.nspname, c.relname, m.nspname, r.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class r ON r.oid = pg_partition_root(c.oid) JOIN pg_namespace m ON m.oid = r.relnamespace
     WHERE c.relispartition
"""


@dataclass
class _Choice:
    """What becomes of a column, by which rule, and how that was recognised."""

    method: str
    rule: str
    by: str
    values: int = 0

    @property
    def masks(self) -> bool:
        return self.method != Method.KEEP


@dataclass
class Filled:
    """What a clone holds: which columns were masked by which rule and how many values, which look like
    personal data and have no rule, and which rules mean no column there."""

    with_rows: bool
    masked: list[Json] = field(default_factory=list)
    kept: list[Json] = field(default_factory=list)
    unruled: list[Json] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    large_objects: int = 0
    masking_s: float = 0.0

    def as_json(self) -> Json:
        """As evidence keeps it."""
        return {
            "with_rows": self.with_rows,
            "masked": self.masked[:MOST_NAMED],
            "masked_columns": len(self.masked),
            "masked_values": sum(each["values"] for each in self.masked),
            "kept": self.kept[:MOST_NAMED],
            "unruled": self.unruled[:MOST_NAMED],
            "unruled_columns": len(self.unruled),
            "unused": self.unused[:MOST_NAMED],
            "large_objects": self.large_objects,
            "masking_s": round(self.masking_s, 3),
        }


def fill(
    dump: Path,
    empty: Endpoint,
    *,
    role: str,
    masking: Masking,
    history: tuple[str, str],
    without: LeftOut = NONE_LEFT_OUT,
) -> Filled:
    """Restore `dump` into the database `empty` so that everything belongs to `role`, masked. The keys
    `without` come back unvalidated where that can be, since a script may name them.

    `history` is schema and table of Flyway's history, which is never masked and is there in either case.
    Raises CloneFailed, naming the rule that could not be applied; then the database must go.
    """
    try:
        _part(dump, empty, role, "pre-data")
        if masking.with_rows:
            _part(dump, empty, role, "data")
            keys = list(foreign_keys(dump))
            with contextlib.closing(connect(empty)) as connection:
                filled = _Masker(connection, role, masking, history, keys).run()
        else:
            schema, table = history
            _part(dump, empty, role, "data", f"--schema={schema}", f"--table={table}")
            filled = Filled(with_rows=False)
    except BackupFailed as error:
        raise CloneFailed(f"The copy could not be made. {_QUOTES.sub('', str(error)).strip()}") from None
    except psycopg.Error as error:
        raise CloneFailed(f"The copy could not be masked: {plain(error)}.") from None
    try:
        _part(dump, empty, role, "post-data", without=without)
        _unvalidated(empty, role, filter(None, without.values()))
    except BackupFailed as error:
        why = _QUOTES.sub("", str(error)).strip()
        said = f" Its values were masked before: look for a rule that does not suit. {why}"
        raise CloneFailed(
            f"The keys of the copy could not be made.{said if filled.masked else f' {why}'}"
        ) from None
    return filled


def _part(
    dump: Path, into: Endpoint, role: str, section: str, *options: str, without: Container[int] = ()
) -> None:
    restore(dump, into, role=role, without=without, options=[f"--section={section}", *options])


def _unvalidated(into: Endpoint, role: str, statements: Iterable[str]) -> None:
    """Make keys that don't look at the rows that are there. Raises BackupFailed."""
    try:
        with contextlib.closing(connect(into)) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            for statement in statements:
                connection.execute(statement)
    except psycopg.Error as error:
        raise BackupFailed(f"A key that is not in the backup could not be made: {plain(error)}.") from None


class _Masker:
    """Masks the rows of one database, before it has keys."""

    def __init__(
        self,
        connection: Connection,
        role: str,
        masking: Masking,
        history: tuple[str, str],
        keys: Sequence[tuple[Name, Name]],
    ) -> None:
        self.connection, self.role, self.rules = connection, role, masking.rules
        self.history, self.keys = history, keys
        self.salt = secrets.token_hex(32)
        self.filled = Filled(with_rows=True)
        self.choices: dict[Name, _Choice] = {}

    def run(self) -> Filled:
        """Recognise, mask, and say what was done. Raises CloneFailed, psycopg.Error."""
        began = time.monotonic()
        self._prepare()
        self.columns = {each.name: each for each in read_columns(self.connection, besides=self.history)}
        self._by_rule_and_name()
        self._by_content()
        self._across_keys()
        for table, columns in self._tables():
            self._mask(table, columns)
        self._tell()
        self.filled.masking_s = time.monotonic() - began
        return self.filled

    def _prepare(self) -> None:
        for statement in (
            "statement_timeout = 0",
            "search_path = pg_catalog",
            "jit = off",
            "row_security = off",
        ):
            self.connection.execute(f"SET {statement}")
        self.connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.role)))
        for function in FUNCTIONS:
            self.connection.execute(function)

    def _by_rule_and_name(self) -> None:
        unused = {rule.columns for rule in self.rules}
        for name, column in self.columns.items():
            if chosen := named(self.rules, *name):
                unused -= {rule.columns for rule in chosen}
                self.choices[name] = _explicit(column, chosen[0])
            elif kind := called(column):
                self.choices[name] = _Choice(kind.method, kind.key, "name")
        self.filled.unused = sorted(unused)

    def _by_content(self) -> None:
        """Look at values of what is left; those of one kind are masked, of what only has some the name is
        told."""
        left = [each for name, each in self.columns.items() if name not in self.choices and each.family]
        for column, seen in look(self.connection, left):
            if seen.kind is not None:
                self.choices[column.name] = _Choice(seen.kind.method, seen.kind.key, "content")
            elif column.family == "other" and any(
                kind.is_called(column.table, column.column) for kind in SHIPPED
            ):
                self._suspect(column, "its name")
            elif seen.some is not None:
                why = f"{seen.some.key} in {seen.having} of {seen.values} values looked at"
                self._suspect(column, why)
        for name, column in self.columns.items():
            if name not in self.choices and SUSPECT.search(column.column.lower()):
                self._suspect(column, "its name")

    def _suspect(self, column: Column, why: str) -> None:
        if not any(each["column"] == str(column) for each in self.filled.unruled):
            self.filled.unruled.append({"column": str(column), "why": why})

    def _across_keys(self) -> None:
        """Both sides of a foreign key are masked alike, or neither is."""
        roots = {row[:2]: row[2:] for row in self.connection.execute(_PARTITIONS).fetchall()}
        group: dict[Name, set[Name]] = {}
        for pair in self.keys:
            ends = [(*roots.get(name[:2], name[:2]), name[2]) for name in pair]
            together = set().union(*(group.get(end, {end}) for end in ends))
            group |= dict.fromkeys(together, together)
        for together in {id(each): each for each in group.values()}.values():
            self._alike(sorted(together))

    def _alike(self, names: list[Name]) -> None:
        """One choice for columns that foreign keys hold together: a service's rule before the shipped ones,
        and what masks before what keeps."""
        found = {name: self.choices[name] for name in names if name in self.choices}
        explicit = [choice for choice in found.values() if choice.by == "rule"] or list(found.values())
        masks = {choice.method: choice for choice in explicit if choice.masks}
        if len(masks) > 1:
            columns = ", ".join(".".join(name) for name in found)
            raise CloneFailed(
                f"Rules of masking disagree about columns that a foreign key holds together: {columns}. "
                "Name one method for all of them."
            )
        chosen = next(iter(masks.values()), next(iter(explicit), None))
        for name in names if chosen else ():
            column = self.columns.get(name)
            if column is None:
                continue
            assert chosen is not None  # noqa: S101 (the loop is empty then)
            if chosen.masks and column.family not in ("text", "number"):
                raise CloneFailed(f"{column} refers to a masked column and is of type {column.type}.")
            own = found.get(name)
            how = own.by if own and own.method == chosen.method else "key"
            self.choices[name] = _Choice(chosen.method, chosen.rule, how)
        room = [
            self.columns[name].longest
            for name in names
            if name in self.columns and self.columns[name].longest
        ]
        if room:
            self.columns |= {
                name: self.columns[name]._replace(longest=min(room)) for name in names if name in self.columns
            }

    def _tables(self) -> Iterator[tuple[Column, list[Column]]]:
        """Each table with columns to mask."""
        by_table: dict[tuple[str, str], list[Column]] = defaultdict(list)
        for name, choice in self.choices.items():
            if choice.masks:
                by_table[name[:2]].append(self.columns[name])
        for columns in by_table.values():
            yield columns[0], columns

    def _mask(self, table: Column, columns: list[Column]) -> None:
        """One statement for a table; then nothing of the old rows is left in it, nor in its statistics."""
        methods = [self.choices[column.name].method for column in columns]
        counts = sql.SQL(", ").join(
            sql.SQL("count({})").format(sql.Identifier(column.column)) for column in columns
        )
        values = (
            self.connection.execute(sql.SQL("SELECT {} FROM {}").format(counts, from_table(table))).fetchone()
            or ()
        )
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(column.column), self._masked(column, method))
            for column, method in zip(columns, methods, strict=True)
        )
        try:
            self.connection.execute(sql.SQL("UPDATE {} SET {}").format(from_table(table), changes))
        except psycopg.Error as error:
            rules = ", ".join(f"{column.column} ({self.choices[column.name].rule})" for column in columns)
            raise CloneFailed(
                f"The rules of masking can't be applied to {table.schema}.{table.table}, {rules}: "
                f"{plain(error)}. The rehearsal ends here: an admin gives these columns another rule."
            ) from None
        name = sql.Identifier(table.schema, table.table)
        self.connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(name))
        for column, count in zip(columns, values, strict=True):
            self.choices[column.name].values = int(count)

    def _masked(self, column: Column, method: str) -> sql.Composed:
        """The expression of the new value."""
        name, type_ = sql.Identifier(column.column), sql.SQL(column.type)
        if method == Method.ERASE:
            return _erased(column)
        more = {
            Method.EMAIL: sql.SQL(", {}").format(sql.Literal(column.longest)),
            Method.SCRAMBLE: sql.SQL(", 0"),
            Method.PHONE: sql.SQL(", 1"),
        }.get(Method(method), sql.SQL(""))
        function = "scramble" if method == Method.PHONE else method
        return sql.SQL("{}(({})::text, {}{})::{}").format(
            sql.Identifier("pg_temp", f"waqiti_{function}"), name, sql.Literal(self.salt), more, type_
        )

    def _tell(self) -> None:
        for name, choice in sorted(self.choices.items()):
            said = {"column": ".".join(name), "rule": choice.rule, "method": choice.method, "by": choice.by}
            if choice.masks:
                self.filled.masked.append(said | {"values": choice.values})
            else:
                self.filled.kept.append(said)
        row = self.connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
        self.filled.large_objects = int(row[0]) if row else 0


def _explicit(column: Column, rule: Rule) -> _Choice:
    """A service's rule for a column. Raises CloneFailed where the method can't work on its type."""
    numbers = (Method.CARD, Method.PHONE, Method.SCRAMBLE)
    fits = (
        rule.method == Method.KEEP
        or (rule.method == Method.ERASE and (not column.not_null or _empty(column) is not None))
        or (rule.method != Method.ERASE and column.family == "text")
        or (rule.method in numbers and column.family == "number")
    )
    if not fits:
        raise CloneFailed(
            f"The rule “{rule.columns}” can't be applied to {column}, which is of type {column.type}"
            f"{' and takes no NULL' if column.not_null else ''}: “{Method(rule.method).label}” does not work."
        )
    return _Choice(rule.method, rule.columns, "rule")


def _empty(column: Column) -> str | None:
    """What stands for nothing where NULL may not."""
    if column.family == "text" or column.base == "bytea" or column.base == "hstore":
        return ""
    if column.array or column.base in ("json", "jsonb"):
        return "{}"
    return None


def _erased(column: Column) -> sql.Composed:
    empty = _empty(column) if column.not_null else None
    if empty is None:
        return sql.SQL("{}").format(sql.SQL("NULL"))
    return sql.SQL("{}::{}").format(sql.Literal(empty), sql.SQL(column.type))
