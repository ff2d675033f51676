"""The rows of INSERT … SELECT, where the file itself tells which they are: constants, and values of rows that
it names by a unique key, or by values that no other row has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from approvals.analysis import names as written
from approvals.analysis import parser
from approvals.analysis.parser import pb
from executor.schema.inverse.deletions import NULL
from executor.schema.keys import unique_keys
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot
from executor.schema.sql_text import column_path, constant, found, is_null, lookup, range_parts

Row = list[str | None]
MOST = 2000
"""Rows above which nobody reads their keys any more."""
FROM_A_QUERY = "its rows come from a query or from defaults"
WERE_THERE = "it adds what is not there: which rows were there before is not known"
_ELSE = (
    "group_clause", "having_clause", "distinct_clause", "window_clause", "limit_count", "limit_offset",
    "with_clause", "locking_clause",
)  # fmt: skip


class NotTold(Exception):
    """The file does not say which rows they are; the message says why."""


@dataclass(slots=True)
class _Source:
    """One item of FROM for one of its rows: what its columns are, as SQL. `table` is None for VALUES."""

    name: str
    table: Object | None
    values: dict[str, str | None] = field(default_factory=dict)
    where: str = ""


class Queried:
    """Reads queries as rows, for the schema behind the migration."""

    def __init__(self, after: Snapshot, search_path: tuple[str, ...]) -> None:
        self.after, self.search_path = after, search_path

    def value(self, node: Any) -> str | None:
        """A value that will be the same when it is asked for again, as SQL; None where that is not known."""
        if is_null(node):
            return NULL
        return constant(node) or lookup(node, self.after, self.search_path)

    def rows(self, select: Any) -> list[Row]:
        """The rows of a query. Raises NotTold."""
        if select.values_lists:
            return [[self.value(value) for value in each.list.items] for each in select.values_lists]
        if select.op == pb.SETOP_UNION:
            return [*self.rows(select.larg), *self.rows(select.rarg)]
        if select.op != pb.SETOP_NONE or any(_given(select, part) for part in _ELSE):
            raise NotTold(FROM_A_QUERY)
        found_rows = list(self._selected(select))
        if not 0 < len(found_rows) <= MOST:
            raise NotTold(FROM_A_QUERY)
        return found_rows

    def _selected(self, select: Any) -> Iterator[Row]:
        tests = list(_conjuncts(select.where_clause)) if select.HasField("where_clause") else []
        items: list[Any] = []
        for each in select.from_clause:
            items += self._items(each, tests)
        if any(test.HasField("bool_expr") and test.bool_expr.boolop == pb.NOT_EXPR for test in tests):
            raise NotTold(WERE_THERE)
        used: set[int] = set()
        sources = [list(self._rows_of(item, tests, used, len(items))) for item in items]
        if len(used) != len(tests):
            raise NotTold(FROM_A_QUERY)
        targets = [each.res_target.val for each in select.target_list]
        for chosen in product(*sources):
            yield [self._target(target, chosen) for target in targets]

    def _items(self, node: Any, tests: list[Any]) -> Iterator[Any]:
        """Tables and VALUES of FROM, inner joins taken apart; their conditions join `tests`."""
        if not node.HasField("join_expr"):
            yield node
            return
        join = node.join_expr
        if join.jointype != pb.JOIN_INNER or join.is_natural or join.using_clause or join.HasField("alias"):
            raise NotTold(FROM_A_QUERY)
        if join.HasField("quals"):
            tests += _conjuncts(join.quals)
        yield from self._items(join.larg, tests)
        yield from self._items(join.rarg, tests)

    def _rows_of(self, item: Any, tests: list[Any], used: set[int], items: int) -> Iterator[_Source]:
        if item.HasField("range_subselect"):
            yield from self._values(item.range_subselect)
            return
        ref = None
        if item.HasField("range_var"):
            ref = found(self.after, "table", range_parts(item.range_var), self.search_path)
        if ref is None:
            raise NotTold(FROM_A_QUERY)
        table, name = self.after[ref], item.range_var.alias.aliasname or item.range_var.relname
        pins = self._pins(table, name, tests, used, items)
        if not pins:
            raise NotTold(FROM_A_QUERY)
        told = any(set(key) <= pins.keys() for key in unique_keys(table, self.after))
        for values in product(*pins.values()):
            where = " AND ".join(f"{quoted(c)} = {v}" for c, v in zip(pins, values, strict=True))
            if not told:  # one row, as the scratch server has it, or none is meant
                where += f" AND (SELECT count(*) FROM {dotted(ref.path)} WHERE {where}) = 1"
            yield _Source(name, table, where=where)

    def _values(self, node: Any) -> Iterator[_Source]:
        """Rows of (VALUES …) AS name (columns)."""
        select = node.subquery.select_stmt
        if node.lateral or not select.values_lists:
            raise NotTold(FROM_A_QUERY)
        columns = [each.string.sval for each in node.alias.colnames]
        for row in self.rows(select):
            names = columns + [f"column{number}" for number in range(len(columns) + 1, len(row) + 1)]
            yield _Source(node.alias.aliasname, None, dict(zip(names, row, strict=True)))

    def _pins(
        self, table: Object, name: str, tests: list[Any], used: set[int], items: int
    ) -> dict[str, list[str]]:
        """Constants with which the query compares columns of the table. What it compares so is `used`."""
        pins: dict[str, list[str]] = {}
        for number, test in enumerate(tests):
            column, values = _comparison(test)
            owner = column[0] if len(column) > 1 else name if items == 1 else ""
            there = bool(column) and Ref("column", (*table.ref.path, column[-1])) in self.after
            if values and owner == name and there and column[-1] not in pins:
                pins[column[-1]] = values
                used.add(number)
        return pins

    def _target(self, node: Any, chosen: Sequence[_Source]) -> str | None:
        """A value of the SELECT for one combination of rows."""
        if not node.HasField("column_ref"):
            own = chosen and node.HasField("sub_link") and not self._stands_alone(node.sub_link)
            return None if own else self.value(node)
        path = column_path(node)
        if not path:
            raise NotTold(FROM_A_QUERY)  # a star
        for source in chosen:
            if len(path) > 1 and path[0] != source.name:
                continue
            if source.table is None:
                if path[-1] in source.values:
                    return source.values[path[-1]]
            elif Ref("column", (*source.table.ref.path, path[-1])) in self.after:
                relation = dotted(source.table.ref.path)
                return f"(SELECT {quoted(path[-1])} FROM {relation} WHERE {source.where})"
        return None

    def _stands_alone(self, node: Any) -> bool:
        """Whether a subquery names only columns of its own tables."""
        tables: dict[str, Ref | None] = {}
        for part in parser.walk(node):
            if isinstance(part, pb.RangeVar):
                ref = found(self.after, "table", range_parts(part), self.search_path)
                tables[part.alias.aliasname or part.relname] = ref
        for part in parser.walk(node):
            if isinstance(part, pb.ColumnRef):
                path = [each.string.sval for each in part.fields if each.HasField("string")]
                among = [tables.get(path[0])] if len(path) > 1 else list(tables.values())
                if not any(ref and Ref("column", (*ref.path, path[-1])) in self.after for ref in among):
                    return False
        return True


def _given(select: Any, part: str) -> bool:
    value = getattr(select, part)
    return bool(value) if hasattr(value, "__len__") else bool(select.HasField(part))


def _conjuncts(node: Any) -> Iterator[Any]:
    if node.HasField("bool_expr") and node.bool_expr.boolop == pb.AND_EXPR:
        for each in node.bool_expr.args:
            yield from _conjuncts(each)
    else:
        yield node


def _comparison(test: Any) -> tuple[list[str], list[str]]:
    """A column and the constants that it must be one of; empty where the test is another one."""
    if not test.HasField("a_expr") or written.parts(test.a_expr.name) != ["="]:
        return [], []
    left, right = test.a_expr.lexpr, test.a_expr.rexpr
    if test.a_expr.kind == pb.AEXPR_IN:
        values = [constant(each) for each in right.list.items]
    elif test.a_expr.kind == pb.AEXPR_OP:
        if not column_path(left):
            left, right = right, left
        values = [constant(right)]
    else:
        return [], []
    known = [value for value in values if value is not None]
    return (column_path(left), known) if len(known) == len(values) else ([], [])
