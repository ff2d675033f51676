"""What rehearsals and real executions share: that they run, and how their end is recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from approvals import attempts
from approvals.models import Execution, ExecutionStatus
from executor.connect import Endpoint
from executor.recorder import PortalRecorder, blocker_json, check_json, lock_json, restart_json
from executor.run import BackUp, run
from executor.spec import Result, RunSpec


def carry_out(
    execution: Execution, spec: RunSpec, endpoint: Endpoint, *, back_up: BackUp | None = None
) -> Result:
    """Run the specification and tell the portal as it goes; the outcome is the caller's to record. `back_up`
    as with `executor.run.run`."""
    with PortalRecorder(execution, secrets=[endpoint.password], limits=spec.limits) as recorder:
        result = run(spec, endpoint, recorder, back_up=back_up)
        if result.failed_step is not None:
            recorder.step_failed(result.failed_step)
        recorder.log("info", result.sentence)
    return result


def record(
    execution: Execution,
    result: Result,
    *,
    sentence: str = "",
    pools: list[dict[str, Any]] | None = None,
) -> None:
    """The outcome of a run with all that was seen, in one transaction with its event."""
    attempts.record_outcome(
        execution,
        ExecutionStatus(result.outcome.value),
        sentence or result.sentence,
        sqlstate=result.sqlstate or "",
        blocker=blocker_json(result.blocker),
        checks=[check_json(each) for each in result.checks],
        timings=asdict(result.timings),
        locks=[lock_json(lock) for lock in result.locks],
        pools=pools,
        restart=restart_json(result.restart),
        committed=result.committed,
    )
