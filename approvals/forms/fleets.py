"""Forms of fleets: which targets, in which waves, and going on."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext_lazy as _

from approvals.models import RollbackRequest, Target

from . import PortalForm
from .decisions import StartForm
from .windows import ScheduleForm


class WavesForm(PortalForm):
    """How a run goes: how many targets at a time, and after how many failures it stops."""

    wave_size = forms.IntegerField(
        label=_("Targets in a wave"),
        min_value=1,
        help_text=_(
            "After the canary so many begin together; the next wave begins when all of the last are final."
        ),
    )
    stop_after = forms.IntegerField(label=_("Stop after so many failures"), min_value=1, initial=1)

    def bound_by(self, targets: int) -> None:
        """Let no more be asked for than there are."""
        size = cast(forms.IntegerField, self.fields["wave_size"])
        size.initial = min(8, targets - 1)
        for name, most in (("wave_size", targets - 1), ("stop_after", targets)):
            field = cast(forms.IntegerField, self.fields[name])
            field.max_value = most
            field.validators.append(MaxValueValidator(most))
            field.widget.attrs["max"] = most


class RunForm(StartForm, WavesForm):
    """The start of a run. For CRITICAL the canary's name is typed."""

    field_order = ("wave_size", "stop_after", "name")

    def __init__(
        self, *args: Any, rollback: RollbackRequest, target: str, targets: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, rollback=rollback, target=target, **kwargs)
        self.bound_by(targets)


class ScheduledRunForm(ScheduleForm, WavesForm):
    """When the canary is to begin, and how the run goes then."""

    field_order = ("at", "wave_size", "stop_after")

    def __init__(self, *args: Any, targets: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bound_by(targets)


class GoOnForm(PortalForm):
    """Going on in spite of the failures that the page showed."""

    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=10_000)
    again = forms.BooleanField(
        label=_("Also try those again that ended without effect (each at most three times)"), required=False
    )


class TargetsForm(PortalForm):
    """The targets of a request, the canary among them."""

    canary = forms.CharField(required=False)
    targets = forms.ModelMultipleChoiceField(
        queryset=Target.objects.none(),
        to_field_name="name",
        error_messages={
            "required": _("Choose at least one target."),
            "invalid_choice": _("%(value)s is none of the targets that can go along."),
        },
    )

    def __init__(self, *args: Any, offered: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast("forms.ModelMultipleChoiceField[Target]", self.fields["targets"]).queryset = offered

    def chosen(self) -> list[Target]:
        """The canary first, the others by name."""
        found = sorted(self.cleaned_data["targets"], key=lambda each: each.name)
        canary = self.cleaned_data["canary"]
        return sorted(found, key=lambda each: each.name != canary)
