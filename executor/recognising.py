"""Tell which columns of a database hold personal data: by their names, and by what some of their rows say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from psycopg import sql

from approvals.masks import SHIPPED, Kind, Method
from executor.connect import Connection
from executor.dumped_keys import Name

# So many rows of a table are looked at to tell what a column holds, from so many pages all over it.
LOOKED_AT, PAGES = 5_000, 1_000
LONGEST = 500
# One statement asks ten things about each column, and may have 1,664 answers.
AT_ONCE = 100

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


class Column(NamedTuple):
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


class Seen(NamedTuple):
    """What the rows of a column that were looked at say: `values` are not empty, `kind` is what they all
    are, as good as, and of `some` there is one in `having` of them."""

    values: int
    kind: Kind | None
    some: Kind | None
    having: int


def read_columns(connection: Connection, *, besides: tuple[str, str]) -> Iterator[Column]:
    """The columns of all tables but this one that hold values of their own. Raises psycopg.Error."""
    for row in connection.execute(_COLUMNS).fetchall():
        column = Column._make((*row[:-1], int(row[-1])))
        if (column.schema, column.table) != besides and not column.generated:
            yield column


def called(column: Column) -> Kind | None:
    """The kind whose name the column has, if it could hold it."""
    for kind in SHIPPED:
        holds = column.family == "text" or (
            column.family == "number" and kind.method in (Method.CARD, Method.PHONE)
        )
        if holds and kind.is_called(column.table, column.column):
            return kind
    return None


def look(connection: Connection, columns: list[Column]) -> Iterator[tuple[Column, Seen]]:
    """Look at rows, and say of each of these columns what it holds. The functions of `maskers` are there.
    Raises psycopg.Error."""
    by_table: dict[tuple[str, str], list[Column]] = defaultdict(list)
    for column in columns:
        by_table[column.schema, column.table].append(column)
    for whole in by_table.values():
        for start in range(0, len(whole), AT_ONCE):
            part = whole[start : start + AT_ONCE]
            for column, counts in zip(part, _counts(connection, part), strict=True):
                yield column, _judged(column, counts)


def _judged(column: Column, counts: list[int]) -> Seen:
    values, *rest = counts
    whole, inside = rest[: len(_WHOLE)], rest[len(_WHOLE) :]
    kind = some = None
    count = 0
    if column.family != "other":
        pairs = zip(_WHOLE, whole, strict=True)
        kind = next((each for each, n in pairs if n and n >= each.share * values), None)
    if kind is None:
        some, count = next(((each, n) for each, n in zip(_INSIDE, inside, strict=True) if n), (None, 0))
    return Seen(values, kind, some, count)


def _counts(connection: Connection, columns: list[Column]) -> list[list[int]]:
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
        from_table(first),
        sql.Literal(share),
        sql.Literal(LOOKED_AT),
    )
    row = connection.execute(query).fetchone() or ()
    each = 1 + len(_WHOLE) + len(_INSIDE)
    return [list(row[start : start + each]) for start in range(0, len(row), each)]


def from_table(column: Column) -> sql.Composed:
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
