"""Counting what costs work: exact, however many processes count at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from approvals import limits
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def test_no_try_is_lost_where_many_count_at_once(committed_world: World) -> None:
    def tries(_who: int) -> list[int]:
        try:
            return [limits.count("tries", seconds=60) for _ in range(15)]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as people:
        counted = [number for found in people.map(tries, range(6)) for number in found]
    assert sorted(counted) == list(range(1, 91))


def test_a_limit_is_each_persons_own_and_of_one_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = timezone.now()
    monkeypatch.setattr(limits, "timezone", SimpleNamespace(now=lambda: at))
    assert [limits.allows("reading", world.alice, per_minute=2) for _ in range(3)] == [True, True, False]
    assert limits.allows("reading", world.bob, per_minute=1)
    at += timedelta(minutes=1)
    assert limits.allows("reading", world.alice, per_minute=2)
