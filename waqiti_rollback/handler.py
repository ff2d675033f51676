"""How the web process answers: each request in one thread that outlives it, with the thread's connection.

Django's own handler ends a request's thread with it, and the thread's connection to the database: every page
would begin with signing in there and with a server process that knows no table yet. It also goes from the
event loop to the thread and back for each middleware that asks before a view. Both together were more than
half of what a short page cost.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

# So many threads rest with an open connection each; after a rush the others end, and their connections too.
RESTING = 8


class Threads:
    """The threads of this process that answer requests, the one that rested last first. Asked from the event
    loop only."""

    def __init__(self) -> None:
        self._resting: list[ThreadPoolExecutor] = []

    def take(self) -> ThreadPoolExecutor:
        """A thread that does nothing else. Django asks its connection whether it still lives."""
        return self._resting.pop() if self._resting else ThreadPoolExecutor(1, "request")

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        """A thread that is done with its request."""
        if len(self._resting) < RESTING:
            self._resting.append(thread)
        else:
            self.end(thread)

    def end(self, thread: ThreadPoolExecutor) -> None:
        """Let a thread end once it is done with what it does."""
        thread.submit(connections.close_all)
        thread.shutdown(wait=False)


class Handler(ASGIHandler):
    """Django's handler, but for where the work is done."""

    def __init__(self) -> None:
        self.threads = Threads()
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        """All of it synchronous, as the views are: one way into the thread and one way back."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is answered here, not {scope['type']}.")
        thread = self.threads.take()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle(scope, receive, send)
        except BaseException:
            self.threads.end(thread)  # it may not be done yet
            raise
        self.threads.give_back(thread)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The whole of middleware and view, in the request's thread."""
        return await sync_to_async(self.get_response)(request)
