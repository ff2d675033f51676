"""How moments and zones are written: unmistakable, and only where they say something."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import formats, timezone

from approvals.templatetags.portal import there, to_minute, zone_words

NOON = datetime(2025, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("UTC", "UTC"),
        ("Asia/Kolkata", "Kolkata, UTC+5:30"),
        ("America/New_York", "New York, UTC-5"),
        ("Africa/Lagos", "Lagos, UTC+1"),
        ("Europe/London", "London, UTC"),
    ],
)
def test_a_zone_is_a_place_and_a_distance(zone: str, words: str) -> None:
    assert zone_words(NOON.astimezone(ZoneInfo(zone))) == words


def test_a_target_s_clock_is_shown_where_it_differs_with_the_day_where_that_differs_too() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        assert there(NOON, "Africa/Lagos") == "", "the same clock"
        assert there(NOON, "Asia/Kolkata") == "17:30 Kolkata, UTC+5:30"
        assert there(NOON, "Pacific/Auckland") == "25 Nov, 01:00 Auckland, UTC+13"
        assert there(NOON, "no such zone") == "12:00 UTC"


@pytest.mark.parametrize("month", range(1, 13))
def test_a_moment_to_the_minute_is_what_django_s_own_format_says(month: int) -> None:
    at = datetime(2025, month, 3, 4, 5, tzinfo=UTC)
    assert to_minute(at) == formats.date_format(at, "j M Y, H:i")
