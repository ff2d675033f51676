"""A form that was sent after its session had ended does nothing and loses nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from approvals import kept
from approvals.models import Incident, Status
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see

pytestmark = pytest.mark.integration

NEW = "/incidents/new/"
SENTENCE = "You had been signed out when you sent this."


def lapsed(world: World, name: str = "alice", page: str = "/") -> Client:
    """A browser that showed this person a page before their session ended."""
    client = as_(world.people[name])
    client.get(page)
    Session.objects.all().delete()
    return client


def typed(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "service": world.service.pk,
        "title": "Payments hang",
        "reason": "First line,\nsecond “line”.",
        "impact": "",
    } | changes


def sign_in(client: Client, world: World, name: str = "alice") -> Page:
    """Sign in where the refusal led, and follow to where that leads."""
    user = world.people[name]
    user.set_password("correct horse battery")
    user.save()
    data = {"login": name, "password": "correct horse battery", "next": "/kept/"}
    return Page(client.post("/accounts/login/", data, follow=True))


def test_what_was_sent_is_back_in_its_form_after_signing_in_and_nothing_was_done(world: World) -> None:
    client, before = lapsed(world), Incident.objects.count()
    refused = client.post(NEW, typed(world))
    assert refused["Location"] == "/accounts/login/?next=%2Fkept%2F"
    assert "What you entered is kept for you for an hour" in see(client, refused["Location"])
    page = sign_in(client, world)
    assert SENTENCE in page
    assert page.fields["title"] == "Payments hang"
    assert "First line,\nsecond “line”." in page.html
    assert "field-errors" not in page.html, "nothing was sent, so nothing is wrong"
    assert Incident.objects.count() == before
    assert SENTENCE not in see(client, NEW), "shown once; it is on the page now"


def test_somebody_else_who_signs_in_never_sees_it(world: World) -> None:
    client = lapsed(world)
    client.post(NEW, typed(world))
    page = sign_in(client, world, "bob")
    assert "Nothing is kept" in page
    for address in (NEW, "/kept/"):
        assert "Payments hang" not in see(client, address).html
    assert kept.SESSION_KEY not in client.session
    client.logout()
    assert "Nothing is kept" in sign_in(client, world), "and it is gone for good"


def test_a_browser_that_never_showed_a_page_keeps_nothing(world: World) -> None:
    client = Client()
    assert client.post(NEW, typed(world))["Location"] == "/accounts/login/?next=%2F"
    client.cookies[kept.COOKIE] = f"{world.alice.pk}:forged"
    assert client.post(NEW, typed(world))["Location"] == "/accounts/login/?next=%2F"
    assert not Session.objects.exists()


def test_it_is_kept_for_an_hour(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = lapsed(world)
    client.post(NEW, typed(world))
    later = timezone.now() + timedelta(minutes=61)
    monkeypatch.setattr("approvals.kept.timezone.now", lambda: later)
    assert "Nothing is kept" in sign_in(client, world)


def test_what_has_no_page_is_shown_on_one_of_its_own_and_sent_by_a_press_only(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    address = f"/rollbacks/{rollback.pk}/withdraw/"
    client = lapsed(world)
    client.post(address, {"reason": "Not needed <b>any</b> more."})
    page = sign_in(client, world)
    assert "Withdraw the rollback?" in page
    assert "Not needed <b>any</b> more." in page
    assert address in page.forms
    rollback.refresh_from_db()
    assert rollback.status == Status.DRAFT
    client.post(address, {"reason": page.fields["reason"]})
    rollback.refresh_from_db()
    assert (rollback.status, rollback.withdrawn_because) == ("cancelled", "Not needed <b>any</b> more.")
    assert "Nothing is kept" in see(client, "/kept/"), "what was sent is settled"


def test_a_page_that_has_no_field_for_it_leads_to_the_general_one(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = lapsed(world, "dora")
    client.post(f"/rollbacks/{rollback.pk}/decide/reject/", {"comment": "It drops too much."})
    page = sign_in(client, world, "dora")
    assert "It drops too much." in page


def test_passwords_tokens_and_files_are_not_kept(world: World) -> None:
    client = lapsed(world)
    file = SimpleUploadedFile("down.sql", b"DROP TABLE wallets;")
    client.post(NEW, typed(world, password="hidden", new_password1="hidden", once="t", file=file))
    stored = client.session[kept.SESSION_KEY]
    assert sorted(stored["fields"]) == ["impact", "reason", "service", "title"]
    assert stored["files"] == ["down.sql"]
    assert client.post("/confirm/", {"password": "hidden", "next": "/x"})["Location"].endswith("next=%2F")
    assert client.session[kept.SESSION_KEY] == stored


def test_more_than_a_form_may_hold_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LONGEST", 40)
    assert lapsed(world).post(NEW, typed(world))["Location"].endswith("next=%2F")


def test_a_part_of_a_page_gets_no_sign_in_form(world: World) -> None:
    client = lapsed(world)
    answer = client.post(NEW, typed(world), headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (401, b"")
