"""The locks that an attempt was seen with, as bars over the time from the first of them to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from approvals.analysis import LockMode


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
    stronger lie above them."""

    strongest: Bar
    bars: list[Bar]

    @property
    def others(self) -> str:
        """The weaker modes, as words."""
        modes = dict.fromkeys(bar.mode for bar in reversed(self.bars))
        return ", ".join(mode for mode in modes if mode != self.strongest.mode)


@dataclass(frozen=True)
class LockChart:
    """The locks an execution was seen with; `seconds` is the whole width."""

    bars: list[Bar]
    seconds: float

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000

    @property
    def rows(self) -> list[Row]:
        """One row per relation, the strongest locks first, then as they were taken."""
        by_relation: dict[str, list[Bar]] = {}
        for bar in self.bars:
            by_relation.setdefault(bar.relation, []).append(bar)
        rows = []
        for bars in by_relation.values():
            weak_first = sorted(bars, key=lambda bar: LockMode(bar.mode).strength)
            rows.append(Row(weak_first[-1], weak_first))
        return sorted(rows, key=lambda row: -LockMode(row.strongest.mode).strength)


def lock_chart(locks: Sequence[dict[str, Any]], *, until: datetime) -> LockChart:
    """The observed locks as bars, in the order in which they were taken. `until` ends what is held still."""
    spans = [(lock, *_span(lock, until)) for lock in locks]
    if not spans:
        return LockChart([], 0.0)
    first = min(start for _lock, start, _end in spans)
    whole = max(max((end - first).total_seconds() for _lock, _start, end in spans), 0.001)
    bars = []
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
    return LockChart(bars, whole)


def _span(lock: dict[str, Any], until: datetime) -> tuple[datetime, datetime]:
    """From when to when a lock was held; one that was only waited for is a span of that wait."""
    end = datetime.fromisoformat(lock["held_to"]) if lock["held_to"] else until
    if lock["held_from"]:
        return datetime.fromisoformat(lock["held_from"]), end
    return end - timedelta(seconds=float(lock["waited_s"])), end
