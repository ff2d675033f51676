"""What data the scripts of a rollback take away on a target: read with its catalog, and counted there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from approvals.analysis.losses import losses
from approvals.analysis.model import Plan, Statement
from approvals.analysis.parser import SqlError
from executor.connect import Connection, one, set_session
from executor.errors import plain
from executor.facts import TableFacts
from executor.schema.destroys import destroys
from executor.schema.loss import Loss, measure
from executor.schema.lost import HEARD, ROWS, VALUES, Lost
from executor.schema.objects import Snapshot
from executor.schema.sql_text import PICKED

EXAMPLES = 3
"""So many statements are named that take something from the same table or column."""
# What these do stands elsewhere than in the script.
_HIDDEN = frozenset(
    {"dynamic-sql", "calls-function", "calls-procedure", "calls-own-code", "drop-owned", "unreadable"}
)


@dataclass(frozen=True, slots=True)
class Known:
    """What was counted already: rows by qualified name, values by that and their column; exact only."""

    rows: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Iterable[TableFacts], values: Mapping[tuple[str, str], int | None]) -> Known:
        """Of what was read for the rating."""
        names = {each.relation: each.name for each in tables if each.name is not None}
        rows = {each.name: each.rows for each in tables if each.name and each.exact and each.rows is not None}
        counted = {
            (names[relation], column): count
            for (relation, column), count in values.items()
            if relation in names and count is not None
        }
        return cls(rows, counted)

    def of_loss(self, lost: Lost) -> int | None:
        """The number of this loss, None where it was not counted."""
        name = ".".join(lost.relation)
        if lost.condition or lost.kind not in (ROWS, VALUES):
            return None
        return self.values.get((name, lost.column)) if lost.column else self.rows.get(name)


@dataclass(slots=True)
class _Entry:
    """All that goes from one table, or from one column of it; `along` with rows of another to which it refers
    by a foreign key."""

    lost: Lost
    found: list[Loss] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    along: bool = False


def counted(
    connection: Connection,
    scripts: Sequence[tuple[str, Plan]],
    live: Callable[[], Snapshot],
    *,
    search_path: str,
    known: Known,
) -> list[dict[str, Any]]:
    """What the plans (each with what its script is called) take away, one after the other: plain values, one
    entry for each table or column and one for each statement of which nobody can tell. What could not be read
    or counted is an entry that says so; [] only where nothing goes.

    `connection` is idle and in autocommit, may read everything and only reads. `live` gives the schema of the
    target, and is asked only where something may go.
    """
    written = [losses(plan) for _name, plan in scripts]
    if not any(each.relations or each.hidden for each in written):
        return []
    statements = [(name, each) for name, plan in scripts for each in plan.statements]
    try:
        return list(_counted(connection, statements, live(), search_path, known))
    except (psycopg.Error, SqlError) as error:
        why = plain(error) if isinstance(error, psycopg.Error) else error.message
        return [_not_told("", f"what goes could not be read on the target: {why}", ())]
    finally:
        if not connection.closed:
            connection.execute("RESET search_path")


def _counted(
    connection: Connection,
    statements: Sequence[tuple[str, Statement]],
    live: Snapshot,
    search_path: str,
    known: Known,
) -> Iterator[dict[str, Any]]:
    schemas = [each.strip().strip('"') for each in search_path.split(",")]
    found = destroys((each.sql for _name, each in statements), live, search_path=schemas)
    set_session(connection, {"search_path": f"{search_path}, pg_temp"})  # conditions say names as scripts do
    entries: dict[tuple[str, ...], _Entry] = {}
    own: dict[int, tuple[str, str]] = {}
    for (number, lost), loss in zip(found.goes, _measured(connection, found.goes, known), strict=True):
        listener = lost.becomes if lost.kind == HEARD else ""
        entry = entries.setdefault((lost.kind, *lost.relation, lost.column, listener), _Entry(lost))
        entry.along |= own.setdefault(number, lost.relation) != lost.relation and bool(lost.condition)
        entry.found.append(loss)
        entry.places.append(_place(*statements[number - 1]))
    yield from (_told(entry, schemas) for entry in entries.values() if not _nothing(entry))
    for number, why in found.unknown:
        yield _not_told("", why, (_place(*statements[number - 1]),))
    yield from _rest(connection, statements, {number for number, _ in (*found.goes, *found.unknown)})


def _rest(
    connection: Connection, statements: Sequence[tuple[str, Statement]], told: set[int]
) -> Iterator[dict[str, Any]]:
    """Statements that take something away by their text, but of which the catalog told nothing."""
    for number, (name, statement) in enumerate(statements, start=1):
        if number in told:
            continue
        if _HIDDEN & set(statement.hazards):
            yield _not_told("", statement.says, (_place(name, statement),))
            continue
        for gone in statement.destroys:
            if one(connection, "SELECT to_regclass(%s)", (gone.relation,))[0] is not None:
                yield _not_told(gone.name, "", (_place(name, statement),))


def _measured(connection: Connection, goes: Sequence[tuple[int, Lost]], known: Known) -> Iterator[Loss]:
    asked = [each for each in goes if known.of_loss(each[1]) is None]
    measured = iter(measure(connection, asked))
    for number, lost in goes:
        count = known.of_loss(lost)
        yield next(measured) if count is None else Loss(lost, number, count, True)


def _place(script: str, statement: Statement) -> str:
    return f"{script}, line {statement.line}"


def _nothing(entry: _Entry) -> bool:
    return all(loss.nothing and not loss.stops for loss in entry.found)


def _told(entry: _Entry, schemas: Sequence[str]) -> dict[str, Any]:
    """One entry. Where all rows go by one statement, what others take of them adds nothing."""
    whole = [loss for loss in entry.found if not loss.lost.condition]
    parts = whole[:1] or entry.found
    schema, table = entry.lost.relation
    shown = table if schema in schemas else f"{schema}.{table}"
    counts = [loss.count for loss in parts]
    readable = len(entry.found) == 1 and not entry.lost.condition.startswith(PICKED)
    return entry.found[0].json() | {
        "name": f"{shown}.{entry.lost.column}" if entry.lost.column else shown,
        "condition": (entry.lost.condition or None) if readable else None,
        "whole": bool(whole),
        "along": entry.along,
        "count": None if None in counts else sum(count or 0 for count in counts),
        "exact": all(loss.exact for loss in parts),
        "stops": sum(loss.stops for loss in parts),
        "unknown": next((loss.unknown for loss in parts if loss.unknown), None),
        "since_unknown": None,
        "places": list(dict.fromkeys(entry.places))[:EXAMPLES],
        "statements": len(set(entry.places)),
    }


def _not_told(name: str, why: str, places: Sequence[str]) -> dict[str, Any]:
    return {
        "kind": "unknown",
        "name": name,
        "count": None,
        "exact": False,
        "unknown": why or None,
        "places": list(places),
        "statements": len(places),
    }
