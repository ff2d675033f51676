"""Bring actions into an order that never needs luck: dependents leave first and come back last."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise

from executor.schema.inverse.action import Action
from executor.schema.inverse.priorities import LATE, priority
from executor.schema.objects import Ref, Snapshot


def slots(ref: Ref) -> Iterator[tuple[str, ...]]:
    """The places in PostgreSQL's namespaces that an object takes."""
    if ref.kind in ("table", "view", "materialized view", "sequence", "index"):
        yield ("relation", *ref.path)
    if ref.kind in ("table", "view", "materialized view", "type"):
        yield ("type", *ref.path)
    if ref.kind == "constraint":
        yield ("relation", ref.path[0], ref.name)
    yield (ref.kind, *ref.path)


def ordered(actions: list[Action], now: Snapshot, before: Snapshot) -> list[Action]:
    """Topological order; among free actions the smaller priority, then the name. A circle is broken at its
    smallest member: execution tries again what failed."""
    followers, waiting = _edges(actions, now, before)
    rank = sorted(range(len(actions)), key=lambda i: (priority(actions[i]), actions[i].key))
    place = {index: position for position, index in enumerate(rank)}
    free = [place[index] for index in range(len(actions)) if not waiting[index]]
    heapq.heapify(free)
    done: list[Action] = []
    left = set(range(len(actions)))
    while left:
        if not free:
            free = [min(place[index] for index in left)]
        index = rank[heapq.heappop(free)]
        if index not in left:
            continue
        left.discard(index)
        done.append(actions[index])
        for follower in followers[index]:
            waiting[follower].discard(index)
            if not waiting[follower] and follower in left:
                heapq.heappush(free, place[follower])
    return done


def _edges(actions: list[Action], now: Snapshot, before: Snapshot) -> tuple[list[set[int]], list[set[int]]]:
    followers: list[set[int]] = [set() for _ in actions]
    waiting: list[set[int]] = [set() for _ in actions]
    index = _Index(actions)
    for first, second in index.pairs(now, before):
        if first != second:
            followers[first].add(second)
            waiting[second].add(first)
    return followers, waiting


class _Index:
    """Who removes, provides and alters what."""

    def __init__(self, actions: list[Action]) -> None:
        self.actions = actions
        self.removers: dict[Ref, int] = {}
        self.providers: dict[Ref, int] = {}
        self.alterers: dict[Ref, list[int]] = {}
        for number, action in enumerate(actions):
            for ref in action.removes:
                if ref not in self.removers or action.ref == ref:
                    self.removers[ref] = number
            for ref in action.provides:
                self.providers[ref] = number
            if action.verb == "alter":
                self.alterers.setdefault(action.ref, []).append(number)

    def pairs(self, now: Snapshot, before: Snapshot) -> Iterator[tuple[int, int]]:
        """(this one first, then that one)."""
        for number, action in enumerate(self.actions):
            for ref in action.removes:
                yield from self._before_removal(number, ref, now, before)
            for ref in action.provides:
                yield from self._before_arrival(number, ref, before, altered=True)
            if action.verb == "alter":
                yield from self._around(number, {action.ref} | action.disturbs, now, before)
                yield from self._before_arrival(number, action.ref, before, altered=False)
            yield from ((number, remover) for remover in self._of(self.removers, action.reads))
            for ref in action.after:
                yield from ((provider, number) for provider in self._of(self.providers, [ref]))
                yield from ((a, number) for a in self.alterers.get(ref, ()) if self._early(a, number))
        yield from self._same_place()
        yield from self._same_object()
        yield from self._columns_in_turn(before)

    def _before_removal(
        self, number: int, ref: Ref, now: Snapshot, before: Snapshot
    ) -> Iterator[tuple[int, int]]:
        for dependent in now.needed_by.get(ref, ()):
            if dependent in self.removers:
                yield self.removers[dependent], number
            elif ref not in before.needs.get(dependent, ()):
                yield from (
                    (alterer, number) for alterer in self.alterers.get(dependent, ()) if self._early(alterer)
                )

    def _before_arrival(
        self, number: int, ref: Ref, before: Snapshot, *, altered: bool
    ) -> Iterator[tuple[int, int]]:
        if ref.kind == "sequence":
            return  # OWNED BY is an action of its own
        for need in before.needs.get(ref, ()):
            if need in self.providers:
                yield self.providers[need], number
            if altered:
                yield from (
                    (alterer, number) for alterer in self.alterers.get(need, ()) if self._early(alterer)
                )

    def _around(
        self, number: int, refs: Iterable[Ref], now: Snapshot, before: Snapshot
    ) -> Iterator[tuple[int, int]]:
        if not self._early(number):
            return
        for ref in refs:
            dependents = [other for other in now.needed_by.get(ref, ()) if other.kind != "sequence"]
            yield from ((remover, number) for remover in self._of(self.removers, dependents))
            comers = [other for other in before.needed_by.get(ref, ()) if other.kind != "sequence"]
            yield from ((number, provider) for provider in self._of(self.providers, comers))

    def _same_place(self) -> Iterator[tuple[int, int]]:
        taken: dict[tuple[str, ...], int] = {
            slot: n for ref, n in self.removers.items() for slot in slots(ref)
        }
        for ref, number in self.providers.items():
            for slot in slots(ref):
                if slot in taken:
                    yield taken[slot], number

    def _same_object(self) -> Iterator[tuple[int, int]]:
        for numbers in self.alterers.values():
            plain = [number for number in numbers if self.actions[number].priority is None]
            yield from pairwise(plain)

    def _columns_in_turn(self, before: Snapshot) -> Iterator[tuple[int, int]]:
        """Columns that are added to one table come in the order that they had."""
        added: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for number, action in enumerate(self.actions):
            if action.verb == "create" and action.ref.kind == "column":
                position = before[action.ref].address[2]
                added.setdefault(action.ref.relation, []).append((position, number))
        for numbers in added.values():
            for (_, first), (_, second) in pairwise(sorted(numbers)):
                yield first, second

    def _early(self, number: int, than: int | None = None) -> bool:
        mine = priority(self.actions[number])
        return mine < (LATE if than is None else priority(self.actions[than]))

    @staticmethod
    def _of(known: dict[Ref, int], refs: Iterable[Ref]) -> Iterator[int]:
        return (known[ref] for ref in refs if ref in known)
