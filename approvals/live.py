"""Tell open pages that something changed: one listening connection for each process, fanned out to streams.

The database says by name what a commit changed (migrations/sql/changes.sql). A stream only passes on *that*
something changed; the page then asks for its fragment, and every permission is asked there again. Where
there is no stream (a proxy, the limit, a database that does not answer) pages ask by themselves.

Everything here runs on the web process's event loop; what asks the database runs in a thread beside it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

import psycopg
from django.db import connections

log = logging.getLogger(__name__)

CHANNEL = "waqiti_changes"
# Seconds. A reader who signed out or lost a role keeps a stream for at most RECHECK_S.
RECHECK_S = 10.0
BEAT_S = 5.0
BETWEEN_S = 0.3
CONNECT_S = 5.0
# A browser that lost its stream comes back after this long, in milliseconds.
RETRY_MS = 3000
PER_PERSON = 8
PER_PROCESS = 400

CHANGED, BEAT, AWAY = (f"event: {name}\ndata: 1\n\n" for name in ("changed", "beat", "away"))
"""Ask for the page again; the stream lives; there is no stream to be had, so ask by yourself."""


class Stream:
    """One open page: whose it is, what it shows, and whether its reader may still look (a question to the
    database, asked in a thread)."""

    def __init__(self, person: int, topics: Iterable[str], may: Callable[[], bool]) -> None:
        self.person = person
        self.topics = frozenset(topics)
        self.may = may
        self.ended = False
        self._changed = False
        self._woken = asyncio.Event()

    def tell(self) -> None:
        """Something that it shows has changed."""
        self._changed = True
        self._woken.set()

    def end(self) -> None:
        """Close it; the browser may come back."""
        self.ended = True
        self._woken.set()

    async def changed(self, seconds: float) -> bool:
        """Wait until something changed or the stream was ended; False after `seconds` without."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        found, self._changed = self._changed, False
        if not self.ended:
            self._woken.clear()
        return found


class Signals:
    """A server that is told to stop waits until all answers are given, and a stream never is: so what ends
    the streams is called first, and then whoever listened to the signal before."""

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def before_stopping(self, end: Callable[[], None]) -> None:
        """Call `end` on the running loop when the process is told to stop. Only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(end)
            self._before[number](number, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if number not in self._before and callable(before):
                self._before[number] = before
                signal.signal(number, stop)

    def let_go(self) -> None:
        """Give the signals back. (Left to the server's own end where that has put its handlers back.)"""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}


class Hub:
    """All streams of this process, and what runs for as long as there are any: a listener and a warden."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()
        self._signals = Signals()

    def full(self, person: int) -> bool:
        """Are there as many streams as there may be, of this person or at all? May be asked in any thread."""
        streams = list(self._streams)  # the loop adds and takes away meanwhile
        return sum(stream.person == person for stream in streams) >= PER_PERSON or len(streams) >= PER_PROCESS

    async def events(self, stream: Stream, *, begin: str = BEAT) -> AsyncIterator[str]:
        """What a browser reads. `begin` is its first message: CHANGED where it may have missed something."""
        self._join(stream)
        try:
            yield f"retry: {RETRY_MS}\n\n"
            async with asyncio.timeout(CONNECT_S):
                await self._listening.wait()
            yield begin
            while not stream.ended:
                changed = await stream.changed(BEAT_S)
                if not stream.ended:
                    yield CHANGED if changed else BEAT
                    await asyncio.sleep(BETWEEN_S if changed else 0)
        except TimeoutError:
            yield AWAY
        finally:
            self._leave(stream)

    def end_all(self) -> None:
        """Close every stream: the server stops, or nobody hears any more what changes."""
        for stream in list(self._streams):
            stream.end()

    def tell(self, topic: str) -> None:
        """Wake the streams that show this."""
        for stream in self._streams:
            if topic in stream.topics:
                stream.tell()

    def _join(self, stream: Stream) -> None:
        self._streams.add(stream)
        if not self._tasks:
            self._listening = asyncio.Event()
            self._signals.before_stopping(self.end_all)
            # In a context of their own: a request's has that request's database connection in it.
            self._tasks = [
                asyncio.create_task(work(), context=contextvars.Context())
                for work in (self._listen, self._watch_readers)
            ]

    def _leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._rest()
            self._signals.let_go()

    def _rest(self, besides: asyncio.Task[None] | None = None) -> None:
        for task in self._tasks:
            if task is not besides:
                task.cancel()
        self._tasks = []

    async def _listen(self) -> None:
        """Hear what changed until nobody wants to know. When the connection is lost every stream ends, so
        that no page believes itself up to date; whoever comes back makes a new one."""
        listening = self._listening
        try:
            async with await psycopg.AsyncConnection.connect(**_address(), autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                listening.set()
                while True:
                    async for said in connection.notifies(timeout=BEAT_S):
                        self.tell(said.payload)
                    await connection.execute("SELECT 1")  # a dead connection says nothing
        except (psycopg.Error, OSError) as error:
            log.warning("nobody hears what changes, pages ask by themselves: %s", type(error).__name__)
            self._rest(besides=asyncio.current_task())
            self.end_all()

    async def _watch_readers(self) -> None:
        """Every RECHECK_S, end the streams of those who may no longer look."""
        while True:
            await asyncio.sleep(RECHECK_S)
            for stream in await asyncio.to_thread(_no_longer, list(self._streams)):
                stream.end()


hub = Hub()


def _no_longer(streams: list[Stream]) -> list[Stream]:
    """Those whose readers may not look any more; all of them if that can't be asked."""
    try:
        return [stream for stream in streams if not stream.may()]
    except Exception as error:  # noqa: BLE001 (who can't be asked about must not go on looking)
        log.warning("who may look can't be asked: %s", type(error).__name__)
        return streams
    finally:
        connections.close_all()


def _address() -> dict[str, Any]:
    """How the portal's database is reached, as psycopg takes it."""
    found = connections["default"].get_connection_params()
    for name in ("context", "cursor_factory", "prepare_threshold"):
        found.pop(name, None)
    return found | {"application_name": "waqiti-rollback live"}
