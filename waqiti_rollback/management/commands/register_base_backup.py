"""Test the restore of a physical backup, on the worker's machine, and put on record how that went."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from approvals import base_backups
from approvals.models import BaseBackup, Target
from executor import basebackup, credentials
from executor.errors import BackupFailed, ExecutorError


class Command(BaseCommand):
    """`manage.py register_base_backup wallet-production /backups/wallet --restore-command 'cp /wal/%f %p'`,
    where a worker runs: it needs the worker's credentials and server programs."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which target, where its backup lies, and how its log is brought back."""
        parser.add_argument("target")
        parser.add_argument(
            "directory",
            type=Path,
            help="a plain physical backup of the target's server: of pg_basebackup, or restored into this "
            "folder by a tool of your own; it has to stay there",
        )
        parser.add_argument(
            "--restore-command",
            required=True,
            help="PostgreSQL's restore_command: brings the segment %%f of the archived log to the path %%p. "
            "Pages show it, so no secret belongs in it",
        )
        parser.add_argument(
            "--patience-minutes", type=int, default=120, help="how long following the log may take"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where it is not restorable as it should be; that is on record, too."""
        target = Target.objects.filter(name=options["target"]).first()
        if target is None:
            raise CommandError(f"There is no target {options['target']}.")
        if not target.system_identifier:
            raise CommandError(f"{target} was never read; manage.py sync_target {target} first.")
        directory: Path = options["directory"].resolve()
        about = {
            "directory": str(directory),
            "restore_command": options["restore_command"],
            "tested_at": timezone.now(),
            "system_identifier": target.system_identifier,
            "by": getpass.getuser(),
        }
        try:
            found = basebackup.examine(
                directory,
                options["restore_command"],
                reader=credentials.endpoint(target, "backup"),
                executor=credentials.endpoint(target, "executor"),
                expected_system=target.system_identifier,
                patience_s=options["patience_minutes"] * 60.0,
                say=lambda text: self.stdout.write(f"{text}…"),
            )
        except BackupFailed as error:  # it is damaged; anything else says nothing about it
            base_backups.record(target, BaseBackup.State.FAILED, str(error), **about)
            raise CommandError(str(error)) from None
        except ExecutorError as error:
            raise CommandError(str(error)) from None
        made = base_backups.record(
            target, BaseBackup.State.TESTED, found.sentence, **about | _as_fields(found)
        )
        self.stdout.write(f"{made}, taken {found.taken_at:%Y-%m-%d %H:%M %Z}. {found.sentence}")


def _as_fields(found: basebackup.Tested) -> dict[str, Any]:
    return {
        "timeline": found.found.timeline,
        "start_lsn": found.found.start_lsn,
        "inventory": found.found.inventory,
        "bytes": found.found.bytes,
        "taken_at": found.taken_at,
        "seconds": found.seconds,
        "point": {"name": found.point.name, "lsn": found.point.lsn},
        "tables": {name: {"rows": rows, "hash": total} for name, (rows, total) in found.tables.items()},
    }
