"""Give an execution whose worker fell silent its outcome, as the target tells it."""

from __future__ import annotations

from approvals import attempts
from approvals.models import Execution, ExecutionStatus
from executor import briefing, credentials
from executor.checks import after, of_stage
from executor.clone import PREFIX, drop_clone
from executor.connect import connect
from executor.errors import ExecutorError, plain
from executor.pools import to_recycle
from executor.recorder import check_json
from executor.resolve import Attempt, Resolution, Verdict, resolve
from executor.spec import Backend, RunSpec


def settle(execution: Execution) -> None:
    """Resolve and record; until the target answers the execution is unresolved, in so many words."""
    if execution.purpose == Execution.Purpose.REHEARSAL:
        _settle_rehearsal(execution)
        return
    try:
        spec = briefing.run_spec(execution)
        resolution = resolve(
            credentials.endpoint(execution.target, "executor"), Attempt.of(spec, backend_of(execution))
        )
    except ExecutorError as error:
        _still_unresolved(execution, str(error))
        return
    if resolution.verdict is Verdict.UNKNOWN:
        _still_unresolved(execution, resolution.sentence)
    elif resolution.verdict is Verdict.COMMITTED:
        _committed(execution, spec, resolution)
    else:
        ran = bool(execution.xid)
        status = ExecutionStatus.ROLLED_BACK if ran else ExecutionStatus.NO_EFFECT
        attempts.record_outcome(execution, status, resolution.sentence, resolved=True)


def backend_of(execution: Execution) -> Backend | None:
    """What was recorded of the attempt's backend; None if it never came that far."""
    if not execution.xid or execution.pid is None or execution.backend_start is None:
        return None
    return Backend(
        xid=int(execution.xid),
        pid=execution.pid,
        backend_start=execution.backend_start,
        system_identifier=execution.system_identifier,
        timeline=execution.timeline or 0,
        postmaster_start=execution.postmaster_start or execution.backend_start,
    )


def _still_unresolved(execution: Execution, sentence: str) -> None:
    """Say so once; the next try comes by itself."""
    if execution.status != ExecutionStatus.UNRESOLVED:
        attempts.record_outcome(execution, ExecutionStatus.UNRESOLVED, sentence, resolved=True)


def _committed(execution: Execution, spec: RunSpec, resolution: Resolution) -> None:
    """It committed; the checks after commit are still owed."""
    failed, results = "", []
    target = credentials.endpoint(execution.target, "executor")
    if owed := of_stage(spec.checks, "after commit"):
        try:
            with connect(target) as connection:
                results = list(after(connection, spec, owed))
            failed = ", ".join(f"“{result.check.name}”" for result in results if not result.passed)
        except Exception as error:  # noqa: BLE001 (a check that can't be asked is not passed)
            failed = f"the checks could not be asked: {plain(error)}"
    sentence = f"{resolution.sentence} Not passed after commit: {failed}." if failed else resolution.sentence
    attempts.record_outcome(
        execution,
        ExecutionStatus.COMMITTED_CHECK_FAILED if failed else ExecutionStatus.SUCCEEDED,
        sentence,
        resolved=True,
        checks=[check_json(result) for result in results],
        pools=to_recycle(target),
    )


def _settle_rehearsal(execution: Execution) -> None:
    """The worker died with the rehearsal: its clone goes, and nothing was proven. The target is untouched."""
    server = execution.target.rehearsal_target or execution.target
    sentence = "The worker ended during the rehearsal. Nothing was proven; ask for it again."
    try:
        drop_clone(credentials.endpoint(server, "clone"), clone_name(execution))
    except ExecutorError as error:
        sentence += f" Its clone is still there: {error}"
    attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, sentence, resolved=True)


def clone_name(execution: Execution) -> str:
    """The database in which this execution rehearses."""
    return f"{PREFIX}{execution.pk.hex}"
