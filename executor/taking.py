"""Take the backup that the policy asks for: of which grade, of which tables, and everything on record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import psycopg
from django.db import IntegrityError
from django.utils import timezone

from approvals import attempts, backup_exceptions, backups, policy
from approvals.models import Backup, BackupException, BaseBackup, Execution, ExecutionStatus, Grade
from executor import backup, credentials, points, vault
from executor.choosing import Choice, choose_for
from executor.connect import Connection, connect, identity, refuse_other, set_session
from executor.errors import AboveLimit, BackupFailed, BackupRefused, Cancelled, ExecutorError, plain
from executor.watch import no_longer_than

TELL_S = 0.5


def take_backup(execution: Execution, *, snapshot: str | None = None) -> Backup:
    """Dump the target, store that encrypted, take it out again, restore it on the scratch server, compare;
    for a point in time set the restore point then, and wait until it is archived. Record every step of it.

    `snapshot`: of the script's own transaction, which keeps writers out meanwhile. Raises ExecutorError,
    after recording why, unless the backup is worth what the policy asks for, or an exception is in force and
    it is the most that can be had.
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
        self.no_point = False

    def run(self) -> Backup:
        try:
            choice = self._choose()
            made, facts = self._dump(choice)
        except BackupRefused as error:
            beyond = isinstance(error, AboveLimit)
            backups.record(self.record, Backup.State.REFUSED, str(error), above_limit=beyond)
            raise
        except ExecutorError as error:
            backups.record(self.record, Backup.State.FAILED, str(error))
            raise
        try:
            backups.progress(self.record, "dump", made.size, made.size, ended=True)
            with vault.taken_out(facts["path"], made.sha256) as path:
                scratch = credentials.scratch(made.server_version // 10000)
                seen = backup.verify(replace(made, path=path), scratch, progress=self.progress)
            point = None
            if seen.ok and choice.base is not None:
                choice, point = self._point(choice)
                facts |= {"grade": choice.grade, "base": choice.base}
                facts |= {"point": point.as_json()} if point else {}
            sentence = _sentence(choice, made, point, seen) if seen.ok else seen.sentence
        except ExecutorError as error:
            said = f"Not verified: {error}"
            backups.record(self.record, Backup.State.DUMPED, said, above_limit=self.no_point, **facts)
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
            with (
                contextlib.closing(connect(self.reader)) as connection,
                no_longer_than(backup.ASK_S, connection),
            ):
                set_session(connection, {"lock_timeout": f"{backup.LOCK_WAIT_MS}ms"})
                choice = choose_for(connection, self.execution.rollback_target, rule, self._leave)
        except psycopg.Error as error:
            raise BackupFailed(f"What to back up can't be told: {plain(error)}.") from None
        if choice.exception is not None:
            self._begin_by(choice.exception)
        return choice

    def _leave(self) -> BackupException | None:
        rollback = self.execution.rollback_target.rollback_id
        return backup_exceptions.in_force(rollback, self.execution.change_digest)

    def _begin_by(self, exception: BackupException) -> None:
        """Raises BackupRefused where the portal's database knows it as over."""
        try:
            backups.begin_by_exception(self.record, exception)
        except IntegrityError:
            raise BackupRefused("The exception instead of a backup is not in force any more.") from None

    def _dump(self, choice: Choice) -> tuple[backup.Dump, dict[str, Any]]:
        name = f"{self.target.name}-{timezone.now():%Y%m%dT%H%M%SZ}-{self.execution.pk.hex[:8]}"
        with vault.workplace() as folder:
            made = backup.dump(
                self.reader,
                folder,
                name,
                select=choice.select,
                snapshot=self.snapshot,
                limit_bytes=None if choice.exception else self.target.backup_limit_bytes,
                require_room=vault.require_room,
                require_server=self._require_server,
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

    def _require_server(self, connection: Connection) -> None:
        """The backup's login may reach another server than the script's: a standby that lags behind."""
        oid, identifier = self.target.database_oid, self.target.system_identifier or None
        refuse_other(identity(connection), system_identifier=identifier, database_oid=oid)

    def _point(self, choice: Choice) -> tuple[Choice, points.RestorePoint | None]:
        """The restore point that the choice needs; where none is archived, what is left by an exception."""
        try:
            return choice, self._set_point()
        except (BackupRefused, BackupFailed) as error:
            self.no_point = True
            if (exception := choice.exception or self._leave()) is None:
                raise
            self._begin_by(exception)
            lacks = f"{choice.lacks} {error}".lstrip()
            return replace(choice, grade=Grade.NONE, base=None, exception=exception, lacks=lacks), None

    def _set_point(self) -> points.RestorePoint:
        """Set by the executor's login: the one that reads everything changes nothing."""
        login = credentials.endpoint(self.target, "executor")
        with (
            contextlib.closing(connect(login)) as connection,
            no_longer_than(backup.ASK_S + points.patience(), connection),
        ):
            name = points.name_of(self.execution.pk)
            return points.set_point(connection, name, while_waiting=self.progress.stop_if_cancelled)


def _sentence(
    choice: Choice, made: backup.Dump, point: points.RestorePoint | None, seen: backup.Verification
) -> str:
    """What was taken and compared, and what it is worth."""
    if choice.exception is not None:
        return _excepted_sentence(choice, point, seen)
    if choice.base is not None and point is not None:
        return _point_sentence(choice.base, point, seen)
    if choice.grade is Grade.TABLES:
        return f"Only the tables that the script touches: {_names(made)}. {seen.sentence}"
    return seen.sentence


def _excepted_sentence(choice: Choice, point: points.RestorePoint | None, seen: backup.Verification) -> str:
    """What there is and what there is not, the worst first."""
    if choice.holds_rows:
        had = f"What the script destroys is in a dump that was restored and compared: {_counted(seen)}."
        worst = "Nothing but what the script destroys can be brought back." if point is None else ""
    else:
        had = "The structure without rows, and Flyway's history, were dumped, restored and compared."
        worst = "No backup that brings data back." if point is None else ""
    if point is not None and choice.base is not None:
        had += (
            f" Restore point {point.name} at {point.lsn}, on the physical backup of "
            f"{choice.base.taken_at:%Y-%m-%d %H:%M} UTC: the whole server can be brought back to it."
        )
    lacks = f"What the policy asks for can't be had: {choice.lacks}"
    return " ".join(part for part in ("By exception.", worst, had, lacks) if part)


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
