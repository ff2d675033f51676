"""Every state of an execution in words: what happened, what is certain, what to do now; nothing too early.

A real execution and a rehearsal have the same states, but they do not mean the same to whoever reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from approvals import attempts
from approvals.models import BUSY, Backup, Execution, ExecutionStatus

from . import real, rehearsal, under_way
from .cancelling import cancelling
from .telling import Step, Story, Told
from .under_way import blocked_by

__all__ = ["Step", "Story", "blocked_by", "cancelling", "silence", "story"]


def story(
    execution: Execution,
    steps: Sequence[Step],
    *,
    backups: Sequence[Backup] = (),
    post_mortem_due: datetime | None = None,
    no_go: bool = False,
) -> Story:
    """The state of an execution in words. `steps` are its steps in order, `backups` end with the newest;
    `no_go`: so its preflight said."""
    told = Told(execution, steps, post_mortem_due, backups, no_go)
    status = ExecutionStatus(execution.status)
    stories = real.STORIES if told.real else rehearsal.STORIES
    return (stories.get(status) or under_way.STORIES[status])(told)


def silence(execution: Execution) -> int:
    """Seconds since the worker was last heard of, where one should work on it and it is too long."""
    if execution.status not in BUSY or execution.heartbeat_at is None:
        return 0
    quiet = timezone.now() - execution.heartbeat_at
    return int(quiet.total_seconds()) if quiet > attempts.silence() else 0
