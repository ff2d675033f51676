"""Make an account with roles and teams, and print the password to hand over."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import setting_up
from approvals.errors import Refused
from approvals.models import Role


class Command(BaseCommand):
    """`manage.py add_person amina --name "Amina Okafor" --role engineer --team payments`"""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who it is, and what they may do."""
        parser.add_argument("username")
        parser.add_argument("--name", required=True)
        parser.add_argument("--role", action="append", required=True, choices=Role.values)
        parser.add_argument("--team", action="append", default=[])

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where the name is taken."""
        roles = [Role(role) for role in options["role"]]
        try:
            user, password = setting_up.add_person(
                options["username"], name=options["name"], roles=roles, teams=options["team"]
            )
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user} signs in as {user.username} with {password} and changes it then.")
