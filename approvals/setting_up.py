"""Make people, services and targets known, from the command line of whoever runs the portal; on record."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
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


def set_placeholders(
    *, target: str = "", service: str = "", values: Mapping[str, str], without: Sequence[str] = ()
) -> dict[str, str]:
    """Give a target values for Flyway's placeholders, or a service values for all its targets that have none
    of their own, and take those named in `without` away. Returns what counts there now.

    Names count in any case. What was signed for other values is void from then on, since they are part of its
    digest. On record are the names, not the values. Raises Refused where the target or the service, or a name
    to take away, is not known.
    """
    model: type[Target | Service] = Target if target else Service
    with audit.unit_of_work("placeholders.set", actor=None) as facts:
        found = model._default_manager.select_for_update().filter(name=target or service).first()
        if found is None:
            missing = _("There is no target %(name)s.") if target else _("There is no service %(name)s.")
            raise Refused(missing % {"name": target or service})
        gone = {name.lower() for name in without}
        if strange := gone - {name.lower() for name in found.placeholders}:
            raise Refused(
                _("%(holder)s has no placeholder %(names)s.")
                % {"holder": found.name, "names": ", ".join(sorted(strange))}
            )
        replaced = gone | {name.lower() for name in values}
        kept = {name: value for name, value in found.placeholders.items() if name.lower() not in replaced}
        found.placeholders = kept | dict(values)
        found.save(update_fields=["placeholders"])
        facts |= {
            "target" if target else "service": found.name,
            "set": sorted(values),
            "removed": sorted(gone),
        }
    return dict(found.placeholders)
