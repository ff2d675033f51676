"""Windows and freezes: two people for each, held by the domain and by the database, and their gates."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from approvals import continuing, executions, gates, windows
from approvals.errors import Denied, Refused
from approvals.models import CalendarEntry, Execution, Status, User
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.test_stored import half_way, signed_to_go_on

pytestmark = pytest.mark.integration

Kind = CalendarEntry.Kind
HOUR = timedelta(hours=1)
EARLIER, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)


def weekly(world: World, **fields: Any) -> CalendarEntry:
    """A window that adam asks for, on another day than today."""
    day = (timezone.now().weekday() + 3) % 7
    given: dict[str, Any] = {"days": [day], "starts": time(1), "ends": time(2)}
    return windows.propose(world.production, Kind.WEEKLY, actor=world.adam, **(given | fields))


def freeze(world: World, begins: datetime, ends: datetime, actor: User | None = None) -> CalendarEntry:
    return windows.propose(
        world.production,
        Kind.FREEZE,
        actor=actor or world.olga,
        begins_at=begins,
        ends_at=ends,
        reason="Month end.",
    )


def standing(world: World) -> windows.Standing:
    return windows.standing(world.production, windows.in_force(world.production), timezone.now())


def test_a_window_counts_once_somebody_else_has_confirmed_it(world: World) -> None:
    entry = weekly(world)
    assert standing(world).is_open, "nobody has confirmed it"
    with pytest.raises(Denied, match="somebody else"):
        windows.confirm(entry, actor=world.adam)
    windows.confirm(entry, actor=world.olga)
    found = standing(world)
    assert not found.is_open
    assert found.span is not None
    assert found.sentence.startswith("It opens")
    assert factories.trail()[-3:] == ["window.proposed", "window.confirmed.denied", "window.confirmed"]


def test_a_window_goes_when_two_have_said_so(world: World) -> None:
    entry = windows.confirm(weekly(world), actor=world.dora)
    with pytest.raises(Refused, match="Say why"):
        windows.ask_to_remove(entry, actor=world.adam, reason=" ")
    entry = windows.ask_to_remove(entry, actor=world.adam, reason="It moves to Sunday.")
    assert not standing(world).is_open, "it still counts"
    with pytest.raises(Denied, match="somebody else"):
        windows.confirm(entry, actor=world.adam)
    windows.confirm(entry, actor=world.dora)
    assert standing(world).is_open
    with pytest.raises(Refused, match="second person any more"):
        windows.confirm(entry, actor=world.olga)


def test_a_freeze_is_in_force_at_once_and_lifting_it_takes_two(world: World) -> None:
    now = timezone.now()
    entry = freeze(world, now - HOUR, now + HOUR)
    found = standing(world)
    assert not found.is_open
    assert found.freeze == entry
    assert "Month end." in found.sentence
    with pytest.raises(Refused, match="second person any more"):
        windows.dismiss(entry, actor=world.olga)
    asked = windows.ask_to_remove(entry, actor=world.olga, reason="Closed early.")
    assert not standing(world).is_open
    windows.dismiss(asked, actor=world.dora)
    with pytest.raises(Refused, match="second person any more"):
        windows.confirm(asked, actor=world.adam)
    entry = windows.ask_to_remove(entry, actor=world.olga, reason="Really closed.")
    windows.confirm(entry, actor=world.adam)
    assert standing(world).is_open


@pytest.mark.parametrize("name", ["alice", "axel", "nora", "ida"])
def test_others_have_no_say(world: World, name: str) -> None:
    actor, now = world.people[name], timezone.now()
    with pytest.raises(Denied):
        windows.propose(world.production, Kind.WEEKLY, actor=actor, days=[1], starts=time(1), ends=time(2))
    with pytest.raises(Denied):
        freeze(world, now, now + HOUR, actor)
    entry = weekly(world)
    for verb in (windows.confirm, windows.dismiss):
        with pytest.raises(Denied):
            verb(entry, actor=actor)


def test_ops_declare_freezes_but_ask_for_no_windows(world: World) -> None:
    with pytest.raises(Denied):
        windows.propose(
            world.production, Kind.WEEKLY, actor=world.olga, days=[1], starts=time(1), ends=time(2)
        )


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (Kind.WEEKLY, {"days": []}, "at least one day"),
        (Kind.DATED, {}, "from when"),
        (Kind.DATED, {"begins_at": LATER, "ends_at": LATER - HOUR}, "end after"),
        (Kind.FREEZE, {"begins_at": EARLIER, "ends_at": EARLIER + HOUR}, "over already"),
        (Kind.FREEZE, {"begins_at": LATER, "ends_at": LATER + HOUR}, "Say why"),
    ],
)
def test_what_makes_no_sense_is_refused(
    world: World, kind: CalendarEntry.Kind, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        windows.propose(world.production, kind, actor=world.adam, **fields)


def test_a_zone_that_is_not_known_closes_the_target(world: World) -> None:
    windows.confirm(weekly(world), actor=world.olga)
    world.production.time_zone = "Europe/Atlantis"
    world.production.save()
    found = standing(world)
    assert not found.is_open
    assert "Europe/Atlantis is no time zone" in found.sentence


def test_a_dated_window_that_is_over_leaves_the_target_closed(world: World) -> None:
    now = timezone.now()
    entry = windows.propose(
        world.production, Kind.DATED, actor=world.adam, begins_at=now - HOUR, ends_at=now + HOUR
    )
    windows.confirm(entry, actor=world.lea)
    assert standing(world).is_open
    entries = windows.in_force(world.production)
    later = windows.standing(world.production, entries, now + 2 * HOUR)
    assert (later.is_open, later.sentence) == (False, "No window comes.")


def test_nobody_starts_on_a_target_that_is_closed(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    windows.confirm(weekly(world), actor=world.olga)
    assert [gate.key for gate in gates.missing(again(rollback), gates.Needed.EXECUTE)] == [
        "window_ahead",
        "window",
    ]
    with pytest.raises(Refused, match="The target is open now: It opens"):
        factories.start(world, rollback)


def test_nobody_approves_what_no_window_can_take_in_time(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    windows.confirm(weekly(world), actor=world.olga)  # in days, and 24 hours are what it would have
    with pytest.raises(Refused, match="No window opens in the time to execute"):
        factories.decide(world, rollback, world.dora)
    tonight = timezone.now() + 2 * HOUR
    soon = windows.propose(
        world.production, Kind.DATED, actor=world.adam, begins_at=tonight, ends_at=tonight + HOUR
    )
    windows.confirm(soon, actor=world.olga)
    assert factories.decide(world, rollback, world.dora).status == Status.APPROVED
    held = {gate.key: gate.holds for gate in gates.gates(again(rollback))}
    assert (held["window_ahead"], held["window"]) == (True, False)


def test_the_worker_asks_again_before_it_runs(world: World) -> None:
    from approvals import attempts

    execution = factories.claimed(factories.start(world, rollback_in(world, Status.APPROVED)))
    assert attempts.preflight(execution) == []
    now = timezone.now()
    freeze(world, now - HOUR, now + timedelta(days=9))
    (ahead, open_now) = attempts.preflight(attempts.locked(execution))
    assert "Frozen until" in open_now
    assert "No window opens in the time to execute" in ahead
    assert executions.past_cancelling(execution) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"confirmed_by": "proposed_by"},
        {"reason": "Another."},
        {"days": [0, 1, 2, 3, 4, 5, 6]},
        {"starts": time(0)},
        {"removed_at": "now", "removed_by": "proposed_by", "removal_by": "proposed_by"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_database_holds_it_too(world: World, change: dict[str, Any]) -> None:
    entry = weekly(world)
    if "removed_at" in change:
        entry = windows.confirm(entry, actor=world.olga)
    fields = {
        name: entry.proposed_by if value == "proposed_by" else timezone.now() if value == "now" else value
        for name, value in change.items()
    }
    if "confirmed_by" in fields:
        fields["confirmed_at"] = timezone.now()
    if "removal_by" in fields:
        fields["removal_at"] = timezone.now()
    with pytest.raises(DatabaseError), transaction.atomic():
        CalendarEntry.objects.filter(pk=entry.pk).update(**fields)
    with pytest.raises(DatabaseError), transaction.atomic():
        CalendarEntry.objects.filter(pk=entry.pk).delete()


def test_a_calendar_has_an_end_but_a_freeze_from_now_on_is_always_taken(world: World) -> None:
    later = timezone.now() + timedelta(days=1)
    dates = {"begins_at": later, "ends_at": later + timedelta(hours=1)}
    for _number in range(windows.MOST):
        windows.propose(world.production, Kind.DATED, actor=world.adam, **dates)
    with pytest.raises(Refused, match="Take some away first"):
        windows.propose(world.production, Kind.DATED, actor=world.adam, **dates)
    with pytest.raises(Refused, match="Take some away first"):
        windows.propose(world.production, Kind.FREEZE, actor=world.adam, reason="Audit.", **dates)
    now = {"begins_at": timezone.now(), "ends_at": later}
    assert windows.propose(world.production, Kind.FREEZE, actor=world.adam, reason="Fire.", **now).in_force


def test_going_on_with_what_is_partly_done_waits_for_a_window_like_every_start(world: World) -> None:
    execution = half_way(world)
    asked = signed_to_go_on(world, execution)
    now = timezone.now()
    freeze(world, now, now + HOUR)
    with pytest.raises(Refused, match="The target is open now: Frozen until"):
        continuing.start(asked, actor=world.olga, confirmed_at=timezone.now())
    assert not Execution.objects.filter(continues=execution).exists()
