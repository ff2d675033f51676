"""What rehearsals and real executions share: the backup before them, and how their end is recorded."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

from django.utils import timezone

from approvals import attempts, backups
from approvals.models import Backup, Execution, ExecutionStatus
from executor import backup, credentials, vault
from executor.connect import Endpoint
from executor.errors import BackupFailed, BackupRefused, Cancelled, ExecutorError
from executor.recorder import PortalRecorder, blocker_json, check_json, lock_json, restart_json
from executor.run import run
from executor.spec import Result, RunSpec

TELL_S = 0.5


def take_backup(execution: Execution) -> Backup:
    """Dump the target, store that encrypted, take it out again, restore it on the scratch server, compare,
    and record every step of it.

    Raises ExecutorError, after recording why, unless the dump was verified.
    """
    attempts.enter(execution, ExecutionStatus.BACKUP)
    record = backups.begin(execution)
    progress = _Progress(execution, record)
    name = f"{execution.target.name}-{timezone.now():%Y%m%dT%H%M%SZ}-{execution.pk.hex[:8]}"
    try:
        with vault.workplace() as folder:
            made = backup.dump(
                credentials.endpoint(execution.target, "backup"),
                folder,
                name,
                limit_bytes=execution.target.backup_limit_bytes,
                require_room=vault.require_room,
                progress=progress,
            )
            stored = vault.put(made.path, f"{execution.target.name}/{made.path.name}")
        facts = {"sha256": made.sha256, "bytes": made.size, "seconds": made.seconds, "path": stored}
        facts["tables"] = {
            table: {"rows": rows, "hash": total} for table, (rows, total) in made.tables.items()
        }
    except BackupRefused as error:
        backups.record(record, Backup.State.REFUSED, str(error))
        raise
    except ExecutorError as error:
        backups.record(record, Backup.State.FAILED, str(error))
        raise
    try:
        backups.progress(record, "dump", made.size, made.size, ended=True)
        with vault.taken_out(stored, made.sha256) as path:
            verification = backup.verify(replace(made, path=path), credentials.scratch(), progress=progress)
    except ExecutorError as error:
        backups.record(record, Backup.State.DUMPED, f"Not verified: {error}", **facts)
        raise
    state = Backup.State.VERIFIED if verification.ok else Backup.State.FAILED
    record = backups.record(record, state, verification.sentence, **facts)
    if not verification.ok:
        raise BackupFailed(verification.sentence)
    return record


class _Progress:
    """Writes how far a backup is, at most twice a second, and ends it when somebody cancels."""

    def __init__(self, execution: Execution, record: Backup) -> None:
        self._execution = execution
        self._record = record
        self._stage = ""
        self._told = 0.0

    def __call__(self, stage: backup.Stage, done: int, of: int) -> None:
        last = stage == "compare" and done == of
        if stage == self._stage and not last and time.monotonic() - self._told < TELL_S:
            return
        self._stage, self._told = stage, time.monotonic()
        backups.progress(self._record, stage, done, of, ended=last)
        if attempts.cancel_requested(self._execution.pk):
            raise Cancelled("It was cancelled on request.")


def carry_out(execution: Execution, spec: RunSpec, endpoint: Endpoint) -> Result:
    """Run the specification and tell the portal as it goes; the outcome is the caller's to record."""
    with PortalRecorder(execution, secrets=[endpoint.password], limits=spec.limits) as recorder:
        result = run(spec, endpoint, recorder)
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
