"""Deciding on a rollback: the page that is signed, who may sign it, what stays of a refused signature."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals import comments, rollbacks
from approvals.models import Approval, AuditEvent, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


def url(rollback: RollbackRequest, decision: str = "approve") -> str:
    return reverse("rollback_decide", args=[rollback.pk, decision])


def sign(client: Client, rollback: RollbackRequest, decision: str = "approve", **changes: Any) -> Page:
    """Send the form as its page shows it, with these changes."""
    data = {"digest": rollback.request_digest, "role": "senior_dba"} | changes
    return send(client, url(rollback, decision), **data)


def test_the_page_shows_all_that_is_signed_with_digests_in_full(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    page = see(as_(world.dora, confirmed=True), url(rollback))
    assert "You sign this" in page
    assert rollback.request_digest in page
    for item in rollback.items.all():
        assert item.script is not None
        assert item.script.sha256 in page
    assert "history rank 5" in page
    assert "transactions: 120,000 rows" in page
    assert "Approve for wallet-service-critical" in page


def test_a_low_risk_is_approved_with_one_signature(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    page = sign(as_(world.dora, confirmed=True), rollback, comment="Fine.")
    assert "Approved, and complete. Nothing runs until ops start it." in page
    approval = Approval.objects.get(rollback=rollback)
    assert (approval.approver, approval.role, approval.comment) == (world.dora, "senior_dba", "Fine.")
    assert factories.again(rollback).status == Status.APPROVED


def test_high_ticks_what_stays_lost(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    client = as_(world.dora, confirmed=True)
    words = see(client, url(rollback)).fields["ticked"]
    refused = sign(client, rollback, comment="Looks right.")
    assert refused.status == 409
    assert f"Acknowledge what stays lost, in these words: {words}" in refused
    assert "Looks right." in refused
    assert "Approved. More signatures are missing." in sign(client, rollback, ticked=words)
    assert Approval.objects.get(rollback=rollback).acknowledged == words


def test_a_tick_of_older_words_acknowledges_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    page = sign(as_(world.dora, confirmed=True), rollback, ticked="nothing at all")
    assert page.status == 400
    assert "What stays lost was counted anew. Read it again, then tick it." in page
    assert not Approval.objects.filter(rollback=rollback).exists()


def test_critical_types_what_stays_lost(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    client = as_(world.dora, confirmed=True)
    assert "ticked" not in see(client, url(rollback)).fields
    wrong = sign(client, rollback, typed="transactions: some rows")
    assert wrong.status == 409
    assert "transactions: some rows" in wrong, "what was typed is kept"
    assert "Approved." in sign(client, rollback, typed="Transactions:  120,000 rows")


def test_a_role_is_chosen_by_whoever_holds_two(world: World) -> None:
    world.dora.groups.add(*world.lea.groups.all())
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    client = as_(world.again("dora"), confirmed=True)
    page = see(client, url(rollback))
    assert "You sign as" in page
    sign(client, rollback, role="platform_lead", typed="transactions: 120,000 rows")
    assert Approval.objects.get(rollback=rollback).role == "platform_lead"
    assert sign(as_(world.dan, confirmed=True), rollback, role="platform_lead").status == 400


@pytest.mark.parametrize(
    ("decision", "status", "words"),
    [
        ("reject", Status.REJECTED, "Rejected. Nothing will run."),
        ("request_changes", Status.CHANGES_REQUESTED, "Changes are requested; Alice reads why."),
    ],
)
@pytest.mark.parametrize("before", [Status.IN_REVIEW, Status.APPROVED])
def test_saying_no_takes_a_reason(
    before: Status, decision: str, status: Status, words: str, world: World
) -> None:
    rollback = rollback_in(world, before)
    client = as_(world.dan, confirmed=True)
    empty = sign(client, rollback, decision)
    assert empty.status == 400
    assert "This field is required." in empty
    page = sign(client, rollback, decision, comment="The check proves nothing.")
    assert words in page
    assert "The check proves nothing." in page
    assert factories.again(rollback).status == status


def test_without_a_fresh_proof_the_page_asks_for_it_first(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    response = as_(world.dora).get(url(rollback), {"digest": rollback.request_digest})
    assert response.status_code == 302
    assert response["Location"].startswith(f"{reverse('confirm')}?next=%2Frollbacks%2F{rollback.pk}%2Fdecide")


def test_a_proof_that_grew_old_meanwhile_keeps_the_comment_over_the_confirmation(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=timezone.now() - timedelta(minutes=6))
    page = sign(client, rollback, comment="Looked at every line.")
    assert page.status == 409
    assert "Confirm your password first" in page
    assert page.leads_to(reverse("confirm"))
    assert not Approval.objects.filter(rollback=rollback).exists()
    world.dora.set_password("a long enough password")
    world.dora.save()
    client = as_(world.dora, confirmed=timezone.now() - timedelta(minutes=6))
    sign(client, rollback, comment="Looked at every line.")
    back = Page(
        client.post(
            reverse("confirm"), {"password": "a long enough password", "next": url(rollback)}, follow=True
        )
    )
    assert "You sign this" in back
    assert "Looked at every line." in back
    assert "Approved, and complete." in sign(client, rollback, comment="Looked at every line.")
    assert "Looked at every line." not in see(client, url(rollback)).fields.values()


def test_a_page_of_an_older_digest_can_not_be_signed(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    seen = rollback.request_digest
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="Worse than we thought.")
    factories.confirm_checklist(world, factories.again(rollback))
    rollbacks.submit(rollback, actor=world.alice)
    client = as_(world.dora, confirmed=True)
    opened = see(client, url(rollback), digest=seen)
    assert opened.status == 409
    assert "was changed since you opened its page. Read it again, then decide." in opened
    assert "Approve for" not in opened
    sent = sign(client, factories.again(rollback), digest=seen, comment="Fine.")
    assert sent.status == 409
    assert "was changed since you opened the page" in sent
    assert "Fine." in sent
    assert not Approval.objects.filter(rollback=rollback).exists()


def test_the_requester_is_denied_by_page_and_by_post_and_it_is_on_record(world: World) -> None:
    world.alice.groups.add(*world.dora.groups.all())
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.again("alice"), confirmed=True)
    page = see(client, url(rollback))
    assert "You asked for this rollback, so you can't decide on it." in page
    for data in ({}, {"role": "senior_dba", "digest": rollback.request_digest}):
        answer = send(client, url(rollback), **data)
        assert answer.status == 403
        assert "You asked for this rollback, so you can't decide on it." in answer
        event = AuditEvent.objects.latest("seq")
        assert (event.action, event.actor) == ("rollback.approved.denied", "alice")
    assert not Approval.objects.filter(rollback=rollback).exists()


def test_an_author_is_denied_and_it_is_on_record(world: World) -> None:
    world.bob.groups.add(*world.dora.groups.all())
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert sign(as_(world.again("bob"), confirmed=True), rollback).status == 403
    assert AuditEvent.objects.latest("seq").action == "rollback.approved.denied"


@pytest.mark.parametrize("name", ["alice", "olga", "axel", "adam"])
def test_nobody_without_the_role_gets_as_far_as_the_form(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert see(as_(world.people[name], confirmed=True), url(rollback)).status == 403
    assert sign(as_(world.people[name], confirmed=True), rollback).status == 403
    event = AuditEvent.objects.latest("seq")
    assert (event.action, event.actor) == ("page.opened.denied", name)


@pytest.mark.parametrize("status", [Status.DRAFT, Status.EXECUTED, Status.REJECTED])
def test_what_can_not_be_decided_says_so_instead_of_showing_a_form(status: Status, world: World) -> None:
    page = see(as_(world.dora, confirmed=True), url(rollback_in(world, status)))
    assert page.status == 409
    assert "You sign this" not in page


def test_a_decision_that_does_not_exist_is_not_found(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert see(as_(world.dora, confirmed=True), url(rollback, "maybe")).status == 404


def test_the_decision_page_takes_as_many_queries_for_three_migrations(world: World, queries_of: Any) -> None:
    one = rollback_in(world, Status.IN_REVIEW, "critical")
    three = factories.submitted(world, factories.draft(world, "5", "4", "3", where=world.critical))
    client = as_(world.dora, confirmed=True)
    assert queries_of(client, url(one)) == queries_of(client, url(three))


# Two reviewers at once


def test_who_decides_after_the_change_was_edited_sees_who_was_faster_what_differs_and_keeps_the_words(
    world: World,
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    see(client, reverse("rollback_detail", args=[rollback.pk]))
    form = see(client, url(rollback)).fields
    script = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    edited = rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, scripts=[script])
    factories.read_facts(edited)
    factories.submitted(world, factories.again(rollback))
    page = send(client, url(rollback), **form | {"comment": "Read every line."})
    assert page.status == 409
    assert "Nothing was recorded:" in page
    assert "Alice edited the rollback" in page
    assert "V3: script revision 1 became 2" in page
    assert "<del>DROP INDEX wallets_by_user;</del>" in page.html
    assert "<ins>DROP INDEX IF EXISTS wallets_by_user;</ins>" in page.html
    assert "Read every line." in page
    assert "Approve for" not in page
    assert not Approval.objects.filter(rollback=rollback).exists()
    assert "Read every line." in see(client, url(rollback)), "it stands in the form again"


@pytest.mark.parametrize("mine", ["approve", "request_changes"])
def test_who_decides_after_another_rejected_it_reads_that_and_nothing_is_recorded(
    mine: str, world: World
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    form = see(client, url(rollback, mine)).fields
    factories.decide(world, rollback, world.dan, Approval.Decision.REJECT, comment="Wrong database.")
    page = send(client, url(rollback, mine), **form | {"comment": "Fine by me."})
    assert page.status == 409
    assert "Nothing was recorded: Dan was faster." in page
    assert f"{rollback.label} is rejected now, so this can't be done." in page
    assert "Dan rejected the rollback" in page
    assert "Fine by me." in page
    assert Approval.objects.filter(rollback=rollback, approver=world.dora).count() == 0


def test_the_last_signature_of_two_who_sign_at_once_is_refused_with_who_gave_it(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    dora, dan = as_(world.dora, confirmed=True), as_(world.dan, confirmed=True)
    forms = [see(client, url(rollback)).fields for client in (dora, dan)]
    assert "Approved, and complete." in send(dora, url(rollback), **forms[0])
    page = send(dan, url(rollback), **forms[1] | {"comment": "Me too."})
    assert page.status == 409
    assert "Nothing was recorded: Dora was faster." in page
    assert Approval.objects.filter(rollback=rollback).count() == 1


def test_who_signs_reads_first_what_was_said_meanwhile_and_may_sign_then(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    form = see(client, url(rollback)).fields
    comments.open_thread(rollback, actor=world.dan, text="Wait: the nightly job still reads it.")
    page = send(client, url(rollback), **form | {"comment": "Fine."})
    assert page.status == 409
    assert "Somebody commented since you opened this page. Read it, then decide." in page
    assert "Wait: the nightly job still reads it." in page
    assert "Fine." in page
    assert not Approval.objects.filter(rollback=rollback).exists()
    assert "Approved, and complete." in send(client, url(rollback), **page.fields | {"comment": "Fine."})


def test_saying_no_waits_for_no_comment(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    form = see(client, url(rollback, "reject")).fields
    comments.open_thread(rollback, actor=world.dan, text="Wait.")
    assert "Rejected. Nothing will run." in send(
        client, url(rollback, "reject"), **form | {"comment": "Not tonight."}
    )


def test_what_was_said_between_review_and_decision_stands_on_the_decision_page(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    reviewed = see(client, reverse("rollback_detail", args=[rollback.pk]))
    comments.open_thread(rollback, actor=world.dan, text="One question first.")
    link = next(each for each in reviewed.links if each.startswith(url(rollback)))
    page = Page(client.get(link))
    assert page.status == 200
    assert "One question first." in page
    assert "Approved, and complete." in send(client, url(rollback), **page.fields)


@pytest.mark.parametrize("seen", ["x", "-1", "9" * 40, "²"])
def test_an_odd_number_of_the_newest_event_breaks_nothing(seen: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora, confirmed=True)
    page = see(client, url(rollback), seen=seen)
    assert page.status == 200
    assert send(client, url(rollback), **page.fields | {"seen": seen}).status == 400
