"""Asks about tables that are rewritten, and partitions that are detached, by statements that run alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from approvals.analysis.alone import Detached, Rewritten
from executor.connect import Connection
from executor.looking import Before, Look, Looker, Standing

NAMES = 8
"""So many partitions are named in a sentence."""


class RewrittenLooker(Looker):
    """VACUUM FULL gives a table another file, of a partitioned one each partition by itself, in a transaction
    of its own; a failure leaves the old file. Those that are left are named, and gone on with one by one."""

    crowds = True
    crowds_after = True
    repeatable = True
    _FILES = """
        SELECT c.oid::bigint::text, pg_relation_filenode(c.oid)::bigint,
               format('%%I.%%I', n.nspname, c.relname)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') AND (c.oid = to_regclass(%(name)s)
               OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)))) ORDER BY c.oid"""

    def __init__(self, found: Rewritten) -> None:
        self.relation = found.relation
        self.verb = "VACUUM (FULL, ANALYZE)" if found.analyze else "VACUUM FULL"

    def _files(self, connection: Connection) -> list[tuple[str, int, str]]:
        return connection.execute(self._FILES, {"name": self.relation}).fetchall()

    def before(self, connection: Connection) -> dict[str, Any]:
        return {"files": {oid: file for oid, file, _name in self._files(connection)}}

    def undo(self, before: Before) -> tuple[str, ...]:
        return ()  # its rows are the same

    def look(self, connection: Connection, before: Before) -> Look:
        was, now = before["files"], self._files(connection)
        left = [name for oid, file, name in now if was.get(oid) == file]
        done = [name for oid, file, name in now if was.get(oid) != file]
        if not done:
            return Look(Standing.BEFORE, f"{self.relation} has the file that it had; its rows are the same.")
        if not left:
            return Look(Standing.DONE, f"{self.relation} was rewritten to another file.")
        says = (
            f"{len(done)} of {len(now)} partitions of {self.relation} were rewritten, each whole: "
            f"{told(done)}. Not rewritten: {told(left)}. All rows are the same."
        )
        return Look(Standing.BROKEN, says, tuple(f"{self.verb} {name}" for name in left))


def told(names: Sequence[str]) -> str:
    """The first names, and of more how many."""
    more = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {more} more" if more > 0 else "")


class DetachedLooker(Looker):
    """DETACH CONCURRENTLY marks the partition first, waits, and then cuts it off. What fails between the two
    leaves it half detached, which nothing but FINALIZE ends; attached again it can be from there only."""

    crowds_after = True
    _BEFORE = """
        SELECT format('%%I.%%I', pn.nspname, p.relname), format('%%I.%%I', cn.nspname, c.relname),
               pg_get_expr(c.relpartbound, c.oid),
               EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = p.oid
                                                 AND NOT inhdetachpending),
               ARRAY(SELECT conname::text FROM pg_constraint
                      WHERE conrelid = c.oid AND contype = 'c' ORDER BY 1)
          FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace,
               pg_class c JOIN pg_namespace cn ON cn.oid = c.relnamespace
         WHERE p.oid = to_regclass(%s) AND c.oid = to_regclass(%s)"""
    _NOW = """
        SELECT i.inhparent = to_regclass(%(parent)s), i.inhdetachpending, i.inhparent::regclass::text,
               ARRAY(SELECT conname::text FROM pg_constraint
                      WHERE conrelid = c.oid AND contype = 'c' AND conname <> ALL (%(checks)s) ORDER BY 1)
          FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
         WHERE c.oid = to_regclass(%(partition)s)"""

    def __init__(self, found: Detached) -> None:
        self.detached = found

    def before(self, connection: Connection) -> dict[str, Any]:
        row = connection.execute(self._BEFORE, (self.detached.parent, self.detached.partition)).fetchone()
        if row is None:
            named = {"parent": self.detached.parent, "partition": self.detached.partition}
            return named | {"bound": None, "attached": False, "checks": []}
        return dict(zip(("parent", "partition", "bound", "attached", "checks"), row, strict=True))

    def undo(self, before: Before) -> tuple[str, ...]:
        if not before["attached"]:
            return ()
        table, partition, bound = before["parent"], before["partition"], before["bound"]
        return (f"ALTER TABLE {table} ATTACH PARTITION {partition} {bound}",)

    def was_so(self, before: Before) -> bool:
        return not before["attached"]

    def look(self, connection: Connection, before: Before) -> Look:
        name, parent = before["partition"], before["parent"]
        row = connection.execute(self._NOW, dict(before)).fetchone()
        if row is None:
            return Look(Standing.OTHER, f"There is no table {name}.")
        ours, pending, other, checks = row
        stays = f" Its check {', '.join(checks)} stays: it says what the bounds say." if checks else ""
        if ours is None:
            return Look(Standing.DONE, f"{name} is a table of its own.{stays}")
        if not ours:
            return Look(Standing.OTHER, f"{name} is a partition of {other}.")
        if pending:
            says = (
                f"{name} is half detached: queries of {parent} leave its rows out; only FINALIZE ends that."
            )
            return Look(Standing.BROKEN, says, (f"ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE",))
        return Look(Standing.BEFORE, f"{name} is a partition of {parent}.{stays}")
