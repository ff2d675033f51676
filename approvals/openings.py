"""When something is open: weekly windows by the clock of a zone, windows and freezes by date.

One predicate decides (`Calendar.is_open`); spans of time are made of it. A weekly window is open whenever
the clock on the wall shows a time in it: so where a change of the clocks leaves out its first minutes it
opens with the change, and an hour that comes twice counts both times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
WEEK_AHEAD = timedelta(days=8)
YEAR_AHEAD = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Weekly:
    """Open on these days (0 is Monday) from `starts` to before `ends`; an end that is not after the start
    is on the next day."""

    days: frozenset[int]
    starts: time
    ends: time

    def covers(self, clock: datetime) -> bool:
        """Is it open where the clock on the wall shows this?"""
        at, day = clock.time(), clock.weekday()
        if self.starts < self.ends:
            return day in self.days and self.starts <= at < self.ends
        return (day in self.days and at >= self.starts) or ((day - 1) % 7 in self.days and at < self.ends)


@dataclass(frozen=True, slots=True)
class Dated:
    """From one moment to before another."""

    begins: datetime
    ends: datetime

    def covers(self, at: datetime) -> bool:
        return self.begins <= at < self.ends


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time without a gap, its end not included."""

    begins: datetime
    ends: datetime

    def holds(self, at: datetime) -> bool:
        return self.begins <= at < self.ends


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows and freezes in a zone. Without any window it is always open, but for its freezes."""

    zone: ZoneInfo
    weekly: tuple[Weekly, ...] = ()
    dated: tuple[Dated, ...] = ()
    freezes: tuple[Dated, ...] = ()

    @property
    def has_windows(self) -> bool:
        return bool(self.weekly or self.dated)

    def is_open(self, at: datetime) -> bool:
        """Is it open at this moment (aware)?"""
        if any(freeze.covers(at) for freeze in self.freezes):
            return False
        if not self.has_windows:
            return True
        clock = at.astimezone(self.zone)
        return any(each.covers(at) for each in self.dated) or any(each.covers(clock) for each in self.weekly)

    def spans(self, begin: datetime, end: datetime) -> Iterator[Span]:
        """When it is open from `begin` to `end`, in order; spans that touch are one."""
        begin, end = begin.astimezone(UTC), end.astimezone(UTC)
        opened: datetime | None = None
        for this, following in pairwise([begin, *self._edges(begin, end), end]):
            is_open = self.is_open(this)
            if is_open and opened is None:
                opened = this
            elif not is_open and opened is not None:
                yield Span(opened, this)
                opened = None
            if following == end and opened is not None:
                yield Span(opened, end)

    def span_at(self, at: datetime) -> Span | None:
        """The span that holds this moment, from it on; None where it is closed then."""
        return next((span for span in self._ahead(at) if span.holds(at)), None)

    def next_span(self, after: datetime) -> Span | None:
        """The first span that begins at `after` or later, or that `after` lies in; None within a year."""
        return next(self._ahead(after), None)

    def _ahead(self, begin: datetime) -> Iterator[Span]:
        """Spans from here on: a week is soon looked through, a year only where nothing came."""
        near = list(self.spans(begin, begin + WEEK_AHEAD))
        if near and near[0].ends < (begin + WEEK_AHEAD).astimezone(UTC):
            yield from near[:-1] if near[-1].ends == (begin + WEEK_AHEAD).astimezone(UTC) else near
            return
        yield from self.spans(begin, begin + YEAR_AHEAD)

    def _edges(self, begin: datetime, end: datetime) -> list[datetime]:
        """Every moment between the two at which it could open or close, in order."""
        found = {edge for each in (*self.dated, *self.freezes) for edge in (each.begins, each.ends)}
        if self.weekly:
            found |= set(self._clock_edges(begin, end)) | set(self._changes_of_clock(begin, end))
        return sorted(edge.astimezone(UTC) for edge in found if begin < edge < end)

    def _clock_edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The moments at which the clock shows the start or end of a weekly window; an hour that comes twice
        shows it twice."""
        day = begin.astimezone(self.zone).date() - DAY
        last = end.astimezone(self.zone).date() + DAY
        times = {edge for each in self.weekly for edge in (each.starts, each.ends)}
        while day <= last:
            for at in times:
                for fold in (0, 1):
                    yield datetime.combine(day, at.replace(fold=fold), self.zone).astimezone(UTC)
            day += DAY

    def _changes_of_clock(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The moments at which the zone's distance from UTC changes, to the second."""
        at = begin.replace(microsecond=0)
        while at < end:
            following = at + timedelta(hours=1)
            if self._offset(at) != self._offset(following):
                yield self._change_between(at, following)
            at = following

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        while after - before > timedelta(seconds=1):
            middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
            if self._offset(middle) == self._offset(before):
                before = middle
            else:
                after = middle
        return after

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.zone).utcoffset()
