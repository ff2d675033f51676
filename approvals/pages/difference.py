"""The lines in which two revisions of a text differ, as hunks with a few lines around each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from django.utils.safestring import SafeString

from .sqltext import visible

AROUND = 3
# Above this many lines that differ, finding the fewest changes takes longer than a reader waits: all of them
# are shown, the old ones first.
COMPARED = 3_000


@dataclass(frozen=True)
class DiffLine:
    """One line: `before` and `after` are its numbers in the two texts (None where it isn't there)."""

    before: int | None
    after: int | None
    text: str

    @property
    def kind(self) -> str:
        """`was` for a line that went, `is` for one that came, `same` for one that stayed."""
        if self.after is None:
            return "was"
        return "is" if self.before is None else "same"

    @property
    def html(self) -> SafeString:
        """The text, escaped, with characters that could deceive made visible."""
        return visible(self.text)


@dataclass(frozen=True)
class Hunk:
    """Neighbouring lines; `skipped` equal ones were left out before them."""

    skipped: int
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True)
class Difference:
    """What differs between two texts, false where nothing does; how many lines went and came, and how many
    equal ones are left out at the end."""

    hunks: tuple[Hunk, ...]
    removed: int
    added: int
    rest: int

    def __bool__(self) -> bool:
        return bool(self.hunks)


def difference(before: str, after: str, *, around: int = AROUND) -> Difference:
    """Compare line by line, with `around` equal lines on either side of each change."""
    old, new = _lines(before, after)
    lines = list(_compared(old, new))
    shown: set[int] = set()
    for place, line in enumerate(lines):
        if line.kind != "same":
            shown.update(range(max(place - around, 0), min(place + around + 1, len(lines))))
    hunks: list[Hunk] = []
    last = -1  # the place of the line that was shown last
    for place in sorted(shown):
        if place != last + 1 or not hunks:
            hunks.append(Hunk(place - last - 1, ()))
        hunks[-1] = Hunk(hunks[-1].skipped, (*hunks[-1].lines, lines[place]))
        last = place
    return Difference(
        hunks=tuple(hunks),
        removed=sum(1 for line in lines if line.kind == "was"),
        added=sum(1 for line in lines if line.kind == "is"),
        rest=len(lines) - last - 1,
    )


def _lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines of both. A carriage return stays and is shown; a line feed at the end counts where only one
    has it."""
    old, new = before.split("\n"), after.split("\n")
    if old[-1] == new[-1] == "":
        return old[:-1], new[:-1]
    return old, new


def common_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How much both share at their beginning, and behind that at their end: of lists in items, of texts in
    characters."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return head, tail


def _compared(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    """Every line of both in order, the old ones of a change before its new ones."""
    head, tail = common_ends(old, new)
    lines = [DiffLine(n + 1, n + 1, old[n]) for n in range(head)]
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    for i1, i2, j1, j2, equal in _changes(middle_old, middle_new):
        if equal:
            lines += [
                DiffLine(head + i + 1, head + j + 1, middle_old[i])
                for i, j in zip(range(i1, i2), range(j1, j2), strict=True)
            ]
            continue
        lines += [DiffLine(head + i + 1, None, middle_old[i]) for i in range(i1, i2)]
        lines += [DiffLine(None, head + j + 1, middle_new[j]) for j in range(j1, j2)]
    shift = len(new) - len(old)
    return lines + [DiffLine(n + 1, n + shift + 1, old[n]) for n in range(len(old) - tail, len(old))]


def _changes(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int, bool]]:
    if max(len(old), len(new)) > COMPARED:
        return [(0, len(old), 0, len(new), False)]
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [(i1, i2, j1, j2, tag == "equal") for tag, i1, i2, j1, j2 in matcher.get_opcodes()]
