"""Accounts: made by an admin, never by signing up; a person sets their own time zone."""

from __future__ import annotations

import zoneinfo

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.utils.translation import gettext as _

from . import audit
from .errors import Refused
from .models import User


class AccountAdapter(DefaultAccountAdapter):
    """Closed to sign-ups."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people get their account and roles from an admin."""
        return False


def set_time_zone(user: User, name: str) -> None:
    """Show times in this zone to the person from now on. Raises Refused for a name that no zone has."""
    with audit.unit_of_work("account.time_zone_set", actor=user) as facts:
        if name not in zoneinfo.available_timezones():
            raise Refused(_("%(name)s is no time zone.") % {"name": name})
        User.objects.filter(pk=user.pk).update(time_zone=name)
        facts["time_zone"] = name
