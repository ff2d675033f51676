"""The exception instead of a backup: one page with each of a rollback's; ask, be one of the three, say no."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import backup_exceptions, once, stepup
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.backup_exceptions import AskForm, SignForm
from approvals.models import BackupException, RollbackRequest
from approvals.pages import exception_page, review, rollback_queries
from approvals.requests import Request

from .rollbacks import visible


def rollback_backup_exception(request: Request, pk: int) -> HttpResponse:
    """What will not come back, who signed that it may go, until when; and asking for it."""
    page = _sheet(request, pk)
    form = AskForm(posted(request), initial={"digest": page.rollback.request_digest})
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_ask, request, page.rollback, form)))
        except Refused as refused:
            form.refuse(refused)
    return _show(request, page, form=form, status=form.status)


def _ask(request: Request, rollback: RollbackRequest, form: AskForm) -> str:
    backup_exceptions.ask(rollback, actor=request.user, **form.cleaned_data)
    messages.success(
        request, _("Asked for. Nothing changes before two senior DBAs and a platform lead sign.")
    )
    return reverse("rollback_backup_exception", args=[rollback.pk])


def rollback_backup_exception_sign(request: Request, pk: int) -> HttpResponse:
    """Be one of the three."""
    form = SignForm(request.POST)
    form.is_valid()
    label = form.cleaned_data.get("label", "")
    verb = partial(backup_exceptions.sign, confirmed_at=stepup.confirmed_at(request), label=label)
    return _act(request, pk, verb, _("Signed, as stands below."))


def rollback_backup_exception_dismiss(request: Request, pk: int) -> HttpResponse:
    """Say no, or take it back."""
    return _act(request, pk, backup_exceptions.dismiss, _("There is no exception: the backup is needed."))


def _act(request: Request, pk: int, verb: Callable[..., BackupException], said: str) -> HttpResponse:
    """Do one thing to the exception that the form is about; what was refused is said on the page."""
    rollback = visible(request, pk)
    try:
        verb(_meant(request, rollback), actor=request.user)
    except Refused as refused:
        page = _sheet(request, pk)
        form = AskForm(initial={"digest": page.rollback.request_digest})
        return _show(request, page, form=form, status=REFUSED, refused=refused)
    messages.success(request, said)
    return redirect("rollback_backup_exception", pk)


def _meant(request: Request, rollback: RollbackRequest) -> BackupException:
    """The exception that the form is about. Raises Refused where this rollback has none of that number."""
    number = request.POST.get("exception", "")
    key = int(number) if number.isascii() and number.isdecimal() and len(number) < 18 else 0
    found = rollback.backup_exceptions.select_related("rollback").filter(pk=key).first()
    if found is None:
        raise Refused(_("What this form was about is not there. Read the page again."))
    return found


def _sheet(request: Request, pk: int) -> review.Sheet:
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    return review.sheet(rollback, request.user)


def _show(
    request: Request, page: review.Sheet, *, form: AskForm, status: int, refused: Refused | None = None
) -> HttpResponse:
    known, rollback = page.known, page.rollback
    lines = exception_page.lines(rollback, known.backup_exceptions, request.user, known.now)
    context: dict[str, Any] = {
        "rollback": rollback,
        "page": page,
        "lines": lines,
        "standing": exception_page.standing(lines),
        "form": form,
        "why_not_ask": backup_exceptions.why_not_ask(rollback, request.user, known),
        "may_ask": bool(request.user.roles & backup_exceptions.ASKS),
        "confirmed": stepup.confirmed_at(request) is not None,
        "refused": refused,
    }
    return render(request, "rollbacks/backup_exception.html", context, status=status)
