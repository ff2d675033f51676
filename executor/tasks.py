"""Celery's way in: ids in, one call out. Nothing here is ever retried by the queue; the job's row decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state
from django.db import close_old_connections

from approvals import alarms, attempts, audit, fleet_progress, imports, jobs, rollbacks, schedules
from approvals.models import Job
from executor import (
    execute,
    generating,
    kept,
    preflight,
    proving,
    read,
    rehearse,
    restarts,
    retention,
    settle,
    trials,
)
from executor.recorder import beating, worker_name

log = logging.getLogger(__name__)
T = TypeVar("T")

WORK: dict[str, Callable[[Job], str]] = {
    Job.Kind.SYNC: read.sync_job,
    Job.Kind.FACTS: read.facts_job,
    Job.Kind.REHEARSE: rehearse.job,
    Job.Kind.EXECUTE: execute.job,
    Job.Kind.TRY: trials.job,
    Job.Kind.PREFLIGHT: preflight.job,
    Job.Kind.GENERATE: generating.job,
    Job.Kind.PROVE: proving.job,
    Job.Kind.IMPORT: imports.job,
}


@shared_task(name=jobs.TASK)
def work(job_id: int) -> None:
    """Claim the job and do it; a message that arrives twice finds it claimed and does nothing."""
    close_old_connections()
    job = jobs.claim(job_id, worker=worker_name())
    if job is None:
        log.info("job %s: duplicate message ignored", job_id)
        return
    token = audit.request_id.set(f"job-{job_id}")
    try:
        with _heard(job):
            sentence = WORK[job.kind](job)
    except Exception as error:
        log.exception("job %s failed", job_id)
        jobs.finish(job, failed=True, sentence=read.in_plain_words(error))
    else:
        jobs.finish(job, sentence=sentence)
    finally:
        audit.request_id.reset(token)


def _heard(job: Job) -> AbstractContextManager[None]:
    """Say that this worker lives, where somebody listens for that."""
    if job.kind not in jobs.BEATING:
        return nullcontext()
    jobs.heartbeat(job.pk)
    return beating(partial(jobs.heartbeat, job.pk), job)


def each(found: Iterable[T], do: Callable[[T], object]) -> None:
    """Do it with each: what is wrong with one says nothing about the others, which wait, too."""
    for one in found:
        try:
            do(one)
        except Exception:
            log.exception("%s is left until the next time", one)


@shared_task(name="executor.resolve_stale")
def resolve_stale() -> None:
    """Ask the targets about every execution whose worker fell silent; end other work of such workers."""
    jobs.end_silent()
    each(attempts.silent(), settle.settle)


@shared_task(name="executor.send_waiting_jobs")
def send_waiting_jobs() -> None:
    """Send messages again for jobs that nobody claimed."""
    jobs.send_waiting()


@shared_task(name="executor.watch_histories")
def watch_histories() -> None:
    """Look whether a migration that was rolled back in the last 24 hours came back."""
    each({execution.target for execution in alarms.watched()}, read.watch)


@shared_task(name="executor.look_for_restarts")
def look_for_restarts() -> None:
    """Look whether the servers were restarted that executions wait for."""
    each(attempts.awaiting_restart(), restarts.look)


@shared_task(name="executor.start_scheduled")
def start_scheduled() -> None:
    """Start what ops have scheduled for now; end what missed its window; let runs go on whose next window
    opened."""
    schedules.carry_out_due()
    fleet_progress.wake()


@shared_task(name="executor.expire_rollbacks")
def expire_rollbacks() -> None:
    """Expire what waited too long."""
    rollbacks.expire_due()


@shared_task(name="executor.remove_old_backups")
def remove_old_backups() -> None:
    """Remove the files of backups that have rested long enough."""
    retention.remove_old()


@shared_task(name="executor.drop_clones")
def drop_clones() -> None:
    """Drop masked clones that were kept long enough or replaced, and copies of work that is over."""
    kept.drop_what_must_go()
    trials.sweep_all()


@worker_ready.connect
def resolve_at_start(**_kwargs: object) -> None:
    """A worker that starts may follow one that was killed: look at once, not at the next beat."""
    resolve_stale.apply_async(queue="facts")


@worker_shutting_down.connect
def say_what_is_waited_for(how: str = "", **_kwargs: object) -> None:
    """A worker that is asked to stop ends what it has first: whoever deploys reads for what."""
    under_way = [request.args[0] for request in state.active_requests if request.name == jobs.TASK]
    if how.lower() != "warm" or not under_way:
        return
    log.warning("Stopping, once these jobs have ended: %s.", ", ".join(map(str, sorted(under_way))))
