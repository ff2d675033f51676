"""A run over many targets as people see it: one cell per target, the waves as groups, what needs a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from approvals import fleet_progress, fleet_windows, fleets, windows
from approvals.fleet_windows import Chance, Opening
from approvals.models import (
    Execution,
    ExecutionStatus,
    FleetRun,
    Role,
    RollbackRequest,
    RollbackTarget,
    Status,
    User,
)
from approvals.waves import Stand

from . import fleet_story
from .search import LONGEST

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
TONES = {"running": "run", "held": "warn", "stopped": "fail", "cancelled": "idle", "finished": "ok"}
# So many targets that need a person are told in full.
TOLD = 50
# Up to so many targets each cell shows its name.
NAMED = 24


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


@dataclass(frozen=True)
class Filter:
    """One kind of cell with how many there are; an empty `key` shows all."""

    key: str
    word: str
    count: int
    chosen: bool

    @property
    def look(self) -> tuple[str, str, str, str] | None:
        return LOOKS.get(self.key)


@dataclass(frozen=True)
class View:
    """All that the page of a fleet shows; without a `run` nothing has begun yet."""

    rollback: RollbackRequest
    run: FleetRun | None
    cells: list[Cell]
    show: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    text: str = ""  # shown are the cells alone that have every word of it in their name

    @property
    def sentence(self) -> str:
        """How many stand how."""
        return fleets.says({key: self.counts[key] for key in LOOKS})

    @property
    def named(self) -> bool:
        """Are so few shown that each shows its name?"""
        return len(self.shown) <= NAMED

    @property
    def many(self) -> bool:
        """Are there more than show their names, so that one has to be looked for?"""
        return len(self.cells) > NAMED

    @cached_property
    def shown(self) -> list[Cell]:
        """The cells that the filters leave."""
        words = self.text.casefold().split()
        return [
            cell
            for cell in self.cells
            if (not self.show or cell.kind == self.show)
            and all(word in cell.name.casefold() for word in words)
        ]

    @property
    def happened(self) -> str:
        return fleet_story.happened(self)

    @property
    def certain(self) -> list[str]:
        return fleet_story.certain(self)

    @property
    def todo(self) -> list[str]:
        return fleet_story.todo(self)

    @property
    def tone(self) -> str:
        if self.run is None:
            return "idle"
        partly = self.rollback.status == Status.PARTLY_EXECUTED
        return "warn" if partly else TONES[self.run.state]

    @property
    def live(self) -> bool:
        """Can anything on it still change?"""
        return self.run is not None and self.run.ended_at is None

    @property
    def groups(self) -> list[Group]:
        """The canary, each wave in its order, what missed its window, and what has not begun."""
        found: dict[int, list[Cell]] = {}
        missed = len(self.cells) + 1
        titles = {0: _("Canary"), missed: _("Missed the window"), missed + 1: _("Not begun")}
        for cell in self.shown:
            found.setdefault(_place(cell, missed), []).append(cell)
        wave = _("Wave %(number)d")
        return [Group(titles.get(place) or wave % {"number": place}, found[place]) for place in sorted(found)]

    @property
    def filters(self) -> list[Filter]:
        """All, and each kind of which there are any."""
        kinds = [
            Filter(key, _(look[3]), self.counts[key], self.show == key)
            for key, look in LOOKS.items()
            if self.counts[key]
        ]
        return [Filter("", _("all"), len(self.cells), not self.show), *kinds]

    @property
    def troubled(self) -> list[Cell]:
        """The targets that need a person, the pressing ones first."""
        order = list(LOOKS)
        found = [cell for cell in self.cells if cell.kind in ("unsure", "failed")]
        return sorted(found, key=lambda cell: (order.index(cell.kind), cell.position))[:TOLD]

    @property
    def without_effect(self) -> int:
        """How many failed without effect, so that they could be tried again."""
        ended = [cell.execution for cell in self.cells if cell.kind == "failed" and cell.execution]
        return sum(execution.status == ExecutionStatus.NO_EFFECT for execution in ended)

    @property
    def more_troubled(self) -> int:
        return max(self.counts["unsure"] + self.counts["failed"] - TOLD, 0)

    @property
    def next_opening(self) -> Cell | None:
        """The target whose window opens first, where nothing is under way and some wait for theirs."""
        if self.counts["open"] or self.counts["queued"]:
            return None
        waiting = [(cell.opens, cell.position, cell) for cell in self.cells if cell.opens is not None]
        return min(waiting)[2] if waiting else None

    @property
    def canary(self) -> Cell:
        return self.cells[0]


def _place(cell: Cell, missed: int) -> int:
    """Where among the groups a cell belongs: the canary 0, what began its wave, what missed its window there,
    and behind it what has not begun."""
    if cell.position == fleet_progress.CANARY:
        return 0
    if cell.kind == "missed":
        return missed
    wave = cell.execution.wave if cell.execution is not None else None
    return missed + 1 if wave is None else wave


def read(
    rollback: RollbackRequest, targets: Sequence[RollbackTarget], *, show: str = "", text: str = ""
) -> View:
    """The run that was started last and how its targets stand; two queries, or three
    where the clock started it, however many they are."""
    run = rollback.runs.select_related("started_by", "schedule", "rollback").first()
    tries = fleet_progress.tries_of(run) if run else {}
    ahead = fleet_windows.of_run(run, targets) if run and not run.is_over else {}
    cells = [_cell(each, tries.get(each.pk, []), ahead.get(each.pk)) for each in targets]
    counts = Counter(cell.kind for cell in cells)
    return View(rollback, run, cells, show if show in LOOKS else "", counts, text[:LONGEST].strip())


def _cell(each: RollbackTarget, tries: list[Execution], ahead: Chance | None) -> Cell:
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


@dataclass(frozen=True)
class Act:
    """One thing that ops may do with a run; `why_not` is empty if they can."""

    key: str
    label: str
    url: str
    why_not: str = ""


def acts(view: View, user: User) -> list[Act]:
    """What this person would expect to be able to do with the run."""
    run = view.run
    if run is None or run.is_over or Role.OPS not in user.roles:
        return []
    found = []
    if run.state == FleetRun.State.RUNNING:
        found.append(Act("hold", _("Hold the run…"), reverse("fleet_hold", args=[run.rollback_id])))
    else:
        why_not = fleets.why_not_go_on(run, again=True)
        found.append(Act("go_on", _("Go on…"), reverse("fleet_go_on", args=[run.rollback_id]), why_not))
    found.append(Act("end", _("End the run…"), reverse("fleet_end", args=[run.rollback_id])))
    return found
