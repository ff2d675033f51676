"""The cells of a run: how each of its targets looks, and in which group it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from approvals import fleet_progress, windows
from approvals.fleet_windows import Chance, Opening
from approvals.models import Execution, ExecutionStatus, RollbackTarget
from approvals.waves import Stand

# How a cell looks: shape, tone, letter and the word for it; by what it stands for, in the order of filters.
LOOKS: dict[str, tuple[str, str, str, str]] = {
    "unsure": ("lost", "lost", "?", gettext_noop("not known, or partly done")),
    "failed": ("fail", "fail", "F", gettext_noop("failed")),
    "open": ("run", "run", "R", gettext_noop("under way")),
    "queued": ("wait", "run", "Q", gettext_noop("queued")),
    "done": ("ok", "ok", "D", gettext_noop("done")),
    "missed": ("clock", "warn", "M", gettext_noop("missed its window")),
    "waiting": ("dot", "idle", "N", gettext_noop("not begun")),
}


@dataclass(frozen=True)
class Cell:
    """One target: `kind` is a key of LOOKS."""

    name: str
    position: int
    kind: str
    word: str
    execution: Execution | None
    url: str
    opens: datetime | None = None  # when its window does, for which it waits
    when: str = ""  # the same by the target's clock

    @property
    def icon(self) -> str:
        return LOOKS[self.kind][0]

    @property
    def tone(self) -> str:
        return LOOKS[self.kind][1]

    @property
    def letter(self) -> str:
        return LOOKS[self.kind][2]


@dataclass(frozen=True)
class Group:
    """The canary, one wave, or what has not begun."""

    title: str
    cells: list[Cell]


def groups(shown: Sequence[Cell], *, of: int) -> list[Group]:
    """The canary, each wave in its order, what missed its window, and what has not begun; `of` so many."""
    found: dict[int, list[Cell]] = {}
    missed = of + 1
    titles = {0: _("Canary"), missed: _("Missed the window"), missed + 1: _("Not begun")}
    for cell in shown:
        found.setdefault(_place(cell, missed), []).append(cell)
    wave = _("Wave %(number)d")
    return [Group(titles.get(place) or wave % {"number": place}, found[place]) for place in sorted(found)]


def _place(cell: Cell, missed: int) -> int:
    """Where among the groups a cell belongs: the canary 0, what began its wave, what missed its window there,
    and behind it what has not begun."""
    if cell.position == fleet_progress.CANARY:
        return 0
    if cell.kind == "missed":
        return missed
    wave = cell.execution.wave if cell.execution is not None else None
    return missed + 1 if wave is None else wave


def cell(each: RollbackTarget, tries: list[Execution], ahead: Chance | None) -> Cell:
    """How a target stands after these attempts, and when it may begin."""
    stand, last = fleet_progress.stand(tries), fleet_progress.newest(tries)
    kind = stand.value
    if stand is Stand.OPEN and last is not None and last.status == ExecutionStatus.QUEUED:
        kind = "queued"
    word = last.get_status_display() if last is not None and kind != "missed" else _(LOOKS[kind][3])
    opens, when = None, ""
    if stand is Stand.WAITING and ahead and ahead.span and ahead.opening is Opening.LATER:
        opens = ahead.span.begins
        when = windows.clock(opens, each.target)
        word = _("waits for its window, which opens %(at)s") % {"at": when}
    url = reverse("execution_detail", args=[last.pk]) if last is not None else ""
    return Cell(each.target.name, each.position, kind, word, last, url, opens, when)
