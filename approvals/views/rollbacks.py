"""Pages of rollbacks: the list, the review page, and the verbs that need no page of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from approvals import access, checklist, comments, executions, looks, permissions, rollbacks
from approvals.errors import Refused
from approvals.forms import REFUSED, PortalForm
from approvals.forms.rollbacks import FilterForm, NoteForm, ReasonForm
from approvals.models import ChecklistEntry, RollbackRequest
from approvals.pages import (
    conversation,
    news,
    paging,
    preflight_panel,
    review,
    rollback_queries,
    verdicts,
)
from approvals.requests import Request


def rollback_list(request: Request) -> HttpResponse:
    """The rollbacks this person may see, filtered, sorted and in pages."""
    form = FilterForm(request.GET, user=request.user)
    found = rollback_queries.listed(request.user, **form.chosen())
    page = paging.page(request, found)
    for rollback in page.object_list:
        rollback.deadline = review.deadline(rollback)
    may_ask = rollback_queries.asks_for(request.user).exists()
    return render(request, "rollbacks/list.html", {"form": form, "page": page, "may_ask": may_ask})


def rollback_detail(request: Request, pk: int) -> HttpResponse:
    """THE review page."""
    return review_page(request, pk)


def review_page(request: Request, pk: int, *, refused: Refused | None = None, **forms: Any) -> HttpResponse:
    """The review page, with why something was refused and the forms as they were filled in."""
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    talk = conversation.conversation(rollback)
    page = review.sheet(rollback, request.user, talk.threads)
    reading = looks.since_last(page.known, page.gates, reader=request.user)
    if reading.look is not None and request.method == "GET":
        looks.keep(reading.look)  # a bookmark of the reader's own: reading stays safe
    context = {
        "rollback": rollback,
        "page": page,
        "targets": paging.page(request, page.known.rollback_targets, parameter="targets"),
        "conversation": talk,
        "news": news.news(reading.since, page.known.items, page.gates),
        "seen": reading.newest,
        "newest": looks.newest_event(rollback),
        "may_speak": comments.may_speak(request.user),
        "verdict": verdicts.verdict(page),
        "covers": review.covers(page),
        "preflight": preflight_panel.panel(
            page.known, may_ask=permissions.may_write(request.user, "rollback_preflight")
        ),
        "refused": refused,
        "reason_form": forms.get("reason_form") or ReasonForm(),
        "note_forms": note_forms() | forms.get("note_forms", {}),
    }
    return render(request, "rollbacks/detail.html", context, status=REFUSED if refused else 200)


def note_forms() -> dict[str, NoteForm]:
    """An empty form for each point of the checklist that a person confirms."""
    return {point.value: NoteForm(auto_id=f"{point.value}_%s") for point in checklist.BY_PERSON}


def visible(request: Request, pk: int) -> RollbackRequest:
    """The rollback if this person may see it; 404 otherwise."""
    return get_object_or_404(access.rollbacks(request.user), pk=pk)


def act(request: Request, pk: int, verb: Callable[[RollbackRequest], Any], said: str) -> HttpResponse:
    """Do one thing to a rollback and show it again; what was refused is said on its page."""
    try:
        verb(visible(request, pk))
    except Refused as refused:
        return review_page(request, pk, refused=refused)
    messages.success(request, said)
    return redirect("rollback_detail", pk)


def rollback_submit(request: Request, pk: int) -> HttpResponse:
    """Send a draft to its approvers."""
    return act(request, pk, lambda r: rollbacks.submit(r, actor=request.user), _("Submitted for review."))


def rollback_facts(request: Request, pk: int) -> HttpResponse:
    """Ask the worker to read the target again."""
    said = _("A worker was asked to read the target. The facts show here when it has.")
    return act(request, pk, lambda r: rollbacks.read_facts_again(r, actor=request.user), said)


def rollback_rehearse(request: Request, pk: int) -> HttpResponse:
    """Ask for a rehearsal of the change as it is now, and watch it."""
    try:
        execution = executions.ask_for_rehearsal(visible(request, pk), actor=request.user)
    except Refused as refused:
        return review_page(request, pk, refused=refused)
    return redirect("execution_detail", execution.pk)


def rollback_reopen(request: Request, pk: int) -> HttpResponse:
    """Make a failed or expired rollback a draft again, as it was."""
    said = _("It is a draft again. Every approval it had is void.")
    revision = posted_revision(request)
    return act(request, pk, lambda r: rollbacks.edit(r, actor=request.user, revision=revision), said)


def posted_revision(request: Request) -> int:
    """The revision that the page showed; a missing or odd one matches none, which is a conflict."""
    text = request.POST.get("revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def seen(request: Request, newest: int) -> int:
    """The newest event that the page knew of from which somebody came, never above the newest there is."""
    text = request.GET.get("seen", "")
    return min(int(text), newest) if text.isascii() and text.isdigit() and len(text) < 19 else newest


def _text(form: PortalForm, name: str) -> str:
    """A text of a form that has no rules of its own."""
    form.is_valid()
    return str(form.cleaned_data.get(name, ""))


def rollback_withdraw(request: Request, pk: int) -> HttpResponse:
    """Take a request back, with a reason."""
    form = ReasonForm(request.POST)
    try:
        rollbacks.withdraw(visible(request, pk), actor=request.user, reason=_text(form, "reason"))
    except Refused as refused:
        return review_page(request, pk, refused=refused, reason_form=form)
    messages.success(request, _("Withdrawn. Nothing will run."))
    return redirect("rollback_detail", pk)


def rollback_confirm(request: Request, pk: int, point: str) -> HttpResponse:
    """Vouch for one point of the checklist."""
    if point not in ChecklistEntry.Point.values:
        raise Http404
    form = NoteForm(request.POST, auto_id=f"{point}_%s")
    chosen = ChecklistEntry.Point(point)
    try:
        checklist.confirm(visible(request, pk), chosen, note=_text(form, "note"), actor=request.user)
    except Refused as refused:
        return review_page(request, pk, refused=refused, note_forms={point: form})
    messages.success(request, _("Confirmed."))
    return redirect("rollback_detail", pk)
