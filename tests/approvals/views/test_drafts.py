"""Asking for a rollback step by step: each step is saved on leaving it, and nothing typed is ever lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import checklist, rollbacks
from approvals.models import Approval, AuditEvent, Incident, RollbackRequest, RollbackScript, Status
from approvals.pages.form_steps import Step
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

NEW = "/rollbacks/new/"
ON = f"{NEW}?target=wallet-service-critical"
HTMX = {"HX-Request": "true"}


def step(rollback: RollbackRequest, name: str) -> str:
    """The address of a step."""
    return reverse("rollback_form", args=[rollback.pk, name])


def why(**changes: Any) -> dict[str, Any]:
    """What a requester fills in on the step of the reason."""
    return {
        "reason": "Payments hang since the deployment.",
        "urgency": "urgent",
        "forward_fix": "Takes a day.",
    } | changes


def file(**changes: Any) -> dict[str, Any]:
    """What a requester fills in on the step of the file."""
    until = timezone.now() + timedelta(days=2)
    return {
        "history_treatment": "delete",
        "file_fate": "removed",
        "frozen_by": "Release team",
        "frozen_until": f"{until:%Y-%m-%dT%H:%M}",
        "app_version": "4.17.2",
    } | changes


def newest() -> RollbackRequest:
    return RollbackRequest.objects.latest("id")


def bare(world: World) -> RollbackRequest:
    """A draft of alice's about which nothing was said yet."""
    return rollbacks.create(world.production, [world.migration("3")], actor=world.alice)


def save(rollback: RollbackRequest, name: str, world: World, **data: Any) -> Page:
    """Save a step as the page that alice has open sends it."""
    return send(as_(world.alice), step(rollback, name), **({"revision": rollback.revision} | data))


# Target and migrations


def test_the_first_step_offers_the_targets_of_ones_own_teams(world: World) -> None:
    page = see(as_(world.alice), NEW)
    assert "wallet-service-production" in page
    assert "wallet-service-staging" in page
    assert "Step 1 of 7." in page
    assert "None of your teams owns a target." in see(as_(world.eve), NEW)
    assert see(as_(world.eve), ON).status == 404
    assert see(as_(world.dora), NEW).status == 403


def test_the_second_step_lists_what_is_applied_newest_first(world: World) -> None:
    page = see(as_(world.alice), ON)
    assert "5 migrations are applied, newest first" in page
    assert page.text.index("V5 create transactions") < page.text.index("V1 create users")
    assert "is not applied on" in see(as_(world.alice), f"{ON}&down_to=99")


def test_what_is_taken_along_is_shown_with_the_reason_before_anything_is_made(world: World) -> None:
    before = RollbackRequest.objects.count()
    page = see(as_(world.alice), f"{ON}&down_to=3")
    assert "3 migrations are undone, in this order" in page
    assert "V5 create transactions taken along It is newer than V3 and applied" in page
    assert "V4 key to users taken along" in page
    assert "V3 index wallets chosen You chose it." in page
    assert RollbackRequest.objects.count() == before


def test_what_was_applied_later_under_a_lower_version_goes_along_and_says_why(world: World) -> None:
    rows = [factories.history_row(rank, world.migration(v)) for rank, v in enumerate("134", start=1)]
    factories.sync(world.staging, [*rows, factories.history_row(4, world.migration("2"))])
    page = see(as_(world.alice), f"{NEW}?target=wallet-service-staging&down_to=4")
    assert "V2 create wallets taken along It was applied after V4 (rank 4)" in page


def test_choosing_the_migrations_makes_the_draft_and_leads_on(world: World) -> None:
    page = send(as_(world.alice), f"{ON}&down_to=3")
    rollback = newest()
    assert [str(item.migration) for item in rollback.items.all()] == ["V5", "V4", "V3"]
    assert (rollback.status, rollback.requester) == (Status.DRAFT, world.alice)
    assert "Why must it be undone on wallet-service-critical?" in page


def test_a_form_sent_twice_makes_one_draft(world: World) -> None:
    client = as_(world.alice)
    once = see(client, f"{ON}&down_to=5").fields["once"]
    before = RollbackRequest.objects.count()
    first = client.post(f"{ON}&down_to=5", {"once": once})
    second = client.post(f"{ON}&down_to=5", {"once": once})
    assert first["Location"] == second["Location"]
    assert RollbackRequest.objects.count() == before + 1


def test_what_the_domain_refuses_is_told_on_the_page_of_the_choice(world: World) -> None:
    # A baseline stands above: nothing of ours, so it can't be taken along.
    rows = [factories.history_row(rank, world.migration(str(rank))) for rank in (1, 2, 3)]
    above = factories.history_row(4, world.migration("4"), version="9", type="BASELINE", checksum=None)
    factories.sync(world.staging, [*rows, above])
    page = send(as_(world.alice), f"{NEW}?target=wallet-service-staging&down_to=3")
    assert page.status == 409
    assert "Newer migrations are applied above: V9." in page


def test_the_migrations_can_be_changed_and_all_else_stays(world: World) -> None:
    send(as_(world.alice), f"{ON}&down_to=5")
    rollback = newest()
    save(rollback, "reason", world, **why())
    rollback.refresh_from_db()
    shown = see(as_(world.alice), f"{step(rollback, 'migrations')}?down_to=4")
    assert "2 migrations are undone, in this order" in shown
    save(rollback, "migrations", world, down_to="4")
    rollback.refresh_from_db()
    assert [str(item.migration) for item in rollback.items.all()] == ["V5", "V4"]
    assert rollback.reason == "Payments hang since the deployment."


def test_the_target_of_a_draft_stays_and_the_page_says_why(world: World) -> None:
    page = see(as_(world.alice), step(bare(world), "target"))
    assert "It is to run on wallet-service-production" in page
    assert page.leads_to(NEW)


# Steps


def test_every_step_has_its_page_and_leads_to_every_other_one(world: World) -> None:
    rollback, client = bare(world), as_(world.alice)
    for number, name in enumerate(Step, start=1):
        page = see(client, step(rollback, name))
        assert f"Step {number} of 7." in page
        for other in set(Step) - {name}:
            assert f'value="{other}"' in page.html or page.leads_to(step(rollback, other)), f"{name} {other}"
    assert see(client, step(rollback, "elsewhere")).status == 404


def test_going_to_another_step_saves_this_one(world: World) -> None:
    rollback = bare(world)
    page = save(rollback, "reason", world, **why(), go="file")
    assert "What keeps the migration from coming back?" in page
    assert factories.again(rollback).forward_fix == "Takes a day."


def test_a_step_that_changes_nothing_is_no_edit(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    form = see(as_(world.alice), step(rollback, "scripts"))
    assert "Saving a change voids 1 approval." in form
    script = rollback.items.get().script_id
    page = save(rollback, "scripts", world, script_1=script)
    assert page.status == 200
    assert factories.again(rollback).status == Status.APPROVED


def test_an_edit_voids_the_approvals_and_makes_it_a_draft(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    save(rollback, "reason", world, **why(incident=rollback.incident_id, reason="It is worse."))
    again = factories.again(rollback)
    assert (again.status, again.reason) == (Status.DRAFT, "It is worse.")
    assert not Approval.objects.filter(rollback=rollback, voided_at=None).exists()


def test_the_way_to_edit_leads_to_the_first_step_that_lacks_something(world: World) -> None:
    rollback, client = bare(world), as_(world.alice)
    address = reverse("rollback_edit", args=[rollback.pk])
    assert client.get(address)["Location"] == step(rollback, "reason")
    complete = rollback_in(world, Status.APPROVED)
    assert client.get(reverse("rollback_edit", args=[complete.pk]))["Location"] == step(complete, "review")


# What the requester says


def test_a_new_incident_is_opened_along_with_the_reason_and_once(world: World) -> None:
    rollback, client = bare(world), as_(world.alice)
    more = {"incident_title": "Payments hang", "incident_impact": "Nobody can pay."}
    data = why(**more, revision=rollback.revision, once="a token")
    for _twice in range(2):
        client.post(step(rollback, "reason"), data)
    incident = factories.again(rollback).incident
    assert incident is not None
    assert (incident.title, incident.impact) == ("Payments hang", "Nobody can pay.")
    assert incident.reason == "Payments hang since the deployment."
    assert (
        Incident.objects.filter(title="Payments hang").count()
        == 1
        + Incident.objects.exclude(pk=incident.pk)
        .filter(title="Payments hang", impact="Payments take a minute.")
        .count()
    )


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("reason", {"incident_title": "Payments hang"}, "A new incident needs this."),
        ("reason", {"incident_impact": "Nobody can pay."}, "A new incident needs a title."),
        ("reason", {"urgency": "whenever"}, "Select a valid choice."),
        ("reason", {"incident": "4711"}, "Select a valid choice."),
        ("file", {"frozen_until": "tomorrow"}, "Enter a valid date/time."),
        ("file", {"frozen_by": "x" * 121}, "at most 120 characters"),
        ("file", {"history_treatment": "burn"}, "Select a valid choice."),
    ],
)
def test_wrong_input_is_told_beside_its_field_and_kept(
    name: str, changes: dict[str, str], words: str, world: World
) -> None:
    rollback = bare(world)
    before = Incident.objects.count()
    data = (why() if name == "reason" else file()) | changes
    page = save(rollback, name, world, **data)
    assert page.status == 400
    assert words in page
    assert ("Payments hang since the deployment." if name == "reason" else "4.17.2") in page.html
    assert factories.again(rollback).revision == rollback.revision
    assert Incident.objects.count() == before


def test_a_field_is_judged_when_it_is_left_and_nothing_is_saved(world: World) -> None:
    rollback, client = bare(world), as_(world.alice)

    def left(name: str, field: str, **data: str) -> Page:
        address = reverse("rollback_field", args=[rollback.pk, name, field])
        return Page(client.post(address, data, headers=HTMX))

    assert "Enter a valid date/time." in left("file", "frozen_until", frozen_until="tomorrow")
    assert "Enter a valid date/time." not in left("file", "frozen_by", frozen_until="tomorrow")
    assert "A new incident needs a title." in left("reason", "incident_title", incident_impact="All.")
    assert left("reason", "frozen_by").status == 404
    assert left("scripts", "script_1").status == 404
    assert factories.again(rollback).revision == rollback.revision
    form = see(client, step(rollback, "file"))
    assert f'hx-post="/rollbacks/{rollback.pk}/form/file/frozen_until/"' in form.html


def test_an_incident_of_another_service_is_no_choice(world: World) -> None:
    from approvals import incidents

    foreign = incidents.open_incident(world.foreign, title="x", reason="x", impact="x", actor=world.eve)
    assert save(bare(world), "reason", world, **why(incident=foreign.pk)).status == 400


def test_the_time_is_shown_in_the_readers_zone(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    RollbackRequest.objects.filter(pk=rollback.pk).update(frozen_until=factories.utc(2026, 3, 2, 8, 0))
    world.alice.time_zone = "Asia/Tokyo"
    world.alice.save()
    page = see(as_(world.alice), step(rollback, "file"))
    assert page.fields["frozen_until"] == "2026-03-02T17:00"
    assert "Frozen until (Asia/Tokyo)" in page


def test_an_edit_of_a_page_that_grew_old_is_a_conflict_and_keeps_the_text(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="From the other window.")
    data = why(incident=rollback.incident_id, reason="From this window.")
    page = save(rollback, "reason", world, **data)
    assert page.status == 409
    assert "Somebody edited" in page
    assert "From this window." in page
    assert factories.again(rollback).reason == "From the other window."
    save(rollback, "reason", world, **data | {"revision": page.fields["revision"]})
    assert factories.again(rollback).reason == "From this window."


def test_wrong_input_does_not_make_an_old_page_new(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="From the other window.")
    page = save(rollback, "file", world, **file(frozen_until="tomorrow"))
    assert page.status == 400
    assert page.fields["revision"] == str(rollback.revision)


def test_a_step_whose_session_ended_is_back_with_its_revision(world: World) -> None:
    from django.contrib.sessions.models import Session

    rollback, client = bare(world), as_(world.alice)
    client.get(step(rollback, "reason"))
    Session.objects.all().delete()
    client.post(step(rollback, "reason"), why(revision=rollback.revision, reason="Typed before."))
    world.alice.set_password("correct horse battery")
    world.alice.save()
    data = {"login": "alice", "password": "correct horse battery", "next": "/kept/"}
    page = Page(client.post("/accounts/login/", data, follow=True))
    assert "You had been signed out when you sent this." in page
    assert "Typed before." in page
    assert page.fields["revision"] == str(rollback.revision)
    assert factories.again(rollback).reason == ""


# Scripts, checklist, review


def test_an_older_script_can_be_chosen_again(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    first = rollback.items.get().script
    second = factories.write_script(world, "3", sql="DROP INDEX wallets_by_user; -- again\n")
    assert save(rollback, "scripts", world, script_1=second.pk).status == 200
    assert rollback.items.get().script == second
    assert first is not None
    assert save(factories.again(rollback), "scripts", world, script_1=first.pk).status == 200
    assert rollback.items.get().script == first
    foreign = RollbackScript.objects.exclude(migration=first.migration)[0]
    assert save(factories.again(rollback), "scripts", world, script_1=foreign.pk).status == 400


def test_the_checklist_takes_what_only_a_person_knows_and_confirms_it_once(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    save(rollback, "checklist", world, dependencies="Searched the code.", stakeholders="")
    done = {point.point: point.done for point in checklist.points(factories.again(rollback))}
    assert done["dependencies"]
    assert not done["stakeholders"]
    before = AuditEvent.objects.count()
    page = see(as_(world.alice), step(rollback, "checklist"))
    assert "Searched the code." in page
    save(rollback, "checklist", world, dependencies="Searched the code.", stakeholders="")
    assert AuditEvent.objects.count() == before


def test_while_the_worker_reads_the_page_looks_again_by_itself(world: World) -> None:
    rollback, client = bare(world), as_(world.alice)
    page = see(client, step(rollback, "checklist"))
    assert "A worker reads wallet-service-production, asked" in page
    assert 'hx-trigger="every 2s"' in page.html


def test_the_last_step_names_what_is_missing_and_leads_there(world: World) -> None:
    rollback = bare(world)
    page = see(as_(world.alice), step(rollback, "review"))
    assert "Ask to roll back V3 on wallet-service-production?" in page
    assert "4 things are missing before it can be submitted." in page
    for name in ("reason", "file", "checklist"):
        assert page.leads_to(step(rollback, name))
    assert "Submit for review: roll back" not in page
    refused = save(rollback, "review", world)
    assert refused.status == 409
    assert "Incident and reason: Name the incident" in refused


def test_submitting_names_action_and_target_and_counts_once(world: World) -> None:
    rollback, client = rollback_in(world, Status.DRAFT), as_(world.alice)
    page = see(client, step(rollback, "review"))
    assert "Submit for review: roll back V3 on wallet-service-production" in page
    data = {"once": page.fields["once"]}
    first = client.post(step(rollback, "review"), data)
    second = client.post(step(rollback, "review"), data)
    assert first["Location"] == f"/rollbacks/{rollback.pk}/"
    assert factories.again(rollback).status == Status.IN_REVIEW
    assert second["Location"] == first["Location"]
    assert factories.trail().count("rollback.submitted") >= 1


def test_what_was_sent_back_is_taken_up_again_from_the_last_step(world: World) -> None:
    rollback = rollback_in(world, Status.CHANGES_REQUESTED)
    page = see(as_(world.alice), step(rollback, "review"))
    assert f"Make {rollback.label} a draft again" in page
    assert page.leads_to(f"/rollbacks/{rollback.pk}/reopen/")


# Who may


@pytest.mark.parametrize("name", ["bob", "ada"])
@pytest.mark.parametrize("page", ["rollback_form", "rollback_script", "rollback_trial"])
def test_nobody_edits_another_s_request_and_the_attempt_is_on_record(
    page: str, name: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    address = reverse(page, args=[rollback.pk, "reason" if page == "rollback_form" else 1])
    assert see(as_(world.people[name]), address).status == 403
    assert send(as_(world.people[name]), address, revision=1).status == 403
    event = AuditEvent.objects.latest("seq")
    assert (event.action, event.actor, event.rollback) == ("rollback.edited.denied", name, rollback.label)


def test_what_is_past_editing_says_so(world: World) -> None:
    rollback = rollback_in(world, Status.EXECUTED)
    page = see(as_(world.alice), step(rollback, "reason"))
    assert page.status == 409
    assert f"{rollback.label} is executed now, so this can't be done." in page
