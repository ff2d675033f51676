"""A run over many targets as people see it: one cell per target, the waves as groups, what needs a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import fleet_progress, fleet_windows, fleets, schedules, windows
from approvals.models import (
    ExecutionStatus,
    FleetRun,
    Role,
    RollbackRequest,
    RollbackTarget,
    Status,
    User,
)

from . import fleet_cells, fleet_story
from .fleet_cells import LOOKS, Cell, Group
from .search import LONGEST

TONES = {"running": "run", "held": "warn", "stopped": "fail", "cancelled": "idle", "finished": "ok"}
# So many targets that need a person are told in full.
TOLD = 50
# Up to so many targets each cell shows its name.
NAMED = 24


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
    starts: str = ""  # when the clock begins its run, by that of the canary

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
        return fleet_cells.groups(self.shown, of=len(self.cells))

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


def read(
    rollback: RollbackRequest, targets: Sequence[RollbackTarget], *, show: str = "", text: str = ""
) -> View:
    """The run that was started last and how its targets stand; two queries, or three
    where the clock started it or may start it, however many they are."""
    run = rollback.runs.select_related("started_by", "schedule", "rollback").first()
    tries = fleet_progress.tries_of(run) if run else {}
    ahead = fleet_windows.of_run(run, targets) if run and not run.is_over else {}
    cells = [fleet_cells.cell(each, tries.get(each.pk, []), ahead.get(each.pk)) for each in targets]
    counts = Counter(cell.kind for cell in cells)
    show, text = show if show in LOOKS else "", text[:LONGEST].strip()
    return View(rollback, run, cells, show, counts, text, "" if run else _starts(rollback, targets))


def _starts(rollback: RollbackRequest, targets: Sequence[RollbackTarget]) -> str:
    """When the clock is to begin the run, by that of the canary; empty where it is not."""
    found = schedules.waiting(rollback) if rollback.status == Status.APPROVED else None
    return windows.clock(found.at, targets[0].target) if found is not None else ""


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
