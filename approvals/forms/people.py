"""The filters of people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.models import Role, Team

from .catalog import Filter


def _teams() -> list[Any]:
    return [
        ("", _("any")),
        *((name, name) for name in Team.objects.order_by("name").values_list("name", flat=True)),
    ]


class PeopleFilter(Filter):
    """People by name, role, team and whether their account is disabled."""

    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("any")), *Role.choices])
    team = forms.ChoiceField(label=_("Team"), required=False, choices=_teams)
    state = forms.ChoiceField(
        label=_("Account"),
        required=False,
        choices=[("", _("active")), ("disabled", _("disabled")), ("all", _("all"))],
    )
    sort = forms.ChoiceField(
        label=_("Sort by"),
        required=False,
        choices=[("", _("name")), ("username", _("user name")), ("seen", _("last seen"))],
    )
