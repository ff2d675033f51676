"""Undo renames: the same object (by OID) under another name or in another schema."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.taken import Move, Names, own_part
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Ref, Snapshot

LEVELS = (
    ("schema",),
    (
        "table", "view", "materialized view", "sequence", "index", "type", "function", "aggregate",
        "statistics",
        "collation", "conversion", "operator class", "operator family", "text search configuration",
        "text search dictionary", "text search parser", "text search template",
    ),
    ("column", "constraint", "trigger", "rule", "policy", "domain constraint"),
    ("publication", "server", "foreign-data wrapper", "language", "event trigger", "subscription"),
)  # fmt: skip


def renames(now: Snapshot, before: Snapshot, level: int) -> list[Action]:
    """Actions that give the objects of one level (see LEVELS) their former names, or, as long as any stand in
    another schema, their former schemas. Take a new snapshot after each call, and call again until nothing is
    left: names of a level stand on those of the level above, and a table takes its indexes along."""
    kinds = LEVELS[level]
    pending = list(_moves(now, before, kinds))
    elsewhere = [move for move in pending if move.to_other_schema]
    if elsewhere:
        pending = elsewhere
    made = list(_schemas_to_move_to(elsewhere, now, before))
    if level == 1 and not elsewhere:
        made += _labels(now, before)
    if not pending:
        return made
    names = Names(now, kinds)
    while pending:
        ready = [move for move in pending if names.free(move)]
        if not ready:
            made.append(names.move_away(pending[0], pending))
            continue
        for move in ready:
            if names.free(move):
                made.append(names.move(move))
                pending.remove(move)
    return made


def _schemas_to_move_to(moves: list[Move], now: Snapshot, before: Snapshot) -> Iterator[Action]:
    """Schemas that are gone and that objects return to. (What is said about them follows with the rest.)"""
    for path in sorted({move.wanted.path[:1] for move in moves}):
        ref = Ref("schema", path)
        if ref not in now and ref in before:
            sql = f"CREATE SCHEMA {quoted(ref.name)}"
            yield Action("create", ref, statements(sql), provides={ref})


def _moves(now: Snapshot, before: Snapshot, kinds: tuple[str, ...]) -> Iterator[Move]:
    for thing in before.of_kind(*kinds):
        current = now.by_address.get(thing.address)
        if current is None or current.kind != thing.ref.kind or current == thing.ref:
            continue
        part = own_part(current)
        if current.kind == "index" and current.path[0] != thing.ref.path[0]:
            continue  # it follows its table
        if current.path[: part + 1] == thing.ref.path[: part + 1]:
            continue  # only what stands behind the name differs, such as types of arguments
        if current.kind == "sequence" and now[current]["owned_by"] and current.path[0] != thing.ref.path[0]:
            continue  # it follows its table
        if current.kind == "column" and now[current]["inherited"]:
            continue  # it follows its parent's
        if part > 1 and current.path[:part] != thing.ref.path[:part]:
            continue  # another relation: no rename leads there
        yield Move(now[current], Ref(current.kind, thing.ref.path[: part + 1] + current.path[part + 1 :]))


def _labels(now: Snapshot, before: Snapshot) -> Iterator[Action]:
    for thing in before.of_kind("type"):
        current = now.by_address.get(thing.address)
        if current is None or thing["form"] != "e" or now[current]["form"] != "e":
            continue
        labels = dict(zip(now[current]["label_oids"], now[current]["labels"], strict=True))
        for oid, label in zip(thing["label_oids"], thing["labels"], strict=True):
            if oid in labels and labels[oid] != label and label not in labels.values():
                old, new = literal(labels[oid]), literal(label)
                sql = f"ALTER TYPE {dotted(current.path)} RENAME VALUE {old.strip()} TO {new.strip()}"
                yield Action("rename", current, statements(sql))
