"""When a target is open: against the clock on the wall, across changes of the clock and around the world."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.openings import Calendar, Dated, Span, Weekly

BERLIN = ZoneInfo("Europe/Berlin")
# Half hours, southern summers, a half-hour change (Lord Howe), changes at midnight, and none at all.
ZONES = [
    "UTC",
    "Africa/Nairobi",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
]
# Days around which clocks change somewhere, and any others.
starts_of_spans = st.one_of(
    st.sampled_from(
        [datetime(2026, *day, tzinfo=UTC) for day in ((3, 6), (3, 27), (4, 3), (9, 4), (10, 23), (10, 30))]
    ),
    st.integers(0, 50_000).map(lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
)
clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
weekly = st.builds(Weekly, st.frozensets(st.integers(0, 6), min_size=1), clocks, clocks)


@st.composite
def dated(draw: st.DrawFn, around: datetime) -> Dated:
    begins = around + timedelta(minutes=draw(st.integers(-3000, 6000)))
    return Dated(begins, begins + timedelta(minutes=draw(st.integers(1, 3000))))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    """A calendar and a moment around which its dates lie."""
    begin = draw(starts_of_spans).replace(second=0, microsecond=0)
    return Calendar(
        ZoneInfo(draw(st.sampled_from(ZONES))),
        tuple(draw(st.lists(weekly, max_size=3))),
        tuple(draw(st.lists(dated(begin), max_size=2))),
        tuple(draw(st.lists(dated(begin), max_size=2))),
    ), begin


def shows(calendar: Calendar, at: datetime) -> bool:
    """Is it open, said anew and by minutes of the week as the wall clock shows them?"""
    if any(each.begins <= at < each.ends for each in calendar.freezes):
        return False
    if not calendar.weekly and not calendar.dated:
        return True
    if any(each.begins <= at < each.ends for each in calendar.dated):
        return True
    local = at.astimezone(calendar.zone)
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    for each in calendar.weekly:
        first = each.starts.hour * 60 + each.starts.minute
        length = (each.ends.hour * 60 + each.ends.minute - first) % 1440 or 1440
        if any((minute - day * 1440 - first) % 10080 < length for day in each.days):
            return True
    return False


@settings(deadline=None, max_examples=60)
@given(calendars())
def test_spans_hold_exactly_the_minutes_at_which_the_clock_shows_an_open_time(
    drawn: tuple[Calendar, datetime],
) -> None:
    calendar, begin = drawn
    end = begin + timedelta(days=4)
    spans = list(calendar.spans(begin, end))
    for before, after in pairwise(spans):
        assert before.ends < after.begins, "spans that touch are one"
    at = begin
    while at < end:
        assert any(span.holds(at) for span in spans) == shows(calendar, at), f"{at} in {calendar.zone}"
        at += timedelta(minutes=11)
    for span in spans:
        assert begin <= span.begins < span.ends <= end
        assert shows(calendar, span.begins), "the first minute is open"
        assert shows(calendar, span.ends - timedelta(seconds=1)), "the last second is open"
        assert span.ends == end or not shows(calendar, span.ends), "the end is not"


@settings(deadline=None, max_examples=60)
@given(calendars(), st.integers(0, 4000))
def test_the_next_opening_is_the_first_that_comes(drawn: tuple[Calendar, datetime], minutes: int) -> None:
    calendar, begin = drawn
    at = begin + timedelta(minutes=minutes)
    found = calendar.next_span(at)
    if calendar.weekly and not calendar.freezes:
        assert found is not None, "a weekly window comes within a week"
    if found is not None:
        assert found.begins >= at
        assert not any(True for _ in calendar.spans(at, found.begins)) if found.begins > at else True
        assert shows(calendar, found.begins)
    assert (calendar.span_at(at) is not None) == calendar.is_open(at)


SATURDAYS = Calendar(BERLIN, (Weekly(frozenset({5}), time(22), time(2)),))
EARLY_SUNDAYS = Calendar(BERLIN, (Weekly(frozenset({6}), time(2, 30), time(4)),))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("calendar", "after", "span"),
    [
        pytest.param(
            SATURDAYS,
            utc(2026, 6, 1),
            Span(utc(2026, 6, 6, 20), utc(2026, 6, 7, 0)),
            id="past midnight, in summer",
        ),
        pytest.param(
            SATURDAYS,
            utc(2026, 12, 1),
            Span(utc(2026, 12, 5, 21), utc(2026, 12, 6, 1)),
            id="the same clock in winter",
        ),
        pytest.param(
            EARLY_SUNDAYS,
            utc(2026, 3, 28),
            Span(utc(2026, 3, 29, 1), utc(2026, 3, 29, 2)),
            id="its first half hour does not exist",
        ),
        pytest.param(
            EARLY_SUNDAYS,
            utc(2026, 10, 25, 0, 45),
            Span(utc(2026, 10, 25, 0, 45), utc(2026, 10, 25, 1)),
            id="the clock goes back out of it",
        ),
        pytest.param(
            EARLY_SUNDAYS,
            utc(2026, 10, 25, 1, 15),
            Span(utc(2026, 10, 25, 1, 30), utc(2026, 10, 25, 3)),
            id="and comes into it again",
        ),
    ],
)
def test_windows_follow_the_clock_on_the_wall(calendar: Calendar, after: datetime, span: Span) -> None:
    assert calendar.next_span(after) == span


def test_a_freeze_covers_every_window_and_the_next_opening_lies_behind_it() -> None:
    frozen = Calendar(BERLIN, SATURDAYS.weekly, freezes=(Dated(utc(2026, 12, 18), utc(2027, 1, 5)),))
    assert not frozen.is_open(utc(2026, 12, 19, 22))
    assert frozen.next_span(utc(2026, 12, 18)) == Span(utc(2027, 1, 9, 21), utc(2027, 1, 10, 1))


def test_without_windows_it_is_always_open_and_with_past_ones_never() -> None:
    assert Calendar(BERLIN).is_open(utc(2026, 6, 1))
    past = Calendar(BERLIN, dated=(Dated(utc(2026, 1, 1), utc(2026, 1, 2)),))
    assert past.next_span(utc(2026, 6, 1)) is None
