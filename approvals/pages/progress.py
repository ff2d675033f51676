"""Everything the page of an execution shows, from its records, live and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from approvals import backup_exceptions, break_glass, halfway
from approvals.actions import Action, execution_actions
from approvals.models import (
    BUSY,
    Backup,
    BackupException,
    BreakGlass,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    ExecutionStep,
    PostMortem,
    User,
)

from . import dumps, outcomes, paging, partly, phases, preflight_panel
from .lockchart import LockChart, differences, lock_chart

# The newest lines of the log that the page shows; the rest is counted, and has a page of its own.
LOG_LINES = 200
# Without a stream a page asks this often, in seconds: one that waits less often than one that works.
EVERY, EVERY_WAITING = 1, 2

# Backups on one page of an execution, the newest first; most have one.
BACKUPS = 5
# Where a live page stands by itself: at the step that runs, or at the one that ended it.
NOW = (ExecutionStep.State.RUNNING, ExecutionStep.State.FAILED)

# What the table of the steps shows of each.
SHOWN = ("position", "kind", "says", "sql", "state", "tag", "rows", "milliseconds", "how", "found")

# Steps that came to their end.
RAN = (ExecutionStep.State.DONE, ExecutionStep.State.UNDONE)

_Status = ExecutionStatus


@dataclass(frozen=True)
class Progress:
    """Everything the page of an execution shows, live and afterwards."""

    execution: Execution
    story: outcomes.Story
    phases: list[phases.Phase]
    steps: Page[ExecutionStep]
    done: int
    checks: list[dict[str, Any]]
    log: list[ExecutionLog]
    log_left_out: int
    backups: Page[dumps.Dump]
    rehearsed: dict[int, float | None]
    locks: LockChart
    actions: dict[str, Action]
    glasses: Sequence[BreakGlass]
    exceptions: Sequence[BackupException]
    preflight: preflight_panel.Panel | None
    post_mortem_due: datetime | None
    partly: partly.Partly | None
    alone: bool
    silent_for: int
    watched: bool
    since: datetime | None
    read_at: datetime

    @property
    def live(self) -> bool:
        """Does the page go on asking? An unresolved one does: its outcome shows by itself."""
        return self.execution.is_open

    @property
    def working(self) -> bool:
        """Is a worker at it, or about to be? If not, it came to an end, though perhaps not to its last."""
        return self.execution.status in ("queued", *BUSY)

    @property
    def every(self) -> int:
        """How often the page asks where nobody tells it of changes, in seconds."""
        waiting = (_Status.QUEUED, _Status.UNRESOLVED, _Status.AWAITING_RESTART)
        return EVERY_WAITING if self.execution.status in waiting else EVERY

    @property
    def taken_back(self) -> bool:
        """Steps that ran in the transaction were taken back by the server."""
        return _taken_back(self.execution)

    @property
    def runs_since(self) -> datetime | None:
        """Since when the server runs whose restart is waited for."""
        at = (self.execution.restart or {}).get("postmaster_start")
        return datetime.fromisoformat(at) if at else None

    @property
    def uncertain(self) -> bool:
        """Steps that ran may stay or may be taken back: nobody knows yet."""
        return self.execution.status == _Status.UNRESOLVED

    @property
    def blocked_since(self) -> datetime | None:
        """Since when whoever blocks it does."""
        return self._of_blocker("since")

    @property
    def query_since(self) -> datetime | None:
        """When the query of whoever blocks it began."""
        return self._of_blocker("query_start")

    @property
    def state_since(self) -> datetime | None:
        """Since when whoever blocks it has been in its state: idle in a transaction, most of the time."""
        return self._of_blocker("state_since")

    def _of_blocker(self, name: str) -> datetime | None:
        at = (self.execution.blocker or {}).get(name)
        return datetime.fromisoformat(at) if at else None

    @property
    def waiting_for_us(self) -> int:
        """How many sessions wait for the locks that it holds."""
        return sum(each["count"] for each in self.execution.waiters)

    @property
    def otherwise_locked(self) -> list[str]:
        """In what its locks differ from those of the rehearsal."""
        return differences(self.locks)

    @property
    def pools(self) -> list[dict[str, Any]] | None:
        """The sessions to recycle after a commit; None where nothing is committed, or they are not known."""
        committed = (_Status.SUCCEEDED, _Status.COMMITTED_CHECK_FAILED, _Status.AWAITING_RESTART)
        return self.execution.pools if self.execution.status in committed else None


def progress(execution: Execution, user: User, request: HttpRequest | None = None) -> Progress:
    """Read everything about an execution; a fixed number of queries, however many steps and lines it has.
    The request may say which page of the steps it is about."""
    every = execution.steps.order_by("position").values_list(*outcomes.Step._fields)
    steps = [outcomes.Step(*row) for row in every]
    lines = execution.log.count()
    log = list(execution.log.order_by("-id")[:LOG_LINES])[::-1]
    now, due = timezone.now(), _post_mortem_due(execution)
    backups = execution.backups.order_by("-created_at", "-id").defer("tables")
    rehearsal = _rehearsal(execution)
    began = phases.began(execution)
    preflight = preflight_panel.of_execution(execution)
    return Progress(
        execution=execution,
        story=outcomes.story(
            execution,
            steps,
            backups=list(backups[:1]),
            post_mortem_due=due,
            no_go=preflight is not None and not preflight.go,
        ),
        post_mortem_due=due,
        phases=phases.phases(execution, began),
        steps=_shown(request or HttpRequest(), execution, steps),
        done=sum(1 for step in steps if step.state in RAN and not _undone(execution, step)),
        checks=list(execution.checks),
        log=log,
        log_left_out=lines - len(log),
        backups=_dumps(request or HttpRequest(), backups),
        rehearsed=dict(rehearsal.steps.values_list("position", "milliseconds")) if rehearsal else {},
        locks=lock_chart(
            execution.locks,
            until=execution.finished_at or now,
            rehearsed=rehearsal.locks if rehearsal and execution.locks else (),
            rehearsed_until=rehearsal.finished_at if rehearsal else None,
        ),
        actions=execution_actions(execution, user),
        glasses=break_glass.behind(execution),
        exceptions=backup_exceptions.behind(execution),
        preflight=preflight,
        partly=partly.partly(execution, user),
        alone=any(step.how == ExecutionStep.How.ALONE for step in steps),
        silent_for=outcomes.silence(execution),
        watched=bool(execution.watch_until and execution.watch_until > now),
        since=began.get(execution.status),
        read_at=now,
    )


def _undone(execution: Execution, step: outcomes.Step) -> bool:
    """Did a step run in a transaction that the server took back? What ran alone stays."""
    return step.how != ExecutionStep.How.ALONE and _taken_back(execution)


def _taken_back(execution: Execution) -> bool:
    """Did the server take its transaction back?"""
    if execution.status == _Status.PARTIAL:
        return halfway.COMMITTED not in execution.marks
    return execution.status in (_Status.ROLLED_BACK, _Status.NO_EFFECT)


def _shown(request: HttpRequest, execution: Execution, steps: list[outcomes.Step]) -> Page[ExecutionStep]:
    """The page of the steps that was asked for, else the one with the step that runs or ended it all; only
    these are read whole."""
    now = next((number for number, step in enumerate(steps) if step.state in NOW), 0)
    page = paging.page(
        request,
        steps,
        parameter="steps",
        default=now // paging.PER_PAGE + 1,
    )
    found = execution.steps.filter(pk__in=[0, *(step.pk for step in page.object_list)])
    page.object_list = list(found.order_by("position").only("execution_id", *SHOWN))
    return page


def _dumps(request: HttpRequest, backups: QuerySet[Backup]) -> Page[dumps.Dump]:
    """A page of the backups, each as it is shown."""
    found = backups.select_related("target", "base")
    page = paging.page(request, found, per_page=BACKUPS, parameter="backups")
    page.object_list = [dumps.dump(backup) for backup in page.object_list]
    return page


def _rehearsal(execution: Execution) -> Execution | None:
    """The last passed rehearsal of the very same bytes, to compare a real execution with."""
    if execution.purpose != Execution.Purpose.REAL:
        return None
    same = Execution.objects.filter(
        rollback_target=execution.rollback_target_id,
        purpose=Execution.Purpose.REHEARSAL,
        change_digest=execution.change_digest,
        status=_Status.SUCCEEDED,
    )
    return same.order_by("-queued_at").first()


def _post_mortem_due(execution: Execution) -> datetime | None:
    incident = execution.rollback_target.rollback.incident_id
    if incident is None:
        return None
    return (
        PostMortem.objects.filter(incident=incident, submitted_at=None)
        .values_list("due_at", flat=True)
        .first()
    )
