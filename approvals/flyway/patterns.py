"""Flyway's `ignoreMigrationPatterns`: which states `validate` lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TYPES = ("*", "repeatable", "versioned")
STATES = ("*", "missing", "pending", "ignored", "future")


class MalformedPattern(ValueError):
    """The text is not `type:state` with words that Flyway knows."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, as `*:future`."""

    type: str
    state: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern; case and blanks around the words do not count. Raises MalformedPattern."""
        parts = [part.strip().lower() for part in text.split(":")]
        if len(parts) != 2 or parts[0] not in TYPES or parts[1] not in STATES:
            raise MalformedPattern(
                f"{text!r} is not a pattern: one of {', '.join(TYPES)}, a colon, "
                f"and one of {', '.join(STATES)}"
            )
        return cls(*parts)

    def matches(self, *, versioned: bool, state: str) -> bool:
        """Whether a migration in this state (Flyway's word, any case) is let pass."""
        if self.state not in ("*", state.lower()):
            return False
        return self.type in ("*", "versioned" if versioned else "repeatable")

    def __str__(self) -> str:
        return f"{self.type}:{self.state}"


FUTURE = Pattern("*", "future")
PENDING = Pattern("*", "pending")


def lets_pass(patterns: Sequence[Pattern], state: str) -> bool:
    """Whether migrations in this state pass wherever they are: versioned ones and repeatable ones."""
    return all(any(one.matches(versioned=kind, state=state) for one in patterns) for kind in (True, False))
