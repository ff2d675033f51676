"""Forms of incidents: open one, add to its timeline, write its post-mortem."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals import access
from approvals.models import PostMortem, Service, User

from . import PortalForm

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

    service = forms.ModelChoiceField(
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
    """What people learnt; handing it in takes all three answers, saving takes none."""

    what_happened = _text(_("What happened?"), required=False)
    root_cause = _text(_("Why did it happen?"), required=False)
    prevention = _text(
        _("What changes so that it does not happen again?"),
        required=False,
        help_text=_("Name the corrected migration, who brings it and until when."),
    )

    @classmethod
    def of(cls, data: Any, found: PostMortem) -> PostMortemForm:
        """The form with what was saved so far."""
        return cls(data, initial={name: getattr(found, name) for name in cls.base_fields})


class IncidentFilter(PortalForm):
    """Incidents by service and by where their post-mortem stands."""

    q = forms.CharField(label=_("Search"), required=False, max_length=100)
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

    def chosen(self, name: str) -> str:
        """The value of a filter that was understood, or nothing."""
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")
