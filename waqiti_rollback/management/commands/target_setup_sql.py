"""Print what a DBA runs once on a target, so that the executor's roles and the marker exist there."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.models import Target


class Command(BaseCommand):
    """`manage.py target_setup_sql wallet-production > setup.sql`, then `psql -f setup.sql` as a superuser."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The target, and what its DBA allows beyond the necessary."""
        parser.add_argument("target")
        parser.add_argument(
            "--server-version", type=int, default=18, help="major version, if the target was never read"
        )
        parser.add_argument(
            "--allow-replica-role", action="store_true", help="scripts may ask for session_replication_role"
        )
        parser.add_argument(
            "--alter-system",
            nargs="*",
            default=[],
            metavar="PARAMETER",
            help="server settings that scripts may change",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where no such target exists."""
        from executor.marker import Setup, setup_sql

        try:
            target = Target.objects.get(name=options["target"])
        except Target.DoesNotExist:
            names = ", ".join(Target.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no target {options['target']}. Known: {names}.") from None
        setup = Setup(
            owner_role=target.owner_role,
            database=target.dbname,
            history_schema=target.history_schema,
            history_table=target.history_table,
            server_version=_number(target.server_version) or options["server_version"] * 10000,
            allow_replica_role=options["allow_replica_role"],
            alter_system=tuple(options["alter_system"]),
        )
        self.stdout.write(setup_sql(setup))


def _number(version: str) -> int:
    """PostgreSQL's version number as the worker stored it; 0 if the target was never read."""
    return int(version) if version.isdigit() else 0
