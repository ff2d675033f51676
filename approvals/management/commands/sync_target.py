"""`manage.py sync_target NAME`: let the worker read a target's history, and wait for its answer."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import history
from approvals.models import Job, Target

POLL_SECONDS = 0.2


class Command(BaseCommand):
    help = "Ask the worker to read the history of a target; exit code 0 when it could."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the target")
        parser.add_argument(
            "--timeout", type=float, default=60.0, help="seconds to wait for the worker (default: 60)"
        )

    def handle(self, *, name: str, timeout: float, **_options: Any) -> None:
        target = Target.objects.filter(name=name).first()
        if target is None:
            known = ", ".join(Target.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no target {name}; known are: {known}.")
        job = self._await(history.ask_for_sync(target, actor=None), timeout)
        if job.state == Job.State.FAILED:
            raise CommandError(job.sentence or f"The history of {name} could not be read.")
        self.stdout.write(job.sentence or f"{name}: {target.history.count()} history rows.")

    def _await(self, job: Job, timeout: float) -> Job:
        deadline = time.monotonic() + timeout
        while not job.finished_at:
            if time.monotonic() > deadline:
                waits = "a worker has it" if job.claimed_at else "no worker has taken it"
                raise CommandError(f"No answer within {timeout:g} s; {waits}. The job stays in the queue.")
            time.sleep(POLL_SECONDS)
            job.refresh_from_db()
        return job
