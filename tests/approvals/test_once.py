"""A form counts once, also when it is sent twice at the same moment."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest

from approvals import once
from approvals.errors import Conflict
from approvals.models import User
from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def posted(user: User, token: str = "a token", path: str = "/incidents/new/") -> HttpRequest:
    request = HttpRequest()
    request.path, request.user = path, user
    request.POST = request.POST.copy()
    request.POST[once.FIELD] = token
    return request


def test_the_second_time_leads_to_the_result_of_the_first(world: World) -> None:
    assert once.run(posted(world.alice), lambda: "/first/") == "/first/"
    assert once.run(posted(world.alice), lambda: "/second/") == "/first/"


@pytest.mark.parametrize("other", [{"token": "another"}, {"path": "/elsewhere/"}])
def test_another_form_is_another_form(world: World, other: dict[str, str]) -> None:
    once.run(posted(world.alice), lambda: "/first/")
    assert once.run(posted(world.alice, **other), lambda: "/second/") == "/second/"


def test_somebody_else_s_form_is_another_form(world: World) -> None:
    once.run(posted(world.alice), lambda: "/first/")
    assert once.run(posted(world.bob), lambda: "/second/") == "/second/"


def test_what_failed_may_be_tried_again(world: World) -> None:
    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        once.run(posted(world.alice), fail)
    assert once.run(posted(world.alice), lambda: "/second/") == "/second/"


def test_a_form_without_a_token_counts_every_time(world: World) -> None:
    assert once.run(posted(world.alice, ""), lambda: "/first/") == "/first/"
    assert once.run(posted(world.alice, ""), lambda: "/second/") == "/second/"


def test_a_first_time_that_takes_too_long_is_a_conflict(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "WAIT_SECONDS", 0)

    def meanwhile() -> str:
        with pytest.raises(Conflict):
            once.run(posted(world.alice), lambda: "/second/")
        return "/first/"

    assert once.run(posted(world.alice), meanwhile) == "/first/"


def test_it_is_no_session_that_anybody_could_use(world: World) -> None:
    from django.contrib.sessions.backends.db import SessionStore

    once.run(posted(world.alice), lambda: "/first/")
    key = Session.objects.get(session_key__startswith="once-").session_key
    assert SessionStore(key).load() == {}


def test_of_two_at_the_same_moment_one_acts_and_both_arrive(committed_world: World) -> None:
    acted: list[int] = []
    arrived: list[str] = []
    begin = threading.Barrier(2)

    def act() -> str:
        acted.append(1)
        return "/done/"

    def send(*_args: Any) -> None:
        try:
            begin.wait()
            arrived.append(once.run(posted(committed_world.alice), act))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(acted), arrived) == (1, ["/done/", "/done/"])
