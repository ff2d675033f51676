"""Requests are answered in threads that stay, one request at a time in each."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from waqiti_rollback import handler
from waqiti_rollback.handler import Handler, Threads


class Portal(Handler):
    """Answers with the name of the thread, once as many requests are there as shall meet."""

    def __init__(self, together: int = 1) -> None:
        super().__init__()
        self.meeting = threading.Barrier(together)

    def get_response(self, request: HttpRequest) -> HttpResponse:
        self.meeting.wait(10)
        return HttpResponse(str(threading.get_ident()))


async def answer(portal: Handler) -> str:
    """The body of one answer."""
    parts, asked, over = [], False, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await over.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        parts.append(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await portal(scope, receive, send)
    return b"".join(parts).decode()


def test_one_request_after_the_other_is_answered_in_the_same_thread() -> None:
    async def in_turn() -> list[str]:
        portal = Portal()
        return [await answer(portal) for _n in range(3)]

    names = asyncio.run(in_turn())
    assert len(set(names)) == 1
    assert names[0] != str(threading.get_ident())


def test_requests_at_the_same_time_have_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "RESTING", 2)

    async def at_once() -> tuple[list[str], int]:
        portal = Portal(together=4)
        names = await asyncio.gather(*(answer(portal) for _n in range(4)))
        return names, len(portal.threads._resting)

    names, resting = asyncio.run(at_once())
    assert len(set(names)) == 4
    assert resting == 2


def test_a_thread_whose_request_broke_off_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut_off(*_arguments: Any) -> None:
        raise ConnectionResetError

    async def broken() -> int:
        portal = Portal()
        monkeypatch.setattr(portal, "handle", cut_off)
        with pytest.raises(ConnectionResetError):
            await answer(portal)
        return len(portal.threads._resting)

    assert asyncio.run(broken()) == 0


def test_the_thread_that_rested_last_is_taken_first() -> None:
    threads = Threads()
    one, other = threads.take(), threads.take()
    threads.give_back(one)
    threads.give_back(other)
    assert threads.take() is other
    for thread in (one, other):
        threads.end(thread)
