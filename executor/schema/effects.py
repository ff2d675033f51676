"""What a migration did to a schema, effect by effect, out of the snapshots before and behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from executor.schema.difference import NEVER_COMPARED
from executor.schema.objects import PARTS_OF_RELATIONS, Object, Ref, Snapshot
from executor.schema.reading.said import CHANGED, CREATED, DROPPED, RENAMED, written

Key = tuple[Ref, str]
"""An object's attribute; '' is that it exists at all."""
State = dict[Key, Any]
EXISTS, ORDER, ROWS_OF = "", "column order", "rows"


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that happened: `what` to which object, under the name it has behind the migration (before it,
    where it was dropped). `facets` are what must be as it was for the effect to be undone."""

    what: str
    ref: Ref
    attribute: str = ""
    was: Any = None
    now: Any = None
    facets: tuple[Key, ...] = ()

    def __str__(self) -> str:
        name = f"{self.ref.kind} {written(self.ref.kind, self.ref.path)}"
        if self.what == RENAMED:
            return (
                f"renamed {self.ref.kind} {written(self.ref.kind, self.was.path)} to {_plain(self.ref.path)}"
            )
        if self.what == CHANGED:
            return f"changed {self.attribute.replace('_', ' ')} of {name}"
        return f"{self.what} {name}"


def _plain(path: tuple[str, ...]) -> str:
    return written("", path)


def state(found: Snapshot) -> State:
    """Every attribute of every object."""
    values: State = {}
    for ref, thing in found.objects.items():
        values[ref, EXISTS] = True
        for name, value in thing.attributes.items():
            if name not in NEVER_COMPARED:
                values[ref, name] = value
        if ref.kind == "table":
            values[ref, ORDER] = tuple(column.ref.name for column in found.columns(*ref.path))
    return values


def effects(before: Snapshot, after: Snapshot) -> list[Effect]:
    """What happened between two snapshots of one database. Parts of what was created, dropped or renamed
    belong to that effect."""
    return _Effects(before, after).all()


class _Effects:
    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.before, self.after = before, after
        self.first, self.second = state(before), state(after)
        self.created = {ref for ref, thing in after.objects.items() if not self._known(thing, before)}
        self.dropped = {ref for ref, thing in before.objects.items() if not self._known(thing, after)}
        self.renamed = {
            ref: after.by_address[thing.address]
            for ref, thing in before.objects.items()
            if thing.address in after.by_address and after.by_address[thing.address] != ref
        }

    def _known(self, thing: Object, other: Snapshot) -> bool:
        """The same object, or one that only the server made anew under the same name."""
        if thing.address in other.by_address:
            return True
        return thing.ref in other and thing.ref.kind not in ("table", "column", "sequence", "type")

    def all(self) -> list[Effect]:
        """Created, dropped, renamed, changed."""
        found = [
            self._whole(CREATED, ref, self.after, self.created)
            for ref in self._tops(self.created, self.after)
        ]
        found += [
            self._whole(DROPPED, ref, self.before, self.dropped)
            for ref in self._tops(self.dropped, self.before)
        ]
        found += [self._rename(old, new) for old, new in self.renamed.items() if self._own_rename(old, new)]
        told = {key for effect in found for key in effect.facets}
        return found + list(self._changes(told))

    def _tops(self, refs: set[Ref], of: Snapshot) -> list[Ref]:
        return sorted(ref for ref in refs if not any(up in refs for up in owners(ref, of)))

    def _whole(self, what: str, top: Ref, of: Snapshot, refs: set[Ref]) -> Effect:
        members = [ref for ref in refs if ref == top or top in owners(ref, of)]
        values = state(of)
        if what == CREATED:
            facets = tuple((ref, EXISTS) for ref in members)
        else:
            wanted = set(members)
            facets = tuple(key for key in values if key[0] in wanted and key[1] != ORDER)
        return Effect(what, top, facets=facets)

    def _own_rename(self, old: Ref, new: Ref) -> bool:
        """Whether the object itself has another name, and not what it is a part of."""
        up_old, up_new = owners(old, self.before), owners(new, self.after)
        if up_old and up_new and self.renamed.get(up_old[0]) == up_new[0]:
            return (
                old.path[len(up_old[0].path) :] != new.path[len(up_new[0].path) :]
                if old.kind in PARTS_OF_RELATIONS
                else old.name != new.name
            )
        return True

    def _rename(self, old: Ref, new: Ref) -> Effect:
        facets: list[Key] = [(old, EXISTS), (new, EXISTS)]
        for ref, other in self.renamed.items():
            if old in owners(ref, self.before):
                facets += [(ref, EXISTS), (other, EXISTS)]
        return Effect(RENAMED, new, was=old, facets=tuple(dict.fromkeys(facets)))

    def _changes(self, told: set[Key]) -> Iterable[Effect]:
        for ref, thing in self.before.objects.items():
            now = self.after.by_address.get(thing.address, ref)
            other = self.after.get(now)
            if other is None or ref in self.dropped:
                continue
            names = (thing.attributes.keys() | other.attributes.keys()) - NEVER_COMPARED
            for name in sorted(names):
                if thing.get(name) != other.get(name) and (ref, name) not in told:
                    yield Effect(CHANGED, now, name, thing.get(name), other.get(name), ((ref, name),))
            if ref.kind == "table" and self._reordered(ref, now):
                pair = (self.first[ref, ORDER], self.second[now, ORDER])
                yield Effect(CHANGED, now, ORDER, *pair, ((ref, ORDER),))

    def _reordered(self, ref: Ref, now: Ref) -> bool:
        """Whether columns that stay will not stand where they stood, once the others are back at the end."""
        stay = [name for name in self.first[ref, ORDER] if (*ref.path, name) and self._stays(ref, name)]
        return bool(stay) and list(self.first[ref, ORDER][: len(stay)]) != stay

    def _stays(self, table: Ref, name: str) -> bool:
        return Ref("column", (*table.path, name)) not in self.dropped


def owners(ref: Ref, of: Snapshot) -> list[Ref]:
    """What the object is a part of, nearest first: its column, its relation."""
    thing = of.get(ref)
    if ref.kind == "default":
        return [Ref("column", ref.path), Ref("table", ref.path[:2])]
    if ref.kind in PARTS_OF_RELATIONS:
        kinds = ("table", "view", "materialized view")
        return [Ref(kind, ref.path[:2]) for kind in kinds if Ref(kind, ref.path[:2]) in of]
    if ref.kind == "index" and thing is not None:
        path = tuple(thing["relation"])
        return [Ref(kind, path) for kind in ("table", "materialized view") if Ref(kind, path) in of]
    if ref.kind == "sequence" and thing is not None and thing["owned_by"]:
        owner = tuple(thing["owned_by"])
        return [Ref("column", owner), Ref("table", owner[:2])]
    if ref.kind == "domain constraint":
        return [Ref("type", ref.path[:2])]
    if ref.kind == "publication table":
        return [Ref("publication", ref.path[:1]), Ref("table", ref.path[1:])]
    return []
