"""What a way back looks at: neither the archive of kept data nor the migration tool's own table."""

from __future__ import annotations

from collections.abc import Collection

from executor.schema.objects import Object, Snapshot


def without(snapshot: Snapshot, *, schemas: Collection[str] = (), tables: Collection[str] = ()) -> Snapshot:
    """The snapshot as if these schemas, and tables of these names in any schema, were not there."""
    things = {ref: thing for ref, thing in snapshot.objects.items() if ref.path[0] not in schemas}
    ignored = {ref.path for ref in things if ref.kind == "table" and ref.name in tables}
    if len(things) == len(snapshot.objects) and not ignored:
        return snapshot
    kept = {ref: thing for ref, thing in things.items() if not _belongs(thing, ignored)}
    return Snapshot(snapshot.version, kept, snapshot.raw_dependencies, snapshot.positions)


def _belongs(thing: Object, tables: set[tuple[str, ...]]) -> bool:
    ref = thing.ref
    if ref.kind == "index":
        return tuple(thing["relation"]) in tables
    if ref.kind == "sequence":
        return tuple((thing["owned_by"] or ())[:2]) in tables
    if ref.kind == "publication table":
        return ref.path[1:] in tables
    return ref.kind != "function" and ref.path[:2] in tables
