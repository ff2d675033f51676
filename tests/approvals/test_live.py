"""Streams: they say that something changed, to whom it concerns, for as long as that person may look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from approvals import live

if TYPE_CHECKING:
    from tests.approvals.factories import World

PATIENCE_S = 30.0


class Reader:
    """Somebody who reads a stream, message by message."""

    def __init__(self, hub: live.Hub, stream: live.Stream) -> None:
        self.stream = stream
        self._events = hub.events(stream)

    async def next(self) -> str:
        """The kind of the next message; `end` where the stream ended."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                words = await anext(self._events)
            except StopAsyncIteration:
                return "end"
        return words.split("\n")[0].removeprefix("event: ")

    async def until(self, kind: str) -> None:
        """Read on until a message of this kind."""
        while (found := await self.next()) != kind:
            assert found != "end"

    async def close(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def reading(
    hub: live.Hub, *topics: str, may: Callable[[], bool] = lambda: True, person: int = 1
) -> AsyncIterator[Reader]:
    """A stream that is open and heard its first beat."""
    reader = Reader(hub, live.Stream(person, topics, may))
    try:
        await reader.until("beat")
        yield reader
    finally:
        await reader.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and questions come at once."""
    monkeypatch.setattr(live, "BEAT_S", 0.1)
    monkeypatch.setattr(live, "RECHECK_S", 0.1)


def listeners(superuser: psycopg.Connection[Any]) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waqiti-rollback live'"
    row = superuser.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_a_stream_hears_what_it_shows_and_nothing_else(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    async def story() -> None:
        hub = live.Hub()
        async with reading(hub, "execution:1") as one, reading(hub, "execution:2") as other:
            superuser.execute("SELECT pg_notify('waqiti_changes', 'execution:1')")
            await one.until("changed")
            superuser.execute("SELECT pg_notify('waqiti_changes', 'execution:2')")
            assert await other.next() in ("changed", "beat")

    asyncio.run(story())


def test_all_streams_of_a_process_share_one_connection_and_the_last_one_closes_it(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    async def story() -> None:
        hub = live.Hub()
        async with reading(hub, "a"), reading(hub, "b"), reading(hub, "c", person=2):
            assert listeners(superuser) == 1
        await asyncio.sleep(0)
        while listeners(superuser):
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_who_may_no_longer_look_loses_the_stream(committed_world: World, quick: None) -> None:
    allowed = True

    async def story() -> None:
        nonlocal allowed
        hub = live.Hub()
        async with reading(hub, "a", may=lambda: allowed) as shut, reading(hub, "a") as open_still:
            await shut.until("beat")
            allowed = False
            while await shut.next() != "end":
                pass
            await open_still.until("beat")

    asyncio.run(story())


def test_where_it_can_not_be_asked_who_may_look_nobody_looks(committed_world: World, quick: None) -> None:
    def broken() -> bool:
        raise psycopg.OperationalError("away")

    async def story() -> None:
        async with reading(live.Hub(), "a", may=broken) as reader:
            while await reader.next() != "end":
                pass

    asyncio.run(story())


def test_a_lost_connection_ends_every_stream_and_the_next_one_listens_again(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    async def story() -> None:
        hub = live.Hub()
        async with reading(hub, "a") as reader:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'waqiti-rollback live'"
            )
            while await reader.next() != "end":
                pass
            async with reading(hub, "a") as again:
                superuser.execute("SELECT pg_notify('waqiti_changes', 'a')")
                await again.until("changed")

    asyncio.run(story())


def test_a_database_that_does_not_answer_gives_no_stream(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CONNECT_S", 0.2)
    monkeypatch.setattr(live, "_address", lambda: {"host": "127.0.0.1", "port": 1})

    async def story() -> None:
        reader = Reader(hub := live.Hub(), live.Stream(1, ["a"], lambda: True))
        assert await reader.next() == f"retry: {live.RETRY_MS}"
        assert await reader.next() == "away"
        assert await reader.next() == "end"
        assert not hub.full(1)

    asyncio.run(story())


def test_one_person_has_only_so_many_streams(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PER_PERSON", 2)

    async def story() -> None:
        hub = live.Hub()
        async with reading(hub, "a"), reading(hub, "a"):
            assert hub.full(1)
            assert not hub.full(2)
        assert not hub.full(1)

    asyncio.run(story())


def test_it_is_asked_in_a_thread_while_streams_come_and_go() -> None:
    hub = live.Hub()

    class Coming(live.Stream):
        @property
        def person(self) -> int:  # type: ignore[override]
            hub._streams.add(live.Stream(2, ["b"], lambda: True))  # what the loop does meanwhile
            return 1

        @person.setter
        def person(self, number: int) -> None:
            pass

    async def story() -> None:
        hub._streams.update(Coming(1, ["a"], lambda: True) for _n in range(3))
        assert not hub.full(1)

    asyncio.run(story())


def test_many_changes_at_once_are_one_message(
    committed_world: World, superuser: psycopg.Connection[Any], quick: None
) -> None:
    async def story() -> None:
        async with reading(live.Hub(), "a") as reader:
            for _n in range(50):
                superuser.execute("SELECT pg_notify('waqiti_changes', 'a')")
            heard = []
            while (found := await reader.next()) != "beat":
                heard.append(found)
            assert 1 <= len(heard) <= 5

    asyncio.run(story())


# What a commit says


@pytest.fixture
def said(superuser: psycopg.Connection[Any]) -> Callable[[], set[str]]:
    """What the channel said since the last call."""
    superuser.execute("LISTEN waqiti_changes")
    return lambda: {notify.payload for notify in superuser.notifies(timeout=0.2)}


def test_every_event_names_its_subjects(committed_world: World, said: Callable[[], set[str]]) -> None:
    from approvals import attempts, executions
    from tests.approvals import factories

    rollback = factories.draft(committed_world)
    assert said() >= {f"rollback:{rollback.label}", f"target:{committed_world.production.name}"}
    execution = executions.ask_for_rehearsal(rollback, actor=committed_world.alice)
    said()
    attempts.claim(execution.pk, worker="worker-1")
    assert said() >= {f"rollback:{rollback.label}", f"execution:{execution.pk}"}


def test_what_moves_between_two_events_is_said_too_but_no_heartbeat(
    committed_world: World, said: Callable[[], set[str]]
) -> None:
    from approvals import attempts
    from approvals.models import Execution, ExecutionLog, ExecutionStep, Status
    from tests.approvals import factories

    rollback = factories.rollback_in(committed_world, Status.EXECUTING)
    execution = Execution.objects.get(purpose="real", rollback_target__rollback=rollback)
    said()
    name = {f"execution:{execution.pk}"}
    attempts.heartbeat(execution.pk)
    assert said() == set()
    Execution.objects.filter(pk=execution.pk).update(blocker={"pid": 1})
    assert said() == name
    ExecutionStep.objects.filter(execution=execution).update(state="running")
    assert said() == name
    ExecutionLog.objects.create(execution=execution, text="A line.")
    assert said() == name


def test_an_answered_job_is_said(committed_world: World, said: Callable[[], set[str]]) -> None:
    from approvals import jobs
    from approvals.models import Job

    job = Job.objects.create(kind=Job.Kind.FACTS, subject="7")
    said()
    jobs.finish(job, sentence="Read.")
    assert said() == {"job:facts:7"}
