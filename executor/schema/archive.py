"""The archive of kept data on a target: what is in it, what of it may be purged, and room for more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from executor.schema.loss import Loss
from executor.schema.lost import HEARD, ROWS, Lost
from executor.schema.names import dotted

Connection = psycopg.Connection[tuple[Any, ...]]
ARCHIVE = "rollback_archive"
MARK = "waqiti_rollback"
GIGABYTE = 1024**3
ROW_OVERHEAD = 64
"""Bytes that a copied row takes beyond its value: header, line pointer, key, padding."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One object of the archive: its kind (TABLE or TYPE), its name, what it was, the rollback that put it
    there, and the day after which it may be purged (None: never said)."""

    kind: str
    name: str
    was: str
    rollback: str
    purge_after: date | None
    bytes: int

    @property
    def purge_sql(self) -> str:
        """The statement that drops it."""
        return f"DROP {self.kind} {dotted((ARCHIVE, self.name))}"


def comment(was: str, rollback: str, purge_after: date | None) -> str:
    """The comment on an archived object, which `kept` reads again."""
    day = purge_after.isoformat() if purge_after else None
    return json.dumps({MARK: {"was": was, "rollback": rollback, "purge_after": day}}, ensure_ascii=False)


def kept(connection: Connection, schema: str = ARCHIVE) -> tuple[Kept, ...]:
    """What the archive holds: tables first, then the types that they need. Raises psycopg.Error."""
    rows = connection.execute(
        """SELECT 'TABLE', c.relname::text, obj_description(c.oid, 'pg_class'), pg_total_relation_size(c.oid)
             FROM pg_class c WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relkind IN ('r', 'p')
              AND NOT c.relispartition
           UNION ALL
           SELECT 'TYPE', t.typname::text, obj_description(t.oid, 'pg_type'), 0
             FROM pg_type t WHERE t.typnamespace = to_regnamespace(%(schema)s)
           ORDER BY 1, 2""",
        {"schema": schema},
    ).fetchall()
    return tuple(found for row in rows if (found := _read(*row)) is not None)


def _read(kind: str, name: str, text: str | None, size: int) -> Kept | None:
    try:
        said = json.loads(text or "")[MARK]
        day = date.fromisoformat(said["purge_after"]) if said["purge_after"] else None
        return Kept(kind, name, said["was"], said["rollback"], day, size)
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's


def purgeable(held: Iterable[Kept], today: date) -> tuple[Kept, ...]:
    """What may go: its day is over."""
    return tuple(one for one in held if one.purge_after is not None and one.purge_after < today)


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be copied: at most `limit` bytes per column, and `reserve` bytes must stay free on the
    volumes of data and WAL. `free_disk` and `free_wal` are what is free there (None: not known; PostgreSQL
    can't tell); where both are one volume, give it as `free_disk` only."""

    limit: int = GIGABYTE
    reserve: int = 5 * GIGABYTE
    free_disk: int | None = None
    free_wal: int | None = None


def refused(losses: Iterable[Loss], room: Room) -> dict[Lost, str]:
    """Which values can't be kept by copying, and why. (A table is moved, which takes no room.)"""
    found: dict[Lost, str] = {}
    copied = 0
    for loss in losses:
        if loss.lost.kind in (ROWS, HEARD):
            continue
        if loss.count is None or loss.bytes is None:
            found[loss.lost] = "nobody knows how much that is"
            continue
        size = loss.bytes + loss.count * ROW_OVERHEAD
        why = _too_much(size, copied + size, room)
        if why:
            found[loss.lost] = why
        else:
            copied += size
    return found


def _too_much(size: int, together: int, room: Room) -> str:
    if size > room.limit:
        return f"copying takes {size:,} bytes, the limit is {room.limit:,}"
    disk = together if room.free_wal is not None else 2 * together  # what is copied is written to WAL as well
    for free, needs, where in ((room.free_disk, disk, "disk"), (room.free_wal, together, "WAL")):
        if free is not None and free - needs < room.reserve:
            have = f"{free:,} are free, {room.reserve:,} stay in reserve"
            return f"copying takes {needs:,} bytes of {where}: {have}"
    return ""
