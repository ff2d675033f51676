"""By which columns a table's rows can be told from each other."""

from __future__ import annotations

from executor.schema.objects import Object, Snapshot


def unique_keys(table: Object, schema: Snapshot) -> list[list[str]]:
    """Column names of the primary key, then of unique constraints, then of unique indexes that hold for all
    rows and have no expressions."""
    found_keys = []
    for thing in schema.of_kind("constraint", "index"):
        if thing.ref.kind == "constraint":
            if thing.ref.relation != table.ref.path or thing["type"] not in "pu":
                continue
            rank = 0 if thing["type"] == "p" else 1
        else:
            if tuple(thing["relation"]) != table.ref.path or not thing["is_unique"] or thing["computed"]:
                continue
            rank = 2
        names = sorted(
            need.name
            for need in schema.needs.get(thing.ref, ())
            if need.kind == "column" and need.relation == table.ref.path
        )
        found_keys.append((rank, thing.ref.name, names))
    return [names for _, _, names in sorted(found_keys) if names]
