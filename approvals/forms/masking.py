"""The form of a rule of masking: which columns, what becomes of their values, and why some are kept."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.masks import Method

from . import PortalForm


class MaskingForm(PortalForm):
    """A rule of a service."""

    columns = forms.CharField(
        label=_("Columns"),
        max_length=200,
        help_text=_("As schema.table.column; * and ? stand for any: public.*.nickname"),
    )
    method = forms.ChoiceField(label=_("Their values become"), choices=[("", _("choose")), *Method.choices])
    reason = forms.CharField(
        label=_("Why"),
        max_length=300,
        required=False,
        help_text=_("Needed where values are left as they are: whoever confirms that reads it."),
    )
