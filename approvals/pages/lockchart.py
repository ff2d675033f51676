"""The locks that an attempt was seen with, as bars over the time from the first of them to the end, and
around them those of its rehearsal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from approvals.analysis import LockMode

Locks = Sequence[dict[str, Any]]
Spanned = tuple[dict[str, Any], datetime, datetime]


@dataclass(frozen=True)
class Bar:
    """One observed lock as a bar: where it begins and how long it is, in percent of the whole."""

    relation: str
    mode: str
    blocks: str
    strong: bool
    start: str
    width: str
    seconds: float | None
    waited: float

    @property
    def held_ms(self) -> float | None:
        return None if self.seconds is None else self.seconds * 1000

    @property
    def waited_ms(self) -> float:
        return self.waited * 1000


@dataclass(frozen=True)
class Row:
    """All locks on one relation: its strongest, and a bar for each, the weaker ones first so that the
    stronger lie above them; and the rehearsal's strongest. Without bars only the rehearsal took any."""

    strongest: Bar
    bars: list[Bar]
    rehearsed: Bar | None = None

    @property
    def others(self) -> str:
        """The weaker modes, as words."""
        modes = dict.fromkeys(bar.mode for bar in reversed(self.bars))
        return ", ".join(mode for mode in modes if mode != self.strongest.mode)


@dataclass(frozen=True)
class LockChart:
    """The locks an execution was seen with, and those of a rehearsal; `seconds` is the whole width."""

    bars: list[Bar]
    seconds: float
    rehearsed: list[Bar] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000

    @property
    def rows(self) -> list[Row]:
        """One row per relation, the strongest locks first, then as they were taken."""
        observed, rehearsed = _by_relation(self.bars), _by_relation(self.rehearsed)
        rows = [
            Row(bars[-1], bars, rehearsed[name][-1] if name in rehearsed else None)
            for name, bars in observed.items()
        ]
        rows += [Row(bars[-1], [], bars[-1]) for name, bars in rehearsed.items() if name not in observed]
        return sorted(rows, key=lambda row: -LockMode(row.strongest.mode).strength)


# Held longer than in the rehearsal by so much and so many times is told.
LONGER_S, LONGER_TIMES = 1.0, 2.0


def differences(chart: LockChart) -> list[str]:
    """In what a run differs from its rehearsal, relation by relation, as sentences: locks that were not
    rehearsed, stronger ones, and those held much longer. Nothing without a rehearsal."""
    if not chart.rehearsed:
        return []
    return [sentence for row in chart.rows if row.bars and (sentence := _difference(row))]


def _difference(row: Row) -> str:
    now, before = row.strongest, row.rehearsed
    words = {"relation": now.relation, "mode": now.mode}
    if before is None:
        return _("%(relation)s is locked %(mode)s, which the rehearsal did not do.") % words
    words["before"] = before.mode
    if LockMode(now.mode) > LockMode(before.mode):
        return _("%(relation)s is locked %(mode)s; in the rehearsal it was %(before)s.") % words
    held, rehearsed = now.seconds or 0.0, before.seconds or 0.0
    if held > max(rehearsed + LONGER_S, rehearsed * LONGER_TIMES):
        words |= {"held": f"{held:.1f}", "rehearsed": f"{rehearsed:.1f}"}
        return _("%(relation)s is held for %(held)s s; in the rehearsal it was %(rehearsed)s s.") % words
    return ""


def beyond_plan(chart: LockChart, planned: Mapping[str, str], *, besides: str = "") -> list[str]:
    """What a rehearsal locked so that others wait, though the statements say nothing of it, as sentences.

    `planned` has the mode of each relation as the script writes it; `besides` is the history table.
    """
    plan = {_bare(relation): LockMode(mode) for relation, mode in planned.items()}
    found = []
    for row in chart.rows:
        now = row.strongest
        expected = plan.get(_bare(now.relation))
        if LockMode(now.mode) < LockMode.SHARE or _bare(now.relation) == besides:
            continue
        words = {"relation": now.relation, "mode": now.mode, "plan": expected.value if expected else ""}
        if expected is None:
            found.append(
                _("%(relation)s was locked %(mode)s, which no statement says by itself: keys lead there.")
                % words
            )
        elif LockMode(now.mode) > expected:
            found.append(_("%(relation)s was locked %(mode)s; the statements say %(plan)s.") % words)
    return found


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _by_relation(bars: list[Bar]) -> dict[str, list[Bar]]:
    """Each relation's bars, the weaker ones first."""
    found: dict[str, list[Bar]] = {}
    for bar in bars:
        found.setdefault(bar.relation, []).append(bar)
    return {name: sorted(bars, key=lambda bar: LockMode(bar.mode).strength) for name, bars in found.items()}


def lock_chart(
    locks: Locks, *, until: datetime, rehearsed: Locks = (), rehearsed_until: datetime | None = None
) -> LockChart:
    """The observed locks as bars, in the order in which they were taken. `until` ends what is held still.

    Both runs begin with their first lock, so what is held longer than in the rehearsal is drawn longer.
    """
    now = [(lock, *_span(lock, until)) for lock in locks]
    before = [(lock, *_span(lock, rehearsed_until or until)) for lock in rehearsed]
    whole = max(0.001, _seconds(now), _seconds(before))
    return LockChart(_bars(now, whole), whole if now or before else 0.0, _bars(before, whole))


def _seconds(spans: list[Spanned]) -> float:
    """From the first lock to the end of the last."""
    if not spans:
        return 0.0
    first = min(start for _lock, start, _end in spans)
    return max((end - first).total_seconds() for _lock, _start, end in spans)


def _bars(spans: list[Spanned], whole: float) -> list[Bar]:
    bars: list[Bar] = []
    first = min((start for _lock, start, _end in spans), default=None)
    if first is None:
        return bars
    for lock, start, end in sorted(spans, key=lambda span: (span[1], span[0]["relation"])):
        held = lock["held_from"] is not None
        mode = LockMode(lock["mode"])
        bars.append(
            Bar(
                relation=lock["relation"],
                mode=mode.value,
                blocks=mode.blocks,
                strong=mode >= LockMode.ACCESS_EXCLUSIVE,
                start=f"{(start - first).total_seconds() / whole:.1%}",
                width=f"{max((end - start).total_seconds() / whole, 0.002):.1%}",
                seconds=(end - start).total_seconds() if held else None,
                waited=float(lock["waited_s"]),
            )
        )
    return bars


def _span(lock: dict[str, Any], until: datetime) -> tuple[datetime, datetime]:
    """From when to when a lock was held; one that was only waited for is a span of that wait."""
    end = datetime.fromisoformat(lock["held_to"]) if lock["held_to"] else until
    if lock["held_from"]:
        return datetime.fromisoformat(lock["held_from"]), end
    return end - timedelta(seconds=float(lock["waited_s"])), end
