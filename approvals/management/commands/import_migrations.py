"""`manage.py import_migrations SERVICE DIR`: read a service's directory into the catalog.

Everything Flyway would trip over is printed as path:line:column. Exit code 0 as soon as one file could be
taken in, problems or not; 1 where none could, or where service or directory do not exist.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import catalog
from approvals.errors import Refused
from approvals.models import ImportRun, Service

TAKEN_IN = ("new", "changed", "unchanged", "scripts")


class Command(BaseCommand):
    help = "Read V, U, R and B files of a service into the catalog and say what Flyway would trip over."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("service", help="name of the service that owns the directory")
        parser.add_argument("directory", type=Path, help="its directory of Flyway migrations")

    def handle(self, *, service: str, directory: Path, **_options: Any) -> None:
        owner = Service.objects.filter(name=service).first()
        if owner is None:
            known = ", ".join(Service.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no service {service}; known are: {known}.")
        try:
            run = catalog.import_directory(owner, directory, actor=None)
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        self._report(run)
        if not any(run.summary.get(count) for count in TAKEN_IN):
            raise CommandError(f"No file below {directory} could be taken in.")

    def _report(self, run: ImportRun) -> None:
        for problem in run.problems:
            place = ":".join(
                str(part) for part in (problem["path"], problem["line"], problem["column"]) if part
            )
            self.stdout.write(f"{place}: {problem['severity']}: {problem['message']} [{problem['code']}]")
        summary = dict(run.summary)
        codes = summary.pop("problems")
        self.stdout.write(", ".join(f"{count} {what}" for what, count in summary.items()))
        found = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
        self.stdout.write(f"problems: {found or 'none'}")
