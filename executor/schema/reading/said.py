"""What a statement does as its text says it, for files that can't run where their effects could be seen."""

from __future__ import annotations

from dataclasses import dataclass

from executor.schema.names import dotted

CREATED, DROPPED, CHANGED, RENAMED = "created", "dropped", "changed", "renamed"
SET, ROWS, NOTHING, UNREADABLE = "set", "rows", "nothing", "unreadable"

PARTS = frozenset({"column", "constraint", "trigger", "policy", "rule", "default", "partition"})
"""Kinds whose name begins with schema and relation."""


@dataclass(frozen=True, slots=True)
class Said:
    """One effect of a statement.

    `what` is one of the words above; `kind` and `name` say of which object (schema first, `public` where the
    text has none), for what is dropped, changed or renamed under the name that it has before the statement.
    `attribute` says what is changed; `new` is the new innermost name, the schema, or the value; `sql` the
    statement. `maybe` is IF EXISTS, IF NOT EXISTS, OR REPLACE or in a DO block. `on` is an index's table or a
    partition's parent; `position`, `line` and `column` are the statement's, from 1.
    """

    what: str
    kind: str
    name: tuple[str, ...]
    position: int
    line: int
    column: int
    attribute: str = ""
    new: str = ""
    sql: str = ""
    maybe: str = ""
    on: tuple[str, ...] = ()
    cascade: bool = False
    columns: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        """Kind and name, for people."""
        return f"{self.kind} {written(self.kind, self.name)}" if self.name else self.kind

    def __str__(self) -> str:
        if self.what == RENAMED:
            return f"renamed {self.object} to {self.new}"
        if self.what == CHANGED:
            return f"changed {self.attribute} of {self.object}"
        if self.what == ROWS:
            return f"{self.attribute} on {self.object}"
        if self.what == UNREADABLE:
            return self.attribute
        return f"{self.what} {self.object}"

    @property
    def quiet(self) -> bool:
        """Whether it certainly leaves the schema alone."""
        return self.what == NOTHING and not self.attribute

    @property
    def renamed(self) -> tuple[str, ...]:
        """The name after a rename."""
        return (
            (*self.name[:-1], self.new)
            if self.kind != "function"
            else (self.name[0], self.new, *self.name[2:])
        )

    @property
    def relation(self) -> tuple[str, ...]:
        """The relation that it belongs to, or is."""
        if self.kind in PARTS:
            return self.name[:2]
        return self.on or self.name


def written(kind: str, name: tuple[str, ...]) -> str:
    """The name as SQL; `public` is left out."""
    parts = name[1:] if len(name) > 1 and name[0] == "public" else name
    if kind in ("function", "aggregate") and len(name) > 2:
        return f"{dotted(parts[:-1])}({parts[-1]})"
    return dotted(parts)
