"""What backup a run would take now, and what stands in the way of that: points of the preflight."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from approvals import halfway
from approvals.models import BaseBackup, Grade, PolicyRule, RollbackTarget
from executor import points
from executor.choosing import Choice, Leave, choose_for
from executor.connect import Connection
from executor.errors import AboveLimit, BackupFailed, BackupRefused
from executor.obstacles import Point

GRADE = "The backup that the policy asks for can be taken"
ARCHIVE = "The write-ahead log is archived"
GAP = "No write falls between backup and script"


def backup(
    connection: Connection,
    rollback_target: RollbackTarget,
    rule: PolicyRule,
    leave: Leave = lambda: None,
) -> tuple[list[Point], int | None]:
    """The points about it, none where the policy asks for no backup, and the bytes that it takes to dump.
    What passes by the exception that `leave` gives is never a go.

    `connection` is the executor's login, in no transaction. Raises psycopg.Error.
    """
    if not rule.backup_required:
        return [], None
    try:
        choice = choose_for(connection, rollback_target, rule, leave)
    except AboveLimit as error:
        return [Point("above_limit", GRADE, "stop", str(error)), *_gap(rollback_target, rule)], None
    except (BackupRefused, BackupFailed) as error:
        return [Point("backup", GRADE, "stop", str(error)), *_gap(rollback_target, rule)], None
    except psycopg.errors.LockNotAvailable:
        # To ask for a size is to lock. The backup has more patience, and without it nothing begins.
        said = "Somebody holds a table for themselves, so how large the tables are can't be told right now."
        return [Point("backup", GRADE, "look", said), *_gap(rollback_target, rule)], None
    found = [Point("backup", GRADE, "look" if choice.exception else "go", _says(choice))]
    if choice.base is not None:
        found.append(_archive(connection, leave))
    return [*found, *_gap(rollback_target, rule)], choice.bytes


def _says(choice: Choice) -> str:
    if choice.exception is not None:
        rows = "the rows that the script destroys" if choice.holds_rows else "the structure, and no rows"
        more = ", and a restore point is set" if choice.base else ""
        return f"{choice.exception.words}. By it {rows} are dumped{more}; no more can be had. {choice.lacks}"
    if choice.base is not None:
        return f"A point in time, on the {_told(choice.base)}; what the script destroys is dumped with it."
    if choice.grade is Grade.TABLES:
        return "A dump of the tables that the script touches, restored and compared."
    return "A full dump, restored and compared."


def _told(base: BaseBackup) -> str:
    taken = f"{base.taken_at:%Y-%m-%d %H:%M} UTC"
    return f"physical backup of {taken}, restored as a test on {base.tested_at:%Y-%m-%d %H:%M} UTC"


def _archive(connection: Connection, leave: Leave) -> Point:
    if why := points.objections(connection):
        said = " ".join(why)
        if (exception := leave()) is not None:
            return Point("archive", ARCHIVE, "look", f"{exception.words}. No restore point then: {said}")
        return Point("archive", ARCHIVE, "stop", said)
    archiver = points.read_archiver(connection)
    if archiver.archived_at is None:
        return Point("archive", ARCHIVE, "look", "It is set up, but nothing was archived so far.")
    last = f"{archiver.archived} at {archiver.archived_at:%Y-%m-%d %H:%M:%S %Z}"
    if archiver.failures:
        said = f"Last {last}; {archiver.failures} failures were counted in all."
        return Point("archive", ARCHIVE, "look", said)
    return Point("archive", ARCHIVE, "go", f"Last {last}. A run waits until its restore point is.")


def _gap(rollback_target: RollbackTarget, rule: PolicyRule) -> Iterator[Point]:
    if not rule.backup_gapless:
        return
    items = rollback_target.rollback.items.select_related("script").order_by("position")
    if halfway.parts_of(halfway.planned(items)).before:
        yield Point(
            "gap",
            GAP,
            "stop",
            "Steps run alone before the transaction in which the backup would be taken, and the policy wants "
            "nothing between the two.",
        )
        return
    said = "Writers to what the plan touches wait while the backup is taken and verified; readers don't."
    yield Point("gap", GAP, "look", said)
