"""What approvers decide on one page of its own: the statement in words, who signs as what, one button."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import decisions, looks, stepup, workflow
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.decisions import DecisionForm
from approvals.models import Approval, Role, RollbackRequest, Status
from approvals.pages import news, review, rollback_queries
from approvals.requests import Request

from .rollbacks import seen

# A decision that could not be recorded (a proof too old, a request changed meanwhile) leaves its text here.
KEPT = "kept_decision"


def rollback_decide(request: Request, pk: int, decision: str) -> HttpResponse:
    """Approve, ask for changes or reject: shows what is signed (GET) and records it (POST)."""
    if decision not in Approval.Decision.values:
        raise Http404
    chosen = Approval.Decision(decision)
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=pk)
    page = review.sheet(rollback, request.user)
    if request.method == "POST":
        return _record(request, page, chosen)
    if not (page.actions.get(decision) and page.actions[decision].allowed):
        return _not_here(request, page, chosen)
    if stepup.confirmed_at(request) is None:
        return redirect(f"{reverse('confirm')}?{urlencode({'next': request.get_full_path()})}")
    digest = request.GET.get("digest", rollback.request_digest)
    newest = looks.newest_event(rollback)
    kept = request.session.get(KEPT, {}).get(str(pk), {})
    initial = {"digest": digest, "seen": newest} | kept
    form = DecisionForm(
        posted(request),
        rollback=rollback,
        user=request.user,
        decision=chosen,
        known=page.known,
        initial=initial,
    )
    since = news.meanwhile(page.known, seen=seen(request, newest), digest=digest, reader=request.user)
    return _show(request, page, chosen, form, changed=digest != rollback.request_digest, since=since)


def _record(request: Request, page: review.Sheet, decision: Approval.Decision) -> HttpResponse:
    """Hand the decision to the domain, which asks for everything again."""
    rollback = page.rollback
    if workflow.Party.APPROVER not in workflow.parties(rollback, request.user):
        # Whatever else the form says: the domain denies it and puts the attempt on record.
        decisions.decide(
            rollback, decision, actor=request.user, role=Role.SENIOR_DBA, digest="", confirmed_at=None
        )
    form = DecisionForm(request.POST, rollback=rollback, user=request.user, decision=decision)
    if form.is_valid():
        try:
            decided = _decide(request, rollback, decision, form)
        except Refused as refused:
            _keep(request, rollback, form.cleaned_data["comment"])
            return _refused(request, decision, form, refused)
        _keep(request, rollback, "")
        messages.success(request, _said(decision, decided))
        return redirect("rollback_detail", rollback.pk)
    _keep(request, rollback, form.cleaned_data.get("comment", ""))
    return _show(request, page, decision, form)


def _refused(
    request: Request, decision: Approval.Decision, form: DecisionForm, refused: Refused
) -> HttpResponse:
    """The page as it is now, with what others did since it was opened and what was typed.

    Where what is signed or its status changed, there is nothing left to send: it is to be read again.
    """
    rollback = get_object_or_404(rollback_queries.with_everything(request.user), pk=form.rollback.pk)
    page = review.sheet(rollback, request.user)
    digest, known = form.cleaned_data["digest"], form.cleaned_data["seen"]
    newest = looks.newest_event(rollback)
    since = news.meanwhile(
        page.known, seen=newest if known is None else known, digest=digest, reader=request.user
    )
    action = page.actions.get(decision.value)
    changed = digest != rollback.request_digest or action is None or not action.allowed
    sent = request.POST.copy()
    sent["seen"] = str(newest)
    again = DecisionForm(sent, rollback=rollback, user=request.user, decision=decision)
    again.full_clean()
    again.refuse(refused)
    return _show(request, page, decision, again, changed=changed, since=since, why=str(refused))


def _decide(
    request: Request, rollback: RollbackRequest, decision: Approval.Decision, form: DecisionForm
) -> RollbackRequest:
    return decisions.decide(
        rollback,
        decision,
        actor=request.user,
        role=form.cleaned_data["role"],
        digest=form.cleaned_data["digest"],
        confirmed_at=stepup.confirmed_at(request),
        comment=form.cleaned_data["comment"],
        acknowledged=form.acknowledged,
        seen=form.cleaned_data["seen"],
    )


def _show(
    request: Request,
    page: review.Sheet,
    decision: Approval.Decision,
    form: DecisionForm,
    *,
    changed: bool = False,
    since: news.Meanwhile | None = None,
    why: str = "",
) -> HttpResponse:
    context: dict[str, Any] = {
        "rollback": page.rollback,
        "page": page,
        "decision": decision,
        "approves": decision == Approval.Decision.APPROVE,
        "form": form,
        "changed": changed,
        "since": since,
        "why": why,
        "typed": form["comment"].value() or "",
        "covers": review.covers(page),
        "action": page.actions.get(decision.value),
        "unconfirmed": stepup.confirmed_at(request) is None,
    }
    return render(request, "rollbacks/decide.html", context, status=REFUSED if changed else form.status)


def _not_here(request: Request, page: review.Sheet, decision: Approval.Decision) -> HttpResponse:
    """Say why this person can't decide now, and what others did, instead of a form that would be refused."""
    rollback, action = page.rollback, page.actions.get(decision.value)
    why = (
        action.why_not
        if action
        else _("%(label)s is %(status)s now, so this can't be done.")
        % {"label": rollback.label, "status": rollback.get_status_display().lower()}
    )
    digest = request.GET.get("digest", rollback.request_digest)
    newest = looks.newest_event(rollback)
    since = news.meanwhile(page.known, seen=seen(request, newest), digest=digest, reader=request.user)
    kept = request.session.get(KEPT, {}).get(str(rollback.pk), {})
    form = DecisionForm(rollback=rollback, user=request.user, decision=decision, initial=kept)
    return _show(request, page, decision, form, changed=True, since=since, why=why)


def _keep(request: Request, rollback: RollbackRequest, comment: str) -> None:
    """Keep the text of a decision that was not recorded, until it is."""
    kept: dict[str, dict[str, str]] = request.session.get(KEPT, {})
    kept.pop(str(rollback.pk), None)
    if comment:
        kept[str(rollback.pk)] = {"comment": comment}
    request.session[KEPT] = kept


def _said(decision: Approval.Decision, rollback: RollbackRequest) -> str:
    if decision == Approval.Decision.REJECT:
        return _("Rejected. Nothing will run.")
    if decision == Approval.Decision.REQUEST_CHANGES:
        return _("Changes are requested; %(who)s reads why.") % {"who": rollback.requester}
    if rollback.status == Status.APPROVED:
        return _("Approved, and complete. Nothing runs until ops start it.")
    return _("Approved. More signatures are missing.")
