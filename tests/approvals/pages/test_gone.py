"""What goes, in words: how much, since when as far as that is certain, and how that compares with before."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.pages.gone import told

LOSS: dict[str, Any] = {
    "kind": "rows",
    "relation": ["public", "wallets"],
    "column": None,
    "becomes": None,
    "condition": None,
    "count": 12,
    "exact": True,
    "estimated_at": None,
    "stops": 0,
    "since": None,
    "since_because": None,
    "unknown": None,
}
NO_TIMES = "the server records no commit times (track_commit_timestamp is off)"


@pytest.mark.parametrize(
    ("said", "note"),
    [
        (
            {"since": "2026-03-01T09:00:00+00:00", "since_because": "commit times are recorded"},
            "none older than 2026-03-01 09:00 UTC: commit times are recorded",
        ),
        (
            {"since": "2026-03-01T09:00:00", "since_because": "it came with the migration"},
            "none older than 2026-03-01 09:00, by the clock of whoever migrated: it came with the migration",
        ),
        ({"since_unknown": NO_TIMES}, f"since when is not known: {NO_TIMES}"),
        (
            {"earlier": {"count": 10, "at": "2026-03-01T09:00:00+00:00"}},
            "10 on 2026-03-01 09:00 UTC: at least 2 came after that",
        ),
        (
            {"earlier": {"count": 15, "at": "2026-03-01T09:00:00+00:00"}},
            "15 on 2026-03-01 09:00 UTC: at least 3 went after that",
        ),
        ({"earlier": {"count": 12, "at": "2026-03-01T09:00:00+00:00"}}, "as many as on 2026-03-01 09:00 UTC"),
    ],
)
def test_since_when_it_is_there(said: dict[str, Any], note: str) -> None:
    assert told(LOSS | said).notes == (note,)


def test_an_estimate_is_compared_with_nothing() -> None:
    said = {"exact": False, "earlier": {"count": 10, "at": "2026-03-01T09:00:00+00:00"}}
    assert told(LOSS | said).notes == ("estimated; statistics were never taken",)
