"""Incidents: why a rollback was needed, who wrote to them, and the post-mortem that is due after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import audit, incidents
from approvals.errors import Denied, Refused
from approvals.models import AuditEvent, ExecutionStatus, Incident, PostMortem, Status
from approvals.pages.incident_page import STAMP
from tests.approvals import factories
from tests.approvals.factories import World, body, rollback_in, trail

pytestmark = pytest.mark.integration

WRITERS = ["alice", "bob", "ada", "dora", "dan", "lea", "olga"]
READERS = ["eve", "axel", "adam", "ida", "nora"]
REVIEW = {"what_happened": "It hung.", "root_cause": "A lock.", "prevention": "A shorter one."}


@pytest.fixture
def executed(world: World) -> Incident:
    """The incident of a rollback that was executed."""
    rollback = rollback_in(world, Status.EXECUTED)
    assert rollback.incident is not None
    return rollback.incident


@pytest.mark.parametrize("name", WRITERS)
def test_whoever_has_to_do_with_the_service_opens_an_incident(name: str, world: World) -> None:
    incident = factories.incident(world, actor=world.people[name])
    assert (incident.opened_by, incident.service) == (world.people[name], world.service)
    event = body("incident.opened")
    assert (event["actor"], event["incident"]) == (name, incident.label)
    assert event["facts"] == {
        "service": "wallet-service",
        "title_sha256": audit.digest_of(incident.title),
        "reason_sha256": audit.digest_of("The new index locks the table at every payment."),
        "impact_sha256": audit.digest_of(incident.impact),
    }


@pytest.mark.parametrize("name", READERS)
def test_others_do_not_write(name: str, executed: Incident, world: World) -> None:
    actor = world.people[name]
    with pytest.raises(Denied):
        factories.incident(world, actor=actor)
    with pytest.raises(Denied):
        incidents.add_note(executed, text="x", actor=actor)
    with pytest.raises(Denied):
        incidents.save_post_mortem(executed, actor=actor, submit=True, **REVIEW)
    assert trail()[-3:] == [
        "incident.opened.denied",
        "incident.note_added.denied",
        "post_mortem.submitted.denied",
    ]


@pytest.mark.parametrize("missing", ["title", "reason", "impact"])
def test_an_incident_says_what_why_and_how_bad(missing: str, world: World) -> None:
    words = {"title": "a", "reason": "b", "impact": "c"} | {missing: " "}
    with pytest.raises(Refused, match="An incident needs a title, a reason and its impact"):
        incidents.open_incident(world.service, actor=world.alice, **words)


def test_notes_are_added_by_people_to_the_timeline(executed: Incident, world: World) -> None:
    note = incidents.add_note(executed, text=" Called the bank. ", actor=world.olga)
    assert (note.author, note.text) == (world.olga, "Called the bank.")
    assert list(executed.notes.all()) == [note]
    event = body("incident.note_added")
    assert (event["incident"], event["actor"]) == (executed.label, "olga")
    with pytest.raises(Refused, match="The note is empty"):
        incidents.add_note(executed, text=" ", actor=world.olga)


# The post-mortem


def test_it_is_due_48_hours_after_the_execution_and_overdue_after_that(executed: Incident) -> None:
    review = executed.post_mortem
    assert timedelta(hours=47, minutes=59) < review.due_at - timezone.now() <= timedelta(hours=48)
    assert not review.overdue
    review.due_at = timezone.now() - timedelta(seconds=1)
    assert review.overdue
    review.submitted_at = timezone.now()
    assert not review.overdue


def test_a_second_rollback_of_the_same_incident_does_not_move_the_clock(
    executed: Incident, world: World
) -> None:
    due = executed.post_mortem.due_at
    rollback = factories.approved(
        world, factories.submitted(world, factories.draft(world, where=world.high, incident=executed))
    )
    factories.executed(world, rollback, ExecutionStatus.SUCCEEDED)
    assert PostMortem.objects.get(incident=executed).due_at == due


def test_before_an_execution_none_is_due(world: World) -> None:
    incident = factories.incident(world)
    with pytest.raises(Refused, match="No rollback of this incident was executed"):
        incidents.save_post_mortem(incident, actor=world.alice, submit=False, **REVIEW)


def test_it_can_be_written_bit_by_bit(executed: Incident, world: World) -> None:
    words = REVIEW | {"root_cause": ""}
    incidents.save_post_mortem(executed, actor=world.alice, submit=False, **words)
    review = incidents.save_post_mortem(executed, actor=world.dora, submit=False, **words)
    assert (review.what_happened, review.submitted_at) == ("It hung.", None)
    assert trail()[-1] == "post_mortem.saved"


@pytest.mark.parametrize("missing", list(REVIEW))
def test_it_is_handed_in_complete(missing: str, executed: Incident, world: World) -> None:
    words = REVIEW | {missing: "  "}
    with pytest.raises(Refused, match="Say what happened, why, and what changes"):
        incidents.save_post_mortem(executed, actor=world.alice, submit=True, **words)
    assert PostMortem.objects.get(incident=executed).what_happened == ""


@pytest.mark.parametrize("late", [False, True])
def test_handing_it_in_stops_the_clock_for_good(late: bool, executed: Incident, world: World) -> None:
    if late:
        PostMortem.objects.update(due_at=timezone.now() - timedelta(hours=1))
    review = incidents.save_post_mortem(executed, actor=world.alice, submit=True, **REVIEW)
    assert (review.submitted_by, review.overdue) == (world.alice, False)
    assert body("post_mortem.submitted")["facts"]["late"] is late
    with pytest.raises(Refused, match="The post-mortem was handed in already"):
        incidents.save_post_mortem(executed, actor=world.bob, submit=False, **REVIEW)


def test_the_incidents_own_events_are_found_by_its_label(executed: Incident, world: World) -> None:
    incidents.add_note(executed, text="x", actor=world.olga)
    incidents.save_post_mortem(executed, actor=world.alice, submit=True, **REVIEW)
    actions = (
        AuditEvent.objects.filter(incident=executed.label).order_by("seq").values_list("action", flat=True)
    )
    assert list(actions) == ["incident.opened", "incident.note_added", "post_mortem.submitted"]


def test_the_database_writes_a_note_s_moment_as_events_keep_theirs(world: World) -> None:
    incident = factories.incident(world)
    incidents.add_note(incident, text="Support was told.", actor=world.alice)
    note = incident.notes.get()
    for at in (note.at, note.at.replace(microsecond=0)):
        incident.notes.bulk_create(
            [type(note)(incident=incident, author=world.alice, text="And then.", at=at)]
        )
    written = list(incident.notes.order_by("id").values_list(STAMP, flat=True))
    assert written == [audit.stamp(each.at) for each in incident.notes.order_by("id")]
