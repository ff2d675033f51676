"""What is partly done: ask to go on, take back or call it settled; sign; carry out. And confirm a restart."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from approvals import continuing, halfway, stepup
from approvals.errors import Refused
from approvals.forms import REFUSED
from approvals.forms.partly import AskForm, SignForm
from approvals.models import Continuation, Execution
from approvals.pages import progress
from approvals.requests import Request

from .executions import visible


def execution_continue(request: Request, pk: str) -> HttpResponse:
    """Ask to go on or to take back exactly what was shown, or to call it settled by hand; where the policy
    asks for nobody it starts."""
    execution, form = visible(request, pk), AskForm(request.POST)

    def do() -> HttpResponse:
        continuation = continuing.ask(
            execution,
            course=form.cleaned_data["course"],
            digest=form.cleaned_data["digest"],
            reason=form.cleaned_data["reason"],
            actor=request.user,
            confirmed_at=stepup.confirmed_at(request),
        )
        if halfway.missing_roles(continuation):
            messages.success(request, _("Asked for. Ops can carry it out once it is signed."))
            return redirect("execution_detail", execution.pk)
        return _start(request, continuation)

    return _try(request, execution, form, do)


def execution_carry_on(request: Request, pk: str) -> HttpResponse:
    """Start what was asked and signed for."""
    execution = visible(request, pk)
    return _try(request, execution, None, lambda: _start(request, _asked(request, execution)))


def execution_sign(request: Request, pk: str) -> HttpResponse:
    """One person's signature under what was asked for."""
    execution, form = visible(request, pk), SignForm(request.POST)

    def do() -> HttpResponse:
        continuing.sign(
            _asked(request, execution),
            actor=request.user,
            role=form.cleaned_data["role"],
            digest=form.cleaned_data["digest"],
            confirmed_at=stepup.confirmed_at(request),
            comment=form.cleaned_data["comment"],
        )
        messages.success(request, _("You have signed. Nothing runs before ops start it."))
        return redirect("execution_detail", execution.pk)

    return _try(request, execution, form, do)


def execution_restarted(request: Request, pk: str) -> HttpResponse:
    """Say that the server was restarted; a worker looks by itself whether it was."""
    execution = visible(request, pk)

    def do() -> HttpResponse:
        continuing.confirm_restart(execution, actor=request.user)
        messages.success(request, _("Noted. A worker looks whether the server runs anew."))
        return redirect("execution_detail", execution.pk)

    return _try(request, execution, None, do)


def _asked(request: Request, execution: Execution) -> Continuation:
    """What the form is about. Raises Refused where this execution asks for nothing under that number."""
    number = request.POST.get("continuation", "")
    found = execution.continuations.select_related(
        "execution__target", "execution__rollback_target__rollback"
    ).filter(pk=int(number) if number.isdecimal() and len(number) < 18 else 0)
    if (continuation := found.first()) is None:
        raise Refused(_("What this form was about is not asked for. Read the page again."))
    return continuation


def _start(request: Request, continuation: Continuation) -> HttpResponse:
    made = continuing.start(continuation, actor=request.user, confirmed_at=stepup.confirmed_at(request))
    if made.settled_as == Execution.Settled.BY_HAND:
        messages.success(request, _("It counts as settled by hand. The target is free again."))
    return redirect("execution_detail", made.pk)


def _try(
    request: Request,
    execution: Execution,
    form: AskForm | SignForm | None,
    do: Callable[[], HttpResponse],
) -> HttpResponse:
    """Do it, or show the execution as it is now and why it can't be done."""
    if form is not None and not form.is_valid():
        why = " ".join(f"{error}" for errors in form.errors.values() for error in errors)
        return _refused(request, execution, why)
    try:
        return do()
    except Refused as refused:
        return _refused(request, execution, str(refused))


def _refused(request: Request, execution: Execution, why: str) -> HttpResponse:
    fresh = visible(request, str(execution.pk))
    context = {
        "execution": fresh,
        "rollback": fresh.rollback_target.rollback,
        "now": progress.progress(fresh, request.user, request),
        "confirmed": stepup.confirmed_at(request) is not None,
        "refused": why,
        "typed": request.POST,
    }
    return render(request, "executions/detail.html", context, status=REFUSED)
