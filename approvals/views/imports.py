"""Imports of a service's migrations: asked for, watched, looked at; and the tokens of its pipelines."""

from __future__ import annotations

from functools import partial

from django.conf import settings
from django.contrib import messages
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from approvals import access, catalog, import_tokens, imports, once
from approvals.errors import Denied, Refused
from approvals.forms import PortalForm, posted
from approvals.forms.catalog import ProblemFilter
from approvals.forms.imports import (
    KIND,
    KINDS,
    ArchiveForm,
    DifferenceFilter,
    RepositoryForm,
    RunFilter,
    TokenForm,
)
from approvals.models import ImportRequest, ImportRun, ImportToken, Service
from approvals.pages import import_page, paging
from approvals.requests import Request


def import_list(request: Request, name: str) -> HttpResponse:
    """Every import of a service: when, by whom, from which commit, what it changed and found."""
    service = _service(request, name)
    form = RunFilter(request.GET)
    filters = {each: form.chosen(each) for each in ("show", "sort")}
    context = {
        "service": service,
        "form": form,
        "page": paging.page(request, import_page.runs(service, text=form.chosen("q"), **filters)),
        "progress": import_page.under_way(service),
        "may_import": catalog.may_import(service, request.user),
    }
    return render(request, "services/imports.html", context)


def import_new(request: Request, name: str) -> HttpResponse:
    """Hand in an archive, or name a repository; a worker reads it."""
    service = _own(request, name)
    data = posted(request)
    way = data.get("way", "") if data is not None else ""
    archive = ArchiveForm(data if way == "zip" else None, request.FILES if way == "zip" else None)
    repository = RepositoryForm(data if way == "git" else None)
    chosen = {"zip": archive, "git": repository}.get(way)
    if chosen is not None and chosen.is_valid():
        try:
            return redirect(once.run(request, partial(_ask, request, service, chosen)))
        except Refused as refused:
            chosen.refuse(refused)
    context = {
        "service": service,
        "archive": archive,
        "repository": repository,
        "reads_repositories": bool(settings.IMPORT_GIT_URLS),
    }
    return render(request, "services/import.html", context, status=chosen.status if chosen else 200)


def _ask(request: Request, service: Service, form: PortalForm) -> str:
    """Ask for what the form says and return the address of its progress."""
    clean, more = form.cleaned_data, {}
    source = clean.get("source", "")
    if isinstance(form, ArchiveForm):
        source, more = clean["archive"].name, {"archive": clean["archive"].read()}
    else:
        more = {"revision": clean["revision"]}
    asked = imports.ask(service, actor=request.user, source=source, folder=clean["folder"], **more)
    return reverse("import_asked", args=[service.name, asked.pk])


@never_cache
def import_asked(request: Request, name: str, pk: int) -> HttpResponse:
    """How far an import is; htmx asks for the part that changes. Once it is done it leads to the result."""
    service = _service(request, name)
    found = service.import_requests.select_related("by", "token").defer("archive")
    asked: ImportRequest = get_object_or_404(found, pk=pk)
    progress = import_page.progress(asked)
    if asked.run_id is not None:
        address = reverse("import_detail", args=[name, asked.run_id])
        if request.htmx:
            return HttpResponse(headers={"HX-Redirect": address})
        return redirect(address)
    context = {
        "service": service,
        "progress": progress,
        "may_import": catalog.may_import(service, request.user),
    }
    part = "import_progress" if request.htmx else "import_asked"
    return render(request, f"services/{part}.html", context)


def import_detail(request: Request, name: str, pk: int) -> HttpResponse:
    """One import: whose, of which commit, what it changed, what Flyway would trip over."""
    service = _service(request, name)
    run = _run(service, pk)
    form = DifferenceFilter(request.GET)
    found = import_page.differences(run, text=form.chosen("q"), show=form.chosen("show"))
    page = paging.page(request, found)
    import_page.add_migrations(run, page.object_list)
    context = {
        "service": service,
        "run": run,
        "form": form,
        "page": page,
        "kinds": KINDS,
        "kind": KIND,
        "problems": import_page.worst(run),
        "newer": service.import_runs.filter(at__gt=run.at).order_by("at").only("pk").first(),
        "older": service.import_runs.filter(at__lt=run.at).only("pk").first(),
        "may_import": catalog.may_import(service, request.user),
    }
    return render(request, "services/import_result.html", context)


def import_problems(request: Request, name: str, pk: int) -> HttpResponse:
    """Everything that one import found wrong, by file, line and column."""
    service = _service(request, name)
    run = _run(service, pk)
    form = ProblemFilter(request.GET, problems=run.problems)
    page = paging.page(request, form.matching())
    context = {"service": service, "run": run, "page": page, "form": form}
    return render(request, "services/problems.html", context)


@never_cache
def import_tokens_of(request: Request, name: str) -> HttpResponse:
    """The tokens of a service's pipelines; a new one is shown once, on the page that answers."""
    service = _own(request, name)
    form = TokenForm(posted(request))
    made, text, status = None, "", form.status
    if form.is_valid():
        try:
            made, text = import_tokens.make(service, **form.cleaned_data, actor=request.user)
            form = TokenForm()
        except Refused as refused:
            form.refuse(refused)
            status = form.status
    found = service.import_tokens.select_related("made_by", "revoked_by").order_by(
        F("revoked_at").desc(nulls_first=True), "-id"
    )
    context = {
        "service": service,
        "form": form,
        "page": paging.page(request, found),
        "importers": frozenset(catalog.importers(service).values_list("pk", flat=True)),
        "made": made,
        "text": text,
        "hook": request.build_absolute_uri(reverse("import_hook")),
    }
    return render(request, "services/tokens.html", context, status=status)


def import_token_revoke(request: Request, name: str, pk: int) -> HttpResponse:
    """Ask, then revoke a token."""
    service = _own(request, name)
    tokens = service.import_tokens.select_related("service", "made_by")
    token: ImportToken = get_object_or_404(tokens, pk=pk)
    if request.method == "POST":
        import_tokens.revoke(token, actor=request.user)
        messages.success(request, _("The token %(name)s is revoked.") % {"name": token.name})
        return redirect("import_tokens", name)
    return render(request, "services/token_revoke.html", {"service": service, "token": token})


def _service(request: Request, name: str) -> Service:
    return get_object_or_404(access.services(request.user), name=name)


def _own(request: Request, name: str) -> Service:
    """The service, for somebody who may import into it. Raises Denied for others who see it."""
    service = _service(request, name)
    if not catalog.may_import(service, request.user):
        raise Denied(_("Only an engineer of the owning team or an admin can import migrations."))
    return service


def _run(service: Service, pk: int) -> ImportRun:
    return get_object_or_404(service.import_runs.select_related("by", "token", "service"), pk=pk)
