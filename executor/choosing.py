"""Which backup a run takes: its grade by the policy and the target's size, or what an exception leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.utils import timezone

from approvals import analysis, base_backups, filling, grades
from approvals.analysis.losses import Losses, losses
from approvals.models import BackupException, BaseBackup, Grade, PolicyRule, RollbackTarget, Scope
from executor import backup, basebackup, briefing, selection
from executor.connect import Connection, identity
from executor.errors import AboveLimit, BackupRefused

Leave = Callable[[], BackupException | None]
"""Asks the portal's database for the exception that is in force right now; only where one is needed."""


@dataclass(frozen=True)
class Choice:
    """What is taken: of which grade, the rows of which tables (None: of all), and on which physical backup a
    point in time rests. `bytes` is what these tables take. By an `exception` it is of no grade: `lacks`
    says why it is less than the policy asks for; it `holds_rows` if those that the script destroys are in it.
    """

    grade: Grade
    bytes: int
    select: backup.Select | None = None
    base: BaseBackup | None = None
    exception: BackupException | None = None
    lacks: str = ""
    holds_rows: bool = True


def choose(connection: Connection, rollback_target: RollbackTarget, rule: PolicyRule) -> Choice:
    """The grade for this target as it is now: a full dump below its limit, above it a point in time with the
    tables that the script destroys; or, where the policy is content with them, the tables that it touches,
    as long as these are below it.

    `connection` is any login of the target, in no transaction. Raises AboveLimit with all reasons where what
    is needed is not there, psycopg.Error.
    """
    target = rollback_target.target
    size = backup.estimate_on(connection)
    gone = _losses(rollback_target)
    chosen = _rows(rollback_target, gone)
    if rule.backup_scope == Scope.TABLES and not gone.hidden:
        names = {name for name, _mode in briefing.outline(rollback_target).locks}
        touched = partial(chosen, relations=sorted(names))
        with contextlib.suppress(AboveLimit):
            return Choice(Grade.TABLES, _bytes(connection, touched, target.backup_limit_bytes), touched)
    if size <= target.backup_limit_bytes:
        return Choice(Grade.FULL, size)
    if gone.hidden:
        first = gone.hidden[0]
        raise AboveLimit(
            f"{backup.too_large(size, target.backup_limit_bytes)} But what the script destroys can't be read "
            f"from it: line {first.line}, {first.kind}. So nothing could be dumped in its place."
        )
    try:
        base = usable_base(connection, rollback_target, rule)
    except BackupRefused as error:
        raise AboveLimit(f"{backup.too_large(size, target.backup_limit_bytes)} {error}") from None
    return Choice(Grade.POINT, _bytes(connection, chosen, target.backup_limit_bytes), chosen, base)


def choose_excepted(
    connection: Connection,
    rollback_target: RollbackTarget,
    rule: PolicyRule,
    exception: BackupException,
    lacks: str,
) -> Choice:
    """By exception, the most that can be had: the rows that the script destroys where they can be told and
    are below the limit, else the structure alone; and a restore point where there is a physical backup for
    it. Raises psycopg.Error."""
    limit, gone = rollback_target.target.backup_limit_bytes, _losses(rollback_target)
    base = None
    with contextlib.suppress(BackupRefused):
        base = usable_base(connection, rollback_target, rule)
    if not gone.hidden:
        rows = _rows(rollback_target, gone)
        with contextlib.suppress(AboveLimit):
            size = _bytes(connection, rows, limit)
            return Choice(Grade.NONE, size, rows, base, exception, lacks)
    none = _rows(rollback_target, Losses())
    with connection.transaction():
        size = none(connection).bytes
    return Choice(Grade.NONE, size, none, base, exception, lacks, holds_rows=False)


def choose_for(
    connection: Connection, rollback_target: RollbackTarget, rule: PolicyRule, leave: Leave
) -> Choice:
    """`choose`; or where that has nothing, and only there, what can be had by an exception. Raises AboveLimit
    where there is none, psycopg.Error."""
    try:
        return choose(connection, rollback_target, rule)
    except AboveLimit as refused:
        if (exception := leave()) is None:
            raise
        return choose_excepted(connection, rollback_target, rule, exception, str(refused))


def _rows(rollback_target: RollbackTarget, gone: Losses) -> partial[selection.Selection]:
    """Selects the rows that are lost, and Flyway's history."""
    target = rollback_target.target
    history = (target.history_schema, target.history_table)
    return partial(selection.lost, losses=gone, search_path=target.search_path, history=history)


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
        raise AboveLimit(backup.too_large(size, limit, of_all=False))
    return size
