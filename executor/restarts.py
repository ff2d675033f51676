"""Executions that wait for a restart of their server: look whether it came, then ask the checks after it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime

import psycopg

from approvals import attempts
from approvals.analysis.alone import Setting, read_alone
from approvals.models import Execution, ExecutionStatus
from executor import briefing, credentials
from executor.alone import ENDED, reading, restart_needed
from executor.checks import after, failed, of_stage
from executor.connect import Connection, Endpoint, connect, identity
from executor.ending import counted
from executor.errors import ExecutorError
from executor.looks import looker
from executor.recorder import check_json
from executor.spec import CheckResult, LoneStep, RunSpec
from executor.watch import no_longer_than

log = logging.getLogger(__name__)

ASKING_S = 300.0
"""So long a look may take at most; each check has half a minute."""


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
    sentence, results, amiss = seen
    well = not amiss and all(result.passed for result in results)
    attempts.record_outcome(
        execution,
        ExecutionStatus.SUCCEEDED if well else ExecutionStatus.COMMITTED_CHECK_FAILED,
        f"{execution.sentence} {sentence}".strip(),
        checks=[*execution.checks, *map(check_json, results)],
    )


def ask(endpoint: Endpoint, spec: RunSpec, since: datetime) -> tuple[str, list[CheckResult], bool] | None:
    """What the server says once it runs since later than `since`: a sentence, the answers, and whether
    a setting is not in force or not the one that was written. None while it was not restarted, or while
    another server answers. Raises ExecutorError, psycopg.Error."""
    with contextlib.closing(connect(endpoint)) as connection, no_longer_than(ASKING_S, connection):
        who = identity(connection)
        if who.postmaster_start <= since or who.in_recovery:
            return None
        if spec.expected_system_identifier not in (None, who.system_identifier):
            return None
        waiting = restart_needed(connection, spec).settings
        others = list(_not_as_written(connection, spec))
        results = list(after(connection, spec, of_stage(spec.checks, "after restart")))
    words = [f"Restarted at {who.postmaster_start:%Y-%m-%d %H:%M:%S %Z}."]
    if waiting:
        words.append(f"Still not in force: {', '.join(name for name, _, _ in waiting)}.")
    if others:
        words.append(f"Not as it was written, by somebody else or a failover: {' '.join(others)}")
    if results and all(result.passed for result in results):
        words.append(f"{counted(len(results), 'check')} after the restart passed.")
    words += [failed(result) for result in results if not result.passed]
    return " ".join(words), results, bool(waiting or others)


def _not_as_written(connection: Connection, spec: RunSpec) -> Iterator[str]:
    """What the file of settings has instead of what the steps have put there. A standby that was promoted
    meanwhile has a file of its own, and whoever writes to it says nothing here."""
    last: dict[str, LoneStep] = {}
    for step in spec.alone:
        if isinstance(about := read_alone(step.sql), Setting):
            last[about.name] = step
    for step in last.values():
        look = looker(step.sql).look(connection, step.before or {"file": None})
        if reading(step, look).state not in ENDED:
            yield look.says
