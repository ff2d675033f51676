"""Which tables a dump of less than the whole database holds, and what of the rest it needs to be restored.

The structure of everything is in it, so that a restore is a database; rows are those of the chosen tables and
of Flyway's history. A foreign key from a chosen table to one whose rows are missing can't be restored, so it
is left out of the restore by its OID and, where PostgreSQL allows it, made anew without validating it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from approvals.analysis.losses import Losses
from executor.connect import Connection, one, set_local

Names = frozenset[str]
"""Quoted, qualified names, as `executor.sums` has them."""


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key that a restore leaves out; `again` makes it anew without validating it, or is empty."""

    oid: int
    table: str
    name: str
    again: str


@dataclass(frozen=True, slots=True)
class Selection:
    """`tables` are those whose rows are in it, `without` all others by schema and name; `bytes` is what the
    former take."""

    tables: Names
    without: tuple[tuple[str, str], ...]
    bytes: int
    keys: tuple[Key, ...]

    def arguments(self) -> list[str]:
        """What pg_dump is told."""
        return ["--no-blobs", *(f"--exclude-table-data={_pattern(*each)}" for each in self.without)]


_ALL = """
    SELECT c.oid::bigint, format('%I.%I', nspname, relname), pg_table_size(c.oid), nspname, relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind = 'r' AND relpersistence <> 't' AND nspname <> 'waqiti_rollback'
       AND nspname !~ '^pg_' AND nspname <> 'information_schema'
     ORDER BY 2
"""
# Partitions and children go with their parents.
_FAMILY = """
    WITH RECURSIVE family (oid) AS (
        SELECT unnest(%s::bigint[])::oid
        UNION SELECT inhrelid FROM family JOIN pg_inherits ON inhparent = family.oid)
    SELECT oid::bigint FROM family
"""
# Rows elsewhere that go along: where a key says so, or TRUNCATE … CASCADE does.
_CARRIED = """
    WITH RECURSIVE lost (oid, emptied) AS (
        SELECT unnest(%(written)s::bigint[])::oid, false
        UNION SELECT unnest(%(emptied)s::bigint[])::oid, true
        UNION SELECT conrelid, lost.emptied FROM lost JOIN pg_constraint ON confrelid = lost.oid
               WHERE contype = 'f' AND (lost.emptied OR confdeltype IN ('c', 'n', 'd')
                                        OR confupdtype IN ('c', 'n', 'd')))
    SELECT DISTINCT oid::bigint FROM lost
"""
_KEYS = """
    SELECT k.oid::bigint, k.conrelid::regclass::text, conname,
           CASE WHEN c.relkind = 'r' AND r.relkind = 'r' AND conparentid = 0
                THEN format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', k.conrelid::regclass, conname,
                            regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') || ' NOT VALID')
                ELSE '' END
      FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid JOIN pg_class r ON r.oid = confrelid
     WHERE contype = 'f' AND conrelid::bigint = ANY (%(held)s)
       AND EXISTS (SELECT FROM pg_class t
                    WHERE t.relkind = 'r' AND NOT t.oid::bigint = ANY (%(held)s)
                      AND (t.oid = confrelid OR t.oid IN (SELECT relid FROM pg_partition_tree(confrelid))))
     ORDER BY 1
"""


def lost(
    connection: Connection,
    losses: Losses,
    *,
    search_path: str,
    history: tuple[str, str],
    relations: Iterable[str] = (),
) -> Selection:
    """The tables whose rows a script destroys or rewrites, by itself or through foreign keys, and those of
    these names, with their partitions and children, and the history. A name that is no table (any more) holds
    nothing. The connection is in a transaction. Raises psycopg.Error."""
    set_local(connection, {"search_path": f"{search_path}, pg_temp"})
    return _selection(connection, [*_oids(connection, relations), *_lost(connection, losses)], history)


def _lost(connection: Connection, losses: Losses) -> list[int]:
    carried = connection.execute(
        _CARRIED,
        {
            "written": _family(connection, _oids(connection, losses.written)),
            "emptied": _family(connection, _oids(connection, losses.emptied)),
        },
    ).fetchall()
    return [*_oids(connection, losses.relations), *(row[0] for row in carried)]


def _oids(connection: Connection, relations: Iterable[str]) -> list[int]:
    found = [one(connection, "SELECT to_regclass(%s)::oid::bigint", (name,))[0] for name in relations]
    return [oid for oid in found if oid is not None]


def _family(connection: Connection, oids: Sequence[int]) -> list[int]:
    return [row[0] for row in connection.execute(_FAMILY, (list(oids),)).fetchall()]


def _selection(connection: Connection, oids: Sequence[int], history: tuple[str, str]) -> Selection:
    oids = [*oids, *_oids(connection, [sql.Identifier(*history).as_string()])]
    wanted = set(_family(connection, oids))
    rows = connection.execute(_ALL).fetchall()
    held = [row for row in rows if row[0] in wanted]
    set_local(connection, {"search_path": "pg_catalog"})  # names below come out qualified
    keys = connection.execute(_KEYS, {"held": [row[0] for row in held]}).fetchall()
    return Selection(
        tables=frozenset(row[1] for row in held),
        without=tuple((row[3], row[4]) for row in rows if row[0] not in wanted),
        bytes=sum(row[2] for row in held),
        keys=tuple(Key(*row) for row in keys),
    )


def _pattern(schema: str, table: str) -> str:
    """A table as a pattern of pg_dump that means nothing but itself: quoted wholly."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))
