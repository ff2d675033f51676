"""Asking for a rollback and changing the request: target, migrations, reasons, scripts of its items."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import audit, incidents, once, rollbacks, scripts, workflow
from approvals.errors import Conflict, Denied, Refused
from approvals.forms import PortalForm, posted
from approvals.forms.catalog import CheckRows, ScriptForm, check_forms, checks_of
from approvals.forms.rollbacks import ItemScriptsForm, RequestForm
from approvals.models import Incident, RollbackItem, RollbackRequest, Service, Target, User
from approvals.pages import rollback_queries
from approvals.pages.rollback_queries import Choice
from approvals.requests import Request
from approvals.views.rollbacks import posted_revision, visible


def rollback_new(request: Request) -> HttpResponse:
    """Choose the target, then how far down to go, then say why: three steps of one address."""
    targets = rollback_queries.asks_for(request.user)
    if "target" not in request.GET:
        return render(request, "rollbacks/new_target.html", {"targets": targets.order_by("name")})
    target = get_object_or_404(targets, name=request.GET["target"])
    applied = rollback_queries.applied(target)
    chosen = applied.down_to(request.GET.get("down_to", ""))
    context = {"target": target, "applied": applied, "chosen": chosen}
    if not chosen:
        return render(request, "rollbacks/new_migrations.html", context)
    form = RequestForm(posted(request), service=target.service, instance=RollbackRequest())
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_create, request.user, target, chosen, form)))
        except Refused as refused:
            form.refuse(refused)
    return render(request, "rollbacks/new.html", context | {"form": form}, status=form.status)


def _create(user: User, target: Target, chosen: list[Choice], form: RequestForm) -> str:
    """Make the draft and return its address."""
    migrations = [choice.migration for choice in chosen if choice.migration is not None]
    answers = _answers(user, target.service, form)
    rollback = rollbacks.create(target, migrations, actor=user, **answers)
    return reverse("rollback_detail", args=[rollback.pk])


def _answers(user: User, service: Service, form: RequestForm) -> dict[str, Any]:
    """What the requester said, with a new incident where they asked for one."""
    if not form.opens_incident:
        return form.answers()
    clean = form.cleaned_data
    incident: Incident = incidents.open_incident(
        service,
        title=clean["incident_title"],
        reason=clean["reason"],
        impact=clean["incident_impact"],
        actor=user,
    )
    form.use_incident(incident)
    return form.answers() | {"incident": incident}


def rollback_edit(request: Request, pk: int) -> HttpResponse:
    """Change what the requester said and which scripts run. Every approval given so far becomes void."""
    rollback = _own(request, pk)
    items = list(rollback.items.select_related("migration", "script"))
    form = RequestForm(posted(request), service=rollback.service, instance=visible(request, pk))
    choice = ItemScriptsForm(posted(request), items=items)
    if choice.is_valid() and form.is_valid():
        try:
            return redirect(once.run(request, partial(_edit, request, rollback, form, choice)))
        except Refused as refused:
            form.refuse(refused)
    context = {
        "rollback": rollback,
        "form": form,
        "rows": [(item, choice[f"script_{item.position}"]) for item in items],
        "revision": _shown_revision(request, rollback, form),
        "voids": rollback.approvals.filter(voided_at=None, decision="approve").count(),
    }
    return render(request, "rollbacks/edit.html", context, status=max(form.status, choice.status))


def _edit(request: Request, rollback: RollbackRequest, form: RequestForm, choice: ItemScriptsForm) -> str:
    revision = posted_revision(request)
    _require_revision(rollback, revision)
    answers = _answers(request.user, rollback.service, form)
    rollbacks.edit(rollback, actor=request.user, revision=revision, scripts=choice.chosen(), **answers)
    messages.success(request, _("Saved. It is a draft, and needs its approvals anew."))
    return reverse("rollback_detail", args=[rollback.pk])


def rollback_script(request: Request, pk: int, position: int) -> HttpResponse:
    """Write the next revision of an item's script, with its checks, and let the request use it."""
    rollback = _own(request, pk)
    items = rollback.items.select_related("migration", "revision", "script")
    item = get_object_or_404(items, position=position)
    form = ScriptForm(posted(request), initial={"sql": item.script.sql if item.script else ""})
    rows = check_forms(posted(request), item.script)
    rows_hold = not rows.is_bound or rows.is_valid()
    if form.is_valid() and rows_hold:
        try:
            return redirect(once.run(request, partial(_write, request, rollback, item, form, rows)))
        except Refused as refused:
            form.refuse(refused)
    context = {
        "rollback": rollback,
        "item": item,
        "form": form,
        "rows": rows,
        "revision": _shown_revision(request, rollback, form),
    }
    return render(request, "rollbacks/script.html", context, status=form.status if rows_hold else 400)


def _write(
    request: Request, rollback: RollbackRequest, item: RollbackItem, form: ScriptForm, rows: CheckRows[Any]
) -> str:
    revision = posted_revision(request)
    _require_revision(rollback, revision)
    script = scripts.add_script(
        item.migration, sql=form.cleaned_data["sql"], checks=checks_of(rows), actor=request.user
    )
    rollbacks.edit(rollback, actor=request.user, revision=revision, scripts=[script])
    said = _("Script revision %(n)d is stored, and this request uses it.") % {"n": script.number}
    messages.success(request, said)
    return reverse("rollback_detail", args=[rollback.pk])


def _own(request: Request, pk: int) -> RollbackRequest:
    """The rollback, for its requester while it can be edited. Writing to another's is put on record."""
    rollback = visible(request, pk)
    try:
        workflow.require_party(rollback, request.user, workflow.Party.REQUESTER)
    except Denied as denied:
        if request.method == "POST":
            audit.record_denial("rollback.edited", actor=request.user, why=str(denied), rollback=rollback)
        raise
    workflow.require(rollback, workflow.EDITABLE)
    return rollback


def _require_revision(rollback: RollbackRequest, revision: int) -> None:
    """Look before anything is stored for this edit; `rollbacks.edit` asks again under the lock."""
    if revision != rollback.revision:
        raise Conflict(
            _("Somebody edited %(label)s meanwhile. Your text is kept; saving again puts it in place.")
            % {"label": rollback.label}
        )


def _shown_revision(request: Request, rollback: RollbackRequest, form: PortalForm) -> int | str:
    """The revision in the form: the one the page was opened with, until its reader heard of a newer one."""
    if form.is_bound and not form.refused:
        return request.POST.get("revision", "")
    return rollback.revision
