"""Pages of incidents: the list, a new one, and one with its report, its line of time and what follows."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, contacts, incidents, once, permissions
from approvals.errors import Refused
from approvals.forms import PortalForm, posted
from approvals.forms.incidents import ActionForm, IncidentFilter, IncidentForm, NoteForm, ReferencesForm
from approvals.models import Incident
from approvals.pages import incident_page, paging
from approvals.pages.incident_report import Attempt, Report
from approvals.queries import names_of
from approvals.requests import Request

# So many rollbacks and attempts stand on one page of an incident, and so many actions and moments of its line
# of time: each says a lot.
FEW, SOME = 10, 25


def incident_list(request: Request) -> HttpResponse:
    """The incidents of the services this person sees."""
    form = IncidentFilter(request.GET)
    wanted = {"text": form.chosen("q"), "state": form.chosen("state"), "sort": form.chosen("sort")}
    page = paging.page(request, incident_page.listed(request.user, **wanted))
    may_open = permissions.may_read(request.user, "incident_new")
    open_actions = incident_page.actions(request.user).count()
    context = {"form": form, "page": page, "may_open": may_open, "open_actions": open_actions}
    return render(request, "incidents/list.html", context)


def incident_new(request: Request) -> HttpResponse:
    """Open an incident."""
    initial = {"service": request.GET.get("service", "")}
    form = IncidentForm(posted(request), user=request.user, initial=initial)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_open, request, form)))
        except Refused as refused:
            form.refuse(refused)
    return render(request, "incidents/new.html", {"form": form}, status=form.status)


def _open(request: Request, form: IncidentForm) -> str:
    incident = incidents.open_incident(**form.cleaned_data, actor=request.user)
    messages.success(request, _("%(label)s is open.") % {"label": incident.label})
    return reverse("incident_detail", args=[incident.pk])


def incident_detail(request: Request, pk: int) -> HttpResponse:
    """One incident: its report from facts, what happened when, its post-mortem, and what follows from it."""
    return detail(request, visible(request, pk))


def incident_note(request: Request, pk: int) -> HttpResponse:
    """Add an entry to the line of time."""
    incident = visible(request, pk)
    form = NoteForm(request.POST)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_note, request, incident, form)))
        except Refused as refused:
            form.refuse(refused)
    return detail(request, incident, note=form)


def _note(request: Request, incident: Incident, form: NoteForm) -> str:
    incidents.add_note(incident, text=form.cleaned_data["text"], actor=request.user)
    return reverse("incident_detail", args=[incident.pk])


def visible(request: Request, pk: int) -> Incident:
    """The incident, if this person sees it; 404 if not."""
    found = access.incidents(request.user).select_related(
        "service__team", "corrected_by", "post_mortem__submitted_by", "post_mortem__saved_by",
        "post_mortem__reopened_by",
    )  # fmt: skip
    return get_object_or_404(found, pk=pk)


def detail(request: Request, incident: Incident, **forms: PortalForm) -> HttpResponse:
    """The page of an incident; one of its forms may be given as it was sent, to say what is wrong with it."""
    found = getattr(incident, "post_mortem", None)
    writes = permissions.may_write(request.user, "incident_note")
    context: dict[str, Any] = {
        "incident": incident,
        "post_mortem": found,
        "clock": incident_page.clock(found) if found else None,
        "report": Report(incident),
        "contacts": contacts.for_service(incident.service),
        "may_write": writes,
        "may_reopen": permissions.may_write(request.user, "incident_reopen"),
    }
    if writes:
        context["note"] = NoteForm()
        context["action"] = ActionForm(None, service=incident.service)
        context["references"] = ReferencesForm(None, incident)
    context |= _lists(request, incident, context["report"]) | forms
    status = next((form.status for form in forms.values()), 200)
    return render(request, "incidents/detail.html", context, status=status)


def _lists(request: Request, incident: Incident, report: Report) -> dict[str, Any]:
    """The lists of the page of an incident, each in pages of its own; all of them whole, to print."""
    people = ("owner", "done_by", "added_by")
    actions = incident.actions.select_related(*people)
    actions = actions.only("incident_id", "text", "due_on", "added_at", "done_at", *names_of(*people))
    lists: dict[str, tuple[Any, int]] = {
        "rollbacks": (report.rollbacks, FEW),
        "attempts": (report.attempts, FEW),
        "actions": (actions, SOME),
        "moments": (report.timeline, SOME),
    }
    whole = paging.wants_whole(request)
    pages = {
        name: paging.page(request, things, per_page=per_page, parameter=name, whole=whole)
        for name, (things, per_page) in lists.items()
    }
    # The newest of them, told in the order in which they happened.
    pages["moments"].object_list = pages["moments"].object_list[::-1]
    pages["attempts"].object_list = [Attempt(each) for each in reversed(pages["attempts"].object_list)]
    return pages | {"parts": any(page.has_other_pages() for page in pages.values())}
