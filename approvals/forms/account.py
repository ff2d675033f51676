"""Forms about oneself: time zone, and the password once more."""

from __future__ import annotations

import zoneinfo

from django import forms
from django.utils.translation import gettext_lazy as _

from . import PortalForm


def _zones() -> list[tuple[str, str]]:
    return [(name, name) for name in sorted(zoneinfo.available_timezones()) if "/" in name or name == "UTC"]


class TimeZoneForm(PortalForm):
    """The zone in which pages show times."""

    time_zone = forms.ChoiceField(label=_("Time zone"), choices=_zones)


class ConfirmForm(PortalForm):
    """The password, once more."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
