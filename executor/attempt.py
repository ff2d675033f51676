"""What rehearsals and real executions share: that they run, and how their end is recorded."""

from __future__ import annotations

from dataclasses import asdict

from approvals import attempts
from approvals.models import Execution, ExecutionStatus
from executor.connect import Endpoint
from executor.line import Left, Line
from executor.recorder import PortalRecorder, Pulse, blocker_json, check_json, lock_json, restart_json
from executor.run import BackUp, run
from executor.spec import Result, RunSpec


def carry_out(
    execution: Execution,
    spec: RunSpec,
    endpoint: Endpoint,
    pulse: Pulse,
    *,
    back_up: BackUp | None = None,
    line: Line | None = None,
) -> Result:
    """Run the specification and tell the portal as it goes; the outcome is the caller's to record. `pulse` is
    that of `recorder.alive`, `back_up` and `line` as with `executor.run.run`."""
    with PortalRecorder(execution, pulse, secrets=[endpoint.password], limits=spec.limits) as recorder:
        result = run(spec, endpoint, recorder, back_up=back_up, line=line)
        if result.failed_step is not None:
            recorder.step_failed(result.failed_step)
        recorder.log("info", result.sentence)
    return result


def record(
    execution: Execution,
    result: Result,
    left: Left = Left(),  # noqa: B008 (frozen)
    *,
    sentence: str = "",
) -> None:
    """The outcome of a run with all that was seen, and what it left behind, in one transaction with its
    event."""
    attempts.record_outcome(
        execution,
        ExecutionStatus(result.outcome.value),
        sentence or result.sentence,
        sqlstate=result.sqlstate or "",
        blocker=blocker_json(result.blocker),
        checks=[check_json(each) for each in result.checks],
        timings=asdict(result.timings),
        locks=[lock_json(lock) for lock in result.locks],
        pools=left.pools,
        history_rows=left.history,
        restart=restart_json(result.restart),
        committed=result.committed,
    )
