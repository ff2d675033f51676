"""Forms about oneself: time zone, and the password once more."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals import accounts

from . import PortalForm


class TimeZoneForm(PortalForm):
    """The zone in which pages show times."""

    time_zone = forms.CharField(
        label=_("Time zone"),
        max_length=64,
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Type a city, such as Lagos, and choose; or UTC."),
    )

    def clean_time_zone(self) -> str:
        """The zone's full name, also where only its city was typed."""
        name = accounts.zone_named(self.cleaned_data["time_zone"])
        if name not in accounts.time_zones():
            raise forms.ValidationError(_("%(name)s is no time zone."), params={"name": name})
        return name


class ConfirmForm(PortalForm):
    """The password, once more."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
