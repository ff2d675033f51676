"""What follows from incidents: actions with owner and day, references, and reopening a post-mortem."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import audit, followups, incidents
from approvals.errors import Conflict, Denied, Refused
from approvals.models import Incident, IncidentAction, PostMortem, Status
from tests.approvals import factories
from tests.approvals.factories import World, body, rollback_in, trail

pytestmark = pytest.mark.integration

REVIEW = {"what_happened": "It hung.", "root_cause": "A lock.", "prevention": "A shorter one."}


def action(world: World, incident: Incident, **fields: object) -> IncidentAction:
    """Bob has something to do until tomorrow; alice says so."""
    given = {
        "text": "Build it concurrently",
        "owner": world.bob,
        "due_on": timezone.localdate() + timedelta(days=1),
        "actor": world.alice,
    }
    return followups.add_action(incident, **(given | fields))


@pytest.fixture
def incident(world: World) -> Incident:
    return factories.incident(world)


@pytest.fixture
def executed(world: World) -> Incident:
    """The incident of a rollback that was executed."""
    found = rollback_in(world, Status.EXECUTED).incident
    assert found is not None
    return found


# Actions


def test_an_action_has_an_owner_and_a_day_and_its_text_is_chained_by_its_digest(
    world: World, incident: Incident
) -> None:
    given = action(world, incident)
    assert (given.owner, given.done_at, given.overdue) == (world.bob, None, False)
    event = body("incident.action_added")
    assert (event["incident"], event["actor"]) == (incident.label, "alice")
    assert event["facts"] == {
        "action": given.pk,
        "owner": "bob",
        "due_on": given.due_on.isoformat(),
        "text_sha256": audit.digest_of("Build it concurrently"),
    }


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"text": "  "}, "Say what will be done"),
        ({"due_on": timezone.localdate() - timedelta(days=2)}, "is past"),
        ({"owner": "eve"}, "Eve does not work on incidents of wallet-service"),
        ({"owner": "axel"}, "Axel does not work on incidents"),
        ({"owner": "ida"}, "Ida does not work on incidents"),
    ],
)
def test_an_action_nobody_can_do_is_refused(
    fields: dict[str, object], why: str, world: World, incident: Incident
) -> None:
    people = {name: world.people[str(each)] if name == "owner" else each for name, each in fields.items()}
    with pytest.raises(Refused, match=why):
        action(world, incident, **people)
    assert not IncidentAction.objects.exists()


@pytest.mark.parametrize("name", ["eve", "axel", "adam", "ida", "nora"])
def test_who_does_not_write_to_the_incident_gives_and_finishes_nothing(
    name: str, world: World, incident: Incident
) -> None:
    given, actor = action(world, incident), world.people[name]
    changed = {"text": "x", "owner": world.bob, "due_on": given.due_on, "actor": actor}
    with pytest.raises(Denied):
        action(world, incident, actor=actor)
    with pytest.raises(Denied):
        followups.change_action(given, **changed)
    with pytest.raises(Denied):
        followups.set_done(given, True, actor=actor)
    with pytest.raises(Denied):
        followups.set_references(incident, change_record="CHG-1", corrected_by=None, actor=actor)
    assert [each.split(".")[-1] for each in trail()[-4:]] == ["denied"] * 4


def test_a_change_says_what_was_before(world: World, incident: Incident) -> None:
    given = action(world, incident)
    day = given.due_on + timedelta(days=7)
    followups.change_action(given, text="Build it at night", owner=world.dora, due_on=day, actor=world.lea)
    given.refresh_from_db()
    assert (given.text, given.owner, given.due_on) == ("Build it at night", world.dora, day)
    was = {"owner": "bob", "due_on": (day - timedelta(days=7)).isoformat()}
    assert body("incident.action_changed")["facts"]["was"] == was


def test_an_overdue_action_can_be_given_to_somebody_else_without_moving_its_day(
    world: World, incident: Incident
) -> None:
    given = action(world, incident)
    past = timezone.localdate() - timedelta(days=3)
    IncidentAction.objects.update(due_on=past)
    followups.change_action(given, text=given.text, owner=world.dan, due_on=past, actor=world.alice)
    given.refresh_from_db()
    assert given.overdue
    with pytest.raises(Refused, match="is past"):
        followups.change_action(
            given, text="x", owner=world.dan, due_on=past + timedelta(days=1), actor=world.alice
        )


def test_done_says_who_and_when_and_the_second_one_learns_who_was_faster(
    world: World, incident: Incident
) -> None:
    given = action(world, incident)
    done = followups.set_done(given, True, actor=world.bob)
    assert (done.done_by, done.overdue) == (world.bob, False)
    with pytest.raises(Conflict, match="Bob marked it as done already"):
        followups.set_done(given, True, actor=world.alice)
    with pytest.raises(Conflict, match="Bob marked it as done meanwhile"):
        followups.change_action(given, text="x", owner=world.bob, due_on=given.due_on, actor=world.alice)
    again = followups.set_done(given, False, actor=world.alice)
    assert (again.done_by, again.done_at) == (None, None)
    with pytest.raises(Conflict, match="open already"):
        followups.set_done(given, False, actor=world.alice)
    assert trail()[-1] == "incident.action_reopened"


def test_owners_are_those_who_write_to_the_incident_each_once(world: World) -> None:
    names = [user.username for user in followups.owners(world.service)]
    assert sorted(names) == ["ada", "alice", "bob", "dan", "dora", "lea", "olga"]


def test_the_correction_is_a_migration_of_the_same_service(world: World, incident: Incident) -> None:
    migration = world.migration("5")
    followups.set_references(incident, change_record=" CHG-2291 ", corrected_by=migration, actor=world.alice)
    incident.refresh_from_db()
    assert (incident.change_record, incident.corrected_by) == ("CHG-2291", migration)
    assert body("incident.references_set")["facts"]["corrected_by"] == "V5"
    incident.service = world.foreign
    incident.save()
    with pytest.raises(Refused, match="another service"):
        followups.set_references(incident, change_record="", corrected_by=migration, actor=world.dora)


# The post-mortem


def test_who_saves_over_somebody_else_s_text_is_stopped(world: World, executed: Incident) -> None:
    seen = executed.post_mortem.revision
    incidents.save_post_mortem(
        executed, actor=world.bob, submit=False, revision=seen, what_happened="Bob's words."
    )
    with pytest.raises(Conflict, match="Bob saved the post-mortem since you opened this page"):
        incidents.save_post_mortem(
            executed, actor=world.alice, submit=False, revision=seen, what_happened="Alice's words."
        )
    assert PostMortem.objects.get(incident=executed).what_happened == "Bob's words."


@pytest.mark.parametrize("name", ["dora", "dan", "lea", "ada"])
def test_who_signs_rollbacks_reopens_and_what_was_handed_in_is_kept(
    name: str, world: World, executed: Incident
) -> None:
    incidents.save_post_mortem(executed, actor=world.alice, submit=True, **REVIEW)
    due = PostMortem.objects.get(incident=executed).due_at
    actor = world.people[name]
    found = incidents.reopen_post_mortem(executed, actor=actor, because="The cause is another one.")
    assert (found.submitted_at, found.due_at, found.reopened_by) == (None, due, actor)
    assert [(each["by"], each["root_cause"]) for each in found.earlier] == [("Alice", "A lock.")]
    facts = body("post_mortem.reopened")["facts"]
    assert facts == {"reopened_because_sha256": audit.digest_of("The cause is another one.")}
    incidents.save_post_mortem(executed, actor=world.bob, submit=True, root_cause="A missing index.")
    again = PostMortem.objects.get(incident=executed)
    assert (again.submitted_by, again.root_cause) == (world.bob, "A missing index.")


@pytest.mark.parametrize("name", ["alice", "bob", "olga", "axel", "adam", "eve"])
def test_nobody_else_reopens(name: str, world: World, executed: Incident) -> None:
    incidents.save_post_mortem(executed, actor=world.alice, submit=True, **REVIEW)
    with pytest.raises(Denied):
        incidents.reopen_post_mortem(executed, actor=world.people[name], because="I would.")
    assert PostMortem.objects.get(incident=executed).submitted_at


def test_reopening_takes_a_reason_and_something_handed_in(world: World, executed: Incident) -> None:
    with pytest.raises(Refused, match="open already"):
        incidents.reopen_post_mortem(executed, actor=world.lea, because="Why not.")
    incidents.save_post_mortem(executed, actor=world.alice, submit=True, **REVIEW)
    with pytest.raises(Refused, match="Say why"):
        incidents.reopen_post_mortem(executed, actor=world.lea, because=" ")
