"""A Celery worker whose processes die within executions: `celery --app tests.executor.dying worker`.

It is the portal's own worker in all else. Where it dies is counted: each statement to a target or to the
portal, sent by the thread that carries the execution, is a point, and so is each word for which that waits.
`DYING_DIR` holds the numbers at which the next executions die, one in a line of `orders`; one that finds no
line, or has fewer points, lives to its end, and then writes how many points it had into `points`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path
from typing import Any

import psycopg
from celery.signals import celeryd_init

from waqiti_rollback.celery import app as app

DIRECTORY = Path(os.environ.get("DYING_DIR", "."))
WHOLE = "whole"
"""The word behind the number of an order by which the worker dies with its process."""


class _Points:
    """The points of the execution that this process carries, if it carries one."""

    at: int | None = None
    whole = False
    passed = -1  # nothing is counted

    def begin(self) -> None:
        order = _next_order()
        self.at, self.whole, self.passed = order[0], order[1], 0

    def end(self) -> None:
        (DIRECTORY / "points").write_text(str(self.passed))
        self.passed = -1

    def here(self, name: str) -> None:
        if self.passed < 0 or threading.current_thread() is not threading.main_thread():
            return
        if self.passed == self.at:
            with (DIRECTORY / "died").open("a") as died:
                died.write(f"{name}\n")
            if self.whole:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1


_points = _Points()


def _next_order() -> tuple[int | None, bool]:
    """The first line of the orders, which is nobody else's then."""
    with (DIRECTORY / "orders").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        first, *rest = file.read().splitlines() or [""]
        file.truncate(0)
        file.write("".join(f"{line}\n" for line in rest))
        file.flush()
    number, _, word = first.partition(" ")
    return (int(number) if number else None), word == WHOLE


@celeryd_init.connect
def _watch(**_kwargs: object) -> None:
    """Count what the thread of an execution says. The pool's processes inherit it."""
    from approvals.models import Job
    from executor import tasks
    from executor.recorder import PortalRecorder

    execute, now, work = psycopg.Cursor.execute, PortalRecorder._now, tasks.WORK[Job.Kind.EXECUTE]

    def watched(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        name = " ".join(str(query).split())[:60]
        _points.here(f"before: {name}")
        answer = execute(self, query, *args, **options)
        _points.here(f"behind: {name}")
        return answer

    def waited(self: PortalRecorder, write: Any) -> None:
        _points.here("before the portal is told durably")
        now(self, write)
        _points.here("the portal was told durably")

    def counted(job: Job) -> str:
        _points.begin()
        sentence = work(job)
        _points.end()
        return sentence

    psycopg.Cursor.execute = watched  # type: ignore[method-assign,assignment]
    PortalRecorder._now = waited  # type: ignore[method-assign]
    tasks.WORK[Job.Kind.EXECUTE] = counted
