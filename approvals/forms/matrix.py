"""The filters of the decision matrix."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.analysis import Risk

from .catalog import Filter


class MatrixFilter(Filter):
    """Rows and hazards by words and by risk."""

    risk = forms.ChoiceField(
        label=_("Risk"),
        required=False,
        choices=[("", _("any")), *((risk.name, risk.name) for risk in sorted(Risk, reverse=True))],
    )
    show = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[
            ("", _("everything")),
            ("seed", _("the twelve rows of the policy")),
            ("hazards", _("hazards")),
            ("extended", _("every other change")),
        ],
    )
