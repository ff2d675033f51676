"""What a target is asked about a statement that runs alone; who asks about which is in `executor.looks`.

The catalog and the configuration files are asked, never a memory of ours, so that the answer is the same
whether the statement was answered, failed, or its connection was lost.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from executor.connect import Connection

Before = Mapping[str, Any]


class Standing(enum.StrEnum):
    """How a statement stands on the target."""

    BEFORE = "before"  # as it was before it
    DONE = "done"
    BROKEN = "broken"  # a rest of a failure is there, such as an invalid index
    OTHER = "other"  # neither: somebody else has changed it


@dataclass(frozen=True, slots=True)
class Look:
    """The answer, in a sentence too. `leftover` are statements that clear a rest away."""

    standing: Standing
    says: str
    leftover: tuple[str, ...] = ()


class Looker:
    """Asks about one statement. Connections are in autocommit, under the target's search_path."""

    as_owner = True
    """Whether the service's owner runs it; otherwise the executor's own role does."""
    repeatable = False
    """Running it once more changes nothing, so an answer from the server is all there is to know."""
    for_good = False
    """Nothing takes it back."""
    crowds = False
    """It takes a lock behind which readers queue up, so it waits for that in short tries only."""
    crowds_after = False
    """So do the statements that take it back, or go on with what a failure left."""

    def before(self, connection: Connection) -> dict[str, Any]:
        """What the target shows now, as plain JSON. Raises psycopg.Error."""
        raise NotImplementedError

    def undo(self, before: Before) -> tuple[str, ...]:
        """The statements that take it back; none where there is nothing to take back."""
        raise NotImplementedError

    def was_so(self, before: Before) -> bool:
        """Was it so already that there was nothing to do?"""
        return False

    def look(self, connection: Connection, before: Before) -> Look:
        """How it stands now. Raises psycopg.Error."""
        raise NotImplementedError
