"""Forms of the steps in which a rollback is asked for. A draft may lack anything; what is there is right."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals import checklist
from approvals.models import Incident, RollbackItem, RollbackRequest, RollbackScript, Service

from . import PortalForm
from .choosing import Pick

LOCAL_TIME = "%Y-%m-%dT%H:%M"


class DraftForm(PortalForm, forms.ModelForm):  # type: ignore[type-arg]
    """Some of what the requester says; nothing is compulsory, the gates say what is missing."""

    class Meta:
        model = RollbackRequest
        fields: tuple[str, ...] = ()

    # The part of the form's address that says which step this is.
    step = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.required = False
            if self.instance.pk:
                field.widget.attrs |= {
                    "hx-post": reverse("rollback_field", args=[self.instance.pk, self.step, name]),
                    "hx-trigger": "blur changed",
                    "hx-target": f"#id_{name}_foot",
                    "hx-swap": "innerHTML",
                }

    def answers(self) -> dict[str, Any]:
        """What differs from what is stored, as `rollbacks.edit` takes it."""
        return {
            name: self.cleaned_data[name] for name in self._meta.fields or () if name in self.changed_data
        }


class IncidentField(Pick):
    """Incidents by number and title; typed, the number is enough."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(find=_numbered, **kwargs)

    def label_from_instance(self, obj: Incident) -> str:
        return f"{obj.label} {obj.title}"


def _numbered(text: str) -> Q:
    number = text.split()[0].upper().removeprefix("INC-")
    return Q(pk=int(number)) if number.isascii() and number.isdecimal() and len(number) < 19 else Q(pk__in=[])


class ReasonStep(DraftForm):
    """Why it must go, how urgent it is, why not forward. An incident is chosen or opened here."""

    step = "reason"

    incident = IncidentField(
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
        fields = ("incident", "reason", "urgency", "forward_fix")
        labels = {
            "reason": _("Why the migration must be undone"),
            "urgency": _("Urgency"),
            "forward_fix": _("Why a forward fix will not do"),
        }
        help_texts = {
            "forward_fix": _(
                "A corrective forward migration is the usual way. Say why it is not the way here."
            ),
        }
        widgets = {
            "reason": forms.Textarea(attrs={"rows": 3}),
            "forward_fix": forms.Textarea(attrs={"rows": 3}),
        }

    def __init__(self, *args: Any, service: Service, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["urgency"].required = True
        self.initial["incident"] = self.instance.incident
        incident = cast(IncidentField, self.fields["incident"])
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


class FileStep(DraftForm):
    """What becomes of the file and of deployments, so that the migration does not come back by itself."""

    step = "file"

    class Meta:
        model = RollbackRequest
        fields = ("history_treatment", "file_fate", "frozen_by", "frozen_until", "app_version")
        labels = {
            "history_treatment": _("What becomes of its row in Flyway's history"),
            "file_fate": _("What becomes of the migration file"),
            "frozen_by": _("Who froze deployments and start-up migration"),
            "app_version": _("Application version that fits the old schema"),
        }
        help_texts = {
            "file_fate": _("If the file stays as it is, the next deployment applies it again."),
            "app_version": _("What has to be deployed when the rollback is done."),
        }
        widgets = {
            "frozen_until": forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_TIME),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["history_treatment"].required = True
        zone = timezone.get_current_timezone_name()
        self.fields["frozen_until"].label = _("Frozen until (%(zone)s)") % {"zone": zone}


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
                label=_("Script that runs for %(migration)s") % {"migration": item.migration},
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


class ChecklistStep(PortalForm):
    """What a person made sure of, for each point that only a person can know. Empty ones stay open."""

    def __init__(self, *args: Any, points: list[checklist.Point], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.points = [point for point in points if point.by_person]
        for point in self.points:
            self.fields[point.point.value] = forms.CharField(
                label=point.label,
                required=False,
                initial=point.entry.note if point.entry else "",
                widget=forms.Textarea(attrs={"rows": 2}),
                help_text=_("What you made sure of, and how."),
            )

    def notes(self) -> dict[str, str]:
        """The notes that are new or changed, by point."""
        return {
            name: note
            for name, note in self.cleaned_data.items()
            if note.strip() and name in self.changed_data
        }
