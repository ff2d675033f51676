"""How a service's rehearsal clones are masked: its rules, the second person, and the clones that are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, masking, once, permissions
from approvals.errors import Refused
from approvals.forms import REFUSED, posted
from approvals.forms.masking import MaskingForm
from approvals.models import MaskingRule, Service
from approvals.pages import masking_page, paging
from approvals.requests import Request

Verb = Callable[..., MaskingRule]


def masking_rules(request: Request, name: str) -> HttpResponse:
    """The rules and clones of a service; an admin makes a rule here."""
    service = get_object_or_404(access.services(request.user), name=name)
    form = MaskingForm(posted(request))
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_propose, request, service, form)))
        except Refused as refused:
            form.refuse(refused)
    return _page(request, service, form, status=form.status)


def _propose(request: Request, service: Service, form: MaskingForm) -> str:
    rule = masking.propose(service, **form.cleaned_data, actor=request.user)
    messages.success(
        request,
        _("Asked for. It counts once somebody else confirms it.")
        if rule.keeps
        else _("In force: the next rehearsal makes its clone by it."),
    )
    return reverse("masking_rules", args=[service.name])


def _page(
    request: Request,
    service: Service,
    form: MaskingForm,
    *,
    refused: Refused | None = None,
    status: int = 200,
) -> HttpResponse:
    page = paging.page(request, masking_page.rules(service))
    page.object_list = masking_page.lines(page.object_list, request.user)
    context = {
        "service": service,
        "form": form if permissions.may_write(request.user, "masking_rules") else None,
        "page": page,
        "shipped": masking_page.shipped(),
        "clones": masking_page.clones(service),
        "refused": refused,
    }
    return render(request, "services/masking.html", context, status=status)


def masking_confirm(request: Request, pk: int) -> HttpResponse:
    """Be the second person."""
    return _act(request, pk, masking.confirm, _("Confirmed."))


def masking_dismiss(request: Request, pk: int) -> HttpResponse:
    """Say no to what waits."""
    return _act(request, pk, masking.dismiss, _("It stays as it was."))


def masking_remove(request: Request, pk: int) -> HttpResponse:
    """Ask for a rule to be taken away, or take one away that keeps values."""
    return _act(request, pk, masking.remove, _("Asked for, or done where it takes one person."))


def _act(request: Request, pk: int, verb: Verb, said: str) -> HttpResponse:
    visible = MaskingRule.objects.filter(service__in=access.services(request.user).values("pk"))
    rule = get_object_or_404(visible.select_related("service"), pk=pk)
    # What the person read: a proposal, or the wish to take it away.
    changed = (request.POST.get("removal") == "1") != (rule.removal_at is not None)
    refused = (
        Refused(_("Somebody else changed it meanwhile. Read it again, then decide.")) if changed else None
    )
    try:
        if refused is not None:
            raise refused
        verb(rule, actor=request.user)
    except Refused as why:
        return _page(request, rule.service, MaskingForm(None), refused=why, status=REFUSED)
    messages.success(request, said)
    return redirect("masking_rules", rule.service.name)
