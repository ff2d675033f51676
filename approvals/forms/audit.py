"""The filters of the audit trail; each is a parameter of the URL, so that a view of it can be passed on."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.pages import audit_words

from . import PortalForm


def _actions() -> list[tuple[str, object]]:
    return [("", _("any")), (audit_words.DENIALS, _("refused attempts")), *audit_words.choices()]


def _example(text: object) -> forms.TextInput:
    return forms.TextInput(attrs={"placeholder": text})


class AuditFilter(PortalForm):
    """Who, where, what, when, and about which rollback."""

    person = forms.CharField(
        label=_("Person"), required=False, max_length=150, widget=_example(_("user name, or portal"))
    )
    target = forms.SlugField(
        label=_("Target"), required=False, max_length=80, widget=_example(_("name of a target"))
    )
    rollback = forms.RegexField(
        r"(?i)^(RB-)?[0-9]{1,18}$",
        label=_("Rollback"),
        required=False,
        widget=_example(_("such as RB-142")),
        error_messages={"invalid": _("A rollback is named like RB-142.")},
    )
    action = forms.ChoiceField(label=_("Action"), required=False, choices=_actions)
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def clean_rollback(self) -> str:
        """The label as events carry it."""
        number = str(self.cleaned_data["rollback"]).upper().removeprefix("RB-")
        return f"RB-{int(number)}" if number else ""

    @property
    def wanted(self) -> dict[str, str]:
        """What to filter by, as `audit_trail.events` takes it; only what was understood and given."""
        self.is_valid()
        values = self.cleaned_data
        found = {name: values.get(name) or "" for name in ("person", "target", "rollback", "action")}
        if values.get("since"):
            found["since"] = _day_begins(values["since"])
        if values.get("until"):
            found["before"] = _day_begins(values["until"] + timedelta(days=1))
        return {name: value for name, value in found.items() if value}


def _day_begins(day: date) -> str:
    """Midnight in the reader's zone, as the text in which events keep their time."""
    begins = datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())
    return begins.astimezone(UTC).isoformat(timespec="microseconds")
