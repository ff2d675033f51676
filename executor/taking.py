"""Take the backup that the policy asks for: of which grade, of which tables, and everything on record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.utils import timezone

from approvals import analysis, attempts, backups, base_backups, filling, grades, policy
from approvals.analysis.losses import Losses, losses
from approvals.models import (
    Backup,
    BaseBackup,
    Execution,
    ExecutionStatus,
    Grade,
    PolicyRule,
    RollbackTarget,
    Scope,
)
from executor import backup, basebackup, briefing, credentials, points, selection, vault
from executor.connect import Connection, connect, identity, set_session
from executor.errors import BackupFailed, BackupRefused, Cancelled, ExecutorError, plain

TELL_S = 0.5


@dataclass(frozen=True)
class Choice:
    """What is taken: of which grade, the rows of which tables (None: of all), and on which physical backup a
    point in time rests. `bytes` is what these tables take."""

    grade: Grade
    bytes: int
    select: backup.Select | None = None
    base: BaseBackup | None = None


def choose(connection: Connection, rollback_target: RollbackTarget, rule: PolicyRule) -> Choice:
    """The grade for this target as it is now: a full dump below its limit, above it a point in time with the
    tables that the script destroys; or, where the policy is content with them, the tables that it touches.

    `connection` is any login of the target, in no transaction. Raises BackupRefused with all reasons where
    what is needed is not there, psycopg.Error.
    """
    target = rollback_target.target
    size = backup.estimate_on(connection)
    gone = _losses(rollback_target)
    history = (target.history_schema, target.history_table)
    chosen = partial(selection.lost, losses=gone, search_path=target.search_path, history=history)
    if rule.backup_scope == Scope.TABLES and not gone.hidden:
        names = {name for name, _mode in briefing.outline(rollback_target).locks}
        chosen = partial(chosen, relations=sorted(names))
        return Choice(Grade.TABLES, _bytes(connection, chosen, target.backup_limit_bytes), chosen)
    if size <= target.backup_limit_bytes:
        return Choice(Grade.FULL, size)
    if gone.hidden:
        first = gone.hidden[0]
        raise BackupRefused(
            f"{backup.too_large(size, target.backup_limit_bytes)} But what the script destroys can't be read "
            f"from it: line {first.line}, {first.kind}. So nothing could be dumped in its place."
        )
    try:
        base = usable_base(connection, rollback_target, rule)
    except BackupRefused as error:
        raise BackupRefused(f"{backup.too_large(size, target.backup_limit_bytes)} {error}") from None
    return Choice(Grade.POINT, _bytes(connection, chosen, target.backup_limit_bytes), chosen, base)


def usable_base(connection: Connection, rollback_target: RollbackTarget, rule: PolicyRule) -> BaseBackup:
    """The physical backup that a point in time may rest on now. Raises BackupRefused with the reason."""
    target = rollback_target.target
    base = base_backups.newest(target)
    if base is None or base.taken_at is None:
        raise BackupRefused(
            "No physical backup of its server with a tested restore is on record: manage.py "
            f"register_base_backup {target} makes the test, where a worker runs."
        )
    if grades.too_old_from(rule, base.taken_at) <= timezone.now():
        raise BackupRefused(
            f"Its newest physical backup, of {base.taken_at:%Y-%m-%d %H:%M} UTC, is older than the "
            f"{rule.base_backup_max_age_hours} h that the policy allows. Make and register a new one."
        )
    now = identity(connection).timeline
    if now != base.timeline:
        raise BackupRefused(
            f"The server is on timeline {now} since, its physical backup on {base.timeline}: whether the log "
            "leads over that is not tested. Make and register a new one."
        )
    if basebackup.inventory(Path(base.directory))[0] != base.inventory:
        raise BackupRefused(f"The files in {base.directory} are not those whose restore was tested.")
    return base


def _losses(rollback_target: RollbackTarget) -> Losses:
    """What all scripts of the rollback destroy together."""
    rows = rollback_target.rollback.items.select_related("migration", "script").order_by("position")
    texts = (filling.sql_of(item) for item in rows if item.script is not None)
    return sum((losses(analysis.plan_script(text)) for text in texts), Losses())


def _bytes(connection: Connection, select: backup.Select, limit: int) -> int:
    with connection.transaction():
        size = select(connection).bytes
    if size > limit:
        raise BackupRefused(backup.too_large(size, limit, of_all=False))
    return size


def take_backup(execution: Execution, *, snapshot: str | None = None) -> Backup:
    """Dump the target, store that encrypted, take it out again, restore it on the scratch server, compare;
    for a point in time set the restore point then, and wait until it is archived. Record every step of it.

    `snapshot`: of the script's own transaction, which keeps writers out meanwhile. Raises ExecutorError,
    after recording why, unless the backup is worth what the policy asks for.
    """
    attempts.enter(execution, ExecutionStatus.BACKUP)
    return _Taking(execution, snapshot).run()


class _Taking:
    """One backup, from the choice of its grade to its record."""

    def __init__(self, execution: Execution, snapshot: str | None) -> None:
        self.execution = execution
        self.target = execution.target
        self.snapshot = snapshot
        self.reader = credentials.endpoint(self.target, "backup")
        self.record = backups.begin(execution, gapless=snapshot is not None)
        self.progress = _Progress(execution, self.record)

    def run(self) -> Backup:
        try:
            choice = self._choose()
            made, facts = self._dump(choice)
        except BackupRefused as error:
            backups.record(self.record, Backup.State.REFUSED, str(error))
            raise
        except ExecutorError as error:
            backups.record(self.record, Backup.State.FAILED, str(error))
            raise
        try:
            backups.progress(self.record, "dump", made.size, made.size, ended=True)
            with vault.taken_out(facts["path"], made.sha256) as path:
                seen = backup.verify(replace(made, path=path), credentials.scratch(), progress=self.progress)
            sentence = seen.sentence
            if seen.ok and choice.base is not None:
                point = self._point()
                facts["point"] = point.as_json()
                sentence = _point_sentence(choice.base, point, seen)
            elif seen.ok and choice.grade is Grade.TABLES:
                sentence = f"Only the tables that the script touches: {_names(made)}. {seen.sentence}"
        except ExecutorError as error:
            backups.record(self.record, Backup.State.DUMPED, f"Not verified: {error}", **facts)
            raise
        if self.snapshot is not None and seen.ok:
            sentence += " Nothing was written to what the script touches between it and the script."
        state = Backup.State.VERIFIED if seen.ok else Backup.State.FAILED
        record = backups.record(self.record, state, sentence, **facts)
        if not seen.ok:
            raise BackupFailed(seen.sentence)
        return record

    def _choose(self) -> Choice:
        rule = policy.rule_for(self.execution.rollback_target.rollback)
        try:
            with contextlib.closing(connect(self.reader)) as connection:
                set_session(connection, {"lock_timeout": f"{backup.LOCK_WAIT_MS}ms"})
                return choose(connection, self.execution.rollback_target, rule)
        except psycopg.Error as error:
            raise BackupFailed(f"What to back up can't be told: {plain(error)}.") from None

    def _dump(self, choice: Choice) -> tuple[backup.Dump, dict[str, Any]]:
        name = f"{self.target.name}-{timezone.now():%Y%m%dT%H%M%SZ}-{self.execution.pk.hex[:8]}"
        with vault.workplace() as folder:
            made = backup.dump(
                self.reader,
                folder,
                name,
                select=choice.select,
                snapshot=self.snapshot,
                limit_bytes=self.target.backup_limit_bytes,
                require_room=vault.require_room,
                progress=self.progress,
            )
            stored = vault.put(made.path, f"{self.target.name}/{made.path.name}")
        facts = {"sha256": made.sha256, "bytes": made.size, "seconds": made.seconds, "path": stored}
        facts["tables"] = {
            table: {"rows": rows, "hash": total} for table, (rows, total) in made.tables.items()
        }
        facts |= {"grade": choice.grade, "base": choice.base}
        facts["keys_left_out"] = [asdict(key) for key in made.selection.keys] if made.selection else []
        return made, facts

    def _point(self) -> points.RestorePoint:
        """Set by the executor's login: the one that reads everything changes nothing."""
        login = credentials.endpoint(self.target, "executor")
        with contextlib.closing(connect(login)) as connection:
            name = points.name_of(self.execution.pk)
            return points.set_point(connection, name, while_waiting=self.progress.stop_if_cancelled)


def _point_sentence(base: BaseBackup, point: points.RestorePoint, seen: backup.Verification) -> str:
    return (
        f"Point in time: restore point {point.name} at {point.lsn}, archived up to {point.wal}; physical "
        f"backup of {base.taken_at:%Y-%m-%d %H:%M} UTC, its restore tested on "
        f"{base.tested_at:%Y-%m-%d %H:%M} UTC. Of what the script destroys a dump was restored and compared: "
        f"{_counted(seen)}."
    )


def _counted(seen: backup.Verification) -> str:
    return seen.sentence.partition("; ")[2].rstrip(".") or seen.sentence


def _names(made: backup.Dump, most: int = 8) -> str:
    names: Sequence[str] = sorted(made.tables)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


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
        self.stop_if_cancelled()

    def stop_if_cancelled(self) -> None:
        """Raises Cancelled where somebody has asked for it."""
        if attempts.cancel_requested(self._execution.pk):
            raise Cancelled("It was cancelled on request.")
