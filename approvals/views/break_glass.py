"""Break-glass: one page with every use of it for a rollback; ask, be the second person, close the review."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import break_glass, once, stepup
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.break_glass import AskForm, ReviewForm
from approvals.models import BreakGlass, RollbackRequest
from approvals.pages import break_glass_page, review, rollback_queries
from approvals.requests import Request

from .rollbacks import visible


def rollback_break_glass(request: Request, pk: int) -> HttpResponse:
    """What was forced and why, what waits for a second person, what is left to review; and asking for it."""
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    page = review.sheet(rollback, request.user)
    offered = break_glass.skippable(rollback, page.known)
    first = {"digest": rollback.request_digest, "skips": [skip.value for skip in offered]}
    form = AskForm(posted(request), offered=offered, initial=first)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_ask, request, rollback, form)))
        except Refused as refused:
            form.refuse(refused)
    return _show(request, page, form=form, status=form.status)


def _ask(request: Request, rollback: RollbackRequest, form: AskForm) -> str:
    break_glass.ask(rollback, actor=request.user, **form.cleaned_data)
    messages.success(request, _("Asked for. Nothing is skipped before a senior DBA confirms it."))
    return reverse("rollback_break_glass", args=[rollback.pk])


def rollback_break_glass_confirm(request: Request, pk: int) -> HttpResponse:
    """Be the second person."""
    verb = partial(break_glass.confirm, confirmed_at=stepup.confirmed_at(request))
    return _act(request, pk, verb, _("Confirmed. The rollback is marked as forced, and its review is open."))


def rollback_break_glass_dismiss(request: Request, pk: int) -> HttpResponse:
    """Say no, or take it back."""
    return _act(request, pk, break_glass.dismiss, _("Nothing is skipped."))


def rollback_break_glass_review(request: Request, pk: int) -> HttpResponse:
    """Close a review."""
    form = ReviewForm(request.POST)
    form.is_valid()
    verb = partial(break_glass.close_review, text=form.cleaned_data.get("review", ""))
    return _act(request, pk, verb, _("The review is closed."), typed=form)


def _act(
    request: Request, pk: int, verb: Callable[..., BreakGlass], said: str, *, typed: ReviewForm | None = None
) -> HttpResponse:
    """Do one thing to the use that the form is about; what was refused is said on the page."""
    rollback = visible(request, pk)
    try:
        verb(_meant(request, rollback), actor=request.user)
    except Refused as refused:
        fresh = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
        page = review.sheet(fresh, request.user)
        offered = break_glass.skippable(fresh, page.known)
        form = AskForm(offered=offered, initial={"digest": fresh.request_digest})
        return _show(request, page, form=form, status=REFUSED, refused=refused, typed=typed)
    messages.success(request, said)
    return redirect("rollback_break_glass", pk)


def _meant(request: Request, rollback: RollbackRequest) -> BreakGlass:
    """The use that the form is about. Raises Refused where this rollback has none of that number."""
    number = request.POST.get("glass", "")
    key = int(number) if number.isascii() and number.isdecimal() and len(number) < 18 else 0
    found = rollback.break_glass.select_related("rollback").filter(pk=key).first()
    if found is None:
        raise Refused(_("What this form was about is not there. Read the page again."))
    return found


def _show(
    request: Request,
    page: review.Sheet,
    *,
    form: AskForm,
    status: int,
    refused: Refused | None = None,
    typed: ReviewForm | None = None,
) -> HttpResponse:
    known = page.known
    context: dict[str, Any] = {
        "rollback": page.rollback,
        "page": page,
        "lines": break_glass_page.lines(page.rollback, known.break_glass, request.user, known.now),
        "form": form,
        "why_not_ask": break_glass.why_not_ask(page.rollback, request.user, known),
        "may_ask": bool(request.user.roles & break_glass.ASKS),
        "review_form": typed or ReviewForm(),
        "confirmed": stepup.confirmed_at(request) is not None,
        "refused": refused,
    }
    return render(request, "rollbacks/break_glass.html", context, status=status)
