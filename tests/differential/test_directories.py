"""Hundreds of directories and histories at the edge: the real Flyway and we agree on everything."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.cases import Ground, must_agree
from tests.differential.strategies import Layout, layouts

pytestmark = pytest.mark.integration

# More, and others each time: DIFFERENTIAL_CASES=5000. A failing case is shown as it was made: to make it
# smaller takes many minutes, and is done with DIFFERENTIAL_SHRINK=1.
MANY = int(os.environ.get("DIFFERENTIAL_CASES", "0"))
PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("DIFFERENTIAL_SHRINK") else [])]
SEEN: Counter[str] = Counter()


@settings(
    max_examples=MANY or 320,
    derandomize=not MANY,
    phases=PHASES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(layouts())
def test_flyway_and_we_agree(ground: Ground, layout: Layout) -> None:
    with ground.case(layout.files, layout.settings) as case:
        if layout.rows is not None:
            case.write_history(layout.rows)
        SEEN[must_agree(case)] += 1


def test_the_directories_were_of_every_sort() -> None:
    """Or the test above would show less than it seems to."""
    if not SEEN:
        pytest.skip("the directories were not compared")
    assert SEEN.total() >= 300, SEEN
    sorts = ("migrated", "clean", "migrate refused", "directory refused", "history refused")
    assert min(SEEN[sort] for sort in sorts) >= 5, SEEN
