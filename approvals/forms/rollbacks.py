"""Forms around rollbacks: filter the list, give a reason, confirm a point of the checklist."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals import access
from approvals.analysis import Risk
from approvals.models import FileFate, HistoryTreatment, Service, Status, User
from approvals.pages.rollback_queries import SORTS

from . import PortalForm
from .choosing import Pick


class FilterForm(PortalForm):
    """What the list of rollbacks shows. What is not a choice is told beside its field and filters nothing."""

    # The field hides nothing: Django takes fields out of the class.
    status = forms.ChoiceField(  # type: ignore[assignment]
        label=_("Status"), required=False, choices=[("", _("any")), *Status.choices]
    )
    service = Pick(
        label=_("Service"),
        required=False,
        queryset=Service.objects.none(),
        to_field_name="name",
        empty_label=_("any"),
    )
    risk = forms.TypedChoiceField(
        label=_("Risk"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[("", _("any")), *((int(risk), risk.name) for risk in reversed(Risk))],
    )
    sort = forms.ChoiceField(
        label=_("Order"), required=False, choices=[(key, label) for key, (label, _order) in SORTS.items()]
    )
    mine = forms.BooleanField(label=_("Only those I asked for"), required=False)
    forced = forms.BooleanField(label=_("Only forced ones"), required=False)
    excepted = forms.BooleanField(label=_("Only those by exception"), required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(Pick, self.fields["service"]).queryset = access.services(user).order_by("name")

    def chosen(self) -> dict[str, Any]:
        """The filters that are valid, as `rollback_queries.listed` takes them."""
        self.is_valid()
        clean = self.cleaned_data
        service = clean.get("service")
        return {
            "status": clean.get("status", ""),
            "service": service.name if service else "",
            "risk": clean.get("risk"),
            "mine": clean.get("mine", False),
            "forced": clean.get("forced", False),
            "excepted": clean.get("excepted", False),
            "sort": clean.get("sort", ""),
        }


class ReasonForm(PortalForm):
    """A reason that others will read. That it must not be empty is the domain's to say."""

    reason = forms.CharField(
        label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 3, "required": True})
    )


class NoteForm(PortalForm):
    """What a person made sure of, for one point of the checklist. The domain refuses an empty one."""

    note = forms.CharField(
        label=_("What you made sure of, and how"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "required": True}),
    )


class AheadForm(PortalForm):
    """A choice to foresee the next deployment for."""

    history_treatment = forms.ChoiceField(
        label=_("History row"), required=False, choices=HistoryTreatment.choices
    )
    file_fate = forms.ChoiceField(label=_("Migration file"), required=False, choices=FileFate.choices)
