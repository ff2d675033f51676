"""A unified difference as two columns, before and after, with what changed inside of a line marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from .difference import common_ends
from .sqltext import visible

# So many lines are shown; of a longer difference, how many more there are.
SHOWN = 400
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Cell:
    """One line of one side, its number in its text, and its HTML with what changed in it marked."""

    number: int
    html: SafeString


@dataclass(frozen=True)
class Row:
    """Two lines that stand beside each other; None where a side has none. `same` where neither changed."""

    was: Cell | None
    now: Cell | None
    same: bool = False


@dataclass(frozen=True)
class Columns:
    """Groups of neighbouring rows, how many lines went and came, and how many rows are not shown."""

    hunks: tuple[tuple[Row, ...], ...]
    removed: int
    added: int
    left_out: int

    def __bool__(self) -> bool:
        return bool(self.hunks)


def columns(difference: str) -> Columns:
    """Read a unified difference as `difflib.unified_diff` writes it."""
    lines = difference.split("\n")[2:] if difference else []
    hunks = [tuple(_rows(hunk)) for hunk in _hunks(lines)]
    shown, room = [], SHOWN
    for hunk in hunks:
        if room > 0:
            shown.append(hunk[:room])
        room -= len(hunk)
    rows = [row for hunk in hunks for row in hunk if not row.same]
    return Columns(
        hunks=tuple(shown),
        removed=sum(row.was is not None for row in rows),
        added=sum(row.now is not None for row in rows),
        left_out=max(-room, 0),
    )


Numbered = tuple[str, int, int, str]  # sign, number before, number after, text


def _hunks(lines: Iterable[str]) -> Iterator[list[Numbered]]:
    was = now = 0
    hunk: list[Numbered] = []
    for line in lines:
        if found := _HUNK.match(line):
            if hunk:
                yield hunk
            was, now, hunk = int(found[1]), int(found[2]), []
            continue
        sign = line[:1] or " "
        hunk.append((sign, was, now, line[1:]))
        was, now = was + (sign != "+"), now + (sign != "-")
    if hunk:
        yield hunk


def _rows(hunk: Iterable[Numbered]) -> Iterator[Row]:
    """Lines that went stand beside those that came in their place, in their order."""
    went: list[tuple[int, str]] = []
    came: list[tuple[int, str]] = []
    for sign, was, now, text in hunk:
        if sign == "-" and came:
            yield from _beside(went, came)
            went, came = [], []
        if sign == "-":
            went.append((was, text))
        elif sign == "+":
            came.append((now, text))
        else:
            yield from _beside(went, came)
            went, came = [], []
            yield Row(Cell(was, visible(text)), Cell(now, visible(text)), same=True)
    yield from _beside(went, came)


def _beside(went: list[tuple[int, str]], came: list[tuple[int, str]]) -> Iterator[Row]:
    for place in range(max(len(went), len(came))):
        was = went[place] if place < len(went) else None
        now = came[place] if place < len(came) else None
        if was and now:
            old, new = _marked(was[1], now[1])
            yield Row(Cell(was[0], old), Cell(now[0], new))
        else:
            yield Row(
                Cell(was[0], visible(was[1])) if was else None, Cell(now[0], visible(now[1])) if now else None
            )


def _marked(old: str, new: str) -> tuple[SafeString, SafeString]:
    """Both lines with the part marked in which they differ; unmarked where they share too little."""
    head, tail = common_ends(old, new)
    if 2 * (head + tail) < max(len(old), len(new)):
        return visible(old), visible(new)
    return _around(old, head, tail), _around(new, head, tail)


def _around(text: str, head: int, tail: int) -> SafeString:
    middle = text[head : len(text) - tail]
    if not middle:
        return visible(text)
    return format_html(
        "{}<mark>{}</mark>{}", visible(text[:head]), visible(middle), visible(text[len(text) - tail :])
    )
