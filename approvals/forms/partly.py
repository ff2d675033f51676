"""Forms about what is partly done: ask for a course, sign. Each carries the digest that was shown."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.models import Execution, Role

from . import PortalForm


class AskForm(PortalForm):
    """Go on, take back or call it settled by hand, exactly as the page showed it."""

    course = forms.ChoiceField(choices=Execution.Course.choices, widget=forms.HiddenInput)
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(label=_("Why"), widget=forms.Textarea(attrs={"rows": 3}))


class SignForm(PortalForm):
    """One signature under what was asked for."""

    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    role = forms.TypedChoiceField(
        label=_("You sign as"),
        coerce=Role,
        choices=[(role.value, role.label) for role in (Role.SENIOR_DBA, Role.PLATFORM_LEAD)],
    )
    comment = forms.CharField(label=_("Comment"), required=False, widget=forms.Textarea(attrs={"rows": 3}))
