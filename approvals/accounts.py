"""Accounts: made by an admin, never by signing up; a person sets their own time zone."""

from __future__ import annotations

import zoneinfo
from functools import cache

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.utils.translation import gettext as _

from . import audit
from .errors import Refused
from .models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closed to sign-ups."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people get their account and roles from an admin."""
        return False


@cache
def time_zones() -> tuple[str, ...]:
    """The zones to choose from: places and UTC. Read from the disk once."""
    return tuple(sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone or zone == "UTC"))


def zone_named(text: str) -> str:
    """The zone that somebody means who writes `lagos` or `africa/lagos`; the text itself where it is none
    or several."""
    wanted = text.strip().lower().replace(" ", "_")
    exact = [zone for zone in time_zones() if zone.lower() == wanted]
    by_city = [zone for zone in time_zones() if zone.lower().rpartition("/")[2] == wanted]
    found = exact or by_city
    return found[0] if len(found) == 1 else text.strip()


def set_time_zone(user: User, name: str) -> None:
    """Show times in this zone to the person from now on. Raises Refused for a name that no zone has."""
    with audit.unit_of_work("account.time_zone_set", actor=user) as facts:
        if name not in time_zones():
            raise Refused(_("%(name)s is no time zone.") % {"name": name})
        User.objects.filter(pk=user.pk).update(time_zone=name, zone_settled=True)
        facts["time_zone"] = name


def keep_time_zone(user: User) -> None:
    """Keep the zone there is, whatever the browser proposes; the person is not asked again."""
    with audit.unit_of_work("account.time_zone_set", actor=user) as facts:
        User.objects.filter(pk=user.pk).update(zone_settled=True)
        facts["time_zone"] = user.time_zone


def set_single_keys(user: User, on: bool) -> None:
    """Let single keys walk and press for this person, or do nothing."""
    with audit.unit_of_work("account.single_keys_set", actor=user) as facts:
        User.objects.filter(pk=user.pk).update(single_keys=on)
        facts["on"] = on
