"""What rehearsals and real executions share: the backup before them, and how their end is recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from django.utils import timezone

from approvals import executions
from approvals.models import Backup, Execution, ExecutionStatus
from executor import backup, credentials
from executor.connect import Endpoint
from executor.errors import BackupFailed, BackupRefused, ExecutorError
from executor.recorder import PortalRecorder, blocker_json, lock_json
from executor.run import run
from executor.spec import Result, RunSpec


def take_backup(execution: Execution) -> Backup:
    """Dump the target, restore it on the scratch server, compare, and record every step of it.

    Raises ExecutorError, after recording why, unless the dump was verified.
    """
    executions.enter(execution, ExecutionStatus.BACKUP)
    record = executions.begin_backup(execution)

    def progress(size: int) -> None:
        executions.record_backup_progress(record, size)
        if executions.cancel_requested(execution.pk):
            raise BackupFailed("It was ended because somebody cancelled the execution.")

    name = f"{execution.target.name}-{timezone.now():%Y%m%dT%H%M%SZ}-{execution.pk.hex[:8]}"
    try:
        made = backup.dump(
            credentials.endpoint(execution.target, "backup"),
            credentials.backup_directory(),
            name,
            limit_bytes=execution.target.backup_limit_bytes,
            progress=progress,
        )
        facts = {"sha256": made.sha256, "bytes": made.size, "seconds": made.seconds, "path": str(made.path)}
        facts["tables"] = {
            table: {"rows": rows, "hash": total} for table, (rows, total) in made.tables.items()
        }
    except BackupRefused as error:
        executions.record_backup(record, Backup.State.REFUSED, str(error))
        raise
    except ExecutorError as error:
        executions.record_backup(record, Backup.State.FAILED, str(error))
        raise
    try:
        verification = backup.verify(made, credentials.scratch())
    except ExecutorError as error:
        executions.record_backup(record, Backup.State.DUMPED, f"Not verified: {error}", **facts)
        raise
    state = Backup.State.VERIFIED if verification.ok else Backup.State.FAILED
    record = executions.record_backup(record, state, verification.sentence, **facts)
    if not verification.ok:
        raise BackupFailed(verification.sentence)
    return record


def dump_path(record: Backup) -> Path:
    """The verified dump's file, hashed again right before it is relied on. Raises BackupFailed."""
    path = Path(record.path)
    backup.rehash(path, record.sha256)
    return path


def carry_out(execution: Execution, spec: RunSpec, endpoint: Endpoint) -> Result:
    """Run the specification and tell the portal as it goes; the outcome is the caller's to record."""
    with PortalRecorder(execution, secrets=[endpoint.password], limits=spec.limits) as recorder:
        result = run(spec, endpoint, recorder)
        if result.failed_step is not None:
            recorder.step_failed(result.failed_step)
        recorder.log("info", result.sentence)
    return result


def record(execution: Execution, result: Result, *, sentence: str = "") -> None:
    """The outcome of a run with all that was seen, in one transaction with its event."""
    executions.record_outcome(
        execution,
        ExecutionStatus(result.outcome.value),
        sentence or result.sentence,
        sqlstate=result.sqlstate or "",
        blocker=blocker_json(result.blocker),
        checks=[
            {
                "name": each.check.name,
                "sql": each.check.sql,
                "expected": each.check.expected,
                "stage": each.check.stage,
                "actual": each.actual,
                "passed": each.passed,
                "error": each.error,
                "ms": each.ms,
            }
            for each in result.checks
        ],
        timings=asdict(result.timings),
        locks=[lock_json(lock) for lock in result.locks],
    )
