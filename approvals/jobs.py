"""Ask the worker for work: the job's row is the queue, and a message that leaves at commit hints at it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from .models import Job, User

log = logging.getLogger(__name__)

TASK = "executor.work"
QUEUES = {
    Job.Kind.SYNC: "facts",
    Job.Kind.FACTS: "facts",
    Job.Kind.REHEARSE: "scratch",
    Job.Kind.EXECUTE: "execute",
    Job.Kind.IMPORT: "facts",
    Job.Kind.TRY: "scratch",
    Job.Kind.PREFLIGHT: "facts",
    Job.Kind.GENERATE: "scratch",
    Job.Kind.PROVE: "scratch",
}
RESEND_AFTER = timedelta(seconds=30)
# Reading changes no target, so a reading whose worker died may be given to another one.
READINGS = (Job.Kind.SYNC, Job.Kind.FACTS, Job.Kind.IMPORT, Job.Kind.PREFLIGHT)
READ_AGAIN_AFTER = timedelta(minutes=5)

TAKE = """UPDATE approvals_job SET state = %s, claimed_at = %s, claimed_by = %s
           WHERE id = %s AND state = %s RETURNING *"""

# Work that can only be asked for again: whoever does it says every second that it goes on.
BEATING = (Job.Kind.GENERATE, Job.Kind.PROVE, Job.Kind.TRY)

_unsent: ContextVar[list[int]] = ContextVar("unsent")


@contextmanager
def noting_unsent() -> Iterator[list[int]]:
    """Yields a list that gets the jobs whose message no broker took while the block lasts."""
    unsent: list[int] = []
    token = _unsent.set(unsent)
    try:
        yield unsent
    finally:
        _unsent.reset(token)


def ask(kind: Job.Kind, *, subject: object, actor: User | None, digest: str = "") -> Job:
    """Insert a job inside the caller's transaction; the message leaves when that commits."""
    job = Job.objects.create(kind=kind, subject=str(subject), digest=digest, asked_by=actor)
    transaction.on_commit(partial(_send, job.pk, Job.Kind(kind)))
    return job


def ask_all(kind: Job.Kind, *, subjects: Sequence[object], actor: User | None, digest: str = "") -> None:
    """`ask` about each of these, in their order."""
    made = Job.objects.bulk_create(
        Job(kind=kind, subject=str(subject), digest=digest, asked_by=actor) for subject in subjects
    )
    for job in made:
        transaction.on_commit(partial(_send, job.pk, kind))


def _send(job_id: int, kind: Job.Kind) -> None:
    """Send the hint. A broker that is down loses nothing: the row stays and beat sends again."""
    try:
        current_app.send_task(TASK, [job_id], queue=QUEUES[kind])
    except (OperationalError, OSError) as error:
        _unsent.get([]).append(job_id)
        log.warning("job %s waits: the broker did not take the message (%s)", job_id, type(error).__name__)


def send_waiting() -> int:
    """Send again every job that nobody claimed within half a minute. Returns how many."""
    now = timezone.now()
    lost = Job.objects.filter(
        kind__in=READINGS, state=Job.State.CLAIMED, claimed_at__lt=now - READ_AGAIN_AFTER
    )
    lost.update(state=Job.State.WAITING)
    waiting = Job.objects.filter(state=Job.State.WAITING, sent_at__lt=now - RESEND_AFTER)
    pairs = list(waiting.values_list("pk", "kind"))
    waiting.update(sent_at=now)
    for job_id, kind in pairs:
        _send(job_id, Job.Kind(kind))
    return len(pairs)


def claim(job_id: int, *, worker: str) -> Job | None:
    """Take a job by compare-and-set; None if somebody else has it, which is what a second delivery gets."""
    values = [Job.State.CLAIMED, timezone.now(), worker, job_id, Job.State.WAITING]
    return next(iter(Job.objects.raw(TAKE, values)), None)


def heartbeat(job_id: int) -> None:
    """The worker lives."""
    with transaction.atomic():
        mine = Job.objects.filter(pk=job_id, state=Job.State.CLAIMED)
        # Whoever holds the row is about to end it: nobody waits for that.
        mine.filter(pk__in=mine.select_for_update(skip_locked=True, no_key=True).values("pk")).update(
            heartbeat_at=timezone.now()
        )


def end_silent() -> int:
    """End, as failed, the work whose worker was heard and is not heard any more. Returns how much."""
    limit = timezone.now() - timedelta(seconds=settings.WORKER_SILENCE_SECONDS)
    silent = Job.objects.filter(kind__in=BEATING, state=Job.State.CLAIMED, heartbeat_at__lt=limit)
    return silent.update(
        state=Job.State.FAILED,
        finished_at=timezone.now(),
        sentence=_("The worker ended while it was at it. Ask again."),
    )


def end_lost(kind: Job.Kind, subject: object) -> None:
    """End, as failed, the job of a worker that is gone, once what it was about has an outcome: nobody else
    takes it, and what waits in the queue must not be counted behind it."""
    Job.objects.filter(kind=kind, subject=str(subject), state=Job.State.CLAIMED).update(
        state=Job.State.FAILED, finished_at=timezone.now(), sentence=_("The worker ended while it was at it.")
    )


def tell(job: Job, sentence: str) -> None:
    """Say how far the work is, for whoever asked for it; `finish` has the last word. A reading that goes on
    saying so is not given to another worker."""
    Job.objects.filter(pk=job.pk, state=Job.State.CLAIMED).update(
        sentence=sentence, claimed_at=timezone.now()
    )


def finish(job: Job, *, failed: bool = False, sentence: str = "") -> None:
    """Record how the work ended; `sentence` is shown to whoever asked."""
    job.state = Job.State.FAILED if failed else Job.State.DONE
    job.finished_at, job.sentence = timezone.now(), sentence
    job.save(update_fields=["state", "finished_at", "sentence"])


def latest(kind: Job.Kind, subject: object) -> Job | None:
    """The newest job of this kind about this subject."""
    return Job.objects.filter(kind=kind, subject=str(subject)).order_by("-id").first()


def latest_of_kinds(kinds: Iterable[Job.Kind], subject: object) -> dict[str, Job]:
    """The newest job of each of these kinds about this subject, by kind; one query."""
    found = Job.objects.filter(kind__in=kinds, subject=str(subject)).order_by("kind", "-id")
    return {job.kind: job for job in found.distinct("kind")}


def ahead(job: Job) -> int:
    """How many jobs of the same queue were asked for before this one and are not done."""
    kinds = [kind for kind, queue in QUEUES.items() if queue == QUEUES[Job.Kind(job.kind)]]
    return Job.objects.filter(kind__in=kinds, finished_at=None, pk__lt=job.pk).count()
