"""Forms of break-glass: what is to be skipped and why; what the review found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.models import BreakGlass

from . import PortalForm


class AskForm(PortalForm):
    """What stands in the way, of which something is to be skipped, and why it can't wait."""

    digest = forms.CharField(widget=forms.HiddenInput, required=False)
    skips = forms.MultipleChoiceField(
        label=_("Skip"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _("That is not in the way any more. Read it again, then ask.")},
    )
    reason = forms.CharField(
        label=_("Why it can’t wait"),
        help_text=_("The second person and the reviewer read it, and it goes on record."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, offered: Sequence[BreakGlass.Skip], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast(forms.MultipleChoiceField, self.fields["skips"])
        field.choices = [(skip.value, skip.label) for skip in offered]


class ReviewForm(PortalForm):
    """What the review found. That it must not be empty is the domain's to say."""

    review = forms.CharField(
        label=_("Was it right to force it, and what changes so that nobody has to again?"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "required": True}),
    )
