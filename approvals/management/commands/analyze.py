"""`manage.py analyze PATH… [--json]`: what SQL files do, how risky that is to undo, and what they lock."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import collector
from approvals.analysis.report import analyze_file, document, sql_files, text


class Command(BaseCommand):
    """Reads files only: no database, no checks of the project."""

    help = "Reads SQL files or folders of them and says what every statement does, risks and locks."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="+", help="an SQL file, or a folder whose *.sql files are read")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report. Exit code 1 if any file could not be read or parsed."""
        with collector.paused():
            analyses = [analyze_file(path) for path in sql_files(options["path"])]
        if options["json"]:
            self.stdout.write(json.dumps(document(analyses), ensure_ascii=False))
        else:
            self.stdout.write("\n\n".join(text(analysis) for analysis in analyses))
        failed = sum(1 for analysis in analyses if analysis.errors)
        if failed:
            raise CommandError(f"{failed} of {len(analyses)} files could not be read.", returncode=1)
