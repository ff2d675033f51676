"""The list of rollbacks, the review page for everybody in every status, and the verbs without a page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import executions, rollbacks
from approvals.models import (
    AuditEvent,
    ExecutionStatus,
    Job,
    RollbackRequest,
    RollbackTarget,
    Status,
    User,
)
from approvals.models.rollbacks import RollbackItem
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


def url(name: str, rollback: RollbackRequest, *more: object) -> str:
    return reverse(name, args=[rollback.pk, *more])


def review(rollback: RollbackRequest, person: User) -> Page:
    return see(as_(person), url("rollback_detail", rollback))


def test_the_list_filters_by_status_service_risk_and_mine(world: World) -> None:
    listed = reverse("rollback_list")
    expired = rollback_in(world, Status.CANCELLED)
    client = as_(world.alice)
    assert expired.label in see(client, listed, status="cancelled")
    assert expired.label not in see(client, listed, status="approved")
    assert "9 rollbacks" in see(client, listed)
    assert "3 rollbacks" in see(client, listed, risk="5")
    assert "9 rollbacks" in see(client, listed, service="wallet-service", mine="on")
    assert "0 rollbacks" in see(as_(world.bob), listed, mine="on")
    assert "No rollback matches these filters." in see(as_(world.bob), listed, mine="on")


def test_the_list_sorts_by_risk_and_by_what_ends_first(world: World) -> None:
    page = see(as_(world.axel), reverse("rollback_list"), sort="risk")
    words = [word for word in page.text.split() if word in ("CRITICAL", "HIGH", "LOW")]
    words = words[words.index("CRITICAL", 3) :]  # the first ones are the filter's choices
    assert words == sorted(words, key=["CRITICAL", "HIGH", "LOW"].index)
    soonest = rollback_in(world, Status.APPROVED)
    RollbackRequest.objects.filter(pk=soonest.pk).update(expires_at=timezone.now() + timedelta(minutes=5))
    page = see(as_(world.axel), reverse("rollback_list"), sort="expiry")
    first = min((page.text.index(r.label), r.label) for r in RollbackRequest.objects.all())
    assert first[1] == soonest.label


@pytest.mark.parametrize(
    ("status", "word"),
    [(ExecutionStatus.UNRESOLVED, "Unresolved"), (ExecutionStatus.AWAITING_RESTART, "Awaiting restart")],
)
def test_lists_say_what_waits_for_people_instead_of_executing(
    status: ExecutionStatus, word: str, world: World
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    factories.executed(world, rollback, status)
    assert RollbackRequest.objects.get(pk=rollback.pk).status == Status.EXECUTING
    assert word in see(as_(world.dora), reverse("rollback_list"))
    assert word in see(as_(world.dora), reverse("search"), q=rollback.label)
    assert word in see(as_(world.dora), reverse("person", args=["alice"]))


@pytest.mark.parametrize(
    "query", [{"status": "x"}, {"risk": "9"}, {"service": "nobody's"}, {"sort": "x"}, {"page": "x"}]
)
def test_a_filter_that_makes_no_sense_is_told_and_filters_nothing(
    world: World, query: dict[str, str]
) -> None:
    page = see(as_(world.axel), reverse("rollback_list"), **query)
    assert page.status == 200
    assert "9 rollbacks" in page


def test_a_foreign_engineer_sees_neither_the_row_nor_the_page(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert rollback.label not in see(as_(world.eve), reverse("rollback_list"))
    assert review(rollback, world.eve).status == 404


def test_the_list_takes_as_many_queries_for_a_thousand_as_for_ten(world: World, queries_of: Any) -> None:
    few = queries_of(as_(world.axel), reverse("rollback_list"))
    made = RollbackRequest.objects.bulk_create(
        RollbackRequest(service=world.service, requester=world.alice) for _n in range(1000)
    )
    migration = world.migration("3")
    revision = migration.revisions.get()
    RollbackItem.objects.bulk_create(
        RollbackItem(rollback=r, position=1, migration=migration, revision=revision) for r in made
    )
    RollbackTarget.objects.bulk_create(RollbackTarget(rollback=r, target=world.production) for r in made)
    assert queries_of(as_(world.axel), reverse("rollback_list")) == few
    assert "1009 rollbacks" in see(as_(world.axel), reverse("rollback_list"))


@pytest.mark.parametrize("status", Status)
def test_everybody_who_sees_it_can_read_it_in_every_status(status: Status, world: World) -> None:
    rollback = rollback_in(world, status, "high")
    for name in ("alice", "dora", "olga", "axel"):
        page = review(rollback, world.people[name])
        assert page.status == 200
        assert "Roll back V4 on wallet-service-high" in page
        assert rollback.change_digest in page, "the digest stands there in full"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (Status.DRAFT, "A draft that can be submitted for review."),
        (Status.IN_REVIEW, "2 approvals are missing, and one can be yours."),
        (Status.APPROVED, "Approved. Nothing runs until ops start it."),
        (Status.EXECUTING, "is under way: queued."),
        (Status.EXECUTED, "It is taken back, committed and verified."),
        (Status.PARTLY_EXECUTED, "It is taken back on some of its targets, and not on the others."),
        (Status.CHANGES_REQUESTED, "Dora asked for changes. Read it all."),
        (Status.REJECTED, "Dora rejected it. Nothing ran. Read it all."),
        (Status.CANCELLED, "Alice withdrew it: “Not needed any more.” Nothing ran."),
        (Status.EXPIRED, "It expired: the time to decide or to execute was over. Nothing ran."),
        (Status.FAILED, "Nothing changed on the target: the execution was rolled back."),
    ],
)
def test_the_verdict_says_first_how_it_stands(status: Status, sentence: str, world: World) -> None:
    assert sentence in review(rollback_in(world, status, "high"), world.dora)


@pytest.mark.parametrize(
    ("status", "name", "there"),
    [
        (Status.DRAFT, "axel", False),
        (Status.CANCELLED, "axel", False),
        (Status.EXECUTED, "alice", False),
        (Status.DRAFT, "alice", True),
        (Status.IN_REVIEW, "axel", True),
    ],
)
def test_a_bar_that_only_says_that_one_may_read_is_not_there(
    status: Status, name: str, there: bool, world: World
) -> None:
    page = review(rollback_in(world, status, "high"), world.people[name])
    assert ('class="decide"' in page.html) is there


def test_where_nobody_has_to_sign_a_draft_waits_for_its_checklist_too(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT, "staging")
    assert "A draft: 1 thing is missing before it can be submitted." in review(rollback, world.alice)
    factories.confirm_checklist(world, rollback)
    page = send(as_(world.alice), url("rollback_submit", rollback))
    assert "Approved. Nothing runs until ops start it." in page
    assert "The policy asks for no signature here." in page


def test_the_page_shows_what_is_signed_statement_by_statement(world: World) -> None:
    page = review(rollback_in(world, Status.IN_REVIEW, "critical"), world.dora)
    assert "Creates table transactions" in page, "what the migration did"
    assert "Drops table transactions." in page, "what the script does"
    assert "ACCESS EXCLUSIVE Blocks all reads and writes." in page
    assert "transactions: 120,000 rows" in page
    assert "The table is gone" in page
    assert "Rank 5 , version 5 , SQL" in page
    assert "The whole script, every byte" in page


def test_the_page_shows_the_evidence_with_its_date_and_the_signatures_by_role(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    factories.decide(world, rollback, world.dora, comment="Counted it myself.")
    page = review(rollback, world.lea)
    assert "Passed on a clone." in page
    assert "Backup verified." in page
    assert "Read the target: 1 table." in page
    assert "Acknowledged: transactions: 120,000 rows" in page
    assert "Counted it myself." in page
    assert page.text.count("not signed yet") == 2
    assert "Never Alice, who asked, nor an author of a script." in page


def test_what_is_over_names_nobody_who_could_still_sign(world: World) -> None:
    page = review(rollback_in(world, Status.CANCELLED), world.dora)
    assert "no signature that counts" in page.text
    assert "not signed yet" not in page.text
    assert "can be:" not in page.text


def test_the_gates_stand_as_one_list_missing_first_with_who_can_supply_them(world: World) -> None:
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    page = review(rollback, world.alice)
    first, holding = (
        page.text.index("Incident and reason Name the incident"),
        page.text.index("Scripts are readable Every"),
    )
    assert first < holding
    assert "Can supply it: Alice, who asks for it." in page
    assert "Submit for review: Missing: Incident and reason;" in page


def test_an_edited_change_says_that_earlier_rehearsals_prove_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    script = factories.write_script(world, "3", sql="DROP INDEX wallets_by_user; -- again\n")
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, scripts=[script])
    page = review(rollback, world.alice)
    assert "Earlier rehearsals were of other bytes and prove nothing about these." in page
    assert "1 decision that no longer counts" in page
    assert "void: edited" in page


def test_a_rehearsal_under_way_is_linked(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    execution = executions.ask_for_rehearsal(rollback, actor=world.alice)
    page = review(rollback, world.alice)
    assert page.leads_to(reverse("execution_detail", args=[execution.pk]))
    assert "A rehearsal is under way." in page


def test_a_refused_script_shows_its_line_and_column(world: World) -> None:
    script = factories.write_script(world, "3", sql="DROP INDEX wallets_by_user;\nSAVEPOINT a;\n")
    rollback = factories.draft(world)
    assert rollback.items.get().script == script
    assert "Refused at line 2, column 1." in review(rollback, world.alice)


@pytest.mark.parametrize(
    ("name", "status", "there", "missing"),
    [
        (
            "alice",
            Status.DRAFT,
            ["rollback_submit", "rollback_edit", "rollback_withdraw"],
            ["rollback_start"],
        ),
        ("alice", Status.IN_REVIEW, ["rollback_edit", "rollback_withdraw"], ["rollback_submit"]),
        ("alice", Status.FAILED, ["rollback_reopen"], ["rollback_edit"]),
        ("olga", Status.APPROVED, ["rollback_start", "rollback_rehearse"], ["rollback_edit"]),
        ("adam", Status.APPROVED, ["rollback_facts"], ["rollback_start", "rollback_rehearse"]),
        ("axel", Status.APPROVED, ["rollback_story"], ["rollback_facts", "rollback_comment"]),
    ],
)
def test_only_what_this_person_may_do_is_offered(
    name: str, status: Status, there: list[str], missing: list[str], world: World
) -> None:
    rollback = rollback_in(world, status)
    Job.objects.update(state=Job.State.DONE)
    page = review(rollback, world.people[name])
    assert [each for each in there if not page.leads_to(url(each, rollback))] == []
    assert [each for each in missing if page.leads_to(url(each, rollback))] == []


def test_the_review_page_takes_as_many_queries_for_three_migrations_as_for_one(
    world: World, queries_of
) -> None:  # type: ignore[no-untyped-def]
    one = rollback_in(world, Status.IN_REVIEW, "critical")
    three = factories.submitted(world, factories.draft(world, "5", "4", "3", where=world.critical))
    client = as_(world.dora)
    assert queries_of(client, url("rollback_detail", one)) == queries_of(
        client, url("rollback_detail", three)
    )


def test_submitting_a_complete_draft_sends_it_to_its_approvers(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    page = send(as_(world.alice), url("rollback_submit", rollback))
    assert "Submitted for review." in page
    assert factories.again(rollback).status == Status.IN_REVIEW


def test_submitting_an_incomplete_draft_is_refused_with_what_is_missing(world: World) -> None:
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    page = send(as_(world.alice), url("rollback_submit", rollback))
    assert page.status == 409
    assert "Incident and reason: Name the incident and say why the migration must be undone." in page


def test_a_colleague_cannot_submit_and_the_attempt_is_on_record(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    page = send(as_(world.bob), url("rollback_submit", rollback))
    assert page.status == 403
    assert "Only Alice, who asked for this rollback, can do this." in page
    assert AuditEvent.objects.latest("seq").action == "rollback.submitted.denied"


def test_withdrawing_takes_a_reason_and_keeps_what_was_typed(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert send(as_(world.alice), url("rollback_withdraw", rollback), reason=" ").status == 409
    page = send(as_(world.alice), url("rollback_withdraw", rollback), reason="A forward fix is out.")
    assert "Withdrawn. Nothing will run." in page
    page = send(as_(world.alice), url("rollback_withdraw", rollback), reason="Once more.")
    assert page.status == 409
    assert "is cancelled and can't become cancelled" in page


def test_a_rehearsal_asked_for_here_opens_its_page(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    page = send(as_(world.alice), url("rollback_rehearse", rollback))
    assert "Rehearsing the rollback of V3 on a clone of wallet-service-production" in page
    page = send(as_(world.alice), url("rollback_rehearse", rollback))
    assert page.status == 409
    assert f"A rehearsal of {rollback.label} is under way." in page


def test_facts_are_asked_for_again(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    Job.objects.update(state=Job.State.DONE)
    page = send(as_(world.lea), url("rollback_facts", rollback))
    assert "A worker was asked to read the target." in page
    assert Job.objects.filter(kind=Job.Kind.FACTS, subject=rollback.pk, state=Job.State.WAITING).count() == 1


def test_a_point_of_the_checklist_is_confirmed_with_a_note(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    confirm = url("rollback_confirm", rollback, "stakeholders")
    assert "Write what you made sure of" in send(as_(world.alice), confirm, note="")
    assert "“Told ops and the payments team.” Alice" in send(
        as_(world.alice), confirm, note="Told ops and the payments team."
    )
    assert send(as_(world.alice), url("rollback_confirm", rollback, "backup"), note="x").status == 409
    assert send(as_(world.alice), url("rollback_confirm", rollback, "nonsense"), note="x").status == 404
    assert send(as_(world.bob), confirm, note="x").status == 403


def test_a_failed_rollback_becomes_a_draft_again_unless_it_was_edited_meanwhile(world: World) -> None:
    rollback = rollback_in(world, Status.FAILED)
    stale = send(as_(world.alice), url("rollback_reopen", rollback), revision=rollback.revision + 1)
    assert stale.status == 409
    for odd in ("", "x", "-1", "9" * 30, "²"):
        assert send(as_(world.alice), url("rollback_reopen", rollback), revision=odd).status == 409
    page = send(as_(world.alice), url("rollback_reopen", rollback), revision=rollback.revision)
    assert "It is a draft again." in page
    assert factories.again(rollback).status == Status.DRAFT


@pytest.mark.parametrize("status", [Status.EXECUTING, Status.EXECUTED, Status.FAILED, Status.CANCELLED])
def test_what_has_begun_or_ended_is_not_judged_by_later_facts(world: World, status: Status) -> None:
    page = review(rollback_in(world, status), world.axel)
    assert "Gates not asked any more" in page
    assert "The history is as it was pinned" not in page
    still_asked = "The file is taken care of" in page
    assert still_asked == (status in (Status.EXECUTING, Status.EXECUTED))


def test_the_review_tells_which_statement_takes_which_rows(world: World) -> None:
    factories.write_script(world, "3", sql="DELETE FROM wallets WHERE id < 9;\nSELECT clean_up();\n")
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    said = {"becomes": None, "stops": 0, "since": None, "estimated_at": None, "exact": True, "unknown": None}
    rows = {"kind": "rows", "relation": ["public", "wallets"], "name": "wallets", "column": None, "count": 8}
    counted = {"condition": "id < 9", "whole": False, "places": ["V3, line 1"], "statements": 1}
    hidden = {"kind": "unknown", "name": "", "count": None, "exact": False, "unknown": "Calls clean_up()."}
    entries = [said | rows | counted, hidden | {"places": ["V3, line 2"], "statements": 1}]
    factories.read_facts(rollback, factories.FACTS | {"goes": entries})
    page = review(rollback, world.axel)
    assert "wallets: 8 rows" in page
    assert "V3, line 2: an unknown number of rows" in page
    assert "rows of public.wallets where id < 9 by V3, line 1" in page
    assert "Calls clean_up(). not known" in page
    assert "No data goes" not in page
