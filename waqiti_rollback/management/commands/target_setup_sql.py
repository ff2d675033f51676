"""Print what a DBA runs once on a target, so that the executor's roles and the marker exist there."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.models import Target
from approvals.setup_sql import for_target, setup_sql


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
        parser.add_argument(
            "--restore-points",
            action="store_true",
            help="for databases that are too large for a dump: points in the write-ahead log may be named",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where no such target exists."""
        try:
            target = Target.objects.get(name=options["target"])
        except Target.DoesNotExist:
            names = ", ".join(Target.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no target {options['target']}. Known: {names}.") from None
        setup = for_target(
            target,
            server_version=options["server_version"] * 10000,
            allow_replica_role=options["allow_replica_role"],
            alter_system=tuple(options["alter_system"]),
            restore_points=options["restore_points"],
        )
        self.stdout.write(setup_sql(setup))
