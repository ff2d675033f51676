"""Pages of incidents: list, one with its line of time, a new one, its post-mortem."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, incidents, once, permissions
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.incidents import IncidentFilter, IncidentForm, NoteForm, PostMortemForm
from approvals.models import Incident
from approvals.pages import incident_page, paging
from approvals.requests import Request


def incident_list(request: Request) -> HttpResponse:
    """The incidents of the services this person sees."""
    form = IncidentFilter(request.GET)
    found = incident_page.listed(request.user, text=form.chosen("q"), state=form.chosen("state"))
    may_open = permissions.may_read(request.user, "incident_new")
    context = {"form": form, "page": paging.page(request, found), "may_open": may_open}
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
    """One incident: reason, impact, what happened when, its rollbacks and its post-mortem."""
    return _detail(request, _incident(request, pk), NoteForm())


def incident_note(request: Request, pk: int) -> HttpResponse:
    """Add an entry to the line of time."""
    incident = _incident(request, pk)
    form = NoteForm(request.POST)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_note, request, incident, form)))
        except Refused as refused:
            form.refuse(refused)
    return _detail(request, incident, form)


def _note(request: Request, incident: Incident, form: NoteForm) -> str:
    incidents.add_note(incident, text=form.cleaned_data["text"], actor=request.user)
    return reverse("incident_detail", args=[incident.pk])


def _detail(request: Request, incident: Incident, form: NoteForm) -> HttpResponse:
    found = getattr(incident, "post_mortem", None)
    context = {
        "incident": incident,
        "post_mortem": found,
        "clock": incident_page.clock(found) if found else None,
        "moments": incident_page.timeline(incident),
        "rollbacks": incident_page.rollbacks(incident),
        "form": form,
        "may_write": permissions.may_write(request.user, "incident_note"),
    }
    return render(request, "incidents/detail.html", context, status=form.status)


def post_mortem(request: Request, pk: int) -> HttpResponse:
    """Read the post-mortem; write, save and hand it in until it was handed in."""
    incident = _incident(request, pk)
    found = getattr(incident, "post_mortem", None)
    if found is None:
        raise Http404
    form = PostMortemForm.of(posted(request), found)
    if form.is_valid():
        try:
            return _save(request, incident, form)
        except Refused as refused:
            form.refuse(refused)
    writes = permissions.may_write(request.user, "post_mortem") and not found.submitted_at
    context = {"incident": incident, "post_mortem": found, "form": form, "writes": writes}
    context["clock"] = incident_page.clock(found)
    return render(request, "incidents/post_mortem.html", context, status=form.status)


def _save(request: Request, incident: Incident, form: PostMortemForm) -> HttpResponse:
    hand_in = "hand_in" in request.POST
    incidents.save_post_mortem(incident, actor=request.user, submit=hand_in, **form.cleaned_data)
    messages.success(request, _("The post-mortem is handed in.") if hand_in else _("The draft is saved."))
    return redirect("incident_detail" if hand_in else "post_mortem", pk=incident.pk)


def _incident(request: Request, pk: int) -> Incident:
    found = access.incidents(request.user).select_related("post_mortem__submitted_by")
    return get_object_or_404(found, pk=pk)
