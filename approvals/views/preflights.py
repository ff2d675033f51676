"""Before a start: the preflight, and starts that wait for a window."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import permissions, preflights, schedules, stepup, windows
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.fleets import ScheduledRunForm
from approvals.forms.windows import ScheduleForm
from approvals.known import Known
from approvals.models import RollbackRequest, Schedule
from approvals.pages import calendar_page, fleet_openings, preflight_panel, review, rollback_queries
from approvals.requests import Request

from .errors import conflict
from .rollbacks import act, visible


def rollback_preflight(request: Request, pk: int) -> HttpResponse:
    """Ask a worker to look (POST), or show how that stands (GET, a fragment that asks again). What it found
    may give or take the button of a start, so that page is read anew then."""
    rollback = visible(request, pk)
    if request.method == "POST":
        back = request.POST.get("back", "")
        try:
            preflights.ask(rollback, actor=request.user)
        except Refused as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("A worker was asked to look. What it finds shows here."))
        return redirect("rollback_start" if back == "start" else "rollback_detail", pk)
    may_ask = permissions.may_write(request.user, "rollback_preflight")
    known, back = Known(rollback), request.GET.get("back", "")
    panel = preflight_panel.panel(known, may_ask=may_ask)
    context = {"rollback": rollback, "preflight": panel, "back": back, "no_go": request.GET.get("no_go", "")}
    response = render(request, "rollbacks/parts/preflight.html", context)
    if back == "start" and not panel.asked and (context["no_go"] or preflights.no_go(known)):
        response["HX-Refresh"] = "true"
    return response


def rollback_schedule(request: Request, pk: int) -> HttpResponse:
    """Set the start for later: says when the target is open (GET), sets it (POST)."""
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    page = review.sheet(rollback, request.user)
    action = page.actions.get("schedule")
    if page.target is None or action is None or not action.allowed:
        return conflict(
            request, action.why_not if action else _("It can't be scheduled from where it stands.")
        )
    if request.method != "POST" and stepup.confirmed_at(request) is None:
        return redirect(f"{reverse('confirm')}?{urlencode({'next': request.get_full_path()})}")
    opening = schedules.next_opening(rollback, page.known)
    form = _schedule_form(request, page, opens=opening is not None)
    if form.is_valid():
        try:
            return _scheduled(request, rollback, form)
        except Refused as refused:
            form.refuse(refused)
    context = {
        "rollback": rollback,
        "page": page,
        "form": form,
        "standing": page.known.standing,
        "opening": opening,
        "openings": fleet_openings.openings(page.known, opening) if page.known.is_fleet else [],
        "says": [(entry.get_kind_display(), calendar_page.says(entry)) for entry in page.known.calendar],
    }
    return render(request, "rollbacks/schedule.html", context, status=form.status)


def _schedule_form(request: Request, page: review.Sheet, *, opens: bool) -> ScheduleForm:
    rollback, known = page.rollback, page.known
    about: dict[str, Any] = {"zone": windows.zone_of(known.rollback_targets[0].target), "opens": opens}
    about["initial"] = {"digest": rollback.request_digest}
    if known.is_fleet:
        return ScheduledRunForm(posted(request), targets=len(known.rollback_targets), **about)
    return ScheduleForm(posted(request), **about)


def _scheduled(request: Request, rollback: RollbackRequest, form: ScheduleForm) -> HttpResponse:
    made = schedules.schedule(
        rollback,
        actor=request.user,
        digest=form.cleaned_data["digest"],
        confirmed_at=stepup.confirmed_at(request),
        at=form.cleaned_data["at"],
        wave_size=form.cleaned_data.get("wave_size"),
        stop_after=form.cleaned_data.get("stop_after"),
    )
    target = rollback.representative().target
    said = _("It is to start %(at)s, in your name. All gates are asked again then.")
    messages.success(request, said % {"at": windows.clock(made.at, target)})
    return redirect("rollback_detail", rollback.pk)


def rollback_unschedule(request: Request, pk: int) -> HttpResponse:
    """Take a scheduled start back."""

    def cancel(rollback: RollbackRequest) -> Schedule:
        found = schedules.waiting(rollback)
        if found is None:
            raise Refused(_("No start is scheduled any more."))
        return schedules.cancel(found, actor=request.user)

    return act(request, pk, cancel, _("The scheduled start is cancelled. The approvals stay as they are."))
