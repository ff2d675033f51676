"""Forms of incidents: open one, add to its timeline, its post-mortem, what follows from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from approvals import access, followups
from approvals.incidents import SECTIONS
from approvals.models import Incident, IncidentAction, Migration, PostMortem, Service, User

from . import PortalForm
from .catalog import Filter
from .choosing import Pick

LONGEST = 20_000


def _text(label: Any, *, rows: int = 5, help_text: Any = "", required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=required,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": rows}),
    )


class IncidentForm(PortalForm):
    """A new incident of a service that the person sees."""

    service = Pick(
        label=_("Service"), queryset=Service.objects.none(), to_field_name="name", empty_label=_("choose")
    )
    title = forms.CharField(
        label=_("Title"), max_length=200, help_text=_("One line that people will call it by.")
    )
    reason = _text(_("Reason"), help_text=_("What is wrong, and since when?"))
    impact = _text(_("Impact"), help_text=_("Who is affected, and how badly?"))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["service"].queryset = access.services(user).order_by("name")  # type: ignore[attr-defined]


class NoteForm(PortalForm):
    """One entry of an incident's timeline."""

    text = _text(_("Add to the timeline"), rows=3)


class PostMortemForm(PortalForm):
    """What people learnt, in the sections of `incidents.SECTIONS`. Saving takes none of them."""

    what_happened = _text(
        _("What happened?"),
        required=False,
        help_text=_("In the order in which it happened. The portal's own facts can be taken over."),
    )
    noticed = _text(
        _("How was it noticed, and what cost time?"),
        required=False,
        rows=3,
        help_text=_("By a person or by an alarm? Was a forward fix tried first, and who was called when?"),
    )
    root_cause = _text(
        _("Why did it happen?"),
        required=False,
        help_text=_("Ask why until the answer is something that can be changed. Causes, not culprits."),
    )
    went_well = _text(_("What went well?"), required=False, rows=3, help_text=_("What should stay as it is?"))
    prevention = _text(
        _("What changes so that it does not happen again?"),
        required=False,
        help_text=_("Name the corrected migration. What somebody has to do, add as an action with a day."),
    )
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, data: Any, found: PostMortem) -> PostMortemForm:
        """The form with what was saved so far."""
        return cls(data, initial={name: getattr(found, name) for name in (*SECTIONS, "revision")})

    @property
    def sections(self) -> list[forms.BoundField]:
        return [self[name] for name in SECTIONS]

    def with_text(self, name: str, text: str, revision: int) -> PostMortemForm:
        """The same input, not checked, with a text added to one section and another revision to save over."""
        values = {each: self.data.get(each, "") for each in SECTIONS} | {"revision": revision}
        values[name] = "\n\n".join(part for part in (values[name].rstrip(), text) if part)
        return type(self)(initial=values)


class ReopenForm(PortalForm):
    """Why a handed-in post-mortem is taken back into work."""

    because = _text(_("Why is it reopened?"), rows=2)


class ActionForm(PortalForm):
    """Something that somebody will do until a day."""

    text = forms.CharField(label=_("What will be done?"), max_length=300)
    owner = Pick(
        label=_("Owner"), queryset=User.objects.none(), to_field_name="username", empty_label=_("choose")
    )
    due_on = forms.DateField(
        label=_("Due on"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, data: Any, *, service: Service, action: IncidentAction | None = None) -> None:
        initial: dict[str, Any] = {"due_on": timezone.localdate() + timedelta(days=14)}
        if action:
            initial = {"text": action.text, "owner": action.owner.username, "due_on": action.due_on}
        super().__init__(data, initial=initial, prefix="action")
        self.fields["owner"].queryset = followups.owners(service)  # type: ignore[attr-defined]


class _MigrationField(Pick):
    """Migrations of a service by version and description; typed, by as much of it as makes sure."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(find=_called, **kwargs)

    def label_from_instance(self, obj: Migration) -> str:
        return f"{obj} {obj.description}" if obj.version else str(obj)


def _called(text: str) -> Q:
    word, _space, description = text.partition(" ")
    if word == Migration.Kind.REPEATABLE:
        return Q(kind=word, description=description)
    kind, version = (word[0], word[1:]) if word[0].isalpha() else (Migration.Kind.VERSIONED, word)
    called = Q(kind=kind, version=version)
    return called & Q(description=description) if description else called


class ReferencesForm(PortalForm):
    """Where else the incident is written down, and what prevents that it happens again."""

    change_record = forms.CharField(
        label=_("Entry in the change management system"),
        required=False,
        max_length=120,
        help_text=_("Its number or address there."),
    )
    corrected_by = _MigrationField(
        label=_("Corrected migration"),
        required=False,
        queryset=Migration.objects.none(),
        empty_label=_("not imported yet"),
        help_text=_("The migration that was corrected, or the one that corrects it."),
    )

    def __init__(self, data: Any, incident: Incident) -> None:
        initial = {"change_record": incident.change_record, "corrected_by": incident.corrected_by}
        super().__init__(data, initial=initial, prefix="references")
        known = incident.service.migrations.filter(removed_at=None).order_by("-version_key", "description")
        self.fields["corrected_by"].queryset = known  # type: ignore[attr-defined]


class IncidentFilter(Filter):
    """Incidents by words and by where their post-mortem stands."""

    state = forms.ChoiceField(
        label=_("Post-mortem"),
        required=False,
        choices=[
            ("", _("any")),
            ("overdue", _("overdue")),
            ("due", _("due")),
            ("done", _("handed in")),
            ("none", _("not asked for yet")),
        ],
    )
    sort = forms.ChoiceField(
        label=_("Sort by"),
        required=False,
        choices=[
            ("", _("newest first")),
            ("oldest", _("oldest first")),
            ("due", _("post-mortem, most urgent first")),
            ("service", _("service")),
        ],
    )


class ActionFilter(Filter):
    """Actions by words, by whose they are and by how they stand."""

    whose = forms.ChoiceField(
        label=_("Owner"), required=False, choices=[("", _("all, mine first")), ("mine", _("only mine"))]
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("open")), ("overdue", _("overdue")), ("done", _("done")), ("all", _("all"))],
    )
    sort = forms.ChoiceField(
        label=_("Sort by"),
        required=False,
        choices=[("", _("day it is due")), ("newest", _("newest first")), ("owner", _("owner"))],
    )
