"""The streams' addresses: who may listen to what, and what they are told at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse

if TYPE_CHECKING:
    from approvals.models import User
    from tests.approvals.factories import World

pytestmark = pytest.mark.integration


def first_words(user: User, address: str) -> tuple[int, list[str]]:
    """The status of a stream and its first two messages; it is left then."""
    from tests.approvals.views.visits import BACKEND

    client = AsyncClient()
    client.force_login(user, backend=BACKEND)

    async def listen() -> tuple[int, list[str]]:
        try:
            return await answered()
        finally:
            await sync_to_async(connections.close_all)()

    async def answered() -> tuple[int, list[str]]:
        response: Any = await client.get(address)
        if not response.streaming:
            return response.status_code, [response.content.decode()]
        words = []
        async for message in response.streaming_content:
            words.append(message.decode())
            if len(words) == 2:
                break
        await response.streaming_content.aclose()
        return response.status_code, words

    return asyncio.run(asyncio.wait_for(listen(), 60))


def test_an_execution_begins_with_a_change_because_its_page_may_have_missed_one(
    committed_world: World,
) -> None:
    from approvals.models import Execution, Status
    from tests.approvals.factories import rollback_in

    rollback_in(committed_world, Status.EXECUTING)
    execution = Execution.objects.get(purpose="real")
    status, words = first_words(committed_world.olga, reverse("execution_changes", args=[execution.pk]))
    assert status == 200
    assert words == ["retry: 3000\n\n", "event: changed\ndata: 1\n\n"]
    status, _words = first_words(committed_world.eve, reverse("execution_changes", args=[execution.pk]))
    assert status == 404


@pytest.mark.parametrize(
    ("since", "begins"), [("0", "changed"), ("9" * 18, "beat"), ("?", "beat"), ("", "beat")]
)
def test_a_rollbacks_page_says_what_it_knows_and_hears_at_once_of_what_is_newer(
    since: str, begins: str, committed_world: World
) -> None:
    from tests.approvals.factories import draft

    address = reverse("rollback_changes", args=[draft(committed_world).pk])
    _status, words = first_words(committed_world.alice, f"{address}?since={since}")
    assert words[1] == f"event: {begins}\ndata: 1\n\n"


def test_who_has_no_role_hears_nothing_of_the_dashboard(committed_world: World) -> None:
    assert first_words(committed_world.people["nora"], reverse("dashboard_changes"))[0] == 403
    assert first_words(committed_world.alice, reverse("dashboard_changes"))[1][1].startswith("event: beat")


def test_who_has_too_many_pages_open_is_told_to_ask_without_a_stream(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals import live

    monkeypatch.setattr(live, "PER_PERSON", 0)
    status, words = first_words(committed_world.olga, reverse("dashboard_changes"))
    assert (status, words) == (200, ["event: away\ndata: 1\n\n"])


@pytest.mark.parametrize("page", ["rollback", "dashboard"])
@pytest.mark.parametrize("ends", ["session", "role", "account", "service"])
def test_a_stream_may_go_on_only_while_its_session_person_and_role_do(
    ends: str, page: str, committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.sessions.models import Session

    from approvals import live
    from tests.approvals.factories import draft

    kept: list[live.Stream] = []
    made = live.Stream
    monkeypatch.setattr(live, "Stream", lambda *given: kept.append(made(*given)) or kept[0])
    alice = committed_world.alice
    about = [draft(committed_world).pk] if page == "rollback" else []
    first_words(alice, reverse(f"{page}_changes", args=about))
    (stream,) = kept
    assert stream.may()
    if ends == "session":
        Session.objects.all().delete()
    elif ends == "role":
        alice.groups.clear()
    elif ends == "account":
        type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    else:
        alice.teams.clear()
    assert not stream.may()
