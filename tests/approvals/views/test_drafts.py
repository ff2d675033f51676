"""Asking for a rollback in three steps, editing it, writing its scripts: nothing typed is ever lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import rollbacks
from approvals.models import Approval, AuditEvent, Incident, RollbackRequest, RollbackScript, Status
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

NEW = "/rollbacks/new/"
ON = f"{NEW}?target=wallet-service-critical"


def url(name: str, rollback: RollbackRequest, *more: object) -> str:
    return reverse(name, args=[rollback.pk, *more])


def said(**changes: Any) -> dict[str, Any]:
    """What a requester fills in."""
    until = timezone.now() + timedelta(days=2)
    return {
        "reason": "Payments hang since the deployment.",
        "urgency": "urgent",
        "forward_fix": "Takes a day.",
        "file_fate": "removed",
        "frozen_by": "Release team",
        "frozen_until": f"{until:%Y-%m-%dT%H:%M}",
        "app_version": "4.17.2",
    } | changes


def newest() -> RollbackRequest:
    return RollbackRequest.objects.latest("id")


def test_the_first_step_offers_the_targets_of_ones_own_teams(world: World) -> None:
    page = see(as_(world.alice), NEW)
    assert "wallet-service-production" in page
    assert "wallet-service-staging" in page
    assert "None of your teams owns a target." in see(as_(world.eve), NEW)
    assert see(as_(world.eve), ON).status == 404
    assert see(as_(world.dora), NEW).status == 403


def test_the_second_step_lists_what_is_applied_newest_first(world: World) -> None:
    page = see(as_(world.alice), ON)
    assert "5 migrations are applied, newest first" in page
    assert page.text.index("V5 create transactions") < page.text.index("V1 create users")
    assert "is not applied on" in see(as_(world.alice), f"{ON}&down_to=99")


def test_the_third_step_shows_what_is_taken_along(world: World) -> None:
    page = see(as_(world.alice), f"{ON}&down_to=3")
    assert "3 migrations go, in this order" in page
    assert "V5 create transactions taken along" in page
    assert "V4 key to users taken along" in page
    assert "V3 index wallets taken along" not in page


def test_what_is_filled_in_becomes_a_draft_with_all_that_goes_along(world: World) -> None:
    incident = factories.incident(world)
    page = send(as_(world.alice), f"{ON}&down_to=3", **said(incident=incident.pk))
    rollback = newest()
    assert [str(item.migration) for item in rollback.items.all()] == ["V5", "V4", "V3"]
    assert (rollback.status, rollback.requester, rollback.incident) == (Status.DRAFT, world.alice, incident)
    assert rollback.reason == "Payments hang since the deployment."
    assert f"{rollback.label}" in page


def test_an_empty_form_is_a_draft_too_and_the_page_says_what_is_missing(world: World) -> None:
    page = send(as_(world.alice), f"{ON}&down_to=5", urgency="planned")
    assert "A draft: 4 things are missing before it can be submitted." in page


def test_a_new_incident_is_opened_along_with_the_request(world: World) -> None:
    more = {"incident_title": "Payments hang", "incident_impact": "Nobody can pay."}
    send(as_(world.alice), f"{ON}&down_to=5", **said(**more))
    incident = newest().incident
    assert incident is not None
    assert (incident.title, incident.impact) == ("Payments hang", "Nobody can pay.")
    assert incident.reason == "Payments hang since the deployment."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"incident_title": "Payments hang"}, "A new incident needs this."),
        ({"incident_impact": "Nobody can pay."}, "A new incident needs a title."),
        ({"frozen_until": "tomorrow"}, "Enter a valid date/time."),
        ({"urgency": "whenever"}, "Select a valid choice."),
        ({"incident": "4711"}, "Select a valid choice."),
        ({"frozen_by": "x" * 121}, "at most 120 characters"),
    ],
)
def test_wrong_input_is_told_beside_its_field_and_kept(
    changes: dict[str, str], words: str, world: World
) -> None:
    before = RollbackRequest.objects.count()
    page = send(as_(world.alice), f"{ON}&down_to=5", **said(**changes))
    assert page.status == 400
    assert words in page
    assert "Payments hang since the deployment." in page
    assert RollbackRequest.objects.count() == before
    assert Incident.objects.filter(title="Payments hang", impact="").count() == 0


def test_an_incident_of_another_service_is_no_choice(world: World) -> None:
    from approvals import incidents

    foreign = incidents.open_incident(world.foreign, title="x", reason="x", impact="x", actor=world.eve)
    page = send(as_(world.alice), f"{ON}&down_to=5", **said(incident=foreign.pk))
    assert page.status == 400


def test_what_the_domain_refuses_keeps_the_input_and_the_incident_that_was_opened(world: World) -> None:
    # A baseline stands above: nothing of ours, so it can't be taken along.
    rows = [factories.history_row(rank, world.migration(str(rank))) for rank in (1, 2, 3)]
    above = factories.history_row(4, world.migration("4"), version="9", type="BASELINE", checksum=None)
    factories.sync(world.staging, [*rows, above])
    more = {"incident_title": "Payments hang", "incident_impact": "Nobody can pay."}
    client, address = as_(world.alice), f"{NEW}?target=wallet-service-staging&down_to=3"
    page = send(client, address, **said(**more))
    assert page.status == 409
    assert "Newer migrations are applied above: V9." in page
    assert "Payments hang since the deployment." in page
    opened = Incident.objects.get(title="Payments hang", impact="Nobody can pay.")
    assert f'<option value="{opened.pk}" selected>' in page.html, "it is chosen now, and not opened twice"


def test_a_form_sent_twice_makes_one_draft(world: World) -> None:
    client = as_(world.alice)
    once = see(client, f"{ON}&down_to=5").fields["once"]
    before = RollbackRequest.objects.count()
    first = client.post(f"{ON}&down_to=5", said(once=once))
    second = client.post(f"{ON}&down_to=5", said(once=once))
    assert first["Location"] == second["Location"]
    assert RollbackRequest.objects.count() == before + 1


def edit(rollback: RollbackRequest, world: World, name: str = "alice", **changes: Any) -> Page:
    """Save the edit page as its requester left it, with these changes."""
    address = url("rollback_edit", rollback)
    scripts = {f"script_{item.position}": item.script_id for item in rollback.items.all()}
    data = said(incident=rollback.incident_id, revision=rollback.revision) | scripts | changes
    return send(as_(world.people[name]), address, **data)


def test_an_edit_changes_what_was_said_and_voids_the_approvals(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert "Saving voids 1 approval." in see(as_(world.alice), url("rollback_edit", rollback))
    page = edit(rollback, world, reason="It is worse than we thought.")
    assert "It is a draft, and needs its approvals anew." in page
    assert "It is worse than we thought." in page
    assert not Approval.objects.filter(rollback=rollback, voided_at=None).exists()


def test_the_edit_page_shows_the_time_in_the_readers_zone(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    RollbackRequest.objects.filter(pk=rollback.pk).update(frozen_until=factories.utc(2026, 3, 2, 8, 0))
    world.alice.time_zone = "Asia/Tokyo"
    world.alice.save()
    page = see(as_(world.alice), url("rollback_edit", rollback))
    assert page.fields["frozen_until"] == "2026-03-02T17:00"
    assert "Frozen until (Asia/Tokyo)" in page


def test_an_edit_of_a_page_that_grew_old_is_a_conflict_and_keeps_the_text(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="From the other window.")
    page = edit(rollback, world, reason="From this window.")
    assert page.status == 409
    assert "Somebody edited" in page
    assert "From this window." in page
    assert factories.again(rollback).reason == "From the other window."
    again = edit(rollback, world, reason="From this window.", revision=page.fields["revision"])
    assert "From this window." in again
    assert factories.again(rollback).reason == "From this window."


def test_wrong_input_does_not_make_an_old_page_new(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="From the other window.")
    page = edit(rollback, world, frozen_until="tomorrow")
    assert page.status == 400
    assert page.fields["revision"] == str(rollback.revision)


def test_an_older_script_can_be_chosen_again(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    first = rollback.items.get().script
    second = factories.write_script(world, "3", sql="DROP INDEX wallets_by_user; -- again\n")
    assert edit(rollback, world, script_1=second.pk).status == 200
    assert rollback.items.get().script == second
    assert first is not None
    assert edit(factories.again(rollback), world, script_1=first.pk).status == 200
    assert rollback.items.get().script == first
    foreign = RollbackScript.objects.exclude(migration=first.migration)[0]
    assert edit(factories.again(rollback), world, script_1=foreign.pk).status == 400


@pytest.mark.parametrize("name", ["bob", "ada"])
@pytest.mark.parametrize("page", ["rollback_edit", "rollback_script"])
def test_nobody_edits_another_s_request_and_the_attempt_is_on_record(
    page: str, name: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    address = url(page, rollback, 1) if page == "rollback_script" else url(page, rollback)
    assert see(as_(world.people[name]), address).status == 403
    assert send(as_(world.people[name]), address, revision=1).status == 403
    event = AuditEvent.objects.latest("seq")
    assert (event.action, event.actor, event.rollback) == ("rollback.edited.denied", name, rollback.label)


def test_what_is_past_editing_says_so(world: World) -> None:
    rollback = rollback_in(world, Status.EXECUTED)
    page = see(as_(world.alice), url("rollback_edit", rollback))
    assert page.status == 409
    assert f"{rollback.label} is executed now, so this can't be done." in page


def script(**changes: Any) -> dict[str, Any]:
    return {
        "sql": "DROP INDEX wallets_by_user;\n-- mended\n",
        "checks-TOTAL_FORMS": "2",
        "checks-INITIAL_FORMS": "0",
        "checks-0-name": "The index is gone",
        "checks-0-sql": "SELECT to_regclass('wallets_by_user') IS NULL",
        "checks-0-expected": "true",
        "checks-0-stage": "before commit",
        "checks-1-stage": "after commit",
    } | changes


def test_a_script_written_here_is_stored_with_its_checks_and_used(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    address = url("rollback_script", rollback, 1)
    assert "DROP INDEX wallets_by_user;" in see(as_(world.alice), address), "begins with the present one"
    page = send(as_(world.alice), address, **script(revision=rollback.revision))
    assert "Script revision 2 is stored, and this request uses it." in page
    stored = rollback.items.get().script
    assert stored is not None
    assert stored.number == 2
    assert [check.name for check in stored.check_list()] == ["The index is gone"]
    assert world.alice in stored.authors.all()


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"sql": ""}, 400, "This field is required."),
        ({"checks-0-sql": ""}, 400, "A check needs a name and a query."),
        ({"checks-0-sql": "DELETE FROM users"}, 409, "Check “The index is gone”, line 1, column 1:"),
        ({"checks-0-stage": "never"}, 400, "Select a valid choice."),
    ],
)
def test_a_script_that_is_wrong_is_told_and_kept(
    changes: dict[str, str], status: int, words: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    data = script(revision=rollback.revision, **changes)
    page = send(as_(world.alice), url("rollback_script", rollback, 1), **data)
    assert page.status == status
    assert words in page
    assert "The index is gone" in page.fields.values()
    assert world.migration("3").scripts.count() == 1


def test_a_script_for_a_request_that_changed_meanwhile_is_not_stored(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    data = script(revision=rollback.revision - 1)
    page = send(as_(world.alice), url("rollback_script", rollback, 1), **data)
    assert page.status == 409
    assert "-- mended" in page
    assert world.migration("3").scripts.count() == 1


def test_there_is_no_script_page_for_a_position_that_is_not_there(world: World) -> None:
    assert see(as_(world.alice), url("rollback_script", rollback_in(world, Status.DRAFT), 2)).status == 404
