"""Windows and freezes of a target: the calendar, asking for an entry, the second person, taking one away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, once, permissions, windows
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.rollbacks import ReasonForm
from approvals.forms.windows import FORMS, CalendarFilter, ZonedForm
from approvals.models import CalendarEntry, Target
from approvals.pages import calendar_page, paging
from approvals.requests import Request

Verb = Callable[..., CalendarEntry]


def window_list(request: Request, name: str, refused: Refused | None = None) -> HttpResponse:
    """When something may start on a target, and every window and freeze behind that."""
    target = _target(request, name)
    form = CalendarFilter(request.GET)
    found = calendar_page.entries(target, form.chosen("show"), form.chosen("q"))
    page = paging.page(request, found)
    page.object_list = calendar_page.lines(page.object_list, request.user)
    context = {
        "target": target,
        "form": form,
        "page": page,
        "calendar": calendar_page.read(target),
        "may": calendar_page.may_propose(request.user),
        "refused": refused,
    }
    return render(request, "targets/calendar.html", context, status=REFUSED if refused else 200)


def window_new(request: Request, name: str, entry_kind: str) -> HttpResponse:
    """Ask for a window or declare a freeze."""
    if entry_kind not in FORMS:
        raise Http404
    target = _target(request, name)
    if why := windows.why_not_propose(entry_kind, request.user):
        return permissions.forbidden(request, why, name="window_new")
    try:
        zone = windows.zone_of(target)
    except Refused as refused:
        return window_list(request, name, refused)
    form = FORMS[entry_kind](posted(request), zone=zone)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_propose, request, target, entry_kind, form)))
        except Refused as refused:
            form.refuse(refused)
    chosen = CalendarEntry.Kind(entry_kind)
    context = {"target": target, "form": form, "kind": chosen, "confirms": windows.CONFIRMS}
    return render(request, "targets/window_new.html", context, status=form.status)


def _propose(request: Request, target: Target, kind: str, form: ZonedForm) -> str:
    entry = windows.propose(target, CalendarEntry.Kind(kind), actor=request.user, **form.cleaned_data)
    messages.success(
        request,
        _("The freeze is in force.")
        if entry.is_freeze
        else _("Asked for. It counts once somebody confirms it."),
    )
    return reverse("window_list", args=[target.name])


def window_confirm(request: Request, pk: int) -> HttpResponse:
    """Be the second person."""
    return _act(request, pk, windows.confirm, _("Confirmed."))


def window_dismiss(request: Request, pk: int) -> HttpResponse:
    """Say no to what waits, or take back what one asked for."""
    return _act(request, pk, windows.dismiss, _("It stays as it was."))


def _act(request: Request, pk: int, verb: Verb, said: str) -> HttpResponse:
    entry = _entry(request, pk)
    # What the person read: a proposal, or the wish to take it away.
    if (request.POST.get("removal") == "1") != (entry.removal_at is not None):
        changed = Refused(_("Somebody else changed it meanwhile. Read it again, then decide."))
        return window_list(request, entry.target.name, changed)
    try:
        verb(entry, actor=request.user)
    except Refused as refused:
        return window_list(request, entry.target.name, refused)
    messages.success(request, said)
    return redirect("window_list", entry.target.name)


def window_remove(request: Request, pk: int) -> HttpResponse:
    """Ask for a window to be taken away or a freeze to be lifted, with a reason."""
    entry = _entry(request, pk)
    form = ReasonForm(posted(request))
    if form.is_valid():
        try:
            windows.ask_to_remove(entry, actor=request.user, reason=form.cleaned_data["reason"])
        except Refused as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("Asked for. It stays in force until somebody else confirms that."))
            return redirect("window_list", entry.target.name)
    line = calendar_page.line(entry, request.user)
    context = {"target": entry.target, "line": line, "form": form}
    return render(request, "targets/window_remove.html", context, status=form.status)


def _target(request: Request, name: str) -> Target:
    return get_object_or_404(access.targets(request.user), name=name)


def _entry(request: Request, pk: int) -> CalendarEntry:
    visible = CalendarEntry.objects.filter(target__in=access.targets(request.user).values("pk"))
    people = ("proposed_by", "confirmed_by", "removal_by", "removed_by")
    return get_object_or_404(visible.select_related("target__service", *people), pk=pk)
