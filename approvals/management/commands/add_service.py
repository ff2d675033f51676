"""Make a service known, with the team that owns it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import setting_up
from approvals.errors import Refused


class Command(BaseCommand):
    """`manage.py add_service wallet-service --team payments`"""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its name and its team."""
        parser.add_argument("name")
        parser.add_argument("--team", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where the name is taken."""
        try:
            service = setting_up.add_service(options["name"], team=options["team"])
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Next: manage.py import_migrations {service.name} DIRECTORY")
