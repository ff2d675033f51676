"""Forms of the exception instead of a backup: why it can't wait; and what its signers type."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from . import PortalForm


class AskForm(PortalForm):
    """Why it can't wait for a backup."""

    digest = forms.CharField(widget=forms.HiddenInput, required=False)
    reason = forms.CharField(
        label=_("Why it can’t wait for a backup"),
        help_text=_("Two senior DBAs and a platform lead read it before they sign, and it goes on record."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class SignForm(PortalForm):
    """The rollback's label, typed. That it must be the right one is the domain's to say."""

    label = forms.CharField(required=False, max_length=40)
