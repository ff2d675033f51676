"""Rehearse a rollback: the same code and the same bytes on a clone of the target, dropped afterwards."""

from __future__ import annotations

import contextlib
import logging
import uuid
from dataclasses import replace

from django.conf import settings

from approvals import attempts, clones, history, policy
from approvals.masking import masking_for
from approvals.models import Backup, Execution, ExecutionStatus, Job
from executor import briefing, credentials, restarts, vault
from executor.attempt import carry_out, record
from executor.checks import of_stage
from executor.clone import drop_clone
from executor.connect import Endpoint, connect
from executor.disposable import disposable
from executor.errors import BackupFailed, ExecutorError
from executor.ground import Ground
from executor.history import read_history
from executor.kept import OtherHistory, copy_of, difference, left_out, pins_of
from executor.marker import Setup
from executor.read import in_plain_words, sync
from executor.recorder import Pulse, alive, worker_name
from executor.settle import clone_name
from executor.spec import ObservedLock, Outcome, Result, RunSpec
from executor.taking import take_backup

log = logging.getLogger(__name__)


def job(job: Job) -> str:
    """Rehearse the job's execution. Returns the sentence that was recorded."""
    execution = attempts.claim(uuid.UUID(job.subject), worker=worker_name())
    if execution is None:
        return "Nothing to do: it was taken before, or what is stored is not what was asked for."
    with alive(execution) as pulse:
        try:
            return _rehearse(execution, pulse)
        except Exception as error:
            sentence = f"The rehearsal did not take place: {in_plain_words(error)}"
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, sentence)
            attempts.record_rehearsal(execution, holds=False, sentence=sentence, data={})
            if isinstance(error, ExecutorError):
                return sentence
            raise


def _rehearse(execution: Execution, pulse: Pulse) -> str:
    """Backup, masked clone, a copy of it, run, the service's tests, drop the copy, and record what was seen
    as evidence for these bytes."""
    target = execution.target
    rule = policy.rule_for(execution.rollback_target.rollback)
    masking = masking_for(target.service, with_rows=rule.rehearsal_with_rows)
    ground = Ground(execution, masking)
    sync(target)  # what a copy is compared with is the target as it is now
    target.refresh_from_db()
    younger = clones.newest_backup(target, hours=settings.REHEARSAL_BACKUP_HOURS)
    if younger is not None and not clones.is_of_another_history(younger, pins_of(target)):
        try:
            return _rehearse_from(execution, ground, younger, pulse, relied_on=True)
        except (OtherHistory, BackupFailed) as error:  # gone, damaged, or from before what is to be undone
            ground.say(f"Another backup is taken: {error}")
    return _rehearse_from(execution, ground, take_backup(execution), pulse, relied_on=False)


def _rehearse_from(
    execution: Execution, ground: Ground, backup: Backup, pulse: Pulse, *, relied_on: bool
) -> str:
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    spec = briefing.signed_spec(execution, on_clone=True)
    if concerns_the_server(spec):
        return _rehearse_on_own_server(execution, ground, spec, backup, pulse, relied_on=relied_on)
    server = credentials.endpoint(execution.target.rehearsal_target or execution.target, "clone")
    name = clone_name(execution)
    if relied_on:  # a clone that is kept does without it, but it becomes evidence that it is there
        vault.check(backup.path, backup.sha256)
    try:
        clone, kept = copy_of(backup, execution.target, ground.masking, name, say=ground.say)
        ground.stands_on(backup, kept.filled, kept, relied_on=relied_on)
        result = carry_out(execution, spec, _as_executor(execution, clone), pulse)
        tests = credentials.tests(execution.target.rehearsal_target or execution.target)
        ground.test(result, spec, replace(tests, host=clone.host, port=clone.port, dbname=name))
    finally:
        left_over = _drop(server, name)
    return _told(execution, ground, result, left_over)


def concerns_the_server(spec: RunSpec) -> bool:
    """Whether it changes the server's settings, or asks something after a restart: never on a server that
    anybody uses."""
    return bool(spec.parameters or of_stage(spec.checks, "after restart"))


def _rehearse_on_own_server(
    execution: Execution, ground: Ground, spec: RunSpec, backup: Backup, pulse: Pulse, *, relied_on: bool
) -> str:
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
            copy, filled = server.restored(dump, setup, ground.masking, left_out(backup))
        with contextlib.closing(connect(copy)) as connection:
            rows = read_history(connection, target.history_schema, target.history_table)
        there, here = [history.pin_of(row) for row in rows], pins_of(target)
        if there != here:
            raise OtherHistory(difference(there, here, target))
        ground.stands_on(backup, filled.as_json(), None, relied_on=relied_on)
        result = carry_out(execution, spec, copy, pulse)
        if result.outcome is Outcome.AWAITING_RESTART and result.restart is not None:
            server.restart()
            result = _after_restart(result, copy, spec)
        ground.test(result, spec, copy)
    return _told(execution, ground, result, "It ran on a server made for it and thrown away.")


def _after_restart(result: Result, copy: Endpoint, spec: RunSpec) -> Result:
    assert result.restart is not None  # noqa: S101 (who waits for one knows since when)
    seen = restarts.ask(copy, spec, result.restart.postmaster_start)
    if seen is None:
        raise ExecutorError("The throw-away server says that it was not restarted.")
    sentence, results, amiss = seen
    well = not amiss and all(each.passed for each in results)
    return replace(
        result,
        outcome=Outcome.SUCCEEDED if well else Outcome.COMMITTED_CHECK_FAILED,
        sentence=f"{result.sentence} {sentence}",
        checks=(*result.checks, *results),
        restart=None,
    )


def _told(execution: Execution, ground: Ground, result: Result, more: str) -> str:
    """Record what was seen as evidence for these bytes, and as the execution's outcome."""
    passed = ground.tested is None or ground.tested.passed
    holds = result.outcome is Outcome.SUCCEEDED and passed
    sentence = f"{ground.sentence(result)} {more}".rstrip()
    if not passed:
        result = replace(result, outcome=Outcome.COMMITTED_CHECK_FAILED)
    attempts.record_rehearsal(execution, holds=holds, sentence=sentence, data=_data(result) | ground.data)
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
