"""Forms of the portal. One base class, so that every page answers wrong input the same way."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, QueryDict

from approvals.errors import Refused

INPUT, REFUSED = 400, 409


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: the posted fields (even none at all), or nothing where a page is read."""
    return request.POST if request.method == "POST" else None


class PortalForm(forms.Form):
    """A form whose page knows the HTTP status it is answered with."""

    use_required_attribute = True
    refused = False

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
