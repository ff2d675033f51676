"""Make people, services and targets known, from the command line of whoever runs the portal; on record."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group
from django.utils.translation import gettext as _

from . import audit
from .errors import Refused
from .models import Environment, Role, Service, Target, Team, User


def add_person(
    username: str, *, name: str, roles: Sequence[Role], teams: Sequence[str] = ()
) -> tuple[User, str]:
    """Make an account and return it with a password to hand over, for its owner to change.

    Teams that are new are made. Raises Refused where the name is taken.
    """
    with audit.unit_of_work("person.added", actor=None) as facts:
        if User.objects.filter(username=username).exists():
            raise Refused(_("There is a %(name)s already.") % {"name": username})
        first, _blank, last = name.partition(" ")
        password = secrets.token_urlsafe(15)
        user = User.objects.create_user(username, password=password, first_name=first, last_name=last)
        user.groups.set(Group.objects.filter(name__in=[role.value for role in roles]))
        user.teams.set([Team.objects.get_or_create(name=team)[0] for team in teams])
        facts |= {"person": username, "roles": sorted(roles), "teams": sorted(teams)}
    return user, password


def add_service(name: str, *, team: str) -> Service:
    """Make a service of a team, which is made if it is new. Raises Refused where the name is taken."""
    with audit.unit_of_work("service.added", actor=None) as facts:
        if Service.objects.filter(name=name).exists():
            raise Refused(_("There is a service %(name)s already.") % {"name": name})
        facts |= {"service": name, "team": team}
        return Service.objects.create(name=name, team=Team.objects.get_or_create(name=team)[0])


def add_target(
    name: str, *, service: str, environment: Environment, rehearsal_target: str = "", **where: Any
) -> Target:
    """Make a target of a service; `where` are fields of the model such as host, dbname and owner_role.

    Raises Refused where the name is taken, or the service or the staging target to rehearse on is not known.
    """
    with audit.unit_of_work("target.added", actor=None) as facts:
        if Target.objects.filter(name=name).exists():
            raise Refused(_("There is a target %(name)s already.") % {"name": name})
        owner = Service.objects.filter(name=service).first()
        if owner is None:
            raise Refused(_("There is no service %(name)s.") % {"name": service})
        staging = Target.objects.filter(name=rehearsal_target, environment=Environment.STAGING).first()
        if rehearsal_target and staging is None:
            raise Refused(_("There is no staging target %(name)s.") % {"name": rehearsal_target})
        facts |= {"target": name, "service": service, "environment": environment.value} | where
        return Target.objects.create(
            name=name, service=owner, environment=environment, rehearsal_target=staging, **where
        )
