"""Executions that wait for a restart of their server: look whether it came, then ask the checks after it."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime

import psycopg

from approvals import attempts
from approvals.models import Execution, ExecutionStatus
from executor import briefing, credentials
from executor.alone import restart_needed
from executor.checks import after, failed, of_stage
from executor.connect import Endpoint, connect, identity
from executor.ending import counted
from executor.errors import ExecutorError
from executor.recorder import check_json
from executor.spec import CheckResult, RunSpec

log = logging.getLogger(__name__)


def look(execution: Execution) -> None:
    """Record the outcome if the server was restarted since; else, or where it does not answer, wait on."""
    if execution.restart is None:
        return
    since = datetime.fromisoformat(execution.restart["postmaster_start"])
    try:
        spec = briefing.run_spec(execution)
        seen = ask(credentials.endpoint(execution.target, "executor"), spec, since)
    except (ExecutorError, psycopg.Error) as error:
        log.info("%s waits for a restart, and nobody can look: %s", execution, type(error).__name__)
        return
    if seen is None:
        return
    sentence, results, waiting = seen
    well = not waiting and all(result.passed for result in results)
    attempts.record_outcome(
        execution,
        ExecutionStatus.SUCCEEDED if well else ExecutionStatus.COMMITTED_CHECK_FAILED,
        f"{execution.sentence} {sentence}".strip(),
        checks=[*execution.checks, *map(check_json, results)],
    )


def ask(endpoint: Endpoint, spec: RunSpec, since: datetime) -> tuple[str, list[CheckResult], bool] | None:
    """What the server says once it runs since later than `since`: a sentence, the answers, and whether
    a setting is still not in force. None while it was not restarted. Raises ExecutorError,
    psycopg.Error."""
    with contextlib.closing(connect(endpoint)) as connection:
        who = identity(connection)
        if who.postmaster_start <= since or who.in_recovery:
            return None
        waiting = restart_needed(connection, spec).settings
        results = list(after(connection, spec, of_stage(spec.checks, "after restart")))
    words = [f"Restarted at {who.postmaster_start:%Y-%m-%d %H:%M:%S %Z}."]
    if waiting:
        words.append(f"Still not in force: {', '.join(name for name, _, _ in waiting)}.")
    if results and all(result.passed for result in results):
        words.append(f"{counted(len(results), 'check')} after the restart passed.")
    words += [failed(result) for result in results if not result.passed]
    return " ".join(words), results, bool(waiting)
