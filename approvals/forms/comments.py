"""What somebody says about a rollback."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.comments import LONGEST

from . import PortalForm


class CommentForm(PortalForm):
    """A comment on the whole rollback, or a reply."""

    text = forms.CharField(
        label=_("Comment"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Write what you have to say.")},
    )


class LineCommentForm(CommentForm):
    """A comment on one line of the revision of a script that the page showed."""

    script = forms.IntegerField(widget=forms.HiddenInput)
    line = forms.IntegerField(label=_("Line"), min_value=1)

    field_order = ("script", "line", "text")
