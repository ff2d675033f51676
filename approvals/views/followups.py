"""What follows from incidents: actions with owner and day, the change record, the corrected migration."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, followups, once
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.incidents import ActionFilter, ActionForm, ReferencesForm
from approvals.models import Incident, IncidentAction
from approvals.pages import incident_page, paging
from approvals.requests import Request

from .incidents import detail, visible


def incident_action_list(request: Request) -> HttpResponse:
    """Actions of all incidents this person sees, open ones unless asked otherwise, their own first."""
    form = ActionFilter(request.GET)
    wanted = {name: form.chosen(name) for name in ("whose", "state", "sort")}
    page = paging.page(request, incident_page.actions(request.user, text=form.chosen("q"), **wanted))
    return render(request, "incidents/actions.html", {"form": form, "page": page})


def incident_action_new(request: Request, pk: int) -> HttpResponse:
    """Add an action to an incident."""
    incident = visible(request, pk)
    form = ActionForm(request.POST, service=incident.service)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_add, request, incident, form)))
        except Refused as refused:
            form.refuse(refused)
    return detail(request, incident, action=form)


def _add(request: Request, incident: Incident, form: ActionForm) -> str:
    action = followups.add_action(incident, **form.cleaned_data, actor=request.user)
    messages.success(
        request,
        _("%(name)s has it to do until %(day)s.") % {"name": action.owner, "day": action.due_on},
    )
    return _home(incident)


def incident_action(request: Request, pk: int) -> HttpResponse:
    """Change an open action."""
    action = _visible(request, pk)
    form = ActionForm(posted(request), service=action.incident.service, action=action)
    if form.is_valid():
        try:
            followups.change_action(action, **form.cleaned_data, actor=request.user)
            messages.success(request, _("The action is changed."))
            return redirect(_home(action.incident))
        except Refused as refused:
            form.refuse(refused)
    return render(request, "incidents/action.html", {"action": action, "form": form}, status=form.status)


def incident_action_done(request: Request, pk: int) -> HttpResponse:
    """Mark an action as done, or as open again."""
    action = _visible(request, pk)
    done = request.POST.get("done") != "no"
    followups.set_done(action, done, actor=request.user)
    messages.success(request, _("The action is done.") if done else _("The action is open again."))
    back = "incident_action_list" if request.POST.get("back") == "list" else ""
    return redirect(back or _home(action.incident))


def incident_references(request: Request, pk: int) -> HttpResponse:
    """Name the entry in the change management system and the corrected migration."""
    incident = visible(request, pk)
    form = ReferencesForm(request.POST, incident)
    if form.is_valid():
        followups.set_references(incident, **form.cleaned_data, actor=request.user)
        messages.success(request, _("The references are saved."))
        return redirect("incident_detail", pk=pk)
    return detail(request, incident, references=form)


def _visible(request: Request, pk: int) -> IncidentAction:
    found = IncidentAction.objects.filter(incident__in=access.incidents(request.user).values("pk"))
    return get_object_or_404(found.select_related("incident__service", "owner", "done_by"), pk=pk)


def _home(incident: Incident) -> str:
    return reverse("incident_detail", args=[incident.pk]) + "#actions"
