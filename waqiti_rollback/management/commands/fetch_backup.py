"""Take a backup out of the storage, decrypted and compared, to restore it by hand."""

from __future__ import annotations

import os
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import backups
from approvals.models import Backup
from executor import vault
from executor.errors import ExecutorError


class Command(BaseCommand):
    """`manage.py fetch_backup 12 wallet.dump`, where a worker runs: it needs the worker's key."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which backup, and where to."""
        parser.add_argument("backup", type=int, help="its number, as the page of the execution shows it")
        parser.add_argument("file", type=Path, help="a new file; only its owner may read it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where there is no such backup, or it is not what it was; no file is left
        then."""
        path: Path = options["file"]
        backup = Backup.objects.select_related("target").filter(pk=options["backup"]).first()
        if backup is None:
            raise CommandError(f"There is no backup {options['backup']}.")
        if not backup.path or backup.state == Backup.State.REMOVED:
            raise CommandError(f"Backup {backup.pk} has no file: it is {backup.get_state_display()}.")
        try:
            with vault.taken_out(backup.path, backup.sha256) as dump:
                backups.fetched(backup)
                _copy(dump, path)
        except ExecutorError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from None
        words = "" if backup.state == Backup.State.VERIFIED else f" It was never verified: {backup.sentence}"
        self.stdout.write(
            f"{path} holds {backup.target} as of {backup.created_at:%Y-%m-%d %H:%M} UTC, SHA-256 "
            f"{backup.sha256}.{words}"
        )
        self.stdout.write(
            "Restore it with: pg_restore --exit-on-error --no-owner --no-privileges "
            f"--role={backup.target.owner_role} --dbname=… {path}"
        )


def _copy(dump: Path, path: Path) -> None:
    with dump.open("rb") as source:
        target = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(target, "wb") as file:
                shutil.copyfileobj(source, file)
        except BaseException:
            path.unlink()
            raise
