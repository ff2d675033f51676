"""What becomes of every effect of a migration, ready for templates: open first, then left, then undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

UNDONE, LEFT, NOT_UNDONE = "undone", "left on purpose", "not undone"
# What a step may be good for, where that is nothing for the migration.
IDLE_ROLES = ("does nothing", "undoes nothing the migration did", "fails", "can't be read")
READ = "read"


@dataclass(frozen=True)
class Effects:
    """The completeness of one script. `by_reading` is the weaker method, and `because` says why it was."""

    open: tuple[Json, ...]
    left: tuple[Json, ...]
    undone: tuple[Json, ...]
    strangers: tuple[Json, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    by_reading: bool
    because: str

    @property
    def count(self) -> int:
        return len(self.open) + len(self.left) + len(self.undone)

    @property
    def holds(self) -> bool:
        """Nothing is left undone without a word, and no step failed."""
        failed = any(step["role"] == "fails" for step in self.strangers)
        return not (self.open or self.problems or failed)


def effects(completeness: Mapping[str, Any], left: Mapping[str, str] | None = None) -> Effects | None:
    """Make an answer of `executor.completeness` ready; None for an empty one. What a revision declares
    (`left`: key and reason) counts for effects that were found not undone."""
    if not completeness:
        return None
    found = [_declared(each, left or {}) for each in completeness.get("effects", ())]
    return Effects(
        open=tuple(each for each in found if each["fate"] == NOT_UNDONE),
        left=tuple(each for each in found if each["fate"] == LEFT),
        undone=tuple(each for each in found if each["fate"] == UNDONE),
        strangers=tuple(step for step in completeness.get("steps", ()) if step["role"] in IDLE_ROLES),
        problems=tuple(completeness.get("problems", ())),
        notes=tuple(completeness.get("notes", ())),
        by_reading=completeness.get("method") == READ,
        because=completeness.get("because", ""),
    )


def _declared(effect: Json, left: Mapping[str, str]) -> Json:
    if effect["fate"] == NOT_UNDONE and (reason := left.get(effect["key"], "").strip()):
        return effect | {"fate": LEFT, "reason": reason}
    return effect
