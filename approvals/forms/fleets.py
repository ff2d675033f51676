"""Forms of fleets: which targets, in which waves, and going on."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext as now_
from django.utils.translation import gettext_lazy as _

from approvals.models import RollbackRequest, Target
from approvals.pages.offered_targets import Offered

from . import PortalForm
from .decisions import StartForm
from .windows import ScheduleForm

# So many names that can't be chosen are told.
TOLD = 5


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

    def nothing_again(self) -> None:
        """Do not ask where nothing has ended so."""
        self.fields["again"].widget = forms.HiddenInput()


class TargetsForm(PortalForm):
    """The targets of a request by name, the canary among them."""

    canary = forms.CharField(required=False, widget=forms.HiddenInput)
    targets = forms.Field(
        widget=forms.MultipleHiddenInput, error_messages={"required": _("Choose at least one target.")}
    )

    def __init__(self, *args: Any, offered: Offered, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = offered

    @property
    def named(self) -> list[str]:
        """The names as they were sent, right or wrong."""
        return list(dict.fromkeys(self["targets"].value() or []))

    def clean_targets(self) -> list[Target]:
        """Those that were named; a name that can't go along is refused with the reason."""
        fitting = {target.name: target for target in self.offered.fitting}
        if wrong := [name for name in self.named if name not in fitting]:
            raise ValidationError([self._why_not(name) for name in wrong[:TOLD]])
        return [fitting[name] for name in self.named]

    def _why_not(self, name: str) -> str:
        reasons = {target.name: why for target, why in self.offered.why_not.items()}
        unknown = now_("%(value)s is none of the targets that can go along.")
        return reasons.get(name) or unknown % {"value": name}

    def clean(self) -> dict[str, Any]:
        """The canary is one of them; where none was named, the first by name."""
        cleaned = super().clean() or {}
        canary, chosen = cleaned.get("canary"), cleaned.get("targets")
        if canary and chosen and canary not in self.named:
            self.add_error("targets", now_("The canary %(name)s is not among the chosen.") % {"name": canary})
        return cleaned

    def chosen(self) -> list[Target]:
        """All columns of the canary first, then of the others by name; one query."""
        keys = [target.pk for target in self.cleaned_data["targets"]]
        found = Target.objects.select_related("service").filter(pk__in=keys).order_by("name")
        return sorted(found, key=lambda each: each.name != self.cleaned_data["canary"])
