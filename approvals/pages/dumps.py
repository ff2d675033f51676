"""How far a backup is: the dump in bytes, its restore elsewhere in bytes, the comparison table by table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from approvals.models import Backup, Grade

STAGES = ("dump", "restore", "compare")
# Under this share of the whole nothing can be said about the rest.
ENOUGH = 0.02


@dataclass(frozen=True)
class Stage:
    """One stage of a backup. `state` is done, now, bad or empty (not begun); `of` is about the whole, in
    bytes, or in tables where `tables`; `left` the seconds that the rest takes at the speed so far, where that
    can be said."""

    key: str
    label: str
    state: str
    done: int
    of: int
    seconds: float | None
    left: float | None
    tables: bool

    @property
    def share(self) -> int:
        """Percent of the whole; never full before it has ended, since the whole is an estimate."""
        if self.state == "done":
            return 100
        return min(99, self.done * 100 // self.of) if self.of else 0


@dataclass(frozen=True)
class Dump:
    """A backup and its stages; none where it was taken before stages were told."""

    backup: Backup
    stages: list[Stage]

    @property
    def restore(self) -> str:
        """The commands that bring the dump back, into a new database beside the target; empty where no file
        is left. tests/waqiti_rollback/test_backup_commands.py runs them."""
        backup, target = self.backup, self.backup.target
        if not backup.path or backup.state == Backup.State.REMOVED:
            return ""
        file, contents = f"backup-{backup.pk}.dump", f"backup-{backup.pk}.list"
        database, owner = quote(f"{target.dbname}_restored"), quote(target.owner_role)
        server = f"--host={quote(target.host)} --port={target.port}"
        keys = backup.keys_left_out
        commands = [
            f"python manage.py fetch_backup {backup.pk} {file}",
            f"createdb {server} --template=template0 --owner={owner} {database}",
        ]
        if keys:  # their rows on the other side are not in it; 2606 is pg_constraint
            oids = "|".join(str(key["oid"]) for key in keys)
            without = f"grep --extended-regexp --invert-match '^[0-9]+; 2606 ({oids}) '"
            commands.append(f"pg_restore --list {file} | {without} > {contents}")
        commands.append(
            f"pg_restore {server} --exit-on-error --no-owner --no-privileges --role={owner} "
            f"{f'--use-list={contents} ' if keys else ''}--dbname={database} {file}"
        )
        commands += [
            f"psql {server} --set=ON_ERROR_STOP=1 --dbname={database} --command={quote(key['again'])}"
            for key in keys
            if key["again"]
        ]
        return "".join(f"{each}\n" for each in commands)

    @property
    def to_the_point(self) -> str:
        """The commands that bring the whole server back as it was at the restore point, beside the one that
        runs; empty where there is none. tests/executor/test_point_in_time.py runs them."""
        base, point = self.backup.base, self.backup.point
        if base is None or not point:
            return ""
        place = f"restored-{self.backup.pk}"
        wal = base.restore_command.replace("'", "''")
        return (
            f"cp --recursive --preserve=mode,timestamps {quote(base.directory)} {place}\n"
            f"rm --force {place}/postmaster.pid {place}/standby.signal\n"
            f"cat >> {place}/postgresql.auto.conf <<'END'\n"
            f"restore_command = '{wal}'\n"
            f"recovery_target_name = '{point['name']}'\n"
            "recovery_target_action = 'promote'\n"
            "END\n"
            f"touch {place}/recovery.signal\n"
            f"pg_ctl --pgdata={place} --timeout=7200 --log={place}.log "
            "--options='-c port=5499 -c archive_mode=off' start\n"
        )

    @property
    def of_some_tables(self) -> bool:
        """Are there rows of some tables only in it?"""
        return self.backup.grade in (Grade.TABLES, Grade.POINT) or self.backup.exception_id is not None

    @property
    def now(self) -> Stage | None:
        """The stage that runs."""
        return next((stage for stage in self.stages if stage.state == "now"), None)


def dump(backup: Backup) -> Dump:
    """A backup as the page shows it."""
    if not backup.progress and backup.state != Backup.State.RUNNING:
        return Dump(backup, [])
    return Dump(backup, [_stage(backup, key) for key in STAGES])


def _stage(backup: Backup, key: str) -> Stage:
    labels = {"dump": _("Dump"), "restore": _("Restore elsewhere"), "compare": _("Compare")}
    found: dict[str, Any] | None = backup.progress.get(key)
    if found is None:
        state = "now" if key == "dump" and backup.state == Backup.State.RUNNING else ""
        return Stage(key, labels[key], state, 0, 0, None, None, key == "compare")
    began = datetime.fromisoformat(found["began"])
    ended = datetime.fromisoformat(found["ended"]) if found["ended"] else None
    running = ended is None and backup.state == Backup.State.RUNNING
    seconds = ((ended or timezone.now()) - began).total_seconds() if running or ended else None
    return Stage(
        key,
        labels[key],
        "now" if running else "done" if ended else "bad",
        found["done"],
        found["of"],
        seconds,
        _left(found["done"], found["of"], seconds) if running else None,
        key == "compare",
    )


def _left(done: int, of: int, seconds: float | None) -> float | None:
    if not seconds or not of or done / of < ENOUGH or done >= of:
        return None
    return seconds / done * (of - done)
