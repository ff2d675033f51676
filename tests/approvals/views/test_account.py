"""Signing in and out, one's own account, and the pages for when something is wrong."""

from __future__ import annotations

import pytest
from django.test import Client

from approvals.models import User
from approvals.views import matrix
from tests.approvals.factories import World, trail
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration
PASSWORD = "correct horse battery staple"


@pytest.fixture
def dora(world: World) -> User:
    world.dora.set_password(PASSWORD)
    world.dora.save()
    return world.dora


def test_signing_in_leads_to_where_one_wanted_to_go(dora: User) -> None:
    response = Client().post("/accounts/login/?next=/matrix/", {"login": "dora", "password": PASSWORD})
    assert response["Location"] == "/matrix/"


def test_signing_in_never_leads_elsewhere(dora: User) -> None:
    fields = {"login": "dora", "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post("/accounts/login/", fields)["Location"] == "/"


def test_a_wrong_password_keeps_the_name_and_tells_nothing_else(dora: User) -> None:
    pages = [
        send(Client(), "/accounts/login/", login=name, password="wrong password")
        for name in ("dora", "nobody-at-all")
    ]
    assert pages[0].fields["login"] == "dora"
    assert pages[0].text == pages[1].text
    assert 'class="note note-fail" role="alert"' in pages[0].html


def test_a_disabled_person_can_t_sign_in(world: World) -> None:
    world.ida.set_password(PASSWORD)
    world.ida.save()
    client = Client()
    client.post("/accounts/login/", {"login": "ida", "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_signing_out_takes_a_post(dora: User) -> None:
    client = as_(dora)
    assert "Sign out?" in see(client, "/accounts/logout/")
    assert "_auth_user_id" in client.session
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


def test_the_password_can_be_changed(dora: User) -> None:
    client = as_(dora)
    short = send(
        client, "/accounts/password/change/", oldpassword=PASSWORD, password1="short", password2="short"
    )
    assert 'id="id_password2_error"' in short.html or 'id="id_password1_error"' in short.html
    new = "another horse battery staple"
    send(client, "/accounts/password/change/", oldpassword=PASSWORD, password1=new, password2=new)
    assert User.objects.get(pk=dora.pk).check_password(new)


def test_times_are_shown_in_the_reader_s_zone(world: World) -> None:
    client = as_(world.dora)
    page = send(client, "/account/", time_zone="Asia/Kolkata")
    assert "Times are shown in Asia/Kolkata from now on." in page
    assert trail()[-1] == "account.time_zone_set"
    assert "Kolkata, UTC+5:30" in see(client, "/")


def test_a_city_is_enough_to_name_a_zone(world: World) -> None:
    send(as_(world.dora), "/account/", time_zone="lagos")
    assert User.objects.get(pk=world.dora.pk).time_zone == "Africa/Lagos"


def test_a_zone_that_the_browser_proposes_is_taken_only_if_the_person_says_so(world: World) -> None:
    client = as_(world.dora)
    assert "data-zone-offer" in see(client, "/").html
    kept = client.post("/account/zone/", {"next": "/matrix/"})
    assert kept["Location"] == "/matrix/"
    assert User.objects.get(pk=world.dora.pk).time_zone == "UTC"
    assert "data-zone-offer" not in see(client, "/").html
    client.post("/account/zone/", {"zone": "Asia/Tokyo", "next": "https://evil.example/"})
    assert User.objects.get(pk=world.dora.pk).time_zone == "Asia/Tokyo"


def test_a_person_who_chose_a_zone_is_not_asked_again(world: World) -> None:
    client = as_(world.dora)
    send(client, "/account/", time_zone="UTC")
    assert "data-zone-offer" not in see(client, "/").html


def test_single_keys_can_be_switched_off_and_on(world: World) -> None:
    client = as_(world.dora)
    assert 'data-keys="off"' not in see(client, "/").html
    client.post("/account/keys/", {"on": "no"})
    assert 'data-keys="off"' in see(client, "/").html
    assert trail()[-1] == "account.single_keys_set"
    client.post("/account/keys/", {"on": "yes"})
    assert 'data-keys="off"' not in see(client, "/").html


def test_a_zone_that_does_not_exist_is_refused(world: World) -> None:
    page = send(as_(world.dora), "/account/", time_zone="Mars/Olympus")
    assert page.status == 400
    assert User.objects.get(pk=world.dora.pk).time_zone == "UTC"


def test_the_chosen_colours_come_with_the_page(world: World) -> None:
    client = as_(world.dora)
    assert "data-theme" not in see(client, "/").html
    client.cookies["theme"] = "dark"
    assert '<html lang="en" dir="ltr" data-theme="dark">' in see(client, "/").html
    client.cookies["theme"] = '"><script>'
    assert "data-theme" not in see(client, "/").html


def test_an_address_that_leads_nowhere_is_a_page_of_ours(world: World) -> None:
    for client in (Client(), as_(world.dora)):
        page = see(client, "/no/such/page/")
        assert page.status == 404
        assert "There is nothing here for you" in page


def test_a_bug_is_a_page_of_ours_and_no_traceback(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(matrix, "render", fail)
    client = as_(world.dora)
    client.raise_request_exception = False
    page = see(client, "/matrix/")
    assert page.status == 500
    assert "The portal failed to answer" in page
    assert "a secret detail" not in page.html
    assert "ZeroDivisionError" in caplog.text


def test_a_form_without_its_token_is_a_page_of_ours(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.dora, backend="django.contrib.auth.backends.ModelBackend")
    page = Page(client.post("/account/", {"time_zone": "UTC"}))
    assert page.status == 403
    assert "This form is no longer valid" in page


def test_too_many_failed_sign_ins_are_a_page_of_ours(dora: User) -> None:
    pages = [send(Client(), "/accounts/login/", login="dora", password="wrong") for _time in range(6)]
    assert pages[-1].status in (200, 429)
    assert "Too many" in pages[-1]
