"""From the difference of two snapshots to ordered actions: what goes, what comes, what changes, and who
must step
aside meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.difference import COMMON, Difference
from executor.schema.inverse import common, refill
from executor.schema.inverse.action import Action
from executor.schema.inverse.deparse import prefer_readable
from executor.schema.inverse.families import family_of
from executor.schema.inverse.family import Context
from executor.schema.inverse.keep import Keeper
from executor.schema.inverse.order import ordered
from executor.schema.inverse.tables import ReplicaIndex
from executor.schema.objects import Ref

GOES_ALONG = frozenset("aiPS")
HOLDS_ROWS = frozenset({"table", "column", "sequence"})
"""Kinds that are never dropped just to be created again."""


def plan(context: Context, found: Difference) -> list[Action]:
    """The actions that lead from `context.now` to `context.before`, in their order. `found` is the difference
    between the two, before first."""
    return _Plan(context, found).actions()


class _Plan:
    def __init__(self, context: Context, found: Difference) -> None:
        self.context = context
        self.now, self.before = context.now, context.before
        self.found = found
        self.gone = set(found.created)  # only there now: they go for good
        self.again: set[Ref] = set()  # they go and come back
        self.in_place: dict[Ref, list[Action]] = {}
        self.late: list[Action] = []
        self._reach: dict[Ref, set[Ref]] = {}

    def actions(self) -> list[Action]:
        """All actions in order."""
        self._changes()
        self._close()
        drops, creations = list(self._drops()), list(self._creations())
        altered = [action for ref, made in self.in_place.items() if ref not in self.again for action in made]
        creations += refill.routing(creations, self.context)
        all_of_them = [*drops, *creations, *altered, *self.late]
        if self.context.options.keep_data:
            all_of_them += self._keep(all_of_them)
        if self.context.attempt == 1:
            for action in (*creations, *altered):
                prefer_readable(action)
        return ordered([action for action in all_of_them if action.statements], self.now, self.before)

    def _keep(self, actions: list[Action]) -> list[Action]:
        """Let the actions keep the data that they would take away; returns what must come before."""
        keeper = Keeper(self.context, self.gone | self.again)
        going = [action.ref for action in actions if action.verb == "drop" and action.loses]
        keeper.choose([ref for ref in going if ref not in self.context.replaced.values()])
        for action in actions:
            keeper.change(action)
        self.context.restoring.update(dict.fromkeys(keeper.restoring()))
        return [keeper.archive()] if keeper.used else []

    def _changes(self) -> None:
        for change in self.found.changed:
            now, before = self.now[change.ref], self.before[change.ref]
            family = family_of(change.ref)
            own = {name: pair for name, pair in change.attributes.items() if name not in COMMON}
            made = family.alter(now, before, own, self.context) if own else []
            if made is None:
                self.again.add(change.ref)
            else:
                self.in_place[change.ref] = made
            if own.keys() & {"replica_identity", "replica_index"} and before.get("replica_identity") == "i":
                self.late.append(ReplicaIndex.action(before))
            if own.keys() != change.attributes.keys() and made is not None:
                self.late += common.actions(family, now, before, self.context)

    # Who must step aside

    def _close(self) -> None:
        queue = [*self.gone, *self.again]
        disturbed = [ref for made in self.in_place.values() for action in made for ref in action.disturbs]
        for ref in disturbed:
            queue += self._again(y for y in self.now.needed_by.get(ref, ()) if self._in_the_way(y))
        while queue:
            ref = queue.pop()
            queue += self._again(self._dependents(ref))

    def _dependents(self, ref: Ref) -> Iterator[Ref]:
        """What can't stay while `ref` is away."""
        for dependent in self.now.needed_by.get(ref, ()):
            if dependent in self.gone or dependent in self.again or self._lets_go(dependent, ref):
                continue
            if dependent.kind in HOLDS_ROWS and not self._computed(dependent):
                if not (ref.kind == "table" and dependent.path[:2] == ref.path):
                    self.context.gaps.append(f"{dependent} needs {ref}, which goes")
                continue
            yield dependent

    def _lets_go(self, dependent: Ref, ref: Ref) -> bool:
        """Whether an alteration of `dependent` ends its need of `ref`."""
        if self.in_place.get(dependent):
            return ref not in self.before.needs.get(dependent, ())
        return False

    def _computed(self, ref: Ref) -> bool:
        return ref.kind == "column" and bool(self.now[ref]["generated"])

    def _again(self, refs: Iterator[Ref]) -> list[Ref]:
        new = [ref for ref in refs if ref not in self.gone and ref not in self.again]
        self.again.update(new)
        return new

    def _in_the_way(self, ref: Ref) -> bool:
        """Whether an object that needs a column hinders the column from getting another type."""
        thing = self.now[ref]
        if ref.kind == "index":
            return bool(thing["computed"])
        if ref.kind == "constraint":
            return thing["type"] not in "pu"
        if ref.kind == "column":
            return bool(thing["generated"])
        if ref.kind == "publication table":
            return bool(thing["row_filter"] or thing["columns"])
        return ref.kind in ("view", "materialized view", "rule", "policy", "trigger", "function", "default")

    # What goes

    def _drops(self) -> Iterator[Action]:
        leaving = self.gone | self.again
        along: set[Ref] = set()
        circular = self._in_circles()
        for ref in leaving:
            if ref not in along:
                along |= self._going_along(ref) - {ref}
        for ref in sorted(leaving):
            if ref in along and not self._survives(ref) and ref not in circular:
                continue
            for action in family_of(ref).drop(self.now[ref], self.context):
                action.removes |= (self._going_along(ref) & leaving) - circular
                if ref in self.context.replaced.values():
                    action.loses = refill.not_carried(ref, self.context)
                    action.why = "set aside above; what takes its place is there"
                elif ref.kind == "table" and refill.emptied(ref, self.context):
                    action.loses = ()
                elif ref in self.again:
                    action.why = "comes back below"
                    action.loses = ()
                yield action

    def _going_along(self, ref: Ref) -> set[Ref]:
        """What disappears with the object, transitively."""
        if ref not in self._reach:
            found: set[Ref] = set()
            queue = [ref]
            while queue:
                for dependent, kind in self.now.needed_by.get(queue.pop(), {}).items():
                    if kind in GOES_ALONG and dependent not in found and not self._survives(dependent):
                        found.add(dependent)
                        queue.append(dependent)
            self._reach[ref] = found
        return self._reach[ref]

    def _survives(self, ref: Ref) -> bool:
        if ref.kind == "partition":
            return Ref("table", ref.path) in self.before and Ref("table", ref.path) in self.now
        return ref.kind in HOLDS_ROWS and ref in self.before and not self._computed(ref)

    def _in_circles(self) -> set[Ref]:
        """Foreign keys by which tables that go hold each other: they must go before."""
        keys: dict[Ref, list[tuple[Ref, Ref]]] = {}
        for ref in self.gone | self.again:
            if ref.kind == "constraint" and self.now[ref]["references"]:
                table, other = Ref("table", ref.path[:2]), Ref("table", tuple(self.now[ref]["references"]))
                if table != other:
                    keys.setdefault(table, []).append((ref, other))
        leading: dict[Ref, set[Ref]] = {}

        def reach(table: Ref) -> set[Ref]:
            if table not in leading:
                found: set[Ref] = set()
                queue = [table]
                while queue:
                    for _, other in keys.get(queue.pop(), ()):
                        if other not in found:
                            found.add(other)
                            queue.append(other)
                leading[table] = found
            return leading[table]

        return {key for table, pairs in keys.items() for key, other in pairs if table in reach(other)}

    # What comes

    def _creations(self) -> Iterator[Action]:
        coming = set(self.found.dropped) | self.again
        provided: set[Ref] = set()
        for ref in sorted(coming, key=lambda ref: (ref.kind != "table", ref.kind != "column", ref)):
            if ref in provided:
                self._say(ref)
                continue
            thing = self.before.get(ref)
            if thing is None:
                self.context.gaps.append(f"{ref} goes along with what must go")
                continue
            for action in family_of(ref).create(thing, self.context):
                provided |= action.provides
                if action.verb == "create":
                    refill.copying(action, self.context)
                yield action
            self._say(ref)

    def _say(self, ref: Ref) -> None:
        """Owner, comment and labels of an object that has just come."""
        self.late += common.actions(family_of(ref), None, self.before[ref], self.context)
        if ref.kind == "table" and self.before[ref]["replica_identity"] == "i":
            self.late.append(ReplicaIndex.action(self.before[ref]))
