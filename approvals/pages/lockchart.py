"""The locks that an attempt was seen with, as bars over the time from the first of them to the end, and
around them those of its rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

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
