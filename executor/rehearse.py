"""Rehearse a rollback: the same code and the same bytes on a clone of the target, dropped afterwards."""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace

from approvals import attempts, history
from approvals.models import Backup, Execution, ExecutionStatus, Job, Target
from executor import briefing, credentials, restarts, vault
from executor.attempt import carry_out, record
from executor.checks import of_stage
from executor.clone import drop_clone, make_clone
from executor.connect import Endpoint, connect
from executor.disposable import disposable
from executor.ending import lasted
from executor.errors import ExecutorError
from executor.history import read_history
from executor.marker import Setup
from executor.read import in_plain_words
from executor.recorder import alive, worker_name
from executor.settle import clone_name
from executor.spec import ObservedLock, Outcome, Result, RunSpec
from executor.taking import take_backup

log = logging.getLogger(__name__)


def job(job: Job) -> str:
    """Rehearse the job's execution. Returns the sentence that was recorded."""
    execution = attempts.claim(uuid.UUID(job.subject), worker=worker_name())
    if execution is None:
        return "Nothing to do: it was taken before, or what is stored is not what was asked for."
    with alive(execution):
        try:
            return _rehearse(execution)
        except Exception as error:
            sentence = f"The rehearsal did not take place: {in_plain_words(error)}"
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, sentence)
            attempts.record_rehearsal(execution, holds=False, sentence=sentence, data={})
            if isinstance(error, ExecutorError):
                return sentence
            raise


def _rehearse(execution: Execution) -> str:
    """Backup, clone, run, drop the clone, and record what was seen as evidence for these bytes."""
    backup = take_backup(execution)
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    spec = briefing.signed_spec(execution, on_clone=True)
    if concerns_the_server(spec):
        return _rehearse_on_own_server(execution, spec, backup)
    server = credentials.endpoint(execution.target.rehearsal_target or execution.target, "clone")
    name = clone_name(execution)
    with vault.taken_out(backup.path, backup.sha256) as dump:
        clone = make_clone(
            dump,
            server,
            name,
            owner_role=execution.target.owner_role,
            history_schema=execution.target.history_schema,
            history_table=execution.target.history_table,
        )
    try:
        if difference := _history_difference(clone, execution.target):
            raise ExecutorError(difference)
        result = carry_out(execution, spec, _as_executor(execution, clone))
    finally:
        left_over = _drop(server, name)
    return _told(execution, result, f"{_sentence(result)} {left_over}".rstrip())


def concerns_the_server(spec: RunSpec) -> bool:
    """Whether it changes the server's settings, or asks something after a restart: never on a server that
    anybody uses."""
    return bool(spec.parameters or of_stage(spec.checks, "after restart"))


def _rehearse_on_own_server(execution: Execution, spec: RunSpec, backup: Backup) -> str:
    """On a server that is made for it and thrown away, restarted where that is waited for."""
    target = execution.target
    setup = Setup(
        target.owner_role,
        clone_name(execution),
        target.history_schema,
        target.history_table,
        alter_system=spec.parameters,
    )
    with disposable(target.server_version) as server:
        with vault.taken_out(backup.path, backup.sha256) as dump:
            copy = server.restored(dump, setup)
        if difference := _history_difference(copy, target):
            raise ExecutorError(difference)
        result = carry_out(execution, spec, copy)
        if result.outcome is Outcome.AWAITING_RESTART and result.restart is not None:
            server.restart()
            result = _after_restart(result, copy, spec)
    return _told(execution, result, f"{_sentence(result)} It ran on a server made for it and thrown away.")


def _after_restart(result: Result, copy: Endpoint, spec: RunSpec) -> Result:
    assert result.restart is not None  # noqa: S101 (who waits for one knows since when)
    seen = restarts.ask(copy, spec, result.restart.postmaster_start)
    if seen is None:
        raise ExecutorError("The throw-away server says that it was not restarted.")
    sentence, results, waiting = seen
    well = not waiting and all(each.passed for each in results)
    return replace(
        result,
        outcome=Outcome.SUCCEEDED if well else Outcome.COMMITTED_CHECK_FAILED,
        sentence=f"{result.sentence} {sentence}",
        checks=(*result.checks, *results),
        restart=None,
    )


def _told(execution: Execution, result: Result, sentence: str) -> str:
    """Record what was seen as evidence for these bytes, and as the execution's outcome."""
    holds = result.outcome is Outcome.SUCCEEDED
    attempts.record_rehearsal(execution, holds=holds, sentence=sentence, data=_data(result))
    record(execution, result, sentence=sentence)
    return sentence


def _drop(server: Endpoint, name: str) -> str:
    """Drop the clone; what went wrong, as a sentence, because it says nothing about the rehearsal itself."""
    try:
        drop_clone(server, name)
    except ExecutorError as error:
        log.warning("%s", error)
        return f"The copy is still there: {error}"
    return ""


def _as_executor(execution: Execution, clone: Endpoint) -> Endpoint:
    """The clone, signed in to as the role that runs scripts: a rehearsal by somebody else proves nothing."""
    login = credentials.endpoint(execution.target.rehearsal_target or execution.target, "executor")
    return Endpoint(
        clone.host,
        clone.port,
        clone.dbname,
        login.user,
        login.password,
        login.application_name,
        clone.sslmode,
    )


def _history_difference(clone: Endpoint, target: Target) -> str:
    """Why the clone is not the target the request was written for, as a sentence; empty if it is."""
    with connect(clone) as connection:
        rows = read_history(connection, target.history_schema, target.history_table)
    there = {(row.version, row.checksum, row.success) for row in rows}
    here = {(row.version, row.checksum, row.success) for row in history.rows_of(target)}
    if there == here:
        return ""
    other = sorted(str(version) for version, _checksum, _success in there ^ here)
    return (
        f"The copy's history is not the one that was read from {target}: {', '.join(other)} differs. "
        "Read the target again, then rehearse."
    )


def _sentence(result: Result) -> str:
    if result.outcome is Outcome.SUCCEEDED:
        seconds, held = lasted(result.timings.total_s), lasted(result.timings.lock_held_s)
        return f"Passed on a copy of the target in {seconds}, locks held for {held}."
    return f"Not passed: {result.sentence}"


def _data(result: Result) -> dict[str, object]:
    return {
        "seconds": round(result.timings.total_s, 3),
        "lock_held_s": round(result.timings.lock_held_s, 3),
        "outcome": result.outcome.value,
        "locks": [_lock(lock) for lock in result.locks],
    }


def _lock(lock: ObservedLock) -> dict[str, object]:
    """What was locked, how strongly and for how long, as the evidence keeps it."""
    held = (lock.held_to - lock.held_from).total_seconds() if lock.held_from and lock.held_to else None
    return {
        "relation": lock.relation,
        "mode": lock.mode,
        "held_s": None if held is None else round(held, 3),
        "waited_s": round(lock.waited_s, 3),
    }
