"""Who signed in, out and who failed to: on record, or in the log where nobody is known."""

from __future__ import annotations

import pytest
from django.test import Client

from approvals.models import AuditEvent
from tests.approvals.factories import World, body, trail

pytestmark = pytest.mark.integration
PASSWORD = "correct horse battery staple"


def attempt(name: str, password: str = PASSWORD) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": name, "password": password})
    return client


@pytest.fixture
def known(world: World) -> World:
    world.dora.set_password(PASSWORD)
    world.dora.save()
    return world


def test_signing_in_and_out_are_events(known: World) -> None:
    client = attempt("dora")
    assert trail()[-1] == "session.began"
    assert body("session.began")["actor"] == "dora"
    client.post("/accounts/logout/")
    assert trail()[-1] == "session.ended"
    assert body("session.ended")["actor"] == "dora"


def test_failed_attempts_are_logged_and_counted_but_not_chained(
    known: World, caplog: pytest.LogCaptureFixture
) -> None:
    before = AuditEvent.objects.latest("seq").seq
    attempt("dora", "wrong password")
    attempt("dora", "wrong again")
    assert AuditEvent.objects.latest("seq").seq == before
    assert "a sign-in as dora failed, 2 since the last one" in caplog.text
    attempt("dora")
    assert body("session.began")["facts"] == {"failed_before": 2}
    attempt("dora")
    assert body("session.began")["facts"] == {"failed_before": 0}


def test_what_was_typed_as_a_name_is_not_written_where_nobody_is_called_so(
    known: World, caplog: pytest.LogCaptureFixture
) -> None:
    before = AuditEvent.objects.latest("seq").seq
    attempt("my secret password", "x")
    assert "no account of this name" in caplog.text
    assert "my secret password" not in caplog.text
    assert AuditEvent.objects.latest("seq").seq == before


def test_a_changed_password_is_an_event_and_not_in_it(known: World) -> None:
    client = attempt("dora")
    new = "another horse battery staple"
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert "account.password_changed" in trail()
    assert new not in AuditEvent.objects.latest("seq").body
