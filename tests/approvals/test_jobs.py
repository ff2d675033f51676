"""Jobs: the row is the queue, the message a hint. Nothing is lost, nothing is done twice."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from celery import current_app
from django.db import connections, transaction
from django.utils import timezone

from approvals import jobs
from approvals.models import Job
from tests.servers import Database
from waqiti_rollback.embedded import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def queues(portal_db: Database, valkey: Valkey) -> Iterator[redis.Redis]:
    """The broker's queues, empty."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def messages(queues: redis.Redis, queue: str) -> list[list[int]]:
    """The arguments of the messages that wait in a queue, oldest first."""
    found = [json.loads(raw) for raw in reversed(queues.lrange(queue, 0, -1))]
    assert all(message["headers"]["task"] == "executor.work" for message in found)
    return [json.loads(base64.b64decode(message["body"]))[0] for message in found]


@pytest.mark.parametrize(
    ("kind", "queue"),
    [
        ("sync", "facts"),
        ("facts", "facts"),
        ("rehearse", "scratch"),
        ("execute", "execute"),
        ("import", "facts"),
    ],
)
def test_the_message_leaves_when_the_transaction_commits(kind: str, queue: str, queues: redis.Redis) -> None:
    with transaction.atomic():
        job = jobs.ask(Job.Kind(kind), subject=7, actor=None, digest="d")
        assert messages(queues, queue) == []
    assert messages(queues, queue) == [[job.pk]]
    assert (job.state, job.subject, job.digest) == ("waiting", "7", "d")


def test_what_is_rolled_back_is_never_asked(queues: redis.Redis) -> None:
    with transaction.atomic():
        jobs.ask(Job.Kind.SYNC, subject=1, actor=None)
        transaction.set_rollback(True)
    assert messages(queues, "facts") == []
    assert not Job.objects.exists()


@pytest.fixture(params=["nobody listens", "nobody answers"])
def broker_down(
    request: pytest.FixtureRequest, portal_db: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A broker's address at which nobody listens, or somebody who never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "nobody answers":
            server.listen(1)
        monkeypatch.setenv("CELERY_BROKER_URL", f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        monkeypatch.setattr(current_app, "_pool", None)
        monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
        options = current_app.conf.broker_transport_options | {"socket_timeout": 0.5}
        monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
        yield


def test_a_broker_that_is_down_loses_nothing(broker_down: None, caplog: pytest.LogCaptureFixture) -> None:
    job = jobs.ask(Job.Kind.SYNC, subject=1, actor=None)
    assert Job.objects.get(pk=job.pk).state == "waiting"
    assert f"job {job.pk} waits: the broker did not take the message" in caplog.text


def test_the_broker_is_back_and_beat_sends_what_waits(queues: redis.Redis) -> None:
    job = Job.objects.create(kind=Job.Kind.EXECUTE, subject="x")
    assert jobs.send_waiting() == 0
    Job.objects.update(sent_at=timezone.now() - timedelta(seconds=31))
    assert jobs.send_waiting() == 1
    assert messages(queues, "execute") == [[job.pk]]
    assert jobs.send_waiting() == 0
    job.refresh_from_db()
    assert timezone.now() - job.sent_at < timedelta(seconds=30)


@pytest.mark.parametrize("state", ["claimed", "done", "failed"])
def test_what_was_taken_is_not_sent_again(state: str, queues: redis.Redis) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Job.objects.create(kind=Job.Kind.EXECUTE, subject="x", state=state, sent_at=long_ago, claimed_at=long_ago)
    assert jobs.send_waiting() == 0
    assert messages(queues, "execute") == []


@pytest.mark.parametrize(("kind", "again"), [("sync", 1), ("facts", 1), ("rehearse", 0), ("execute", 0)])
def test_only_a_reading_is_given_to_another_worker(kind: str, again: int, queues: redis.Redis) -> None:
    long_ago = timezone.now() - timedelta(minutes=6)
    job = Job.objects.create(kind=kind, subject="x", state="claimed", sent_at=long_ago, claimed_at=long_ago)
    assert jobs.send_waiting() == again
    job.refresh_from_db()
    assert job.state == ("waiting" if again else "claimed")


# Claiming


def test_a_job_is_claimed_once(portal_db: Database) -> None:
    job = Job.objects.create(kind=Job.Kind.EXECUTE, subject="x")
    first = jobs.claim(job.pk, worker="one")
    assert first is not None
    assert (first.state, first.claimed_by, first.claimed_at is not None) == ("claimed", "one", True)
    assert jobs.claim(job.pk, worker="two") is None
    job.refresh_from_db()
    assert job.claimed_by == "one"
    assert jobs.claim(job.pk + 1, worker="two") is None


def test_of_two_workers_at_once_one_gets_it(portal_db: Database) -> None:
    wins: list[str] = []

    def work(name: str) -> None:
        try:
            for job_id in ids:
                barrier.wait()
                if jobs.claim(job_id, worker=name):
                    wins.append(f"{job_id}")
        finally:
            connections.close_all()

    ids = [Job.objects.create(kind=Job.Kind.EXECUTE, subject="x").pk for _ in range(20)]
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == sorted(str(job_id) for job_id in ids)


@pytest.mark.parametrize("failed", [False, True])
def test_how_it_ended_is_kept_for_whoever_asked(failed: bool, portal_db: Database) -> None:
    claimed = jobs.claim(Job.objects.create(kind=Job.Kind.SYNC, subject="5").pk, worker="one")
    assert claimed is not None
    jobs.finish(claimed, failed=failed, sentence="12 rows read.")
    job = jobs.latest(Job.Kind.SYNC, 5)
    assert job is not None
    assert (job.state, job.sentence, job.finished_at is not None) == (
        "failed" if failed else "done",
        "12 rows read.",
        True,
    )
    assert jobs.latest(Job.Kind.FACTS, 5) is None
