"""The filters of people."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.models import Role, Team

from .catalog import Filter
from .choosing import Pick


class PeopleFilter(Filter):
    """People by name, role, team and whether their account is disabled."""

    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("any")), *Role.choices])
    team = Pick(
        label=_("Team"),
        required=False,
        queryset=Team.objects.order_by("name"),
        to_field_name="name",
        empty_label=_("any"),
    )
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
