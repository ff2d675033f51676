"""Who hears a change of rows: triggers and rules of people. A way back wakes none of them for rows that stay:
they would change values that the migration kept. Who hears of rows that go is named (see `along`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from approvals.analysis import parser
from approvals.analysis.parser import Source, pb
from executor.schema.inverse.attached import ENABLED
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

INSERT, DELETE, UPDATE = 4, 8, 16
"""Events as pg_trigger and parse trees number them."""
_OF_RULES = {INSERT: pb.CMD_INSERT, DELETE: pb.CMD_DELETE, UPDATE: pb.CMD_UPDATE}
_ON = ("O", "A")
"""States in which they hear what a rollback does; others rest, or hear replication only."""

_TREE = """
    WITH RECURSIVE tree AS (
        SELECT to_regclass(%(table)s)::oid AS oid
        UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON t.oid = i.inhparent
    )"""
# A row of a partitioned table that gets another value may move to another partition: it is deleted here and
# inserted there. A trigger's clones on partitions have states of their own, of which a dump tells.
_LISTENING = f"""{_TREE}, hearing AS (
        SELECT tgrelid AS relation, 'TRIGGER' AS word, tgname AS name, tgenabled AS state
          FROM pg_catalog.pg_trigger
         WHERE (NOT tgisinternal OR (tgparentid <> 0 AND tgconstraint = 0))
           AND tgtype & CASE WHEN (SELECT count(*) FROM tree) > 1 THEN 28 ELSE 16 END <> 0
        UNION ALL SELECT ev_class, 'RULE', rulename, ev_enabled FROM pg_catalog.pg_rewrite WHERE ev_type = '2'
    )
    SELECT ARRAY[n.nspname, c.relname]::text[], h.word, h.name::text, h.state::text
      FROM hearing h JOIN tree t ON t.oid = h.relation JOIN pg_catalog.pg_class c ON c.oid = h.relation
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE h.state::text = ANY (%(on)s) ORDER BY 2, 1, 3
"""

AT_ONCE = "SET CONSTRAINTS ALL IMMEDIATE"
_WAITS = f"""{_TREE}
    SELECT FROM pg_catalog.pg_constraint k JOIN tree t ON t.oid IN (k.conrelid, k.confrelid)
     WHERE k.condeferred LIMIT 1
"""

_WHY = "-- Who would hear what follows rests meanwhile, and would else change values that stay\n"

Switches = tuple[list[str], list[str]]
"""What lets them rest, and what lets them hear again, each as before. It asks for no more than to own the
table, unlike session_replication_role; and foreign keys stay in force."""


def resting(connection: psycopg.Connection[Any], table: str) -> Switches:
    """For those that would hear an UPDATE of the table (its name as SQL) as it stands now. Where a check
    would wait for the end, and no table may be altered until then, it comes first that it doesn't."""
    found = connection.execute(_LISTENING, {"table": table, "on": list(_ON)}).fetchall()
    off, on = _switches((f"ONLY {dotted(path)}", word, name, state) for path, word, name, state in found)
    if connection.execute(_WAITS, {"table": table}).fetchone() is not None:
        off.insert(0, AT_ONCE)
    return off, on


def resting_in(schema: Snapshot, table: Ref, event: int) -> Switches:
    """For those that would hear the event on a table of a snapshot."""
    heard = listeners(schema, table, event)
    return _switches(
        (dotted(each.ref.relation), each.ref.kind.upper(), each.ref.name, each["enabled"]) for each in heard
    )


def _switches(found: Iterable[tuple[str, str, str, str]]) -> Switches:
    off, on = [], []
    for table, word, name, state in found:
        off.append(f"ALTER TABLE {table} DISABLE {word} {quoted(name)}")
        on.append(f"ALTER TABLE {table} {ENABLED[state]} {word} {quoted(name)}")
    if off:
        off[0] = f"{_WHY}{off[0]}"
    return off, on


def listeners(schema: Snapshot, table: Ref, event: int) -> Iterator[Object]:
    """Triggers and rules that are on and hear the event: of the table, and of what is above and below it
    where it is partitioned."""
    for each in lineage(schema, table):
        for part in schema.parts(*each.path):
            if part.ref.kind in ("trigger", "rule") and part["enabled"] in _ON and _hears(part, event):
                yield part


def waits(schema: Snapshot) -> bool:
    """Whether any check of rows would wait for the end of the transaction."""
    return any("INITIALLY DEFERRED" in each["definition"] for each in schema.of_kind("constraint", "trigger"))


def lineage(schema: Snapshot, table: Ref) -> list[Ref]:
    """The table, its partitions, and what it is a partition of."""
    found = schema.tree(table)
    while (bond := schema.get(Ref("partition", table.path))) is not None:
        table = Ref("table", tuple(bond["parent"]))
        found.append(table)
    return found


def _hears(part: Object, event: int) -> bool:
    (piece,) = parser.parse(Source(part["definition"]))
    if part.ref.kind == "rule":
        return bool(piece.node.event == _OF_RULES[event])
    return bool(piece.node.events & event)
