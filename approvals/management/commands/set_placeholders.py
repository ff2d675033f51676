"""Say what fills Flyway's placeholders: on one target, or on all targets of a service."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import setting_up
from approvals.errors import Refused


class Command(BaseCommand):
    """`manage.py set_placeholders --target wallet-production limit=5 schema=wallet --remove old`"""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where, what, and what no longer."""
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--target", default="", help="its own values, over those of its service")
        where.add_argument("--service", default="", help="for all its targets")
        parser.add_argument("values", nargs="*", metavar="NAME=VALUE")
        parser.add_argument("--remove", action="append", default=[], metavar="NAME")

    def handle(self, *args: Any, target: str, service: str, remove: list[str], **options: Any) -> None:
        """Raises CommandError where something is not known or not written as NAME=VALUE."""
        pairs = [each.partition("=") for each in options["values"]]
        if wrong := [name for name, sign, _value in pairs if not (name and sign)]:
            raise CommandError(f"“{wrong[0]}” is not NAME=VALUE.")
        values = {name: value for name, _sign, value in pairs}
        if len({name.lower() for name in values}) < len(pairs):
            raise CommandError("A name is given twice; Flyway does not tell upper from lower case.")
        if not values and not remove:
            raise CommandError("Nothing to set and nothing to remove.")
        try:
            now = setting_up.set_placeholders(target=target, service=service, values=values, without=remove)
        except Refused as error:
            raise CommandError(str(error)) from error
        for name, value in sorted(now.items()):
            self.stdout.write(f"{name}={value}")
