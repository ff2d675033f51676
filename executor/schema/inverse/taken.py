"""Which names are taken while objects get their former ones, and how to free one: its holder moves away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.families import family_of
from executor.schema.inverse.order import slots
from executor.schema.names import dotted, quoted, shortened
from executor.schema.objects import RELATIONS, Object, Ref, Snapshot

PARTS = ("constraint", "column")
"""Parts of tables that take a place among the relations: an index of a key, a sequence of an identity."""
AWAY = "__rollback"
"""What is appended to the name of an object that stands in the way."""


@dataclass(frozen=True, slots=True)
class Move:
    """`target` is where the next statement leads: first the schema, later the name."""

    thing: Object
    wanted: Ref

    @property
    def to_other_schema(self) -> bool:
        """Whether the object stands in another schema; indexes follow their tables."""
        kind = self.wanted.kind
        return (
            own_part(self.wanted) == 1 and kind != "index" and self.thing.ref.path[0] != self.wanted.path[0]
        )

    @property
    def target(self) -> Ref:
        """The name after the next statement."""
        if self.to_other_schema:
            return Ref(self.wanted.kind, (self.wanted.path[0], *self.thing.ref.path[1:]))
        return self.wanted


def away(ref: Ref, now: Snapshot) -> Ref:
    """A name in the same schema that no relation, type or function has."""
    part = own_part(ref)
    number = 1
    while True:
        path = list(ref.path)
        path[part] = shortened(ref.path[part], AWAY if number == 1 else f"{AWAY}{number}")
        found = Ref(ref.kind, tuple(path))
        others = (Ref(kind, found.path) for kind in (*RELATIONS, "type", ref.kind))
        if not any(other in now for other in others):
            return found
        number += 1


def own_part(ref: Ref) -> int:
    """Which part of the path is the object's own name."""
    return {"function": 1, "aggregate": 1, "operator class": 1, "operator family": 1}.get(
        ref.kind, len(ref.path) - 1
    )


class Names:
    """Which names are taken, as renames go on."""

    def __init__(self, now: Snapshot, kinds: tuple[str, ...]) -> None:
        self.taken: dict[tuple[str, ...], Ref] = {}
        self.things: dict[Ref, Object] = {}
        self.now = now
        for ref, thing in now.objects.items():
            if ref.kind in kinds or ref.kind in PARTS or ref.kind == "sequence":
                self._put(ref, thing)

    def _put(self, ref: Ref, thing: Object) -> None:
        self.things[ref] = thing
        for slot in _own_slots(ref, thing):
            self.taken[slot] = ref

    def _take(self, ref: Ref) -> Object:
        thing = self.things.pop(ref)
        for slot in _own_slots(ref, thing):
            self.taken.pop(slot, None)
        return thing

    def free(self, move: Move) -> bool:
        """Whether nothing stands under the names that the move takes."""
        return not any(slot in self.taken for slot in self._needed(move))

    def _needed(self, move: Move) -> Iterator[tuple[str, ...]]:
        """The places that a move takes: its own, and in another schema those of what a table takes along."""
        yield from slots(move.target)
        if move.to_other_schema and move.thing.ref.kind in ("table", "materialized view"):
            for name in self._carried(move.thing.ref):
                yield ("relation", move.target.path[0], name)

    def _carried(self, table: Ref) -> Iterator[str]:
        """Names of indexes and sequences that follow a table into another schema."""
        for ref, thing in self.now.objects.items():
            mine = ref.kind == "index" and tuple(thing["relation"]) == table.path
            mine |= ref.kind == "sequence" and tuple((thing["owned_by"] or ())[:2]) == table.path
            mine |= ref.kind == "constraint" and ref.relation == table.path and thing["type"] in "pux"
            if mine:
                yield ref.name
            elif ref.kind == "column" and ref.relation == table.path and thing["identity"]:
                yield thing["identity_sequence"][1]

    def move(self, move: Move) -> Action:
        """Rename to the next name."""
        return self._rename(move.thing.ref, move.target)

    def move_away(self, wanted: Move, pending: list[Move]) -> Action:
        """Give the holder of a wanted name another one."""
        slot, holder = next((slot, self.taken[slot]) for slot in self._needed(wanted) if slot in self.taken)
        if holder.kind == "column" and slot[0] == "relation":
            return self._sequence_away(holder)
        part = own_part(holder)
        path = list(holder.path)
        path[part] = shortened(path[part], AWAY)
        new = Ref(holder.kind, tuple(path))
        for number, move in enumerate(pending):
            if move.thing.ref == holder:
                pending[number] = Move(replace(move.thing, ref=new), move.wanted)
        return self._rename(holder, new)

    def _sequence_away(self, column: Ref) -> Action:
        """Give the sequence of an identity column another name."""
        thing = self._take(column)
        schema, name, *rest = thing["identity_sequence"]
        other = shortened(name, AWAY)
        changed = {**thing.attributes, "identity_sequence": [schema, other, *rest]}
        self._put(column, replace(thing, attributes=changed))
        sql = f"ALTER SEQUENCE {dotted((schema, name))} RENAME TO {quoted(other)}"
        return Action("rename", column, statements(sql))

    def _parts_follow(self, table: Ref, wanted: Ref) -> None:
        """Know what belongs to a renamed table under the table's new name."""
        for ref in [ref for ref in self.things if ref.kind in PARTS and ref.path[:2] == table.path]:
            new = Ref(ref.kind, (*wanted.path, ref.name))
            self._put(new, replace(self._take(ref), ref=new))

    def _rename(self, current: Ref, wanted: Ref) -> Action:
        thing = self._take(current)
        self._put(wanted, replace(thing, ref=wanted))
        if current.kind == "table":
            self._parts_follow(current, wanted)
        family = family_of(current)
        part = own_part(current)
        if current.path[part] != wanted.path[part]:
            sql = family.rename(current, wanted.path[part], thing)
        else:
            sql = f"ALTER {family.word_of(thing)} {family.name(current)} SET SCHEMA {quoted(wanted.path[0])}"
        return Action("rename", current, statements(sql), provides={wanted})


def _own_slots(ref: Ref, thing: Object) -> Iterator[tuple[str, ...]]:
    for slot in slots(ref):
        if ref.kind == "constraint" and slot[0] == "relation" and thing["type"] not in "pux":
            continue
        yield slot
    if ref.kind == "column" and thing["identity"]:
        yield ("relation", *thing["identity_sequence"][:2])
