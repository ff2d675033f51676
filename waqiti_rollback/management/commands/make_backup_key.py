"""Make a key that dumps are encrypted with."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executor import vault


class Command(BaseCommand):
    """`manage.py make_backup_key /etc/waqiti/backup.key`, then set BACKUP_KEY_FILE for workers."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where the file exists already or can't be written."""
        path: Path = options["file"]
        try:
            public = vault.make_key(path)
        except FileExistsError:
            raise CommandError(f"{path} is there already. A key is never written over.") from None
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from None
        self.stdout.write(f"{path} holds the key of {public}, readable by its owner only.")
        self.stdout.write("Keep a copy of it away from the dumps: without it no dump can be opened again.")
        self.stdout.write("To change keys, put the new one on top; older ones below it still open old dumps.")
