"""Make a target known: where it is, whose it is, and on which staging target its rollbacks are rehearsed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import setting_up
from approvals.errors import Refused
from approvals.models import Environment, Target

FIELDS = (
    "host",
    "port",
    "dbname",
    "owner_role",
    "history_schema",
    "history_table",
    "search_path",
    "time_zone",
)


class Command(BaseCommand):
    """`manage.py add_target wallet-production --service wallet-service --environment production --host …`"""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The fields of a target; what has a default there has it here."""
        parser.add_argument("name")
        parser.add_argument("--service", required=True)
        parser.add_argument("--environment", required=True, choices=Environment.values)
        parser.add_argument("--rehearsal-target", default="", help="a staging target, for production ones")
        for name in FIELDS:
            field: Any = Target._meta.get_field(name)
            needed = not field.has_default()
            kind = int if name == "port" else str
            default = None if needed else field.default
            parser.add_argument(f"--{name.replace('_', '-')}", required=needed, type=kind, default=default)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where something is taken or not known."""
        try:
            target = setting_up.add_target(
                options["name"],
                service=options["service"],
                environment=Environment(options["environment"]),
                rehearsal_target=options["rehearsal_target"],
                **{name: options[name] for name in FIELDS},
            )
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Next: manage.py target_setup_sql {target.name}, for its DBA to run once.")
