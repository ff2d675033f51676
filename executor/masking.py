"""Fill an empty database from a dump so that nobody finds a person in it: rows masked, or none at all.

The rows are masked when they are there and nothing else is: `pg_restore` brings tables, then rows, and only
then keys, indexes, triggers and materialized views. So no trigger fires, no key stands in the way, what is
indexed is what was masked, and a rule that breaks a key fails the restore.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from approvals.analysis.parser import Source, SqlError, parse, pb
from approvals.masks import SHIPPED, SUSPECT, Kind, Masking, Method, Rule, named
from executor.connect import Connection, Endpoint, connect
from executor.errors import BackupFailed, CloneFailed, plain
from executor.maskers import FUNCTIONS
from executor.pgtools import ToolMissing, tool
from executor.restore import restore

# So many rows of a table are looked at to tell what a column holds, from so many pages all over it.
LOOKED_AT, PAGES = 5_000, 1_000
LONGEST = 500
MOST_NAMED = 200
_META = re.compile(r"^\\(un)?restrict .*$", re.MULTILINE)
# Behind the first error pg_restore may quote the row at which it happened.
_QUOTES = re.compile(r"\b(DETAIL|CONTEXT|STATEMENT|Command was):.*", re.DOTALL)

Name = tuple[str, str, str]
Json = dict[str, Any]

_COLUMNS = """
    WITH RECURSIVE base AS (
        SELECT a.attrelid, a.attnum, t.oid, t.typtype, t.typbasetype, a.atttypmod AS mod
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
         WHERE relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
           AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'waqiti_rollback')
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                                                   AND objid = c.oid AND deptype = 'e')
        UNION ALL
        SELECT attrelid, attnum, t.oid, t.typtype, t.typbasetype,
               CASE WHEN base.mod = -1 THEN d.typtypmod ELSE base.mod END
          FROM base JOIN pg_type d ON d.oid = base.oid JOIN pg_type t ON t.oid = base.typbasetype
         WHERE base.typtype = 'd'
    )
    SELECT nspname, relname, attname, c.relkind = 'p', format_type(a.atttypid, a.atttypmod),
           CASE WHEN t.typcategory = 'S' THEN 'text'
                WHEN t.typname IN ('int8', 'numeric') THEN 'number'
                WHEN t.typcategory = 'A' OR t.typtype = 'c' OR t.typname IN ('json', 'jsonb', 'xml', 'bytea',
                     'hstore') THEN 'other' ELSE '' END,
           CASE WHEN t.typname IN ('varchar', 'bpchar') AND mod > 4 THEN mod - 4 ELSE 0 END,
           a.attnotnull, a.attgenerated <> '', t.typcategory = 'A', t.typname,
           (SELECT coalesce(sum(pg_relation_size(relid)), 0) / 8192 FROM pg_partition_tree(c.oid))
             + pg_relation_size(c.oid) / 8192
      FROM base JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
      JOIN pg_attribute a USING (attrelid, attnum) JOIN pg_type t ON t.oid = base.oid
     WHERE base.typtype <> 'd'
     ORDER BY nspname, relname, attnum
"""
_PARTITIONS = """
    SELECT n.nspname, c.relname, m.nspname, r.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class r ON r.oid = pg_partition_root(c.oid) JOIN pg_namespace m ON m.oid = r.relnamespace
     WHERE c.relispartition
"""


class _Column(NamedTuple):
    """One column of a table that holds rows. `family` is text, number, other or nothing; `longest` counts
    characters, 0 is any; `pages` are those of its table."""

    schema: str
    table: str
    column: str
    partitioned: bool
    type: str
    family: str
    longest: int
    not_null: bool
    generated: bool
    array: bool
    base: str
    pages: int

    @property
    def name(self) -> Name:
        return (self.schema, self.table, self.column)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


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
    without: Container[int] = (),
) -> Filled:
    """Restore `dump` into the database `empty` so that everything belongs to `role`, masked, but for the
    constraints with the OIDs `without`.

    `history` is schema and table of Flyway's history, which is never masked and is there in either case.
    Raises CloneFailed, naming the rule that could not be applied; then the database must go.
    """
    try:
        _part(dump, empty, role, "pre-data")
        if masking.with_rows:
            _part(dump, empty, role, "data")
            keys = list(_foreign_keys(dump))
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
        self.columns = {each.name: each for each in self._read_columns()}
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

    def _read_columns(self) -> Iterator[_Column]:
        for row in self.connection.execute(_COLUMNS).fetchall():
            column = _Column._make((*row[:-1], int(row[-1])))
            if (column.schema, column.table) != self.history and not column.generated:
                yield column

    def _by_rule_and_name(self) -> None:
        unused = {rule.columns for rule in self.rules}
        for name, column in self.columns.items():
            if chosen := named(self.rules, *name):
                unused -= {rule.columns for rule in chosen}
                self.choices[name] = _explicit(column, chosen[0])
            elif kind := _called(column):
                self.choices[name] = _Choice(kind.method, kind.key, "name")
        self.filled.unused = sorted(unused)

    def _by_content(self) -> None:
        """Look at values of what is left; those of one kind are masked, of what only has some the name is
        told."""
        by_table: dict[tuple[str, str], list[_Column]] = defaultdict(list)
        for name, column in self.columns.items():
            if name not in self.choices and column.family:
                by_table[name[:2]].append(column)
        for columns in by_table.values():
            for column, seen in zip(columns, self._look(columns), strict=True):
                self._judge(column, seen)
        for name, column in self.columns.items():
            if name not in self.choices and SUSPECT.search(column.column.lower()):
                self._suspect(column, "its name")

    def _judge(self, column: _Column, seen: Sequence[int]) -> None:
        values, *counts = seen
        whole, inside = counts[: len(_WHOLE)], counts[len(_WHOLE) :]
        for kind, count in zip(_WHOLE, whole, strict=True):
            if count and count >= kind.share * values and column.family != "other":
                self.choices[column.name] = _Choice(kind.method, kind.key, "content")
                return
        if any(kind.is_called(column.table, column.column) for kind in SHIPPED) and column.family == "other":
            self._suspect(column, "its name")
            return
        for kind, count in zip(_INSIDE, inside, strict=True):
            if count:
                self._suspect(column, f"{kind.key} in {count} of {values} values looked at")
                return

    def _suspect(self, column: _Column, why: str) -> None:
        if not any(each["column"] == str(column) for each in self.filled.unruled):
            self.filled.unruled.append({"column": str(column), "why": why})

    def _look(self, columns: list[_Column]) -> list[list[int]]:
        """Of each column: how many values there are among those looked at, how many are of each kind, and in
        how many there is one of each kind."""
        first = columns[0]
        share = min(100.0, 100.0 * PAGES / max(first.pages, 1))
        named_columns = [sql.Identifier(f"c{number}") for number in range(len(columns))]
        taken = [
            sql.SQL("left({}::text, {}) AS {}").format(sql.Identifier(each.column), LONGEST, name)
            for each, name in zip(columns, named_columns, strict=True)
        ]
        wanted = [
            test.format(c=name)
            for name, column in zip(named_columns, columns, strict=True)
            for test in _tests(column.family)
        ]
        query = sql.SQL(
            "SELECT {} FROM (SELECT {} FROM {} TABLESAMPLE SYSTEM ({}) LIMIT {}) AS looked_at"
        ).format(
            sql.SQL(", ").join(wanted),
            sql.SQL(", ").join(taken),
            _from(first),
            sql.Literal(share),
            sql.Literal(LOOKED_AT),
        )
        row = self.connection.execute(query).fetchone() or ()
        each = 1 + len(_WHOLE) + len(_INSIDE)
        return [list(row[start : start + each]) for start in range(0, len(row), each)]

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

    def _tables(self) -> Iterator[tuple[_Column, list[_Column]]]:
        """Each table with columns to mask."""
        by_table: dict[tuple[str, str], list[_Column]] = defaultdict(list)
        for name, choice in self.choices.items():
            if choice.masks:
                by_table[name[:2]].append(self.columns[name])
        for columns in by_table.values():
            yield columns[0], columns

    def _mask(self, table: _Column, columns: list[_Column]) -> None:
        """One statement for a table; then nothing of the old rows is left in it, nor in its statistics."""
        methods = [self.choices[column.name].method for column in columns]
        counts = sql.SQL(", ").join(
            sql.SQL("count({})").format(sql.Identifier(column.column)) for column in columns
        )
        values = (
            self.connection.execute(sql.SQL("SELECT {} FROM {}").format(counts, _from(table))).fetchone()
            or ()
        )
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(column.column), self._masked(column, method))
            for column, method in zip(columns, methods, strict=True)
        )
        try:
            self.connection.execute(sql.SQL("UPDATE {} SET {}").format(_from(table), changes))
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

    def _masked(self, column: _Column, method: str) -> sql.Composed:
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


def _called(column: _Column) -> Kind | None:
    """The kind whose name the column has, if it could hold it."""
    for kind in SHIPPED:
        holds = column.family == "text" or (
            column.family == "number" and kind.method in (Method.CARD, Method.PHONE)
        )
        if holds and kind.is_called(column.table, column.column):
            return kind
    return None


def _explicit(column: _Column, rule: Rule) -> _Choice:
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


def _empty(column: _Column) -> str | None:
    """What stands for nothing where NULL may not."""
    if column.family == "text" or column.base == "bytea" or column.base == "hstore":
        return ""
    if column.array or column.base in ("json", "jsonb"):
        return "{}"
    return None


def _erased(column: _Column) -> sql.Composed:
    empty = _empty(column) if column.not_null else None
    if empty is None:
        return sql.SQL("{}").format(sql.SQL("NULL"))
    return sql.SQL("{}::{}").format(sql.Literal(empty), sql.SQL(column.type))


def _from(column: _Column) -> sql.Composed:
    """The table of a column as a statement names it: a partitioned one with its partitions, no other with
    what inherits from it."""
    only = sql.SQL("" if column.partitioned else "ONLY ")
    return sql.SQL("{}{}").format(only, sql.Identifier(column.schema, column.table))


_WHOLE = tuple(kind for kind in SHIPPED if kind.whole)
_INSIDE = tuple(kind for kind in SHIPPED if kind.inside)
_FUNCTIONS = {
    "luhn": "CASE WHEN {c} ~ '^[0-9][0-9 -]{{11,22}}$' THEN pg_temp.waqiti_is_card({c}) ELSE false END",
    "iban": (
        "CASE WHEN {c} ~* '^[a-z]{{2}}[0-9]{{2}}[a-z0-9 ]{{11,38}}$' THEN pg_temp.waqiti_is_iban({c}) "
        "ELSE false END"
    ),
}


def _tests(family: str) -> Iterator[sql.SQL]:
    """What is asked about a column, in the order in which `_judge` reads it."""
    yield sql.SQL("count(*) FILTER (WHERE {c} <> '')")
    for kind in _WHOLE:
        if family == "other" or (family == "number" and kind.method != Method.CARD):
            yield sql.SQL("0")
        else:
            yield sql.SQL(f"count(*) FILTER (WHERE {_matches(kind)})")
    for kind in _INSIDE:
        if family == "number":
            yield sql.SQL("0")
        else:
            yield sql.SQL(f"count(*) FILTER (WHERE {{c}} ~ {_literal(kind.inside)})")


def _matches(kind: Kind) -> str:
    return _FUNCTIONS.get(kind.whole) or f"{{c}} ~* {_literal(kind.whole)}"


def _literal(pattern: str) -> str:
    return sql.Literal(pattern).as_string().replace("{", "{{").replace("}", "}}")


def _foreign_keys(dump: Path) -> Iterator[tuple[Name, Name]]:
    """The pairs of columns that the dump's foreign keys hold together, read from its own statements. Raises
    CloneFailed, BackupFailed."""
    try:
        pieces = parse(Source(_META.sub("", _post_data(dump))))
    except SqlError as error:
        raise CloneFailed(f"The keys in the backup can't be read, so it can't be masked: {error}") from None
    for piece in pieces:
        if piece.which == "alter_table_stmt":
            yield from _pairs(piece.node)


def _pairs(statement: Any) -> Iterator[tuple[Name, Name]]:
    here = statement.relation
    for command in statement.cmds:
        constraint = getattr(command.alter_table_cmd, "def").constraint
        if constraint.contype != pb.CONSTR_FOREIGN:
            continue
        there = constraint.pktable
        for mine, other in zip(constraint.fk_attrs, constraint.pk_attrs, strict=True):
            yield (
                (here.schemaname, here.relname, mine.string.sval),
                (there.schemaname, there.relname, other.string.sval),
            )


def _post_data(dump: Path) -> str:
    """What comes behind the rows in a dump, as statements."""
    with tempfile.NamedTemporaryFile(dir=dump.parent, prefix=".keys-", suffix=".sql") as file:
        arguments = ["--section=post-data", "--no-owner", "--no-privileges", f"--file={file.name}", str(dump)]
        try:
            subprocess.run(
                [tool("pg_restore"), *arguments],
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                capture_output=True,
                check=True,
            )
        except ToolMissing as error:
            raise BackupFailed(str(error)) from None
        except subprocess.CalledProcessError as error:
            words = " ".join(error.stderr.decode("utf-8", "replace").split()[-40:])
            raise BackupFailed(f"The keys in the dump can't be read: {words}") from None
        return Path(file.name).read_text(encoding="utf-8", errors="replace")
