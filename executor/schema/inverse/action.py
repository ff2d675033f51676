"""One action of a way back: statements that belong together, and what they take away and provide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from executor.schema.lost import Lost
from executor.schema.objects import Ref


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, without its semicolon. Where `alternatives` are given, they are tried in order
    when the
    server refuses `sql`; `fills` says that it changes or adds rows; `outside` that no transaction may be
    open. `table` is the one, as SQL, whose triggers and rules rest while an UPDATE of it runs."""

    sql: str
    alternatives: tuple[str, ...] = ()
    fills: bool = False
    outside: bool = False
    table: str = ""

    def instead(self, sql: str) -> Statement:
        """The same with another text and no alternatives."""
        return replace(self, sql=sql, alternatives=())


@dataclass(slots=True)
class Action:
    """A step of the plan before it has an order.

    `verb` is drop, create, alter, rename or rows; `ref` names the object as it stands when the action runs;
    `removes` and `provides` are what the action takes away and gives; `disturbs` are objects whose dependents
    must be out of the way meanwhile; `reads` must not be removed before; `after` must be there. `loses`
    is the data that goes.
    """

    verb: str
    ref: Ref
    statements: Sequence[Statement]
    why: str = ""
    removes: set[Ref] = field(default_factory=set)
    provides: set[Ref] = field(default_factory=set)
    disturbs: set[Ref] = field(default_factory=set)
    reads: set[Ref] = field(default_factory=set)
    after: set[Ref] = field(default_factory=set)
    loses: tuple[Lost, ...] = ()
    priority: int | None = None

    @property
    def key(self) -> tuple[str, Ref]:
        """What orders actions of one priority."""
        return (self.verb, self.ref)


def statements(*texts: str) -> tuple[Statement, ...]:
    """Plain statements."""
    return tuple(Statement(text) for text in texts)
