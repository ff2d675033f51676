"""What a schema consists of, as data: references, objects, and the snapshot that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from executor.schema.names import dotted

Address = tuple[int, int, int]
"""PostgreSQL's address of an object: catalog, OID, sub-object (a column's number, else 0)."""

PARTS_OF_RELATIONS = frozenset(
    {
        "column",
        "view column",
        "default",
        "constraint",
        "trigger",
        "rule",
        "policy",
        "partition",
        "inheritance",
    }
)
"""Kinds whose path is schema, relation and (mostly) a name of their own; they go when the relation goes."""

RELATIONS = frozenset({"table", "view", "materialized view", "sequence", "index"})
"""Kinds that share one namespace per schema."""


class Ref(NamedTuple):
    """What an object is called: its kind and the parts of its name, outermost first."""

    kind: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """The innermost part of the name."""
        return self.path[-1]

    @property
    def relation(self) -> tuple[str, str]:
        """Schema and relation of a part of a relation."""
        return self.path[0], self.path[1]

    def __str__(self) -> str:
        return f"{self.kind} {dotted(self.path)}"


@dataclass(slots=True)
class Object:
    """One object of a schema. `attributes` are what `pg_dump` would write about it, in the catalog's words;
    every kind may have `owner`, `grants`, `comment` and `security_labels` among them."""

    ref: Ref
    address: Address
    attributes: dict[str, Any]

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]

    def get(self, attribute: str) -> Any:
        """The attribute's value; None where the object has none of that name."""
        return self.attributes.get(attribute)


class Dependency(NamedTuple):
    """`dependent` needs `on`. `kind` is pg_depend's letter: n (normal: in the way of a drop), a (goes along),
    i (part of it)."""

    dependent: Ref
    on: Ref
    kind: str


@dataclass
class Snapshot:
    """A schema at one moment. `version` is the server's number (180006); `positions` are the sequences'
    last values, apart because no schema dump has them."""

    version: int
    objects: Mapping[Ref, Object]
    raw_dependencies: tuple[tuple[int, int, int, int, int, int, str], ...] = field(repr=False)
    positions: Mapping[Ref, int | None] = field(default_factory=dict)

    def __contains__(self, ref: Ref) -> bool:
        return ref in self.objects

    def __getitem__(self, ref: Ref) -> Object:
        return self.objects[ref]

    def get(self, ref: Ref) -> Object | None:
        """The object of that name, or None."""
        return self.objects.get(ref)

    def of_kind(self, *kinds: str) -> Iterator[Object]:
        """All objects of these kinds."""
        return (thing for ref, thing in self.objects.items() if ref.kind in kinds)

    def columns(self, schema: str, table: str) -> list[Object]:
        """A table's columns in their order."""
        return self._columns.get((schema, table), [])

    def parts(self, schema: str, relation: str) -> list[Object]:
        """Columns, constraints, triggers, … of one relation."""
        return self._parts.get((schema, relation), [])

    def tree(self, table: Ref) -> list[Ref]:
        """The table and, where it is partitioned, all below, each behind its parent."""
        found = [table]
        for one in found:
            path = list(one.path)
            found += [Ref("table", p.ref.path) for p in self.of_kind("partition") if p["parent"] == path]
        return found

    @cached_property
    def _columns(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for column in self.of_kind("column"):
            found.setdefault(column.ref.relation, []).append(column)
        for columns in found.values():
            columns.sort(key=lambda column: column.address[2])
        return found

    @cached_property
    def _parts(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for part in self.of_kind(*PARTS_OF_RELATIONS):
            found.setdefault(part.ref.relation, []).append(part)
        return found

    @cached_property
    def by_address(self) -> dict[Address, Ref]:
        """Names by PostgreSQL's addresses."""
        return {thing.address: ref for ref, thing in self.objects.items()}

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Who needs whom, between objects of the snapshot. What PostgreSQL keeps as objects of its own and
        people don't (row types, the rule of a view, the index of a key) is folded into its owner. Some are
        there more than once."""
        return tuple(_fold(self))

    @cached_property
    def needs(self) -> dict[Ref, dict[Ref, str]]:
        """For each object: what it needs, and pg_depend's letter."""
        found: dict[Ref, dict[Ref, str]] = {}
        for dependent, on, kind in self.dependencies:
            _strongest(found.setdefault(dependent, {}), on, kind)
        return found

    @cached_property
    def needed_by(self) -> dict[Ref, dict[Ref, str]]:
        """For each object: what needs it, and pg_depend's letter."""
        found: dict[Ref, dict[Ref, str]] = {}
        for dependent, on, kind in self.dependencies:
            _strongest(found.setdefault(on, {}), dependent, kind)
        return found


def _strongest(into: dict[Ref, str], ref: Ref, kind: str) -> None:
    """Keep the letter that says most: part of it, goes along, in the way."""
    order = "naPSi"
    if ref not in into or order.find(kind) > order.find(into[ref]):
        into[ref] = kind


def _fold(snapshot: Snapshot) -> Iterator[Dependency]:
    known = dict(snapshot.by_address)
    owners = _owners_of_hidden(snapshot.raw_dependencies, known)

    def named(address: Address) -> Ref | None:
        found = known.get(address)
        if found is not None:
            return found
        for _ in range(5):
            if address in known:
                return known[address]
            if address in owners:
                address = owners[address]
            elif address[2]:
                address = (address[0], address[1], 0)
            else:
                return None
        return None

    for row in snapshot.raw_dependencies:
        if row[6] in "PS" and row[0:3] not in known:
            continue  # a partition's clone of a key or trigger, which comes and goes with its parent's
        dependent, on = named(row[0:3]), named(row[3:6])
        if dependent is not None and on is not None and dependent != on:
            yield Dependency(dependent, on, row[6])
            if on.kind == "view column":
                for view in ("view", "materialized view"):
                    yield Dependency(dependent, Ref(view, on.relation), row[6])
    yield from _structure(snapshot.objects)


def _owners_of_hidden(
    rows: Iterable[tuple[Any, ...]], known: Mapping[Address, Ref]
) -> dict[Address, Address]:
    owners: dict[Address, Address] = {}
    for row in rows:
        dependent = row[0:3]
        if dependent in known or row[6] not in "ia":
            continue
        if row[6] == "i" or dependent not in owners:
            owners[dependent] = row[3:6]
    return owners


def _structure(things: Mapping[Ref, Object]) -> Iterator[Dependency]:
    """Dependencies that follow from the names themselves."""
    for ref, thing in things.items():
        if ref.kind == "default":
            yield Dependency(ref, Ref("column", ref.path), "a")
        elif ref.kind in PARTS_OF_RELATIONS:
            for kind in ("table", "view", "materialized view"):
                owner = Ref(kind, ref.path[:2])
                if owner in things:
                    yield Dependency(ref, owner, "a")
                    break
        if ref.kind == "partition":
            yield Dependency(ref, Ref("table", tuple(thing["parent"])), "a")
