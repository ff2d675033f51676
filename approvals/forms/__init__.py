"""Forms of the portal. One base class, so that every page answers wrong input the same way."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.utils import ErrorDict
from django.http import HttpRequest, QueryDict

from approvals import kept
from approvals.errors import Refused

INPUT, REFUSED = 400, 409


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: the posted fields (even none at all), or nothing where a page is read.

    Fields that were sent after a session had ended come back on the page they were sent from; a form that is
    bound to them shows them and is never valid.
    """
    return request.POST if request.method == "POST" else kept.refill(request)


class PortalForm(forms.Form):
    """A form whose page knows the HTTP status it is answered with."""

    use_required_attribute = True
    refused = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept = isinstance(self.data, kept.Fields)
        if self.kept:  # nothing was sent, so nothing is wrong
            self._errors, self.cleaned_data = ErrorDict(), {}

    def is_valid(self) -> bool:
        """True where the input was sent just now and is right."""
        return not self.kept and super().is_valid()

    def refuse(self, error: Refused) -> None:
        """Show on the page why the domain refused what was entered."""
        self.refused = True
        self.add_error(None, str(error))

    @property
    def status(self) -> int:
        """200 for an untouched form, 400 for wrong input, 409 for what does not fit the state of things."""
        if self.refused:
            return REFUSED
        return INPUT if self.is_bound and self.errors else 200
