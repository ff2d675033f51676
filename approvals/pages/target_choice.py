"""Choosing the targets of a request: what the filter finds, a page of that, and what is chosen so far.

All of it lives in the address, so that it works without scripts, in any tab, and with the browser's way back.
The keys of what is chosen and not shown are packed, which keeps the address of 500 targets below 4 kB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.paginator import Page
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals import alike, windows
from approvals.models import RollbackRequest, Target
from approvals.requests import Request

from . import offered_targets, paging
from .offered_targets import Offered
from .packed_keys import key, packed, unpacked
from .search import Wanted

# The parts of the address: chosen and not shown, ticked in the rows, the canary, the filter, what to do, and
# the page from which that was asked, where no other one is.
KEPT, TICKED, CANARY, WORDS, ACT, AT = "kept", "go", "canary", "q", "do", "at"
# What to do beside looking: choose all that the filter finds, none of it, the canary alone; read the choice.
ALL, NONE, CLEAR, REVIEW = "all", "none", "clear", "review"
# So many that can't go along are told by name.
TOLD = 5


@dataclass(frozen=True)
class Choice:
    """What is chosen: keys of what is offered, that of the canary always among them."""

    offered: Offered
    chosen: frozenset[int]
    canary: Target

    @classmethod
    def of_names(
        cls, offered: Offered, names: Iterable[str], canary: str, present: Sequence[Target]
    ) -> Choice:
        """What was sent by name, as far as it can go along."""
        by_name = {target.name: target for target in offered.fitting}
        first = by_name.get(canary, present[0])
        keys = {by_name[name].pk for name in names if name in by_name}
        return cls(offered, frozenset(keys | {first.pk}), first)

    @property
    def count(self) -> int:
        return len(self.chosen)

    @property
    def too_many(self) -> int:
        """How many more are chosen than one request may have."""
        return max(self.count - alike.MOST, 0)

    @property
    def address(self) -> str:
        """All of it as the address has it."""
        return packed(self.chosen)

    @property
    def targets(self) -> list[Target]:
        """The canary first, the others by name."""
        others = [each for each in self.offered.fitting if each.pk in self.chosen and each != self.canary]
        return [self.canary, *others]


@dataclass(frozen=True)
class Row:
    """One target that may go along; `frozen` is since when nothing may run there."""

    target: Target
    chosen: bool
    canary: bool
    frozen: datetime | None


@dataclass(frozen=True)
class View:
    """The choice and what is shown of all that is offered: a page of what the filter finds. `notes` say
    what was asked for and is not so; `reviewed`, that the choice alone is to be shown."""

    choice: Choice
    words: str
    page: Page[Target]
    notes: list[str]
    reviewed: bool

    @property
    def found(self) -> int:
        """How many the filter finds; all, where it is empty."""
        return self.page.paginator.count

    @property
    def found_chosen(self) -> int:
        """How many of those are chosen, the canary aside."""
        chosen = self.choice.chosen - {self.choice.canary.pk}
        return sum(target.pk in chosen for target in self.page.paginator.object_list)

    @property
    def all_chosen(self) -> bool:
        """Is all that the filter finds chosen already?"""
        return all(target.pk in self.choice.chosen for target in self.page.paginator.object_list)

    @property
    def kept(self) -> str:
        """What stays chosen although no box says so: what is not shown, and the canary."""
        shown = {target.pk for target in self.page if target != self.choice.canary}
        return packed(self.choice.chosen - shown)

    @property
    def canary_shown(self) -> bool:
        return self.choice.canary in self.page.object_list

    @property
    def rows(self) -> list[Row]:
        """What is shown; one query, for freezes."""
        now, shown, choice = timezone.now(), list(self.page), self.choice
        entries = windows.in_force_on(shown)
        return [
            Row(
                each,
                each.pk in choice.chosen,
                each == choice.canary,
                windows.frozen_since(entries[each.pk], now),
            )
            for each in shown
        ]


def read(request: Request, rollback: RollbackRequest, offered: Offered, present: Sequence[Target]) -> View:
    """The choice as the address says it; where it says none, what the request has now, its canary first."""
    query = request.GET
    wanted = Wanted.read(query.get(WORDS, ""))
    found = offered.fitting
    if wanted.words:
        matching = offered_targets.matching(request.user, rollback, wanted)
        found = [target for target in found if target.pk in matching]
    if KEPT in query:
        first = key(query.get(CANARY, ""))
        keys = unpacked(query[KEPT]) | {key(text) for text in query.getlist(TICKED)} | {first}
    else:
        first, keys = present[0].pk, {target.pk for target in present}
    canary = offered.by_key.get(first, present[0])
    notes = _left_out(offered, keys - offered.by_key.keys() - {0})
    chosen = keys & offered.by_key.keys()
    wanted_now = _acted(query.get(ACT, ""), chosen, {target.pk for target in found}) | {canary.pk}
    if len(wanted_now) > max(alike.MOST, len(chosen)):
        said = _("All %(count)d are more than the %(most)d that one request may have: filter for fewer.")
        notes.append(said % {"count": len(found), "most": alike.MOST})
        wanted_now = chosen | {canary.pk}
    return View(
        choice=Choice(offered, frozenset(wanted_now), canary),
        words=wanted.text,
        page=paging.page(request, found, default=key(query.get(AT, "")) or 1),
        notes=notes,
        reviewed=query.get(ACT) == REVIEW,
    )


def _acted(act: str, chosen: set[int], found: set[int]) -> set[int]:
    """What is chosen once the button that was pressed has done its part."""
    if act == ALL:
        return chosen | found
    if act == NONE:
        return chosen - found
    return set() if act == CLEAR else chosen


def _left_out(offered: Offered, keys: set[int]) -> list[str]:
    """Why what the address named is not chosen; by name where it is a target of the service."""
    said = [why for target, why in offered.why_not.items() if target.pk in keys]
    unknown, more = len(keys) - len(said), len(said) - TOLD
    if more > 0:
        said[TOLD:] = [_("%(count)d more can’t go along either.") % {"count": more}]
    if unknown:
        words = ngettext(
            "%(count)d of the chosen targets is gone, or not yours to choose.",
            "%(count)d of the chosen targets are gone, or not yours to choose.",
            unknown,
        )
        said.append(words % {"count": unknown})
    return said
