"""The page of a post-mortem: written in sections, saved, handed in, taken back into work with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from approvals import incidents, permissions
from approvals.errors import Conflict, Refused
from approvals.forms import posted
from approvals.forms.incidents import PostMortemForm, ReopenForm
from approvals.models import Incident, PostMortem
from approvals.pages import incident_page
from approvals.pages.incident_report import Report
from approvals.requests import Request

from .incidents import visible


def post_mortem(request: Request, pk: int) -> HttpResponse:
    """Read the post-mortem; write, save and hand it in until it was handed in."""
    incident = visible(request, pk)
    found = _due(incident)
    form = PostMortemForm.of(posted(request), found)
    if "take_over" in request.POST:
        return _page(request, incident, found, _with_facts(incident, found, form))
    if form.is_valid():
        try:
            return _save(request, incident, form)
        except Conflict as conflict:
            # What they wrote stays on the page, beside what is stored; saving again is then a decision.
            newer = _due(visible(request, pk))
            again = request.POST.copy()
            again["revision"] = str(newer.revision)
            form = PostMortemForm(again)
            form.refuse(conflict)
            return _page(request, incident, newer, form, theirs=PostMortemForm.of(None, newer))
        except Refused as refused:
            form.refuse(refused)
    return _page(request, incident, found, form)


def incident_reopen(request: Request, pk: int) -> HttpResponse:
    """Take a handed-in post-mortem back into work."""
    incident = visible(request, pk)
    found = _due(incident)
    form = ReopenForm(request.POST)
    if form.is_valid():
        try:
            incidents.reopen_post_mortem(incident, actor=request.user, because=form.cleaned_data["because"])
            messages.success(request, _("The post-mortem is open again."))
            return redirect("post_mortem", pk=pk)
        except Refused as refused:
            form.refuse(refused)
    return _page(request, incident, found, PostMortemForm.of(None, found), reopen=form)


def _due(incident: Incident) -> PostMortem:
    try:
        return incident.post_mortem
    except PostMortem.DoesNotExist:
        raise Http404 from None


def _with_facts(incident: Incident, found: PostMortem, form: PostMortemForm) -> PostMortemForm:
    """What was typed so far, with the portal's facts added to the section that tells what happened."""
    revision = form.data.get("revision") or found.revision
    return form.with_text("what_happened", Report(incident).as_text(), int(revision))


def _save(request: Request, incident: Incident, form: PostMortemForm) -> HttpResponse:
    hand_in = "hand_in" in request.POST
    incidents.save_post_mortem(incident, actor=request.user, submit=hand_in, **form.cleaned_data)
    messages.success(request, _("The post-mortem is handed in.") if hand_in else _("The draft is saved."))
    return redirect("incident_detail" if hand_in else "post_mortem", pk=incident.pk)


def _page(
    request: Request, incident: Incident, found: PostMortem, form: PostMortemForm, **more: Any
) -> HttpResponse:
    writes = permissions.may_write(request.user, "post_mortem") and not found.submitted_at
    may_reopen = permissions.may_write(request.user, "incident_reopen") and found.submitted_at
    context = {
        "incident": incident,
        "post_mortem": found,
        "form": form,
        "clock": incident_page.clock(found),
        "writes": writes,
        "facts": Report(incident).as_text() if writes else "",
        "open_actions": incident.actions.filter(done_at=None).count(),
        "reopen": ReopenForm() if may_reopen else None,
    }
    status = more["reopen"].status if "reopen" in more else form.status
    return render(request, "incidents/post_mortem.html", context | more, status=status)
