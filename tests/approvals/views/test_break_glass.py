"""Break-glass by its page: who may send what in which state, and where what was forced is marked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import break_glass
from approvals.known import Known
from approvals.models import BreakGlass, ExecutionStatus, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.test_break_glass import asked, closed, confirmed
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration

ASK, CONFIRM = "rollback_break_glass", "rollback_break_glass_confirm"
DISMISS, REVIEW = "rollback_break_glass_dismiss", "rollback_break_glass_review"
STATES = (Status.DRAFT, Status.IN_REVIEW, Status.APPROVED)
EVERYBODY = ("alice", "bob", "eve", "ada", "dora", "lea", "olga", "axel", "adam", "nora")


def post(world: World, name: str, verb: str, rollback: RollbackRequest, **data: object) -> int:
    client = as_(world.people[name], confirmed=True)
    answer: int = client.post(reverse(verb, args=[rollback.pk]), data).status_code
    return answer


def test_who_may_ask_in_which_state(world: World) -> None:
    prepared = {
        status: rollback_in(world, status, "high" if status in STATES[2:] else "production")
        for status in STATES
    }
    closed(world)
    from approvals import windows
    from tests.approvals.test_windows import LATER

    now = timezone.now()
    windows.propose(
        world.high,
        "freeze",
        actor=world.lea,
        begins_at=now - timedelta(hours=1),
        ends_at=LATER,
        reason="Audit.",
    )
    found = {
        (name, status): post(
            world,
            name,
            ASK,
            rollback,
            skips="window",
            reason="Payments are down.",
            digest=again(rollback).request_digest,
        )
        for status, rollback in prepared.items()
        for name in EVERYBODY
    }
    asks = ("alice", "bob", "ada", "olga")
    for (name, status), answer in found.items():
        if name == "eve":
            assert answer == 404, "of another team"
        elif name not in asks:
            assert answer == 403, (name, status)
        else:  # the first of them asked, and until that is answered nobody asks again
            first = name == "alice" and status in (Status.IN_REVIEW, Status.APPROVED)
            assert answer == (302 if first else 409), (name, status)
    assert BreakGlass.objects.count() == 2


def test_who_may_confirm_say_no_and_review(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    glass = asked(world, rollback, world.ada)
    may = {name: post(world, name, CONFIRM, rollback, glass=glass.pk) for name in EVERYBODY if name != "dora"}
    assert may == dict.fromkeys(may, 403) | {"eve": 403}
    assert post(world, "dora", CONFIRM, rollback, glass=glass.pk + 1) == 409
    assert as_(world.dora).post(reverse(CONFIRM, args=[rollback.pk]), {"glass": glass.pk}).status_code == 409
    assert post(world, "dora", CONFIRM, rollback, glass=glass.pk) == 302
    assert post(world, "dan", CONFIRM, rollback, glass=glass.pk) == 409
    assert post(world, "olga", DISMISS, rollback, glass=glass.pk) == 409, (
        "what is confirmed is not taken back"
    )
    assert post(world, "axel", DISMISS, rollback, glass=glass.pk) == 403
    may = {
        name: post(world, name, REVIEW, rollback, glass=glass.pk, review="So.")
        for name in EVERYBODY
        if name != "lea"
    }
    assert may == dict.fromkeys(may, 403)
    assert post(world, "lea", REVIEW, rollback, glass=glass.pk, review=" ") == 409
    assert post(world, "lea", REVIEW, rollback, glass=glass.pk, review="Right.") == 302


def test_a_night_by_its_pages_forced_is_marked_wherever_it_is_read_and_its_review_rings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    olga, dora, axel = (as_(world.people[name], confirmed=True) for name in ("olga", "dora", "axel"))
    review, here = reverse("rollback_detail", args=[rollback.pk]), reverse(ASK, args=[rollback.pk])
    assert see(olga, review).leads_to(here)
    form = see(olga, here)
    assert "windows and freezes" in form
    page = send(olga, here, skips="window", reason="Payments are down.", digest=form.fields["digest"])
    assert "Nothing is skipped before a senior DBA confirms it" in page
    assert "waits for a second person" in page
    assert "Break-glass that waits for a second person" in see(dora, "/")
    assert "It waits for a senior DBA" in see(dora, review)
    assert "Forced" not in see(olga, "/rollbacks/")
    (glass,) = rollback.break_glass.all()
    page = send(dora, reverse(CONFIRM, args=[rollback.pk]), glass=glass.pk)
    assert "The rollback is marked as forced" in page
    assert "2 forced" in see(olga, review)
    assert "Open; nothing" not in see(olga, review)
    execution = factories.executed(world, rollback, ExecutionStatus.SUCCEEDED)
    incident = rollback.incident
    assert incident is not None
    shown = {
        "/rollbacks/": "Forced",
        "/rollbacks/?forced=on": rollback.label,
        "/": "Forced",
        review: "Forced by break-glass: windows and freezes. Olga asked, Dora confirmed it",
        reverse("execution_detail", args=[execution.pk]): "Forced by break-glass",
        reverse("incident_detail", args=[incident.pk]): "Forced by break-glass",
        reverse("rollback_story", args=[rollback.pk]): "confirmed break-glass: the rollback is forced",
        f"/search/?q={rollback.label}": "Forced",
        "/audit/": "forced",
        here: "open, due",
    }
    for address, words in shown.items():
        assert words in see(axel, address), address
    assert "Reviews of break-glass" in see(axel, "/")
    assert "overdue" not in see(axel, "/")
    assert glass.due_at is None
    late = timezone.now() + timedelta(hours=49)
    monkeypatch.setattr(BreakGlass, "overdue", property(lambda g: g.is_open and g.due_at < late))
    for client in (axel, olga, dora):
        assert "1 review of break-glass is overdue" in see(client, "/")
    lea = as_(world.lea)
    page = send(
        lea, reverse(REVIEW, args=[rollback.pk]), glass=glass.pk, review="Right; the window is too short."
    )
    assert "The review is closed." in page
    assert "the window is too short" in see(axel, reverse("incident_detail", args=[incident.pk]))
    assert "break-glass" not in see(axel, "/").text.lower()


def test_a_proof_of_identity_that_is_too_old_leads_to_a_new_one(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    asked(world, rollback)
    page = see(as_(world.dora), reverse(ASK, args=[rollback.pk]))
    assert page.leads_to("/confirm/")
    assert not page.leads_to(reverse(CONFIRM, args=[rollback.pk]))


def test_what_is_read_of_it_takes_one_query_more_however_often_it_was_used(world: World) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    for _time in range(2):
        break_glass.dismiss(asked(world, rollback), actor=world.dora)
    confirmed(asked(world, rollback), world.dora)
    with CaptureQueriesContext(connection) as captured:
        known = Known(again(rollback))
        assert len(known.break_glass) == 3
        assert known.forced_by(BreakGlass.Skip.WINDOW) is not None
        assert [str(each.confirmed_by) for each in known.break_glass] == ["Dora", "None", "None"]
    assert len(captured) == 2
    assert len(break_glass.confirmed(again(rollback))) == 1
