"""The calendar of a target, the preflight and the scheduled start, as pages and by two people."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from approvals import preflights, windows
from approvals.models import CalendarEntry, Job, Schedule, Status, Target
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

CALENDAR = "/targets/wallet-service-production/calendar/"
HOUR = timedelta(hours=1)


def closed_until_tonight(world: World) -> CalendarEntry:
    """A confirmed window of the production target, two hours from now."""
    begins = timezone.now() + 2 * HOUR
    entry = windows.propose(
        world.production,
        CalendarEntry.Kind.DATED,
        actor=world.adam,
        begins_at=begins,
        ends_at=begins + HOUR,
    )
    return windows.confirm(entry, actor=world.dora)


def test_one_person_asks_for_a_window_and_another_makes_it_one(world: World) -> None:
    Target.objects.filter(pk=world.production.pk).update(time_zone="Africa/Nairobi")
    day = str((timezone.now().weekday() + 3) % 7)
    fields = {"days": [day], "starts": "22:00", "ends": "02:00", "reason": "Few customers."}
    page = send(as_(world.adam), f"{CALENDAR}new/weekly/", **fields)
    assert "Asked for. It counts once somebody confirms it." in page
    assert "22:00 to 02:00 on the next day" in page
    assert "You asked for it, so somebody else has to confirm it." in page
    assert "It has no windows, so it is always open." in page
    entry = CalendarEntry.objects.get()
    dashboard = see(as_(world.olga), "/")
    assert "wait for a second person" in dashboard
    assert "22:00 to 02:00 on the next day" in dashboard, "whoever confirms it has to know which hours"
    page = send(as_(world.olga), f"/calendar/{entry.pk}/confirm/")
    assert "Confirmed." in page
    assert "Nairobi, UTC+03:00" in page
    assert "closed" in see(as_(world.alice), "/targets/wallet-service-production/")


def test_wrong_times_are_said_beside_their_field_and_kept(world: World) -> None:
    client = as_(world.olga)
    Target.objects.filter(pk=world.production.pk).update(time_zone="Europe/Berlin")
    fields = {"begins_at": "2090-03-26T02:30", "ends_at": "2090-01-01T00:00", "reason": "Audit."}
    response = client.post(f"{CALENDAR}new/freeze/", fields)
    assert response.status_code == 400
    assert b"Audit." in response.content
    assert not CalendarEntry.objects.exists(), "02:30 is left out of that night in Berlin"
    fields["begins_at"] = "2089-12-31T00:00"
    page = send(client, f"{CALENDAR}new/freeze/", **fields)
    assert "The freeze is in force." in page
    assert "Olga declared it" in page
    begins = CalendarEntry.objects.get().begins_at
    assert begins is not None
    assert begins.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") == "00:00"


def test_a_page_that_is_behind_confirms_nothing(world: World) -> None:
    entry = closed_until_tonight(world)
    windows.ask_to_remove(entry, actor=world.adam, reason="Moved.")
    response = as_(world.olga).post(f"/calendar/{entry.pk}/confirm/")
    assert response.status_code == 409
    assert b"Somebody else changed it meanwhile." in response.content
    page = send(as_(world.olga), f"/calendar/{entry.pk}/confirm/", removal="1")
    assert "It has no windows, so it is always open." in page


def test_ops_schedule_what_is_approved_and_take_it_back(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed_until_tonight(world)
    client = as_(world.olga, confirmed=True)
    page = see(client, f"/rollbacks/{rollback.pk}/")
    assert "The target is open now" in page
    assert page.leads_to(f"/rollbacks/{rollback.pk}/schedule/")
    page = see(client, f"/rollbacks/{rollback.pk}/schedule/")
    assert "The next opening:" in page
    page = send(client, f"/rollbacks/{rollback.pk}/schedule/", digest=rollback.request_digest, at="")
    assert "It is scheduled to start" in page
    assert "Approved, and scheduled: it starts by itself." in page
    assert Schedule.objects.get().by == world.olga
    assert "scheduled to start" in see(client, "/")
    assert rollback.label in see(client, CALENDAR)
    assert not see(as_(world.alice), f"/rollbacks/{rollback.pk}/").leads_to("unschedule")
    page = send(client, f"/rollbacks/{rollback.pk}/unschedule/")
    assert "The scheduled start is cancelled." in page
    assert again(rollback).status == Status.APPROVED


def test_a_time_that_is_closed_is_refused_with_when_it_opens(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed_until_tonight(world)
    client = as_(world.olga, confirmed=True)
    at = (timezone.now() + HOUR).strftime("%Y-%m-%dT%H:%M")
    response = client.post(
        f"/rollbacks/{rollback.pk}/schedule/", {"digest": rollback.request_digest, "at": at}
    )
    assert response.status_code == 409
    assert b"is closed at" in response.content
    assert not Schedule.objects.exists()


def test_the_preflight_is_shown_before_the_button_with_its_age_and_reasons(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    client = as_(world.olga, confirmed=True)
    start = f"/rollbacks/{rollback.pk}/start/"
    assert "No worker has looked at the target for these bytes yet." in see(client, start)
    page = send(client, f"/rollbacks/{rollback.pk}/preflight/", back="start")
    assert "A worker was asked to look." in page
    assert "no worker has taken it yet" in page
    who = "pid 4711, user app, reports, idle in transaction"
    stop = {
        "key": "transactions",
        "title": "No old transaction",
        "verdict": "stop",
        "says": "One is.",
        "who": [who],
    }
    Job.objects.filter(kind=Job.Kind.PREFLIGHT).update(state="done", finished_at=timezone.now())
    preflights.record(rollback, [stop], [])
    for page in (see(client, start), see(as_(world.alice), f"/rollbacks/{rollback.pk}/")):
        assert "no-go" in page
        assert "No-go. One is." in page
        assert who in page
        assert "Look again" in page
    preflights.record(rollback, [], [])
    assert '<button class="btn btn-danger-main">Run it on' in see(client, start).html
    fragment = see(as_(world.axel), f"/rollbacks/{rollback.pk}/preflight/")
    assert "Go: nothing stands in the way." in fragment
    assert "Look again" not in fragment


def test_after_a_no_go_the_button_waits_for_a_look_that_says_go(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    client = as_(world.olga, confirmed=True)
    start, look = (f"/rollbacks/{rollback.pk}/{name}/" for name in ("start", "preflight"))
    stop = {"key": "prepared", "title": "Nothing prepared", "verdict": "stop", "says": "One is.", "who": []}
    preflights.record(rollback, [stop], [])
    page = see(client, start)
    assert "says no-go: One is. Starting now would use up an attempt and change nothing." in page
    assert 'btn-danger-main" disabled' in page.html
    assert page.html.count("Look again</button>") == 1
    refused = client.post(start, {"digest": rollback.request_digest})
    assert (refused.status_code, b"says no-go: One is." in refused.content) == (409, True)
    assert "this page shows what it finds" in send(client, look, back="start")
    waiting = client.get(look, {"back": "start", "no_go": "1"})
    assert "HX-Refresh" not in waiting
    Job.objects.filter(kind=Job.Kind.PREFLIGHT).update(state="done", finished_at=timezone.now())
    preflights.record(rollback, [], [])
    assert client.get(look, {"back": "start", "no_go": "1"})["HX-Refresh"] == "true"
    assert "HX-Refresh" not in client.get(look, {"back": "start"}), "what was typed into the form stays"
    assert "It can’t start now" not in see(client, start)
    preflights.record(rollback, [stop], [])
    assert client.get(look, {"back": "start"})["HX-Refresh"] == "true"


def test_the_page_of_an_execution_shows_the_look_it_began_with(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.claimed(factories.start(world, rollback))
    stop = {"key": "prepared", "title": "Nothing prepared", "verdict": "stop", "says": "One is.", "who": []}
    preflights.record(rollback, [stop], [], execution=execution)
    page = see(as_(world.olga), f"/executions/{execution.pk}/")
    assert "no-go" in page
    assert "One is." in page
    assert "Look again" not in page


def test_a_form_that_somebody_could_not_send_is_not_shown(world: World) -> None:
    page = see(as_(world.olga), f"{CALENDAR}new/weekly/")
    assert page.status == 403
    assert "This takes one of these roles: Admin." in page
    assert see(as_(world.olga), f"{CALENDAR}new/freeze/").status == 200
    assert see(as_(world.adam), f"{CALENDAR}new/never/").status == 404
