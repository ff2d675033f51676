"""Give an execution whose worker fell silent its outcome, as the target tells it."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from approvals import attempts
from approvals.models import Execution, ExecutionStatus
from executor import briefing, credentials
from executor.alone import ENDED, partly, restart_needed
from executor.checks import after, of_stage
from executor.clone import PREFIX, drop_clone
from executor.connect import Endpoint, connect
from executor.ending import Stop
from executor.errors import ExecutorError, plain
from executor.pools import to_recycle
from executor.recorder import check_json, restart_json
from executor.resolve import Attempt, Resolution, Unanswered, Verdict, resolve, resolve_alone
from executor.spec import (
    Backend,
    CheckResult,
    LoneFound,
    Outcome,
    Restart,
    RunSpec,
    StepState,
)
from executor.watch import no_longer_than

ASKING_S = 300.0
"""So long what is asked of a target that has said how it ended may take; each check has half a minute."""


def settle(execution: Execution) -> None:
    """Resolve and record; until the target answers the execution is unresolved, in so many words."""
    if execution.purpose == Execution.Purpose.REHEARSAL:
        _settle_rehearsal(execution)
        return
    try:
        _Settling(execution).run()
    except (ExecutorError, Unanswered) as error:
        _still_unresolved(execution, str(error))


class _Settling:
    """One execution without an outcome, and what the target says about its transaction and its steps."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.spec = briefing.run_spec(execution)
        self.target = credentials.endpoint(execution.target, "executor")

    def run(self) -> None:
        """Ask, and record the outcome. Raises ExecutorError or Unanswered as long as nobody can tell."""
        resolution = self._transaction()
        found = self._steps()
        committed = resolution is not None and resolution.verdict is Verdict.COMMITTED
        stop = Stop(self._outcome(), resolution.sentence if resolution else "The worker was lost.")
        owed = [each for each in found.values() if each.state is StepState.PENDING]
        finished = not owed and not any(map(_open, found.values()))
        if (committed and finished) or (resolution is None and finished):
            self._ended(stop.sentence, committed=committed)
            return
        partly(stop, found, committed=committed)
        if owed and stop.outcome is Outcome.PARTIAL:
            stop.sentence += f" Not begun: {', '.join(str(each.position) for each in owed)}."
        status = ExecutionStatus(stop.outcome.value)
        attempts.record_outcome(self.execution, status, stop.sentence, resolved=True, committed=committed)

    def _outcome(self) -> Outcome:
        return Outcome.ROLLED_BACK if self.execution.xid else Outcome.NO_EFFECT

    def _transaction(self) -> Resolution | None:
        if not self.spec.transaction:
            return None
        resolution = resolve(self.target, Attempt.of(self.spec, backend_of(self.execution)))
        if resolution.verdict is Verdict.UNKNOWN:
            raise Unanswered(resolution.sentence)
        return resolution

    def _steps(self) -> dict[int, LoneFound]:
        """How the steps that run alone stand, recorded each."""
        if not self.spec.alone:
            return {}
        rows = {row.position: row for row in self.execution.steps.all()}
        before = {row.position: row.before for row in rows.values() if row.before is not None}
        answered = [row.position for row in rows.values() if row.state in ENDED]
        backend = backend_of(self.execution)
        found = {
            each.position: each
            for each in resolve_alone(self.target, self.spec, backend, before, answered=answered)
        }
        for each in found.values():
            if rows[each.position].state != each.state.value:
                attempts.step_settled(
                    self.execution,
                    each.position,
                    state=each.state.value,
                    found=each.says,
                    leftover=each.leftover,
                )
        return found

    def _ended(self, sentence: str, *, committed: bool) -> None:
        """All of it ran; the checks after commit are still owed, and perhaps a restart."""
        failed, results = _owed_checks(self.target, self.spec)
        restart = _restart(self.target, self.spec, backend_of(self.execution))
        waits = bool(of_stage(self.spec.checks, "after restart") or restart.settings)
        status = ExecutionStatus.AWAITING_RESTART if waits else ExecutionStatus.SUCCEEDED
        attempts.record_outcome(
            self.execution,
            ExecutionStatus.COMMITTED_CHECK_FAILED if failed else status,
            f"{sentence} Not passed after commit: {failed}." if failed else sentence,
            resolved=True,
            checks=[check_json(result) for result in results],
            pools=to_recycle(self.target),
            restart=restart_json(restart),
            committed=committed,
        )


def _open(found: LoneFound) -> bool:
    return found.state in (StepState.FAILED, StepState.UNKNOWN)


def _owed_checks(target: Endpoint, spec: RunSpec) -> tuple[str, list[CheckResult]]:
    """What did not pass of the checks after commit, as a sentence, and all their answers."""
    owed = of_stage(spec.checks, "after commit")
    if not owed:
        return "", []
    try:
        with connect(target) as connection, no_longer_than(ASKING_S, connection):
            results = list(after(connection, spec, owed))
    except Exception as error:  # noqa: BLE001 (a check that can't be asked is not passed)
        return f"the checks could not be asked: {plain(error)}", []
    return ", ".join(f"“{result.check.name}”" for result in results if not result.passed), results


def _restart(target: Endpoint, spec: RunSpec, backend: Backend | None) -> Restart:
    """What is waited for, from the start of the server on under which it ran: it may have been restarted
    since. Raises Unanswered."""
    try:
        with connect(target) as connection, no_longer_than(ASKING_S, connection):
            found = restart_needed(connection, spec)
    except psycopg.Error as error:
        raise Unanswered(f"Whether a restart is needed is not known yet: {plain(error)}") from error
    since = found.postmaster_start if backend is None else backend.postmaster_start
    return replace(found, postmaster_start=min(since, found.postmaster_start))


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
    """Say so, and again where it is for another reason by now; the next try comes by itself."""
    if execution.status != ExecutionStatus.UNRESOLVED or execution.sentence != sentence:
        attempts.record_outcome(execution, ExecutionStatus.UNRESOLVED, sentence, resolved=True)


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
