"""What a family of objects must say for its kind: how to create, drop and alter one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.conversions import Conversion
from executor.schema.inverse.options import Options
from executor.schema.lost import Lost
from executor.schema.names import dotted, quoted
from executor.schema.objects import Object, Ref, Snapshot

Changes = dict[str, tuple[Any, Any]]
"""Attribute → (value before, value now)."""


@dataclass(slots=True)
class Context:
    """What families may ask: the schema now, the one to come back to, the one at the `start`, and the
    engineer's choices. `attempt` counts passes from 1; `gaps` are findings that no statement can undo, and
    `refused` those that stay so in every pass;
    `replaced` says under which name a type or table was set aside; `restoring` is SQL that brings kept data
    back; `notes` are what the engineer should know; `reordered` are tables that an attempt left with columns
    out of place; `routed` are partitioned tables whose rows find their partitions by the key of before, and
    `routes` the statements for that which are still to run; `conversions` say of columns of before how the
    migration computed their values."""

    now: Snapshot
    before: Snapshot
    options: Options
    user: str
    attempt: int = 1
    gaps: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    replaced: dict[Ref, Ref] = field(default_factory=dict)
    restoring: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    start: Snapshot | None = None
    reordered: frozenset[Ref] = frozenset()
    routed: set[Ref] = field(default_factory=set)
    routes: dict[Ref, list[Statement]] = field(default_factory=dict)
    conversions: Mapping[Ref, Conversion] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """PostgreSQL's major version."""
        return self.now.version // 10000

    def path_at_start(self, ref: Ref) -> tuple[str, ...]:
        """An object's name before the script began."""
        thing = self.now.get(ref)
        found = self.start.by_address.get(thing.address) if thing and self.start else None
        return found.path if found is not None else ref.path

    def at_start(self, lost: Lost) -> Lost:
        """The same under the names that stand before the script begins."""
        path = self.path_at_start(Ref("table", lost.relation))
        column = self.path_at_start(Ref("column", (*lost.relation, lost.column)))[-1] if lost.column else ""
        return replace(lost, relation=(path[0], path[1]), column=column)


class Family:
    """The family of objects that one statement creates and one drops; most kinds need no more."""

    kind: ClassVar[str]
    word: ClassVar[str]
    """The kind in SQL (ALTER <word> …)."""
    ownable: ClassVar[bool] = True

    def name(self, ref: Ref) -> str:
        """How SQL calls the object behind its word."""
        return dotted(ref.path)

    def word_of(self, thing: Object) -> str:
        """The kind in SQL, where it depends on the object."""
        return self.word

    def create(self, thing: Object, context: Context) -> list[Action]:
        """Give the object back as `thing` says."""
        return [self.creating(thing, thing["definition"])]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """Take the object away."""
        return [self.dropping(thing, f"DROP {self.word_of(thing)} {self.name(thing.ref)}")]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """Change the object in place; None where it must be dropped and created."""
        return None

    def rename(self, now: Ref, name: str, thing: Object) -> str:
        """SQL that gives the object another (innermost) name."""
        return f"ALTER {self.word_of(thing)} {self.name(now)} RENAME TO {quoted(name)}"

    def on_comment(self, thing: Object) -> str:
        """How COMMENT ON names the object."""
        return f"{self.word_of(thing)} {self.name(thing.ref)}"

    def creating(self, thing: Object, *texts: str, why: str = "") -> Action:
        """An action that provides the object."""
        return Action("create", thing.ref, statements(*texts), why=why, provides={thing.ref})

    def dropping(self, thing: Object, *texts: str, loses: tuple[Lost, ...] = ()) -> Action:
        """An action that removes the object."""
        return Action("drop", thing.ref, statements(*texts), removes={thing.ref}, loses=loses)

    def altering(self, thing: Object, *texts: str | Statement, why: str = "") -> Action:
        """An action that changes the object in place."""
        made = tuple(text if isinstance(text, Statement) else Statement(text) for text in texts)
        return Action("alter", thing.ref, made, why=why)


def relation(ref: Ref) -> str:
    """The relation that a part belongs to, qualified."""
    return dotted(ref.path[:2])


def comma(parts: Iterable[str]) -> str:
    """A list in SQL."""
    return ", ".join(parts)
