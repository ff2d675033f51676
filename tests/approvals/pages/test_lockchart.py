"""Observed locks as bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from approvals.pages import lockchart

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def lock(
    relation: str, start: float | None, end: float | None, mode: str = "ACCESS EXCLUSIVE", waited: float = 0.0
) -> dict[str, Any]:
    return {
        "relation": relation,
        "mode": mode,
        "held_from": at(start).isoformat() if start is not None else None,
        "held_to": at(end).isoformat() if end is not None else None,
        "waited_s": waited,
    }


def test_locks_are_bars_from_the_first_lock_to_the_end() -> None:
    chart = lockchart.lock_chart(
        [lock("wallets", 5, 10, waited=1.5), lock("users", 0, 10), lock("h", 9, 10, "ROW EXCLUSIVE")],
        until=at(10),
    )
    assert chart.seconds == 10
    assert [(bar.relation, bar.start, bar.width, bar.seconds) for bar in chart.bars] == [
        ("users", "0.0%", "100.0%", 10),
        ("wallets", "50.0%", "50.0%", 5),
        ("h", "90.0%", "10.0%", 1),
    ]
    assert [bar.strong for bar in chart.bars] == [True, True, False]
    assert chart.bars[1].waited == 1.5


def test_a_lock_that_is_held_still_reaches_to_now_and_one_never_granted_is_a_wait() -> None:
    chart = lockchart.lock_chart([lock("users", 0, None), lock("wallets", None, None, waited=4)], until=at(8))
    assert [(bar.relation, bar.seconds, bar.width) for bar in chart.bars] == [
        ("users", 8, "100.0%"),
        ("wallets", None, "50.0%"),
    ]


def test_no_locks_make_no_chart() -> None:
    assert lockchart.lock_chart([], until=T0).bars == []


def test_a_relation_is_one_row_with_its_strongest_lock_and_the_strongest_rows_first() -> None:
    chart = lockchart.lock_chart(
        [
            lock("h", 0, 10, "ROW EXCLUSIVE"),
            lock("wallets", 1, 10, "ACCESS SHARE"),
            lock("wallets", 2, 10),
            lock("users", None, None, "SHARE", waited=2.0),
        ],
        until=at(10),
    )
    assert [(row.strongest.relation, row.strongest.mode, row.others) for row in chart.rows] == [
        ("wallets", "ACCESS EXCLUSIVE", "ACCESS SHARE"),
        ("users", "SHARE", ""),
        ("h", "ROW EXCLUSIVE", ""),
    ]
    assert [bar.mode for bar in chart.rows[0].bars] == ["ACCESS SHARE", "ACCESS EXCLUSIVE"]
    assert [row.strongest.held_ms for row in chart.rows] == [8000, None, 10000]
    assert chart.rows[1].strongest.waited_ms == 2000


def test_a_rehearsal_is_drawn_around_it_on_the_same_scale_and_what_only_one_of_them_took_is_shown() -> None:
    chart = lockchart.lock_chart(
        [lock("users", 100, 105), lock("extra", 102, 105)],
        until=at(105),
        rehearsed=[lock("users", 0, 10), lock("wallets", 5, 10)],
        rehearsed_until=at(10),
    )
    assert chart.seconds == 10
    users, extra, wallets = chart.rows
    assert users.rehearsed is not None
    assert (users.strongest.width, users.rehearsed.width) == ("50.0%", "100.0%")
    assert extra.rehearsed is None
    assert (wallets.strongest.relation, wallets.bars) == ("wallets", [])


def test_what_differs_from_the_rehearsal_is_said_relation_by_relation() -> None:
    rehearsed = [
        lock("public.users", 0, 0.2, "ACCESS EXCLUSIVE"),
        lock("public.wallets", 0, 0.2, "SHARE ROW EXCLUSIVE"),
    ]
    now = [
        lock("public.users", 0, 3, "ACCESS EXCLUSIVE"),
        lock("public.wallets", 0, 0.3, "ACCESS EXCLUSIVE"),
        lock("public.rates", 1, 1.2, "ROW EXCLUSIVE"),
    ]
    chart = lockchart.lock_chart(now, until=at(4), rehearsed=rehearsed, rehearsed_until=at(1))
    assert sorted(lockchart.differences(chart)) == [
        "public.rates is locked ROW EXCLUSIVE, which the rehearsal did not do.",
        "public.users is held for 3.0 s; in the rehearsal it was 0.2 s.",
        "public.wallets is locked ACCESS EXCLUSIVE; in the rehearsal it was SHARE ROW EXCLUSIVE.",
    ]
    assert lockchart.differences(lockchart.lock_chart(now, until=at(4))) == []
    assert (
        lockchart.differences(lockchart.lock_chart(now, until=at(4), rehearsed=now, rehearsed_until=at(4)))
        == []
    )


def test_what_was_locked_beyond_the_statements_is_said_where_others_wait_for_it() -> None:
    observed = [
        lock("public.users", 0, 1, "ACCESS EXCLUSIVE"),
        lock("public.wallets", 0, 1, "ACCESS EXCLUSIVE"),
        lock("public.rates", 0, 1, "ROW EXCLUSIVE"),
        lock("public.tokens", 0, 1, "SHARE"),
        lock("public.flyway_schema_history", 0, 1, "SHARE ROW EXCLUSIVE"),
    ]
    plan = {"users": "ACCESS EXCLUSIVE", "public.tokens": "ROW EXCLUSIVE"}
    found = lockchart.beyond_plan(
        lockchart.lock_chart(observed, until=at(2)), plan, besides="flyway_schema_history"
    )
    assert sorted(found) == [
        "public.tokens was locked SHARE; the statements say ROW EXCLUSIVE.",
        "public.wallets was locked ACCESS EXCLUSIVE, which no statement says by itself: keys lead there.",
    ]
