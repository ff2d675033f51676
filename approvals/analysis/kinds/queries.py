"""What a query touches: the relations it reads and the functions it calls. Shared by several families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from approvals.analysis import names
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb, walk
from approvals.analysis.registry import ACCESS_SHARE, ROW_SHARE


def read_locks(node: Any) -> tuple[Lock, ...]:
    """The locks of a query's relations: ACCESS SHARE, or ROW SHARE where it says FOR UPDATE or FOR SHARE.

    Names of its own WITH queries and of SELECT INTO are left out.
    """
    tables: dict[str, None] = {}
    own: set[str] = set()
    mode = ACCESS_SHARE
    for each in walk(node):
        if isinstance(each, pb.RangeVar):
            tables[names.relation(each)] = None
        elif isinstance(each, pb.CommonTableExpr):
            own.add(names.quoted(each.ctename))
        elif isinstance(each, pb.LockingClause):
            mode = ROW_SHARE
        elif isinstance(each, pb.IntoClause):
            own.add(names.relation(each.rel))
    return tuple(Lock(table, mode) for table in tables if table not in own)


def called(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every function call below a node: its qualified name (without pg_catalog) and its arguments."""
    for each in walk(node):
        if isinstance(each, pb.FuncCall):
            words = names.parts(each.funcname)
            words = words[1:] if words[0] == "pg_catalog" and len(words) > 1 else words
            yield ".".join(words), list(each.args)
