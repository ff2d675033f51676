"""`manage.py flyway_info TARGET [--json]`: what `flyway info` would print, from what is stored."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.flyway.checksums import checksum_of_text
from approvals.flyway.files import MigrationFile
from approvals.flyway.history import CorruptHistory, overview
from approvals.flyway.names import FileName, Kind, MalformedName, parse_name
from approvals.flyway.placeholders import PlaceholderProblem, substitute
from approvals.flyway.rows import unreadable
from approvals.flyway.table import current, render, values
from approvals.flyway.versions import Version
from approvals.history import rows_of
from approvals.models import MigrationRevision, Target


class Command(BaseCommand):
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
        try:
            lines = overview(_files(found), rows, out_of_order=out_of_order)
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


def _files(target: Target) -> list[MigrationFile]:
    """The current revisions of the service's migrations, as Flyway would find them in the directory."""
    revisions = (
        MigrationRevision.objects.filter(
            migration__service=target.service_id, migration__removed_at__isnull=True
        )
        .order_by("migration_id", "-number")
        .distinct("migration_id")
        .select_related("migration")
        .defer("analysis")
    )
    return [_file(revision, target) for revision in revisions]


def _file(revision: MigrationRevision, target: Target) -> MigrationFile:
    name = _name(revision)
    filled = _filled_checksum(revision.sql, target) if name.kind is Kind.REPEATABLE else None
    return MigrationFile(revision.path, name, b"", revision.sql, revision.checksum, False, filled)


def _name(revision: MigrationRevision) -> FileName:
    migration = revision.migration
    filename = PurePosixPath(revision.path).name
    try:
        return parse_name(filename)
    except MalformedName:  # written by a grammar of the project's own
        version = Version.parse(migration.version) if migration.version else None
        return FileName(Kind(migration.kind), version, migration.description, filename)


def _filled_checksum(sql: str, target: Target) -> int | None:
    """With the placeholders that are known: the target's, and of Flyway's own those that never change."""
    known = {
        "flyway:defaultSchema": target.history_schema,
        "flyway:database": target.dbname,
        "flyway:table": target.history_table,
    }
    try:
        return checksum_of_text(substitute(sql, known | target.placeholders))
    except (PlaceholderProblem, ValueError):
        return None
