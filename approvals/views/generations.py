"""Have a way back generated: choose, follow the worker, read what came of it and the forward fix."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from approvals import access, generations, incidents, jobs, once, permissions
from approvals.errors import Refused
from approvals.forms import posted
from approvals.forms.generation import GenerateForm, HandOverForm, initial_of
from approvals.models import Generation, Incident, Migration, RollbackItem
from approvals.pages import forward_fix, generation_page, proof_panel
from approvals.requests import Request


def script_generate(request: Request, pk: int) -> HttpResponse:
    """Choose and ask (POST), or read what came of the last time (GET; a fragment for htmx)."""
    migration = _migration(request, pk)
    view = generation_page.read(migration)
    if request.htmx and request.method == "GET":
        return _shown(request, "generation/result.html", migration, view)
    targets = access.targets(request.user).filter(service=migration.service_id)
    initial = initial_of(view.generation.options) | {"target": view.generation.target} if view else {}
    form = GenerateForm(posted(request), targets=targets, initial=initial)
    if form.is_valid():
        try:
            return redirect(once.run(request, partial(_ask, request, migration, form)))
        except Refused as refused:
            form.refuse(refused)
    return _shown(request, "generation/page.html", migration, view, form=form, status=form.status)


def _ask(request: Request, migration: Migration, form: GenerateForm) -> str:
    target = form.cleaned_data["target"]
    generations.ask(migration, options=form.options, target=target, actor=request.user)
    item = _item(request, migration)
    query = f"?item={item.pk}" if item else ""
    return f"{reverse('script_generate', args=[migration.pk])}{query}#result"


def _shown(
    request: Request,
    template: str,
    migration: Migration,
    view: generation_page.GenerationView | None,
    *,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    script = view.generation.script if view else None
    context |= {
        "migration": migration,
        "made": view,
        "view": proof_panel.read(script) if script else None,
        "ahead": jobs.ahead(view.generation.job) if view and view.generation.is_open else 0,
        "item": _item(request, migration),
        "may_write": access.owns(request.user, migration.service_id),
        "may_prove": permissions.may_write(request.user, "script_proof"),
    }
    return render(request, template, context, status=status)


def _migration(request: Request, pk: int) -> Migration:
    return get_object_or_404(access.migrations(request.user), pk=pk, kind=Migration.Kind.VERSIONED)


def _item(request: Request, migration: Migration) -> RollbackItem | None:
    """The item of a request for which this person generates, if the address names one of theirs."""
    named = request.GET.get("item", "")
    if not (named.isascii() and named.isdigit() and len(named) < 19):
        return None
    items = RollbackItem.objects.filter(migration=migration, rollback__requester=request.user)
    return items.filter(pk=int(named)).select_related("rollback").first()


def migration_fix(request: Request, pk: int) -> HttpResponse:
    """The corrective migration beside the way back, compared with it (GET); hand it to an incident (POST)."""
    migration = _migration(request, pk)
    generation = forward_fix.newest(migration)
    initial = {"incident": _incident(request, migration)}
    form = HandOverForm(posted(request), service=migration.service, initial=initial)
    if generation is not None and form.is_valid():
        try:
            return redirect(once.run(request, partial(_hand_over, request, generation, form)))
        except Refused as refused:
            form.refuse(refused)
    context = {
        "migration": migration,
        "fix": forward_fix.read(generation) if generation else None,
        "form": form,
        "may_hand_over": permissions.may_write(request.user, "migration_fix"),
        "may_write": access.owns(request.user, migration.service_id),
    }
    return render(request, "generation/fix.html", context, status=form.status)


def _incident(request: Request, migration: Migration) -> Incident | None:
    """The incident from which somebody comes, if the address names one of this service."""
    named = request.GET.get("incident", "")
    if not (named.isascii() and named.isdigit() and len(named) < 19):
        return None
    return Incident.objects.filter(service=migration.service_id, pk=int(named)).first()


def _hand_over(request: Request, generation: Generation, form: HandOverForm) -> str:
    incident = form.cleaned_data["incident"]
    names = ", ".join(each["name"] for each in generation.answer["forward_fix"]["files"])
    text = _("Handed over to the forward fix: %(names)s, drafted beside the way back of %(migration)s.")
    said = text % {"names": names, "migration": generation.migration}
    address = request.build_absolute_uri(reverse("migration_fix", args=[generation.migration_id]))
    incidents.add_note(incident, text=f"{said} {address}", actor=request.user)
    messages.success(request, _("%(label)s names the forward fix now.") % {"label": incident.label})
    return reverse("incident_detail", args=[incident.pk])


def migration_fix_file(request: Request, pk: int, number: int, part: str) -> HttpResponse:
    """One file of the corrective migration, or the settings beside it."""
    generation = forward_fix.newest(_migration(request, pk))
    files = generation.answer["forward_fix"]["files"] if generation else []
    if not 1 <= number <= len(files) or part not in ("sql", "conf") or not files[number - 1][part]:
        raise Http404
    found = files[number - 1]
    name = found["name"] if part == "sql" else found["conf_name"]
    kind = "application/sql" if part == "sql" else "text/plain"
    response = HttpResponse(found[part], content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
