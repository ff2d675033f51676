"""Fleets: choose the targets of a request, start its run, watch it, hold it, go on, end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import (
    backup_exceptions,
    break_glass,
    fleet_progress,
    fleets,
    once,
    preflights,
    rollbacks,
    stepup,
)
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.fleets import GoOnForm, RunForm, TargetsForm
from approvals.forms.rollbacks import ReasonForm
from approvals.models import FleetRun, RollbackRequest, Status, Target
from approvals.pages import (
    exception_page,
    fleet_page,
    offered_targets,
    paging,
    preflight_panel,
    review,
    rollback_queries,
    target_choice,
)
from approvals.pages.target_choice import Choice
from approvals.requests import Request

from .drafts import own, shown_revision
from .errors import conflict
from .rollbacks import posted_revision, visible


def fleet_detail(request: Request, pk: int) -> HttpResponse:
    """The matrix: how every target of a request stands, live while its run is not over."""
    return render(request, "fleets/detail.html", _context(request, pk))


def fleet_live(request: Request, pk: int) -> HttpResponse:
    """What changes on the matrix; the page asks for it when something has."""
    return render(request, "fleets/live.html", _context(request, pk))


def _context(request: Request, pk: int) -> dict[str, Any]:
    rollback = visible(request, pk)
    targets = list(rollback.rollback_targets.select_related("target"))
    view = fleet_page.read(rollback, targets, show=request.GET.get("show", ""), text=request.GET.get("q", ""))
    context = {"rollback": rollback, "view": view, "acts": fleet_page.acts(view, request.user)}
    granted = exception_page.told(rollback, backup_exceptions.granted(rollback))
    return context | {"glasses": break_glass.confirmed(rollback), "exceptions": granted}


def rollback_targets(request: Request, pk: int) -> HttpResponse:
    """Choose on which targets of the service a draft is to run and which of them is the canary (GET: the
    choice lives in the address), read the choice as a list, and take it (POST)."""
    rollback = own(request, pk)
    present = [each.target for each in rollback.rollback_targets.select_related("target")]
    offered = offered_targets.offered(request.user, rollback, canary=present[0])
    form = TargetsForm(posted(request), offered=offered)
    if form.is_valid():
        try:
            rollbacks.edit(
                rollback, actor=request.user, revision=posted_revision(request), targets=form.chosen()
            )
        except Refused as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("Chosen. A worker reads the targets; what it finds shows here."))
            return redirect("rollback_detail", rollback.pk)
    context = {"rollback": rollback, "form": form, "offered": offered}
    context["revision"] = shown_revision(request, rollback, form)
    if form.is_bound:
        choice = Choice.of_names(offered, form.named, str(form["canary"].value() or ""), present)
        return _chosen(request, context, choice, present, status=form.status)
    view = target_choice.read(request, rollback, offered, present)
    context["revision"] = request.GET.get("revision", context["revision"])
    if view.reviewed:
        return _chosen(request, context | {"notes": view.notes}, view.choice, present)
    return render(request, "fleets/targets.html", context | {"view": view, "choice": view.choice})


def _chosen(
    request: Request, context: dict[str, Any], choice: Choice, present: list[Target], status: int = 200
) -> HttpResponse:
    """The choice as a list, before it is taken: what comes along and what no longer does."""
    gone = [each.name for each in present if each.pk not in choice.chosen]
    context |= {"choice": choice, "present": present, "gone": gone}
    return render(request, "fleets/chosen.html", context, status=status)


def fleet_start(request: Request, pk: int) -> HttpResponse:
    """Start the run: says what it means (GET), starts it (POST)."""
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    page = review.sheet(rollback, request.user)
    start, targets = page.actions.get("start"), page.known.rollback_targets
    if start is None or not start.allowed or rollback.status != Status.APPROVED or len(targets) < 2:
        why = start.why_not if start else ""
        return conflict(request, why or _("It can't be started from where it stands."))
    if request.method != "POST" and stepup.confirmed_at(request) is None:
        return redirect(f"{reverse('confirm')}?{urlencode({'next': request.get_full_path()})}")
    form = RunForm(
        posted(request),
        initial={"digest": rollback.request_digest},
        rollback=rollback,
        target=targets[0].target.name,
        targets=len(targets),
    )
    if form.is_valid():
        try:
            return redirect(once.run(request, lambda: _start(request, rollback, form)))
        except Refused as refused:
            form.refuse(refused)
    no_go = preflights.no_go(page.known)
    context = {
        "rollback": rollback,
        "page": page,
        "targets": paging.page(request, targets, parameter="targets"),
        "form": form,
        "no_go": no_go,
        "preflight": preflight_panel.panel(page.known, may_ask=not no_go),
    }
    return render(request, "fleets/start.html", context, status=form.status)


def _start(request: Request, rollback: RollbackRequest, form: RunForm) -> str:
    clean = form.cleaned_data
    fleets.start(
        rollback,
        actor=request.user,
        digest=clean["digest"],
        confirmed_at=stepup.confirmed_at(request),
        wave_size=clean["wave_size"],
        stop_after=clean["stop_after"],
    )
    return reverse("fleet_detail", args=[rollback.pk])


ACTS: dict[str, tuple[type[ReasonForm | GoOnForm], Callable[..., FleetRun]]] = {
    "hold": (ReasonForm, fleets.hold),
    "end": (ReasonForm, fleets.cancel),
    "go_on": (GoOnForm, fleets.go_on),
}


def fleet_act(request: Request, pk: int, key: str) -> HttpResponse:
    """Do one thing to the run, a key of ACTS: a page that says what it means, then the verb."""
    make, verb = ACTS[key]
    confirmed = {"confirmed_at": stepup.confirmed_at(request)} if key == "go_on" else {}
    context = _context(request, pk)
    view, acts = context["view"], {act.key: act for act in context["acts"]}
    if view.run is None or (request.method != "POST" and (key not in acts or acts[key].why_not)):
        why_not = acts[key].why_not if key in acts else ""
        return conflict(request, why_not or _("The run does not stand so that this could be done."))
    if confirmed == {"confirmed_at": None} and request.method != "POST":
        return redirect(f"{reverse('confirm')}?{urlencode({'next': request.get_full_path()})}")
    form = make(posted(request), initial={"seen": view.counts["failed"]})
    if isinstance(form, GoOnForm) and not view.without_effect:
        form.nothing_again()
    if form.is_valid():
        try:
            run = fleet_progress.require_run(context["rollback"])
            verb(run, actor=request.user, **form.cleaned_data, **confirmed)
        except Refused as refused:
            form.refuse(refused)
        else:
            return redirect("fleet_detail", pk)
    return render(request, "fleets/act.html", context | {"form": form, "key": key}, status=form.status)
