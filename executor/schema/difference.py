"""What differs between two snapshots: created, dropped, changed attribute by attribute, renamed, replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from executor.schema.objects import Object, Ref, Snapshot

NEVER_COMPARED = frozenset({"label_oids", "attribute_numbers"})
COMMON = frozenset({"owner", "grants", "comment", "security_labels"})
"""Attributes that objects of every kind may have."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object that both snapshots have. `attributes`: for each that differs, the value before and after."""

    ref: Ref
    attributes: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        parts = (f"{name}: {before!r} → {after!r}" for name, (before, after) in self.attributes.items())
        return f"{self.ref}: " + "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Difference:
    """What happened between `before` and `after`, by name. `renamed` holds (before, after) and `replaced` the
    names under which another object stands now; both are known only where both snapshots come from one
    database. `reordered` are tables whose columns have another order."""

    created: tuple[Ref, ...]
    dropped: tuple[Ref, ...]
    changed: tuple[Change, ...]
    renamed: tuple[tuple[Ref, Ref], ...]
    replaced: tuple[Ref, ...]
    reordered: tuple[Ref, ...]

    @property
    def empty(self) -> bool:
        """Whether both are the same, the order of columns included."""
        return self.same_but_order and not self.reordered

    @property
    def same_but_order(self) -> bool:
        """Whether both are the same but for the order of columns."""
        return not (self.created or self.dropped or self.changed)

    def lines(self) -> list[str]:
        """One line per finding, for people."""
        return [
            *(f"only after: {ref}" for ref in self.created),
            *(f"only before: {ref}" for ref in self.dropped),
            *(f"changed: {change}" for change in self.changed),
            *(f"other order of columns: {ref}" for ref in self.reordered),
        ]


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """Compare two snapshots."""
    created = [ref for ref in after.objects if ref not in before]
    dropped = [ref for ref in before.objects if ref not in after]
    changed = []
    for ref, thing in before.objects.items():
        other = after.get(ref)
        if other is not None and thing.attributes != other.attributes:
            attributes = changed_attributes(thing, other)
            if attributes:
                changed.append(Change(ref, attributes))
    return Difference(
        tuple(sorted(created)),
        tuple(sorted(dropped)),
        tuple(sorted(changed, key=lambda change: change.ref)),
        tuple(_renamed(before, after, dropped)),
        tuple(_replaced(before, after)),
        tuple(_reordered(before, after)),
    )


def changed_attributes(before: Object, after: Object) -> dict[str, tuple[Any, Any]]:
    """The attributes that differ, with the value before and after."""
    names = (before.attributes.keys() | after.attributes.keys()) - NEVER_COMPARED
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _renamed(before: Snapshot, after: Snapshot, dropped: list[Ref]) -> Iterator[tuple[Ref, Ref]]:
    for ref in dropped:
        now = after.by_address.get(before[ref].address)
        if now is not None:
            yield ref, now


def _replaced(before: Snapshot, after: Snapshot) -> Iterator[Ref]:
    for ref, thing in before.objects.items():
        other = after.get(ref)
        if other is not None and thing.address != other.address and ref.kind in ("table", "sequence", "type"):
            yield ref


def _reordered(before: Snapshot, after: Snapshot) -> Iterator[Ref]:
    for table in before.of_kind("table"):
        if table.ref in after:
            names = [column.ref.name for column in before.columns(*table.ref.path)]
            others = [column.ref.name for column in after.columns(*table.ref.path)]
            if names != others and sorted(names) == sorted(others):
                yield table.ref
