"""An execution or a rehearsal that has not ended: what it does now, and what is certain meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils.translation import gettext as _

from approvals import attempts
from approvals.models import ExecutionStatus, ExecutionStep

from .telling import Story, Told, clock

# A worker that is free takes what is queued within seconds.
WORKER_DUE = timedelta(minutes=1)


def _queued(told: Told) -> Story:
    return Story(
        "idle",
        str(ExecutionStatus.QUEUED.label),
        _title(told),
        _("It waits for a worker since %(at)s.") % {"at": clock(told.execution.queued_at)},
        _("Nothing has run. Nothing has changed on %(target)s.") % told.names,
        (
            _("Wait. If no worker takes it by %(at)s, see whether a worker runs.")
            % {"at": clock(told.execution.queued_at + WORKER_DUE)},
        ),
    )


def _before_script(told: Told) -> Story:
    if told.locking:
        return _locking(told)
    status = ExecutionStatus(told.execution.status)
    happens = {
        ExecutionStatus.CLAIMED: _("A worker has taken it: %(worker)s."),
        ExecutionStatus.PREFLIGHT: _("The worker asks every gate again and looks at the target."),
        ExecutionStatus.BACKUP: _(
            "The backup is taken, restored elsewhere and compared: see below how far it is."
        ),
    }[status] % {"worker": told.execution.worker}
    certain = (
        _("The script has not begun. Nothing has changed on %(target)s.")
        if told.real
        else _("This is a rehearsal: %(target)s is only read.")
    )
    return Story("run", str(status.label), _title(told), happens, certain % told.names, (_falls_silent(),))


def _falls_silent() -> str:
    seconds = int(attempts.silence().total_seconds())
    return _(
        "Nothing; watch. If the worker is not heard of for %(seconds)d seconds, the target is asked how it "
        "stands."
    ) % {"seconds": seconds}


def _locking(told: Told) -> Story:
    """Between backup and script: locks are tried for, and let go of again, until all are had."""
    blocker = told.execution.blocker
    until = told.until("lock", "lock_phase_s")
    happens = blocked_by(blocker) if blocker else _("It takes the locks that the script needs.")
    if until:
        happens += " " + _("It tries again and again until %(until)s, and then gives up.") % {"until": until}
    return Story(
        "run",
        _("Taking locks"),
        _title(told),
        happens,
        _("The script has not begun. Nothing has changed on %(target)s.") % told.names
        if told.real
        else _("This is a rehearsal: %(target)s is only read.") % told.names,
        (_("Ask whoever owns that session to finish, or end it. Or wait: giving up has no effect."),)
        if blocker
        else (_falls_silent(),),
    )


def _running(told: Told) -> Story:
    done = sum(1 for step in told.steps if step.state == ExecutionStep.State.DONE)
    running = (ExecutionStep.State.RUNNING, ExecutionStep.State.CLAIMED)
    now = next((step for step in told.steps if step.state in running), None)
    blocker = told.execution.blocker
    if blocker:
        happens = blocked_by(blocker)
    elif now:
        happens = _("Step %(number)d of %(count)d runs: %(says)s") % {
            "number": now.position,
            "count": len(told.steps),
            "says": now.says,
        }
    elif done == len(told.steps):
        happens = _("Every step has run. The checks and the history row come next.")
    else:
        happens = _("It takes the locks that the script needs.")
    if until := told.until("connect", "client_deadline_s"):
        happens += " " + _("At %(until)s at the latest it is ended and taken back.") % {"until": until}
    return Story(
        "run",
        str(ExecutionStatus.RUNNING.label),
        _title(told),
        happens,
        told.of_transaction(
            _(
                "Nothing is committed. If it fails, times out or is cancelled, PostgreSQL takes all of it "
                "back."
            )
        ),
        (
            (_("Wait: it gives up by itself. Or end the session that holds the lock."),)
            if blocker
            else (_("Nothing. Cancel only if it must not go on."),)
        ),
    )


def blocked_by(blocker: dict[str, object]) -> str:
    """Who stands in the way, in one sentence."""
    words = {
        "relation": blocker.get("relation"),
        "pid": blocker.get("pid"),
        "name": blocker.get("application") or blocker.get("user") or _("unnamed"),
    }
    if not words["relation"]:
        return _("It waits for a lock. Session %(pid)s (%(name)s) holds it.") % words
    return _("It waits for a lock on %(relation)s. Session %(pid)s (%(name)s) holds it.") % words


def _committing(told: Told) -> Story:
    return Story(
        "run",
        str(ExecutionStatus.COMMITTING.label),
        _title(told),
        _("COMMIT was sent; the answer is awaited."),
        told.of_transaction(
            _("Either all of it is committed or none of it. Only the target knows until it answers.")
        ),
        (
            _("Wait. Without a word for %(seconds)d seconds this page says so, and the target is asked.")
            % {"seconds": int(attempts.silence().total_seconds())},
        ),
    )


def _verifying(told: Told) -> Story:
    return Story(
        "run",
        str(ExecutionStatus.VERIFYING.label),
        _title(told),
        _("The target answered COMMIT. The checks after the commit run."),
        _("It is committed: there is no way back but forward."),
        (_("Wait for the checks. Each may take %(seconds)d seconds.") % {"seconds": _check_seconds(told)},),
    )


def _check_seconds(told: Told) -> int:
    return int(told.execution.limits.get("check_timeout_ms", 30_000)) // 1000


def _title(told: Told) -> str:
    title = (
        _("Rolling back %(versions)s on %(target)s")
        if told.real
        else _("Rehearsing the rollback of %(versions)s on a clone of %(target)s")
    )
    return title % told.names


STORIES: dict[ExecutionStatus, Callable[[Told], Story]] = {
    ExecutionStatus.QUEUED: _queued,
    ExecutionStatus.CLAIMED: _before_script,
    ExecutionStatus.PREFLIGHT: _before_script,
    ExecutionStatus.BACKUP: _before_script,
    ExecutionStatus.RUNNING: _running,
    ExecutionStatus.COMMITTING: _committing,
    ExecutionStatus.VERIFYING: _verifying,
}
