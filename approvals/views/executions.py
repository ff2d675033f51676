"""Executions: start one, watch it live, end it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, alarms, executions, looks, preflights, stepup
from approvals.actions import execution_actions
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.decisions import StartForm
from approvals.forms.rollbacks import ReasonForm
from approvals.models import Execution, RollbackRequest
from approvals.pages import news, outcomes, paging, preflight_panel, progress, review, rollback_queries
from approvals.requests import Request

from .errors import conflict
from .rollbacks import seen


def rollback_start(request: Request, pk: int) -> HttpResponse:
    """Start the real execution: names target and action (GET), queues it (POST). Of a fleet it is a run."""
    page = _sheet(request, pk)
    if page.known.is_fleet and request.method != "POST":
        return redirect("fleet_start", pk)
    digest = request.GET.get("digest", page.rollback.request_digest)
    fits = digest == page.rollback.request_digest and not _why_not(page)
    if fits and request.method != "POST" and stepup.confirmed_at(request) is None:
        return redirect(f"{reverse('confirm')}?{urlencode({'next': request.get_full_path()})}")
    form = StartForm(
        posted(request), initial={"digest": digest}, rollback=page.rollback, target=page.target_name
    )
    if form.is_valid():
        digest = form.cleaned_data["digest"]
        try:
            return redirect("execution_detail", _start(request, page.rollback, form).pk)
        except Refused as refused:
            form.refuse(refused)
        page = _sheet(request, pk)
    return _show_start(request, page, form, digest)


def _sheet(request: Request, pk: int) -> review.Sheet:
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    return review.sheet(rollback, request.user)


def _why_not(page: review.Sheet) -> str:
    """Why it can't be started as things are; empty where it can."""
    start = page.actions.get("start")
    return start.why_not if start else _("It can't be started from where it stands.")


def _show_start(request: Request, page: review.Sheet, form: StartForm, digest: str) -> HttpResponse:
    """The form; or what others did, where what somebody read is not what there is any more."""
    rollback = page.rollback
    # What the domain said tells more than that it no longer fits.
    why = _why_not(page)
    if why and form.refused:
        why = " ".join(str(error) for error in form.non_field_errors())
    changed = bool(why) or digest != rollback.request_digest
    # Whoever only opens this page has no earlier look that anything could differ from.
    came_from_a_look = request.method == "POST" or "digest" in request.GET
    newest = looks.newest_event(rollback)
    since = (
        news.meanwhile(page.known, seen=seen(request, newest), digest=digest, reader=request.user)
        if changed and came_from_a_look
        else None
    )
    context = {"rollback": rollback, "page": page, "form": form, "changed": changed}
    context |= {"since": since, "why": why}
    context["no_go"] = preflights.no_go(page.known)
    context["preflight"] = preflight_panel.panel(page.known, may_ask=not context["no_go"])
    return render(request, "rollbacks/start.html", context, status=REFUSED if changed else form.status)


def _start(request: Request, rollback: RollbackRequest, form: StartForm) -> Execution:
    return executions.start(
        rollback,
        actor=request.user,
        digest=form.cleaned_data["digest"],
        confirmed_at=stepup.confirmed_at(request),
    )


def execution_detail(request: Request, pk: str) -> HttpResponse:
    """An execution or rehearsal: live while it is under way, one unmistakable state afterwards."""
    return render(request, "executions/detail.html", _context(request, pk))


def execution_live(request: Request, pk: str) -> HttpResponse:
    """What changes on the page of an execution; the page asks for it every second or two."""
    return render(request, "executions/live.html", _context(request, pk))


def _context(request: Request, pk: str) -> dict[str, object]:
    execution = visible(request, pk)
    return {
        "execution": execution,
        "rollback": execution.rollback_target.rollback,
        "now": progress.progress(execution, request.user, request),
        "confirmed": stepup.confirmed_at(request) is not None,
    }


def visible(request: Request, pk: str) -> Execution:
    """The execution if this person may see it; 404 otherwise. Who cancelled, answered, settled or restarted
    is read where somebody did: joined in every time, the database plans longer than it reads."""
    return get_object_or_404(access.executions(request.user), pk=pk)


def execution_log(request: Request, pk: str) -> HttpResponse:
    """All lines of an execution's log, in pages."""
    execution = visible(request, pk)
    page = paging.page(request, execution.log.order_by("id"))
    context = {"execution": execution, "rollback": execution.rollback_target.rollback, "page": page}
    return render(request, "executions/log.html", context)


def execution_cancel(request: Request, pk: str) -> HttpResponse:
    """End an open execution, with a reason: says what that means (GET), asks the worker to (POST)."""
    return _with_reason(
        request,
        pk,
        "cancel",
        executions.cancel,
        otherwise=_("There is nothing to cancel, or it is not yours to cancel."),
        said=_("Its end is asked for. The target tells how it ended."),
    )


def execution_answer(request: Request, pk: str) -> HttpResponse:
    """Say that an alarm was seen and what is done about it."""
    return _with_reason(
        request,
        pk,
        "answer",
        alarms.answer,
        otherwise=_("There is no alarm that somebody has to answer for."),
        said=_("The alarm is answered for. It stays on record."),
    )


def _with_reason(
    request: Request, pk: str, key: str, verb: Callable[..., Execution], *, otherwise: str, said: str
) -> HttpResponse:
    """Do one thing to an execution for a reason: a page that says what it means, then the verb."""
    execution = visible(request, pk)
    action = execution_actions(execution, request.user).get(key)
    if request.method != "POST" and not (action and action.allowed):
        return conflict(request, str(action.why_not if action else otherwise))
    form = ReasonForm(posted(request))
    if form.is_valid():
        try:
            verb(execution, actor=request.user, reason=form.cleaned_data["reason"])
        except Refused as refused:
            form.refuse(refused)
        else:
            messages.success(request, said)
            return redirect("execution_detail", execution.pk)
    context = {
        "execution": execution,
        "rollback": execution.rollback_target.rollback,
        "means": outcomes.cancelling(execution),
        "form": form,
    }
    return render(request, f"executions/{key}.html", context, status=form.status)
