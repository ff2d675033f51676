"""What the migration does to rows and what the script gives back, seen on tables that were given rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import psycopg

from approvals.analysis import parser
from approvals.analysis.parser import Source, SqlError, pb
from executor.schema.again import NotAgain, not_again
from executor.schema.complete.result import Script
from executor.schema.complete.steps import begin, execute, said_by
from executor.schema.complete.values import Compare, Held, by_address, by_name, key_of, watched
from executor.schema.filling import Filled, fill
from executor.schema.names import dotted
from executor.schema.objects import Object, Ref, Snapshot
from executor.schema.reading import without_server
from executor.schema.reading.said import CHANGED, DROPPED, ROWS, UNREADABLE, Said
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot
from executor.schema.sql_text import constant

SECONDS = 20.0
"""For making rows."""
MOST_WORDS = 6
"""Constants of one column for which rows are made."""


@dataclass
class Seen:
    """One table: what it held `before`, behind the migration, and after each step. `retyped` are columns
    whose values are written otherwise behind the migration, and computed ones."""

    table: Object
    key: tuple[str, ...]
    before: Held
    behind: Held | None
    retyped: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    later: list[tuple[int, Held | None]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return len(self.before.rows)

    @cached_property
    def columns(self) -> list[str]:
        """The columns that hold values of their own."""
        return [name for name in self.before.columns if name not in self.computed]

    @cached_property
    def _compare(self) -> Compare:
        return Compare(self.key)

    @cached_property
    def gone(self) -> Held:
        """The rows that the migration took away."""
        return Held(self.before.columns, tuple(self._compare.gone(self.before, self.behind)))

    @cached_property
    def stay(self) -> Held:
        """The rows that it left, whatever became of their values."""
        return Held(self.before.columns, tuple(self._compare.staying(self.before, self.behind)))

    @cached_property
    def added(self) -> int:
        """How many rows it added."""
        return self._more(self.behind)

    def _more(self, then: Held | None) -> int:
        return len(self._compare.gone(then, self.before)) if then is not None else 0

    @cached_property
    def changed(self) -> dict[str, int]:
        """How many values it changed, by column."""
        found = self._compare.changed(self.before, self.behind)
        return {name: count for name, count in found.items() if name in self.columns}

    @cached_property
    def lost_columns(self) -> list[str]:
        """Columns of before that are not there any more."""
        there = self.behind.columns if self.behind is not None else ()
        return [name for name in self.columns if name not in there] if self.behind is not None else []

    def lacking(self, of: Held, columns: Sequence[str]) -> Callable[[Held | None], int]:
        """A measure: how many rows of `of` are not there with their former values in these columns."""
        return lambda then: len(self._compare.lacking(of, then, columns))

    def more(self, then: Held | None) -> int:
        """A measure: how many rows are there that were not there before."""
        return self._more(then)

    def taken(self, then: Held | None) -> int:
        """A measure: how many rows are not there any more that the migration had left."""
        return len(self._compare.gone(self.stay, then))

    def end(self, measure: Callable[[Held | None], int]) -> int:
        """What a measure says in the end."""
        return measure(self.later[-1][1] if self.later else self.behind)

    def step(self, measure: Callable[[Held | None], int]) -> tuple[int, ...]:
        """The step by which a measure came to nothing, and stayed so."""
        states = [self.behind, *(held for _, held in self.later)]
        for number in range(len(states) - 1, 0, -1):
            if measure(states[number - 1]):
                return (self.later[number - 1][0],)
        return ()


@dataclass
class Measured:
    """The tables that were watched, by the names of before; `empty` are those without rows, and why;
    `because` says why nothing was measured at all; `failures` are what steps meet where there are rows, and
    `again` what the migration meets there behind the whole script."""

    seen: dict[Ref, Seen] = field(default_factory=dict)
    empty: dict[Ref, str] = field(default_factory=dict)
    because: str = ""
    failures: dict[int, str] = field(default_factory=dict)
    again: NotAgain | None = None

    def of(self, relation: str, after: Snapshot, before: Snapshot) -> Seen | None:
        """The table of that name, as it is called before or behind the migration."""
        for table in self.seen.values():
            there = after.by_address.get(table.table.address)
            if relation in (dotted(table.table.ref.path), there and dotted(there.path)):
                return table
        return None


def measure(
    forward: str, script: Script, shadow: Shadow, before: Snapshot, said: Sequence[Said]
) -> Measured | None:
    """Run both on copies of `shadow`, which stands right before the migration, with rows in the tables that
    it may change. None where its text, read as `said`, changes no rows."""
    named = list(_named(said, before))
    unread = any(each.what == UNREADABLE for each in said)
    if not named and not unread:
        return None
    tables = None if unread else _related(named, before)
    because = ""
    for telling, with_rows in ((True, True), (False, True), (False, False)):
        with shadow.copied() as copy:
            filled = Filled()
            if with_rows:
                words = _words([forward, *(step.sql for step in script.steps)])
                filled = fill(copy.connection, before, tables, words=words, telling=telling, seconds=SECONDS)
            try:
                found = _run(forward, script, copy, before)
            except psycopg.Error as error:
                because = f"{error.sqlstate}: {error.diag.message_primary or error}"
                copy.settle()
                continue
            found.empty = filled.empty
            if not with_rows:
                found.because = f"the migration does not apply to rows that can be made here ({because})"
            return found
    return Measured(because=f"the migration does not apply on the copy ({because})")


# What to fill


def _named(said: Iterable[Said], before: Snapshot) -> Iterator[Ref]:
    """Tables of before whose rows the text may change."""
    for each in said:
        data = each.what == ROWS or (each.what == DROPPED and each.kind in ("table", "column"))
        if data or (each.what == CHANGED and each.kind == "column"):
            table = Ref("table", each.relation[:2])
            if table in before:
                yield table


def _related(tables: Iterable[Ref], before: Snapshot) -> set[Ref]:
    """These tables, all that they refer to, and those that refer to them: rows of these may go along."""
    above: dict[Ref, set[Ref]] = {}
    below: dict[Ref, set[Ref]] = {}
    for key in before.of_kind("constraint"):
        if key["references"]:
            mine, other = Ref("table", key.ref.relation), Ref("table", tuple(key["references"]))
            above.setdefault(mine, set()).add(other)
            below.setdefault(other, set()).add(mine)
    start = {_root(table, before) for table in tables}
    return _reached(_reached(start, below), above)


def _reached(start: set[Ref], edges: Mapping[Ref, set[Ref]]) -> set[Ref]:
    found, queue = set(start), list(start)
    while queue:
        new = edges.get(queue.pop(), set()) - found
        found |= new
        queue += new
    return found


def _root(table: Ref, before: Snapshot) -> Ref:
    while (bond := before.get(Ref("partition", table.path))) is not None:
        table = Ref("table", tuple(bond["parent"]))
    return table


def _words(texts: Iterable[str]) -> dict[str, list[str]]:
    """Constants by the name of the column to which they are compared or assigned: rows with them are those
    that the statements are about."""
    found: dict[str, dict[str, None]] = {}
    for text in texts:
        try:
            pieces = parser.parse(Source(text))
        except SqlError:
            continue
        for piece in pieces:
            for node in parser.walk(piece.node):
                for name, value in _said_of(node):
                    found.setdefault(name, {})[value] = None
    return {name: list(values)[:MOST_WORDS] for name, values in found.items()}


def _said_of(node: object) -> Iterator[tuple[str, str]]:
    """Pairs of column and constant in one node of a parse tree."""
    if isinstance(node, pb.ResTarget) and node.name and (value := constant(node.val)):
        yield node.name, value
    elif isinstance(node, pb.CaseExpr) and node.arg.HasField("column_ref"):
        name = node.arg.column_ref.fields[-1].string.sval
        for each in node.args:
            if value := constant(each.case_when.expr):
                yield name, value
    elif isinstance(node, pb.A_Expr) and node.HasField("lexpr") and node.lexpr.HasField("column_ref"):
        fields = node.lexpr.column_ref.fields
        last = fields[-1] if fields else None
        if last is None or not last.HasField("string"):
            return
        right = node.rexpr
        for each in right.list.items if right.HasField("list") else [right]:
            if value := constant(each):
                yield last.string.sval, value


# The run


def _run(forward: str, script: Script, shadow: Shadow, before: Snapshot) -> Measured:
    connection, found = shadow.connection, Measured()
    first = {table.ref: by_address(connection, table, before) for table in watched(before)}
    shadow.apply(without_server(forward)[0])
    after = snapshot(connection)
    begin(shadow)
    for table in watched(before):
        held = first[table.ref]
        if held is not None and not held.too_many:
            behind = by_address(connection, table, before)
            if behind is None or not behind.too_many:
                one = Seen(
                    table, key_of(table, before), held, behind, *_written_otherwise(table, before, after)
                )
                found.seen[table.ref] = one
    concerned = [one for one in found.seen.values() if one.before != one.behind]
    for step in script.steps:
        failure, _ = execute(shadow, step)
        if failure:
            found.failures[step.position] = failure
        for one in concerned:
            one.later.append((step.position, by_name(connection, one.table, before)))
    _go_on(forward, script, shadow, found)
    return found


def _go_on(forward: str, script: Script, shadow: Shadow, found: Measured) -> None:
    """Commit what the script did, and apply the migration again behind it."""
    try:
        shadow.connection.execute("COMMIT")
    except psycopg.Error as error:
        found.failures.setdefault(script.steps[-1].position, said_by(error))
    if found.failures or not script.steps:
        return
    try:
        shadow.apply(forward)
    except psycopg.Error as error:
        found.again = not_again(shadow, forward, error)


def _written_otherwise(
    table: Object, before: Snapshot, after: Snapshot
) -> tuple[frozenset[str], frozenset[str]]:
    """Columns whose values have another type behind the migration, or other words for the same; and computed
    ones."""
    retyped, computed = set(), set()
    labels = {dotted(kind.ref.path): kind["labels"] for kind in after.of_kind("type") if kind["form"] == "e"}
    relabelled = {
        dotted(kind.ref.path)
        for kind in before.of_kind("type")
        if kind["form"] == "e" and not set(kind["labels"]) <= set(labels.get(dotted(kind.ref.path), ()))
    }
    for column in before.columns(*table.ref.path):
        now = after.by_address.get(column.address)
        there = after[now] if now is not None else None
        relabels = column["type"].removesuffix("[]") in relabelled
        if column["generated"] or (there is not None and there["generated"]):
            computed.add(column.ref.name)
        elif relabels or (there is not None and there["type"] != column["type"]):
            retyped.add(column.ref.name)
    return frozenset(retyped), frozenset(computed)
