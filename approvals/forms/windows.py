"""Forms of calendars: a window or freeze of a target, a reason to end one, and the time of a scheduled start.

Dates and times are those of the target's clock; what that clock never shows, or shows twice, is an error.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals.models import CalendarEntry

from . import PortalForm
from .catalog import Filter, choice

Kind = CalendarEntry.Kind
DAYS = (
    (0, _("Monday")),
    (1, _("Tuesday")),
    (2, _("Wednesday")),
    (3, _("Thursday")),
    (4, _("Friday")),
    (5, _("Saturday")),
    (6, _("Sunday")),
)
VIEWS = {
    "": _("in force, waiting"),
    "waiting": _("waiting for a second person"),
    "freezes": _("freezes"),
    "all": _("all there ever were"),
}


class _Clock(forms.DateTimeInput):
    """A date and time as browsers let people choose one."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class ZonedForm(PortalForm):
    """A form whose moments are those of the clock of a target."""

    def __init__(self, *args: Any, zone: ZoneInfo, **kwargs: Any) -> None:
        self.zone = zone
        super().__init__(*args, **kwargs)

    def full_clean(self) -> None:
        """Read moments in the target's zone instead of the reader's."""
        with timezone.override(self.zone):
            super().full_clean()


class CalendarFilter(Filter):
    """The entries of a calendar."""

    show = choice(_("Show"), VIEWS.items())


class WeeklyForm(ZonedForm):
    """A window that comes every week."""

    days = forms.TypedMultipleChoiceField(
        label=_("Days on which it opens"), choices=DAYS, coerce=int, widget=forms.CheckboxSelectMultiple
    )
    starts = forms.TimeField(label=_("From"), widget=forms.TimeInput(attrs={"type": "time"}))
    ends = forms.TimeField(
        label=_("Until"),
        widget=forms.TimeInput(attrs={"type": "time"}),
        help_text=_("An end that is not after the start is on the next day."),
    )
    reason = forms.CharField(label=_("Note"), required=False, max_length=300)


class DatedForm(ZonedForm):
    """A window on a date."""

    begins_at = forms.DateTimeField(label=_("From"), widget=_Clock())
    ends_at = forms.DateTimeField(label=_("Until"), widget=_Clock())
    reason = forms.CharField(label=_("Note"), required=False, max_length=300)


class FreezeForm(DatedForm):
    """A time in which nothing may start."""

    reason = forms.CharField(label=_("Why nothing may run"), max_length=300)


FORMS: dict[str, type[ZonedForm]] = {
    Kind.WEEKLY: WeeklyForm,
    Kind.DATED: DatedForm,
    Kind.FREEZE: FreezeForm,
}


class ScheduleForm(ZonedForm):
    """When to start: at the next opening, or at a time within one."""

    digest = forms.CharField(widget=forms.HiddenInput)
    at = forms.DateTimeField(
        label=_("At a time of your choice"),
        required=False,
        widget=_Clock(),
        help_text=_("Leave it empty for the next opening."),
    )

    def __init__(self, *args: Any, opens: bool, **kwargs: Any) -> None:
        """`opens`: an opening is to come in the time to execute, so that no time has to be named."""
        super().__init__(*args, **kwargs)
        if not opens:
            self.fields["at"].help_text = _("The target has no opening to wait for: name the time.")
            self.fields["at"].required = True
