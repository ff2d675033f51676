"""Pages of incidents: opening one, its line of time, and the post-mortem with its clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals import incidents
from approvals.models import Incident, IncidentAction, Migration, PostMortem, Status
from approvals.pages import incident_page
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
    text = see(as_(world.alice), f"/incidents/{incident.pk}/", all="1").text
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
    assert counts[0] == counts[1] <= 24


def test_a_long_story_stands_in_pages_the_newest_first_and_whole_to_print(world: World) -> None:
    incident, client = factories.incident(world), as_(world.alice)
    address = f"/incidents/{incident.pk}/"
    for number in range(60):
        incidents.add_note(incident, text=f"Note {number:02}.", actor=world.alice)
    latest, whole = see(client, address), see(client, f"{address}?all=1")
    assert "Note 59." in latest
    assert "Note 34." not in latest
    assert "Page 1 of 3, 61 in all" in latest
    assert "The whole report, to print" in latest
    assert latest.html.index("Note 35.") < latest.html.index("Note 59."), "in the order of what happened"
    assert "Note 34." in see(client, f"{address}?moments=2")
    assert all(f"Note {number:02}." in whole for number in range(60))
    assert "Page 1 of" not in whole


# The report


def test_the_report_is_assembled_from_facts(world: World) -> None:
    incident = executed(world)
    page = see(as_(world.axel), f"/incidents/{incident.pk}/")
    assert "Recovered in" in page
    assert "Committed and verified EX-" in page
    assert "started by Olga" in page
    assert "Nobody approved what they asked for or wrote." in page
    assert "Asked Alice Wrote Bob Approved" in page
    assert "on wallet-service-production: full dump, verified" in page


def test_the_report_says_what_stays_lost_only_where_something_ran(world: World) -> None:
    rollback = factories.rollback_in(world, Status.APPROVED, "critical")
    incident = rollback.incident
    assert incident is not None
    page = see(as_(world.axel), f"/incidents/{incident.pk}/")
    assert "What stays lost" not in page
    assert "Acknowledged: transactions" in page


def test_the_four_demands_are_met_one_by_one(world: World) -> None:
    incident, client = executed(world), as_(world.alice)
    address = f"/incidents/{incident.pk}/"
    page = see(client, address)
    assert "The post-mortem is due." in page
    assert "No corrected migration is linked yet." in page
    migration = world.migration("5")
    fields = {"references-change_record": "CHG-2291", "references-corrected_by": str(migration.pk)}
    send(client, address + "references/", **fields)
    send(client, address + "post-mortem/", hand_in="yes", **ANSWERS)
    page = see(client, address)
    assert "Entry CHG-2291 in the change management system" in page
    assert "V5 prevents that it happens again." in page
    assert "Post-mortem handed in in time." in page


def test_a_migration_of_another_service_can_t_be_chosen(world: World) -> None:
    incident = executed(world)
    other = Migration.objects.create(service=world.foreign, kind="V", version="9", version_key=[9])
    fields = {"references-change_record": "", "references-corrected_by": str(other.pk)}
    page = send(as_(world.alice), f"/incidents/{incident.pk}/references/", **fields)
    assert page.status == 400
    assert "references-corrected_by_error" in page.html


def test_the_page_says_whom_to_call(world: World) -> None:
    incident = factories.incident(world)
    assert "Whom to call" in see(as_(world.alice), f"/incidents/{incident.pk}/")


# Actions


def tomorrow() -> str:
    return (timezone.localdate() + timedelta(days=1)).isoformat()


def given(world: World, incident: Incident, owner: str = "bob", text: str = "Try it first") -> IncidentAction:
    fields = {"action-text": text, "action-owner": owner, "action-due_on": tomorrow()}
    send(as_(world.alice), f"/incidents/{incident.pk}/actions/", **fields)
    return IncidentAction.objects.latest("pk")


def test_an_action_is_given_changed_and_done_on_the_pages(world: World) -> None:
    incident = executed(world)
    action = given(world, incident)
    client = as_(world.bob)
    page = see(client, f"/incidents/{incident.pk}/")
    assert "Try it first added by Alice" in page
    fields = {"action-text": "Try it twice", "action-owner": "bob", "action-due_on": tomorrow()}
    page = send(client, f"/incidents/actions/{action.pk}/", **fields)
    assert "The action is changed." in page
    page = send(client, f"/incidents/actions/{action.pk}/done/", done="yes")
    assert "Try it twice" in page
    assert "done by Bob" in page
    assert send(client, f"/incidents/actions/{action.pk}/done/", done="yes").status == 409


def test_what_is_missing_on_an_action_is_said_beside_its_field_on_the_incident(world: World) -> None:
    incident = factories.incident(world)
    fields = {"action-text": "Try it first", "action-owner": "axel", "action-due_on": "soon"}
    page = send(as_(world.alice), f"/incidents/{incident.pk}/actions/", **fields)
    assert page.status == 400
    assert 'id="id_action-owner_error"' in page.html
    assert 'id="id_action-due_on_error"' in page.html
    assert page.fields["action-text"] == "Try it first"


def test_a_day_that_is_past_is_refused_with_what_was_entered(world: World) -> None:
    incident = factories.incident(world)
    fields = {"action-text": "Try it first", "action-owner": "bob", "action-due_on": "2020-01-01"}
    page = send(as_(world.alice), f"/incidents/{incident.pk}/actions/", **fields)
    assert page.status == 409
    assert "The day it is due on is past." in page
    assert page.fields["action-text"] == "Try it first"


def test_the_list_of_actions_has_mine_first_and_marks_what_is_overdue(world: World) -> None:
    incident = factories.incident(world)
    for owner, text in (("bob", "Bob's thing"), ("alice", "Alice's thing"), ("dora", "Dora's thing")):
        given(world, incident, owner, text)
    IncidentAction.objects.filter(owner=world.dora).update(due_on=timezone.localdate() - timedelta(days=2))
    text = see(as_(world.alice), "/incidents/actions/").text
    places = [text.index(f"{name}'s thing") for name in ("Alice", "Dora", "Bob")]
    assert places == sorted(places)
    assert "overdue" in text.replace("overdue done all", "")
    only = see(as_(world.alice), "/incidents/actions/", state="overdue")
    assert "Dora's thing" in only
    assert "Bob's thing" not in only
    assert "Alice's thing" not in see(as_(world.bob), "/incidents/actions/", whose="mine")
    assert "Bob's thing" not in see(as_(world.eve), "/incidents/actions/", state="all")


def test_a_thousand_actions_take_as_many_queries_as_ten(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    incident, counts = factories.incident(world), []
    for rows in (10, 1000):
        IncidentAction.objects.bulk_create(
            IncidentAction(
                incident=incident, text="t", owner=world.bob, due_on=timezone.localdate(), added_by=world.bob
            )
            for _row in range(rows)
        )
        client = as_(world.again("alice"))
        client.get("/incidents/actions/")
        counts.append(queries_of(client, "/incidents/actions/"))
    assert counts[0] == counts[1] <= 12


# The post-mortem's form


def test_the_facts_can_be_taken_over_without_losing_what_was_written(world: World) -> None:
    incident = executed(world)
    address = f"/incidents/{incident.pk}/post-mortem/"
    page = send(as_(world.alice), address, take_over="yes", what_happened="Mine.", root_cause="A lock.")
    assert page.status == 200
    written = page.html[page.html.index('name="what_happened"') :]
    assert written.index("Mine.") < written.index("UTC  Alice opened the incident")
    assert "committed and verified RB-" in written
    assert "A lock." in page
    assert PostMortem.objects.get(incident=incident).what_happened == ""


def test_who_was_slower_keeps_their_text_and_sees_the_other_one(world: World) -> None:
    incident = executed(world)
    address = f"/incidents/{incident.pk}/post-mortem/"
    revision = see(as_(world.alice), address).fields["revision"]
    send(as_(world.bob), address, revision=revision, what_happened="Bob's words.")
    page = send(as_(world.alice), address, revision=revision, what_happened="Alice's words.")
    assert page.status == 409
    assert "Bob saved the post-mortem since you opened this page." in page
    assert "Alice&#x27;s words.</textarea>" in page.html
    assert "What is stored now" in page
    assert "Bob's words." in page
    send(as_(world.alice), address, revision=page.fields["revision"], what_happened="Both.")
    assert PostMortem.objects.get(incident=incident).what_happened == "Both."


def test_a_lead_reopens_it_with_a_reason_and_the_first_version_stays_readable(world: World) -> None:
    incident = executed(world)
    address = f"/incidents/{incident.pk}/post-mortem/"
    send(as_(world.alice), address, hand_in="yes", **ANSWERS)
    assert "Reopen it" not in see(as_(world.alice), address)
    assert send(as_(world.alice), address + "reopen/", because="Mine.").status == 403
    assert send(as_(world.lea), address + "reopen/", because=" ").status == 400
    page = send(as_(world.lea), address + "reopen/", because="The cause is another one.")
    assert "The post-mortem is open again." in page
    assert "Reopened by Lea: The cause is another one." in page
    send(as_(world.alice), address, hand_in="yes", **(ANSWERS | {"root_cause": "Another one."}))
    page = see(as_(world.axel), address)
    assert "Version 1, handed in by Alice" in page
    assert "Nobody read the plan." in page
    assert "Another one." in page


def test_the_clock_says_to_the_minute_what_is_left_and_by_how_much_it_is_late(world: World) -> None:
    incident = executed(world)
    address = f"/incidents/{incident.pk}/"
    later = timedelta(hours=13, minutes=3, seconds=20)
    PostMortem.objects.update(due_at=timezone.now() + later)
    assert "13 h 3 min left , due" in see(as_(world.alice), address)
    PostMortem.objects.update(due_at=timezone.now() - timedelta(hours=5, seconds=20))
    assert "Overdue by 5 h , due" in see(as_(world.alice), address)


@pytest.mark.parametrize("sort", ["", "oldest", "due", "service", "nonsense"])
def test_incidents_are_sorted_as_the_url_says(sort: str, world: World) -> None:
    urgent = executed(world)
    late = factories.incident(world)
    found = list(incident_page.listed(world.alice, sort=sort).values_list("pk", flat=True))
    order = found.index(urgent.pk) < found.index(late.pk)
    assert order is (sort in ("oldest", "due"))
