"""Flyway's version numbers: parsing, equality and order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

LONGEST = 50
"""Characters that the `version` column of the history table holds."""

_SHAPE = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class MalformedVersion(ValueError):
    """The text is not a version number that Flyway could apply and record."""


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """One version. Equality, order and hash look at the numbers only, so 001 == 1 == 1.0 == 1_0.

    `parts` are the numbers without trailing zeros (always at least one number), which is what makes plain
    tuple comparison agree with Flyway's comparison of parts padded with zeros.
    `text` is the version as it was written, `_` as `.`, leading zeros kept: the way the history stores it.
    """

    parts: tuple[int, ...]
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version as written in a file name or in the history table.

        Raises MalformedVersion. Flyway itself also takes a sign before the first number, digits of other
        scripts and the words "current", "next" and "latest"; nobody means those in a file name, so they are
        refused here.
        """
        return _read(text)

    def __str__(self) -> str:
        return self.text


# Pages read the same few thousand versions again and again.
@lru_cache(maxsize=16_384)
def _read(text: str) -> Version:
    written = text.replace("_", ".")
    if not _SHAPE.fullmatch(written):
        raise MalformedVersion(f"{text!r} is not a version: digits, with single dots or underscores between")
    if len(written) > LONGEST:
        raise MalformedVersion(
            f"a version of {len(written)} characters does not fit into the history table, "
            f"which holds {LONGEST}: shorten it"
        )
    parts = [int(part) for part in written.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return Version(tuple(parts), written)
