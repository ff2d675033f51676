"""Flyway's placeholders: which `${names}` a file uses, and the file with values in their place."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from approvals.flyway.checksums import line_starts, position

BUILT_IN = frozenset(
    f"flyway:{name}"
    for name in (
        "defaultSchema", "user", "database", "timestamp",
        "filename", "workingDirectory", "table", "environment",
    )
)  # fmt: skip
"""Names that Flyway fills by itself. `timestamp`, `user` and `workingDirectory` differ from run to run."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """How placeholders are written: Flyway's settings placeholderPrefix and placeholderSuffix."""

    prefix: str = "${"
    suffix: str = "}"

    def __post_init__(self) -> None:
        if not self.prefix or not self.suffix:
            raise ValueError("a placeholder needs something before and after its name")


DEFAULT = Syntax()


@lru_cache
def _expression(syntax: Syntax) -> re.Pattern[str]:
    """Finds placeholders as Flyway does, which looks in comments and strings too.

    Flyway takes whatever begins like the prefix together with the character after it, so the second dollar
    of `$${x}` is used up and nothing is replaced there, while `$$${x}` holds a placeholder.
    """
    found = rf"(?P<name>.*?)(?P<end>{re.escape(syntax.suffix)}|\Z)"
    for character in reversed(syntax.prefix[1:]):
        found = rf"(?:{re.escape(character)}{found}|.)"
    return re.compile(re.escape(syntax.prefix[0]) + found, re.DOTALL)


class PlaceholderProblem(ValueError):
    """A placeholder that cannot be filled; `line` and `column` (from 1) say where it begins."""

    def __init__(self, message: str, name: str, line: int, column: int) -> None:
        self.name, self.line, self.column = name, line, column
        super().__init__(f"line {line}, column {column}: {message}")


class UnknownPlaceholder(PlaceholderProblem):
    """No value was given for the name."""


class UnclosedPlaceholder(PlaceholderProblem):
    """`${` without `}` up to the end of the file, where Flyway would look up a name nobody meant."""


def names(sql: str, syntax: Syntax = DEFAULT) -> list[tuple[str, int, int]]:
    """Every placeholder in order of appearance, as (name as written, line, column).

    Raises UnclosedPlaceholder.
    """
    starts = line_starts(sql)
    return [(match["name"], *position(starts, match.start())) for match in _placeholders(sql, syntax)]


@dataclass(frozen=True, slots=True)
class Filled:
    """SQL with values in place of placeholders, and from where in the written text each part of it comes.

    `parts` are (offset in the filled text, offset in the written one, whether it is a value), in order.
    """

    text: str
    written: str
    parts: tuple[tuple[int, int, bool], ...]

    def written_place(self, line: int, column: int) -> tuple[int, int]:
        """Where a place of the filled text (both from 1, lines end at line feeds) is in the written one; a
        value is where its placeholder begins."""
        offset = _offset(self.text, line, column)
        begin, origin, is_value = self.parts[bisect_right(self.parts, (offset, len(self.written), True)) - 1]
        place = origin if is_value else origin + offset - begin
        return self.written.count("\n", 0, place) + 1, place - self.written.rfind("\n", 0, place)


def _offset(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column - 1


def substitute(sql: str, values: Mapping[str, str], syntax: Syntax = DEFAULT) -> str:
    """The SQL as Flyway would send it; see `fill`."""
    return fill(sql, values, syntax).text


def fill(sql: str, values: Mapping[str, str], syntax: Syntax = DEFAULT) -> Filled:
    """Put values in place of placeholders. Names count in any case; values are not searched again.

    Raises UnknownPlaceholder and UnclosedPlaceholder, and ValueError if two given names differ in case only.
    """
    known = {name.lower(): value for name, value in values.items()}
    if len(known) != len(values):
        raise ValueError("two placeholder names differ only in case, and Flyway takes them for one")
    pieces: list[str] = []
    parts: list[tuple[int, int, bool]] = [(0, 0, False)]
    length = done = 0
    for match in _placeholders(sql, syntax):
        name = match["name"]
        if name.lower() not in known:
            where = position(line_starts(sql), match.start())
            written = f"{syntax.prefix}{name}{syntax.suffix}"
            raise UnknownPlaceholder(f"no value for the placeholder {written}", name, *where)
        before, value = sql[done : match.start()], known[name.lower()]
        pieces += before, value
        parts.append((length + len(before), match.start(), True))
        length, done = length + len(before) + len(value), match.end()
        parts.append((length, done, False))
    return Filled("".join(pieces) + sql[done:], sql, tuple(parts))


def _placeholders(sql: str, syntax: Syntax) -> Iterator[re.Match[str]]:
    for match in _expression(syntax).finditer(sql):
        if match["name"] is None:
            continue
        if not match["end"]:
            where = position(line_starts(sql), match.start())
            message = f"{syntax.prefix} without a closing {syntax.suffix}"
            raise UnclosedPlaceholder(message, match["name"], *where)
        yield match
