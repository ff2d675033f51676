"""Forms of the requester: filter the list, ask for a rollback, change it, write a script, withdraw."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals import access
from approvals.analysis import Risk
from approvals.models import (
    Incident,
    RollbackItem,
    RollbackRequest,
    RollbackScript,
    Service,
    Status,
    User,
)
from approvals.pages.rollback_queries import SORTS

from . import PortalForm

LOCAL_TIME = "%Y-%m-%dT%H:%M"


class FilterForm(PortalForm):
    """What the list of rollbacks shows. What is not a choice is told beside its field and filters nothing."""

    # The field hides nothing: Django takes fields out of the class.
    status = forms.ChoiceField(  # type: ignore[assignment]
        label=_("Status"), required=False, choices=[("", _("any")), *Status.choices]
    )
    service = forms.ModelChoiceField(
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

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast("forms.ModelChoiceField[Service]", self.fields["service"]).queryset = access.services(user)

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
            "sort": clean.get("sort", ""),
        }


class _IncidentField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Incidents by number and title."""

    def label_from_instance(self, obj: Incident) -> str:
        return f"{obj.label} {obj.title}"


class RequestForm(PortalForm, forms.ModelForm):  # type: ignore[type-arg]
    """What the requester says: why, how urgent, why not forward, what becomes of the file and of deployments.

    Nothing is compulsory in a draft; the gates say what is missing. An incident is chosen or opened here.
    """

    incident = _IncidentField(
        label=_("Incident"),
        required=False,
        queryset=Incident.objects.none(),
        empty_label=_("none yet, or a new one"),
    )
    incident_title = forms.CharField(label=_("Title of a new incident"), required=False, max_length=200)
    incident_impact = forms.CharField(
        label=_("Impact of the new incident"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Who notices it, and how. The reason below becomes the incident's reason."),
    )

    class Meta:
        model = RollbackRequest
        fields = (
            "incident",
            "reason",
            "urgency",
            "forward_fix",
            "file_fate",
            "frozen_by",
            "frozen_until",
            "app_version",
        )
        labels = {
            "reason": _("Why the migration must go"),
            "urgency": _("Urgency"),
            "forward_fix": _("Why a forward fix will not do"),
            "file_fate": _("What becomes of the migration file"),
            "frozen_by": _("Who froze deployments and start-up migration"),
            "app_version": _("Application version that fits the old schema"),
        }
        help_texts = {
            "forward_fix": _(
                "A corrective forward migration is the usual way. Say why it is not the way here."
            ),
            "file_fate": _("If the file stays as it is, the next deployment applies it again."),
        }
        widgets = {
            "reason": forms.Textarea(attrs={"rows": 3}),
            "forward_fix": forms.Textarea(attrs={"rows": 3}),
            "frozen_until": forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_TIME),
        }

    def __init__(self, *args: Any, service: Service, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.required = False
        self.fields["urgency"].required = True
        zone = timezone.get_current_timezone_name()
        self.fields["frozen_until"].label = _("Frozen until (%(zone)s)") % {"zone": zone}
        incident = cast(_IncidentField, self.fields["incident"])
        incident.queryset = Incident.objects.filter(service=service).order_by("-id")

    def clean(self) -> dict[str, Any]:
        clean = super().clean() or self.cleaned_data
        if self.opens_incident:
            if clean.get("incident"):
                self.add_error("incident", _("Choose an incident or open a new one, not both."))
            for name in ("incident_impact", "reason"):
                if not clean.get(name, "").strip():
                    self.add_error(name, _("A new incident needs this."))
            if not clean.get("incident_title", "").strip():
                self.add_error("incident_title", _("A new incident needs a title."))
        return clean

    @property
    def opens_incident(self) -> bool:
        """Is a new incident to be opened?"""
        return any(self.cleaned_data.get(n, "").strip() for n in ("incident_title", "incident_impact"))

    def use_incident(self, incident: Incident) -> None:
        """It was opened: shown again, the form names it instead of opening another."""
        data = cast(QueryDict, self.data).copy()
        data["incident"], data["incident_title"], data["incident_impact"] = str(incident.pk), "", ""
        self.data = data

    def answers(self) -> dict[str, Any]:
        """The fields as `rollbacks.create` and `rollbacks.edit` take them; the incident is the chosen one."""
        return {name: self.cleaned_data[name] for name in self.Meta.fields}


class ItemScriptsForm(PortalForm):
    """For every item of a request: which revision of its script runs."""

    def __init__(self, *args: Any, items: list[RollbackItem], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.items = items
        scripts: dict[int, list[RollbackScript]] = {}
        for script in RollbackScript.objects.filter(
            migration__in=[item.migration_id for item in items]
        ).defer("sql", "plan", "checks"):
            scripts.setdefault(script.migration_id, []).append(script)
        for item in items:
            revisions = scripts.get(item.migration_id, [])
            self.fields[f"script_{item.position}"] = forms.TypedChoiceField(
                label=f"{item.migration} {item.migration.description}",
                required=False,
                coerce=int,
                empty_value=None,
                choices=[(s.pk, _revision_label(s)) for s in revisions] or [("", _("no script yet"))],
                initial=item.script_id,
            )

    def chosen(self) -> list[RollbackScript]:
        """The scripts that differ from what the items have now."""
        wanted = [
            pk
            for item in self.items
            if (pk := self.cleaned_data.get(f"script_{item.position}")) and pk != item.script_id
        ]
        return list(RollbackScript.objects.filter(pk__in=wanted))


def _revision_label(script: RollbackScript) -> str:
    origin = RollbackScript.Origin(script.origin).label
    return f"r{script.number}, {origin}, {script.created_at:%Y-%m-%d %H:%M} UTC"


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
