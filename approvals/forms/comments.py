"""What somebody says about a rollback."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.comments import LONGEST
from approvals.models import RollbackScript
from approvals.models.comments import line_of

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

    def __init__(self, *args: Any, revision: RollbackScript, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revision = revision

    def clean_line(self) -> int:
        """A line that the revision has."""
        line: int = self.cleaned_data["line"]
        if line_of(self.revision.sql, line) is None:
            raise forms.ValidationError(
                _("%(script)s has no line %(line)d."),
                params={"script": str(self.revision), "line": line},
                code="no_such_line",
            )
        return line


class ThreadFilterForm(PortalForm):
    """Which threads to show."""

    show = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[("", _("all")), ("open", _("open")), ("resolved", _("resolved"))],
    )

    def chosen(self) -> str:
        """`open`, `resolved`, or nothing for all and for what is neither."""
        self.is_valid()
        return str(self.cleaned_data.get("show", ""))
