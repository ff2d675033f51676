"""Step-up: the password again, five minutes long, with wrong answers counted and recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals import stepup
from approvals.models import AuditEvent, User
from tests.approvals.factories import World, body, trail
from tests.approvals.views.visits import as_, see, send

pytestmark = pytest.mark.integration
PASSWORD = "correct horse battery staple"


@pytest.fixture
def dora(world: World) -> User:
    world.dora.set_password(PASSWORD)
    world.dora.save()
    return world.dora


def confirmed(client: Client, user: User) -> bool:
    """Whether this session counts as confirmed now."""

    class Request:
        session = client.session

    Request.user = user  # type: ignore[attr-defined]
    return stepup.confirmed_at(Request()) is not None  # type: ignore[arg-type]


def test_signing_in_alone_is_no_proof(dora: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": "dora", "password": PASSWORD})
    assert client.session["_auth_user_id"] == str(dora.pk)
    assert not confirmed(client, dora)


def test_the_right_password_counts_and_leads_back(dora: User) -> None:
    client = as_(dora)
    response = client.post("/confirm/", {"password": PASSWORD, "next": "/rollbacks/7/"})
    assert response["Location"] == "/rollbacks/7/"
    assert confirmed(client, dora)
    assert trail()[-1] == "identity.confirmed"


def test_a_wrong_password_is_said_beside_its_field_and_recorded(dora: User) -> None:
    client = as_(dora)
    page = send(client, "/confirm/", password="wrong", next="/rollbacks/7/")
    assert page.status == 400
    assert 'id="id_password_error"' in page.html
    assert page.fields["next"] == "/rollbacks/7/"
    assert not confirmed(client, dora)
    assert body("identity.confirmed.denied")["actor"] == "dora"
    assert "wrong" not in AuditEvent.objects.latest("seq").body


def test_five_wrong_answers_stop_even_the_right_one_in_any_session(dora: User) -> None:
    for _time in range(5):
        send(as_(dora), "/confirm/", password="wrong")
    page = send(as_(dora), "/confirm/", password=PASSWORD)
    assert page.status == 429
    assert "Too many wrong answers" in page


def test_somebody_else_s_wrong_answers_don_t_count(dora: User, world: World) -> None:
    for _time in range(5):
        send(as_(world.dan), "/confirm/", password="wrong")
    assert as_(dora).post("/confirm/", {"password": PASSWORD}).status_code == 302


def test_wrong_answers_are_forgotten_after_a_while(dora: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _time in range(5):
        send(as_(dora), "/confirm/", password="wrong")
    monkeypatch.setattr(stepup, "WINDOW", timedelta(seconds=-1))
    assert as_(dora).post("/confirm/", {"password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(("minutes", "counts"), [(4, True), (6, False)])
def test_a_proof_lasts_five_minutes(dora: User, minutes: int, counts: bool) -> None:
    client = as_(dora, confirmed=timezone.now() - timedelta(minutes=minutes))
    assert confirmed(client, dora) is counts


def test_a_proof_is_one_person_s(dora: User, world: World) -> None:
    assert not confirmed(as_(dora, confirmed=True), world.dan)


def test_signing_out_ends_it(dora: User) -> None:
    client = as_(dora, confirmed=True)
    client.post("/accounts/logout/")
    client.force_login(dora, backend="django.contrib.auth.backends.ModelBackend")
    assert not confirmed(client, dora)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_it_never_leads_out_of_the_portal(dora: User, elsewhere: str) -> None:
    response = as_(dora).post("/confirm/", {"password": PASSWORD, "next": elsewhere})
    assert response["Location"] == "/"
    assert see(as_(dora), "/confirm/", next=elsewhere).fields["next"] == "/"


def test_a_second_factor_plugs_in(dora: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stepup, "PROOFS", [stepup.password, lambda _user, posted: "" if "code" in posted else "No code."]
    )
    client = as_(dora)
    assert "No code." in send(client, "/confirm/", password=PASSWORD)
    assert client.post("/confirm/", {"password": PASSWORD, "code": "1"}).status_code == 302
