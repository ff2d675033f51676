"""`manage.py flyway_info TARGET [--json]`: what `flyway info` would print, from what is stored."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import release
from approvals.flyway.history import CorruptHistory, overview
from approvals.flyway.rows import unreadable
from approvals.flyway.table import current, render, values
from approvals.history import rows_of
from approvals.models import Target


class Command(BaseCommand):
    # They load every page of the portal, which takes longer than a history of thousands of rows.
    requires_system_checks: list[str] = []
    help = "Print what flyway info would, from the history as last read and the files as last imported."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", help="name of the target")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--out-of-order", action="store_true", help="as deployed with outOfOrder=true")

    def handle(self, *, target: str, out_of_order: bool, **options: Any) -> None:
        found = Target.objects.filter(name=target).select_related("service").first()
        if found is None:
            known = ", ".join(Target.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no target {target}; known are: {known}.")
        if found.synced_at is None:
            raise CommandError(f"The history of {target} was never read: run sync_target {target}.")
        rows = rows_of(found)
        if strange := unreadable(rows):
            self.stderr.write(
                f"Rank {strange[0].installed_rank} is of type {strange[0].type}: open-source Flyway refuses "
                f"to read this history; shown as the paid editions read it."
            )
        out_of_order = out_of_order or release.deployment_of(release.last_import(found.service)).out_of_order
        files = release.files_of(found)
        if missing := next((file for file in files if file.unfilled), None):
            raise CommandError(f"Flyway would refuse these files: {missing.path}, {missing.unfilled}.")
        try:
            lines = overview(files, rows, out_of_order=out_of_order)
        except CorruptHistory as corrupt:
            raise CommandError(f"Flyway would refuse this history: {corrupt}.") from None
        if options["json"]:
            document = {
                "target": found.name,
                "database": found.dbname,
                "schemaName": found.history_schema,
                "schemaVersion": current(lines),
                "readAt": found.synced_at.isoformat(),
                "migrations": [values(line) for line in lines],
            }
            self.stdout.write(json.dumps(document, ensure_ascii=False))
            return
        self.stdout.write(f"Schema version: {current(lines)}\n\n{render(lines)}")
