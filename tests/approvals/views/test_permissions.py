"""Who may open what: the table is complete, and every URL answers as it says, for own and foreign objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from approvals.models import User
    from approvals.permissions import Rule
    from tests.approvals.factories import World
    from tests.approvals.views.objects import Objects

ANYBODY = ["nobody", "nora", "alice", "eve", "dora", "lea", "olga", "axel", "adam", "ida"]
# What a form may answer that the person may send, but that says nothing or that the domain refuses.
ANSWERS = {200, 302, 400, 403, 409, 429}
# Where a token is asked for instead of a person.
WITH_TOKEN = {"import_hook", "import_hook_state"}


def patterns(resolver: Any) -> Iterator[Any]:
    """Every URL pattern below a resolver."""
    for each in resolver.url_patterns:
        if hasattr(each, "url_patterns"):
            yield from patterns(each)
        else:
            yield each


def all_patterns() -> dict[str, Any]:
    from django.urls import get_resolver

    return {each.name: each for each in patterns(get_resolver())}


def test_every_url_is_in_the_table_and_every_entry_is_a_url() -> None:
    from django.urls import get_resolver

    from approvals.permissions import TABLE

    names = [each.name for each in patterns(get_resolver())]
    assert None not in names, "a URL without a name can't be in the table"
    assert sorted(set(names)) == sorted(TABLE)


def expected(rule: Rule, method: str, person: User | None, team: str) -> set[int]:
    """The status codes with which a URL of this rule may answer."""
    from approvals.permissions import CLOSED, held
    from tests.approvals.views.objects import sees

    who = rule.read if method == "get" else rule.write
    if rule == CLOSED:
        return {404}
    if not who:
        return {405}
    if not who & held(person or _anonymous()):
        return {302} if person is None else {403}
    if rule.about not in ("", "event", "person", "contact") and not sees(person, team):
        return {404}
    return {200, 302} if method == "get" and not rule.write else ANSWERS


def _anonymous() -> Any:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


@pytest.mark.parametrize("name", ANYBODY)
def test_every_url_answers_as_the_table_says(
    name: str, world: World, objects: dict[str, Objects], sign_in: Callable[[User | None], Client]
) -> None:
    from approvals.permissions import TABLE
    from tests.approvals.views.objects import BESIDES

    person = None if name in ("nobody", "ida") else world.people[name]  # ida is disabled
    wrong, client = [], sign_in(world.people.get(name))
    for url_name, pattern in all_patterns().items():
        rule = TABLE[url_name]
        for team in ("wallet", "ledger"):
            for method in ("get", "post"):
                url = _url(pattern, objects[team][rule.about] | BESIDES)
                answer = getattr(client, method)(url).status_code
                if url_name == "account_logout":
                    client = sign_in(world.people.get(name))
                may = {401} if url_name in WITH_TOKEN and person is None else set()
                if answer not in expected(rule, method, person, team) | may:
                    wrong.append(f"{method} {url}: {answer}")
    assert wrong == []


def _url(pattern: Any, arguments: dict[str, Any]) -> str:
    """The URL of a pattern, from the arguments that it names; closed ones of allauth take any text."""
    from django.urls import reverse

    names = pattern.pattern.regex.groupindex
    return reverse(pattern.name, kwargs={each: arguments.get(each, "x") for each in names})


@pytest.mark.parametrize("name", ["alice", "axel"])
def test_pages_have_a_strict_policy_and_nothing_inline(
    name: str, world: World, objects: dict[str, Objects], sign_in: Callable[[User | None], Client]
) -> None:
    from approvals.permissions import TABLE, may_read
    from tests.approvals.views.objects import BESIDES

    client = sign_in(world.people[name])
    for url_name, pattern in all_patterns().items():
        if not may_read(world.people[name], url_name):
            continue
        response = client.get(_url(pattern, objects["wallet"][TABLE[url_name].about] | BESIDES))
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        page = "" if response.streaming else response.content.decode()
        for inline in (" style=", "<style", "<script>", " onclick=", " onsubmit=", "javascript:"):
            assert inline not in page, f"{url_name} holds {inline}"


def test_an_auditor_writes_about_themselves_and_that_they_verified_the_trail_only() -> None:
    from approvals.models import Role
    from approvals.permissions import SIGNED_IN, TABLE

    writable = {name for name, rule in TABLE.items() if rule.write & {SIGNED_IN, Role.AUDITOR}}
    ours = {name for name in writable if not name.startswith("account_")}
    assert ours == {"account", "confirm", "audit_verify"}


def test_whoever_is_not_signed_in_comes_back_after_signing_in(
    sign_in: Callable[..., Client], db: None
) -> None:
    response = sign_in(None).get("/audit/?person=alice")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=%2Faudit%2F%3Fperson%3Dalice"


def test_a_refused_page_is_on_record(world: World, sign_in: Callable[..., Client]) -> None:
    from approvals.models import AuditEvent

    assert sign_in(world.alice).get("/audit/").status_code == 403
    body = json.loads(AuditEvent.objects.latest("seq").body)
    assert (body["action"], body["actor"]) == ("page.opened.denied", "alice")
    assert body["facts"]["why"].startswith("GET /audit/")


def test_nobody_s_refused_page_is_not_on_record(db: None, sign_in: Callable[..., Client]) -> None:
    from approvals.models import AuditEvent

    before = AuditEvent.objects.count()
    sign_in(None).get("/audit/")
    assert AuditEvent.objects.count() == before


def test_a_url_that_the_table_forgot_answers_nobody(
    world: World, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from approvals import permissions

    monkeypatch.delitem(permissions.TABLE, "matrix")
    assert sign_in(world.axel).get("/matrix/").status_code == 404
    assert "no permission is defined for the URL 'matrix'" in caplog.text


def test_what_the_domain_denies_is_a_403_page(
    world: World, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals.errors import Conflict, Denied, Refused
    from approvals.views import matrix

    for error, status in ((Denied("not you"), 403), (Refused("not now"), 409), (Conflict("again"), 409)):

        def say_no(*_args: Any, error: Exception = error, **_kwargs: Any) -> None:
            raise error

        monkeypatch.setattr(matrix, "render", say_no)
        response = sign_in(world.axel).get("/matrix/")
        assert response.status_code == status
        assert str(error) in response.content.decode()
