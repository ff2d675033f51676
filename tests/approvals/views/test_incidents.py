"""Pages of incidents: opening one, its line of time, and the post-mortem with its clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals import incidents
from approvals.models import Incident, PostMortem, Status
from tests.approvals import factories
from tests.approvals.factories import World, body, trail
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

NEW = {
    "service": "wallet-service",
    "title": "Payments hang",
    "reason": "Since the deployment at 02:10.",
    "impact": "Every payment takes a minute.",
}
ANSWERS = {
    "what_happened": "An index locked the table.",
    "root_cause": "Nobody read the plan.",
    "prevention": "V6 builds it concurrently.",
}


def executed(world: World) -> Incident:
    """An incident whose rollback was executed."""
    rollback = factories.rollback_in(world, Status.EXECUTED)
    assert rollback.incident is not None
    return rollback.incident


# Opening


def test_an_engineer_opens_an_incident(world: World) -> None:
    page = send(as_(world.alice), "/incidents/new/", **NEW)
    incident = Incident.objects.latest("pk")
    assert (incident.title, incident.opened_by) == ("Payments hang", world.alice)
    assert f"{incident.label} is open." in page
    assert "Every payment takes a minute." in page


def test_what_is_missing_is_said_beside_its_field_and_the_rest_is_kept(world: World) -> None:
    page = send(as_(world.alice), "/incidents/new/", **(NEW | {"impact": ""}))
    assert page.status == 400
    assert 'id="id_impact_error"' in page.html
    assert 'aria-invalid="true"' in page.html
    assert "Since the deployment at 02:10." in page
    assert page.fields["title"] == "Payments hang"


def test_an_incident_of_another_team_s_service_can_t_be_opened(world: World) -> None:
    page = send(as_(world.eve), "/incidents/new/", **NEW)
    assert page.status == 400
    assert 'id="id_service_error"' in page.html


def test_sending_the_form_twice_opens_one_incident(world: World) -> None:
    client = as_(world.alice)
    before = Incident.objects.count()
    for _time in range(2):
        send(client, "/incidents/new/", once="the same", **NEW)
    assert Incident.objects.count() == before + 1


def test_an_auditor_reads_incidents_and_writes_nothing(world: World) -> None:
    incident = factories.incident(world)
    page = see(as_(world.axel), f"/incidents/{incident.pk}/")
    assert [each for each in page.forms if each.startswith("/incidents/")] == []
    assert "Add to the timeline" not in page
    assert send(as_(world.axel), f"/incidents/{incident.pk}/notes/", text="I was here").status == 403
    assert not incident.notes.exists()


# The line of time


def test_the_line_of_time_joins_facts_and_notes_in_their_order(world: World) -> None:
    incident = executed(world)
    send(as_(world.olga), f"/incidents/{incident.pk}/notes/", text="Customers report that it works again.")
    text = see(as_(world.alice), f"/incidents/{incident.pk}/").text
    moments = [
        "opened the incident",
        "asked for a rollback",
        "approved the rollback",
        "committed and verified RB-",
        "Customers report",
    ]
    places = [text.index(each) for each in moments]
    assert places == sorted(places)
    assert text.count("Customers report that it works again.") == 1


def test_an_empty_note_is_an_error_on_the_page(world: World) -> None:
    incident = factories.incident(world)
    page = send(as_(world.alice), f"/incidents/{incident.pk}/notes/", text="  ")
    assert page.status == 400
    assert 'id="id_text_error"' in page.html


def test_a_note_shows_as_text(world: World) -> None:
    incident = factories.incident(world)
    page = send(as_(world.alice), f"/incidents/{incident.pk}/notes/", text="<b>bold</b>\n\nsecond")
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.html


# The post-mortem


def test_no_post_mortem_is_due_before_anything_was_executed(world: World) -> None:
    incident = factories.incident(world)
    assert see(as_(world.alice), f"/incidents/{incident.pk}/post-mortem/").status == 404
    assert "Due 48 hours after" in see(as_(world.alice), f"/incidents/{incident.pk}/")


def test_a_post_mortem_is_due_within_two_days_of_the_execution(world: World) -> None:
    incident = executed(world)
    assert "due in 48 h" in see(as_(world.alice), f"/incidents/{incident.pk}/")


def test_a_draft_is_kept_and_handed_in_later(world: World) -> None:
    incident, client = executed(world), as_(world.alice)
    address = f"/incidents/{incident.pk}/post-mortem/"
    page = send(client, address, what_happened="An index locked the table.")
    assert "The draft is saved." in page
    assert "An index locked the table." in page
    page = send(client, address, hand_in="yes", **ANSWERS)
    assert "The post-mortem is handed in." in page
    found = PostMortem.objects.get(incident=incident)
    assert found.submitted_by == world.alice
    assert trail()[-1] == "post_mortem.submitted"
    assert body("post_mortem.submitted")["facts"]["late"] is False


def test_handing_in_takes_all_three_answers_and_keeps_what_was_written(world: World) -> None:
    incident = executed(world)
    answers = ANSWERS | {"prevention": ""}
    page = send(as_(world.alice), f"/incidents/{incident.pk}/post-mortem/", hand_in="yes", **answers)
    assert page.status == 409
    assert "Say what happened, why, and what changes" in page
    assert "Nobody read the plan." in page


def test_a_handed_in_post_mortem_is_read_and_not_written(world: World) -> None:
    incident, client = executed(world), as_(world.alice)
    address = f"/incidents/{incident.pk}/post-mortem/"
    send(client, address, hand_in="yes", **ANSWERS)
    page = see(client, address)
    assert "V6 builds it concurrently." in page
    assert "<textarea" not in page.html
    again = send(client, address, **(ANSWERS | {"root_cause": "Something else."}))
    assert again.status == 409
    assert PostMortem.objects.get(incident=incident).root_cause == "Nobody read the plan."


def test_an_overdue_post_mortem_says_since_when(world: World) -> None:
    incident = executed(world)
    PostMortem.objects.update(due_at=timezone.now() - timedelta(hours=3))
    assert "overdue, was due 3 h ago" in see(as_(world.alice), f"/incidents/{incident.pk}/")
    page = see(as_(world.alice), "/incidents/", state="overdue")
    assert incident.label in page
    assert incident.label not in see(as_(world.alice), "/incidents/", state="done")


# The list


def test_an_engineer_sees_the_incidents_of_their_team(world: World) -> None:
    incident = factories.incident(world)
    assert incident.label in see(as_(world.alice), "/incidents/")
    assert incident.label not in see(as_(world.eve), "/incidents/")


def test_incidents_can_be_searched(world: World) -> None:
    incident = incidents.open_incident(
        world.service, title="Odd one out", reason="r", impact="i", actor=world.alice
    )
    page = see(as_(world.alice), "/incidents/", q="odd one")
    assert incident.label in page
    assert "Payments hang" not in page


def test_a_thousand_incidents_take_as_many_queries_as_ten(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    counts = []
    for rows in (10, 1000):
        Incident.objects.bulk_create(
            Incident(service=world.service, title="t", reason="r", impact="i", opened_by=world.alice)
            for _row in range(rows)
        )
        client = as_(world.again("alice"))
        client.get("/incidents/")
        counts.append(queries_of(client, "/incidents/"))
    assert counts[0] == counts[1] <= 10


def test_a_long_story_takes_as_many_queries_as_a_short_one(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    incident, client = factories.incident(world), as_(world.alice)
    address = f"/incidents/{incident.pk}/"
    counts = []
    for notes in (2, 40):
        for _note in range(notes):
            incidents.add_note(incident, text="Still looking.", actor=world.alice)
        client.get(address)
        counts.append(queries_of(client, address))
    assert counts[0] == counts[1] <= 14
