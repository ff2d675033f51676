"""The filters of the audit trail; each is a parameter of the URL, so that a view of it can be passed on."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as now_
from django.utils.translation import gettext_lazy as _

from approvals import audit
from approvals.pages import audit_filter, audit_words

from . import PortalForm


def _actions() -> list[Any]:
    return [("", _("any")), *audit_words.choices()]


def _example(text: object, **attrs: str) -> forms.TextInput:
    return forms.TextInput(attrs={"placeholder": text, **attrs})


class MomentField(forms.CharField):
    """A minute in the reader's zone; a day alone is its first minute, or its last where a range `ends`."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def __init__(self, *, ends: bool = False, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=30, **kwargs)
        self.ends = ends

    def clean(self, value: Any) -> datetime | None:
        """The moment as an aware datetime in the reader's zone."""
        text = super().clean(value)
        if not text:
            return None
        found = self._read(text)
        if found is None:
            raise forms.ValidationError(
                now_("Enter a day or a minute, such as 2026-03-01 or 2026-03-01T14:05.")
            )
        return timezone.make_aware(found) if timezone.is_naive(found) else found

    def prepare_value(self, value: Any) -> Any:
        """What the control shows: a day becomes a minute, or a browser would show nothing."""
        found = self._read(value) if isinstance(value, str) else value
        return found.replace(tzinfo=None) if isinstance(found, datetime) else value

    def _read(self, text: str) -> datetime | None:
        try:
            day = parse_date(text)
            if day is None:
                return parse_datetime(text)
            return datetime.combine(day, time(23, 59) if self.ends else time.min)
        except ValueError:
            return None


class AuditFilter(PortalForm):
    """Who, about what, where, what kind, when, and whether it was refused."""

    person = forms.CharField(
        label=_("Person"),
        required=False,
        max_length=150,
        widget=_example(_("name, or portal"), list="people"),
    )
    action = forms.ChoiceField(label=_("Action"), required=False, choices=_actions)
    about = forms.RegexField(
        audit_filter.OBJECT,
        label=_("About"),
        required=False,
        max_length=25,
        widget=_example(_("such as RB-142")),
        error_messages={"invalid": _("An object is named like RB-142, INC-31 or EX-1a2b3c4d.")},
    )
    target = forms.CharField(
        label=_("Target or service"),
        required=False,
        max_length=80,
        widget=_example(_("part of a name"), list="places"),
    )
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"), ends=True)
    denied = forms.BooleanField(label=_("Refused attempts only"), required=False)

    def clean_about(self) -> str:
        """Without what a pasted label may have around it."""
        return str(self.cleaned_data["about"]).strip()

    @property
    def wanted(self) -> dict[str, Any]:
        """What to filter by, as `audit_filter.events` takes it; only what was understood and given."""
        self.is_valid()
        values = self.cleaned_data
        found = {name: values.get(name) for name in ("person", "about", "target", "action", "denied")}
        if values.get("since"):
            found["since"] = audit.stamp(values["since"])
        if values.get("until"):
            found["before"] = audit.stamp(values["until"] + timedelta(minutes=1))
        return {name: value for name, value in found.items() if value}

    @property
    def range(self) -> tuple[datetime | None, datetime | None]:
        """From when, and until before when; what the report of rollbacks is filtered by."""
        self.is_valid()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        return since, until + timedelta(minutes=1) if until else None
