"""Pages of services, targets and migrations."""

from __future__ import annotations

from functools import partial

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from approvals import access, base_backups, catalog, history, jobs, once, permissions, queries, setup_sql
from approvals.forms.catalog import (
    HistoryFilter,
    MigrationFilter,
    ProblemFilter,
    ServiceFilter,
    TargetFilter,
)
from approvals.models import Job, Target
from approvals.pages import (
    calendar_page,
    findings,
    migration_lines,
    migration_page,
    paging,
    service_overview,
    target_overview,
)
from approvals.requests import Request

# So many lines of a history stand on one page of a target: each says a lot, and what a DBA runs there comes
# below them.
LINES = 25


def service_list(request: Request) -> HttpResponse:
    """The services this person sees."""
    form = ServiceFilter(request.GET)
    filters = {name: form.chosen(name) for name in ("show", "sort")}
    page = paging.page(request, queries.services(request.user, text=form.chosen("q"), **filters))
    return render(request, "services/list.html", {"page": page, "form": form})


def service_detail(request: Request, name: str) -> HttpResponse:
    """A service: its targets, its migrations, what its last import found."""
    service = get_object_or_404(queries.service(request.user), name=name)
    form = MigrationFilter(request.GET)
    filters = {name: form.chosen(name) for name in ("show", "sort")}
    page = paging.page(request, queries.migrations(service, text=form.chosen("q"), **filters))
    page.object_list = migration_lines.lines(page.object_list)
    context = {
        "service": service,
        "overview": service_overview.read(service, request.user),
        "page": page,
        "form": form,
        "may_import": catalog.may_import(service, request.user),
    }
    return render(request, "services/detail.html", context)


def service_problems(request: Request, name: str) -> HttpResponse:
    """Everything the last import of a service found wrong, by file, line and column."""
    service = get_object_or_404(access.services(request.user), name=name)
    run = service.import_runs.select_related("by").first()
    form = ProblemFilter(request.GET, problems=run.problems if run else [])
    page = paging.page(request, form.matching())
    context = {"service": service, "run": run, "page": page, "form": form}
    return render(request, "services/problems.html", context)


def target_list(request: Request) -> HttpResponse:
    """The targets this person sees."""
    form = TargetFilter(request.GET)
    filters = {name: form.chosen(name) for name in ("environment", "health", "service", "sort")}
    page = paging.page(request, queries.targets(request.user, text=form.chosen("q"), **filters))
    return render(request, "targets/list.html", {"page": page, "form": form})


def target_detail(request: Request, name: str) -> HttpResponse:
    """A target: its history as Flyway would show it, the ways back, its connection, what a DBA runs once."""
    target = _target(request, name)
    overview = target_overview.overview(target)
    last_import = target.service.import_runs.only("at", "problems", "service").first()
    form = HistoryFilter(request.GET)
    view, oldest_first = form.chosen("show"), form.chosen("sort") == "oldest"
    lines = overview.shown(view, text=form.chosen("q"), oldest_first=oldest_first)
    page = paging.page(request, lines, per_page=LINES)
    target_overview.add_risks(page.object_list)
    context = {
        "target": target,
        "overview": overview,
        "findings": findings.of_history(target, overview) + findings.of_directory(last_import),
        "last_import": last_import,
        "page": page,
        "form": form,
        "show": view,
        "job": jobs.latest(Job.Kind.SYNC, target.pk),
        "calendar": calendar_page.read(target),
        "base_backup": base_backups.newest(target),
        "setup": setup_sql.setup_sql(setup_sql.for_target(target)),
        "may_ask": access.owns(request.user, target.service_id),
        "may_sync": permissions.may_write(request.user, "target_sync"),
    }
    return render(request, "targets/detail.html", context)


def target_setup(request: Request, name: str) -> HttpResponse:
    """What a DBA runs once on a target, as a file."""
    target = _target(request, name)
    text = setup_sql.setup_sql(setup_sql.for_target(target))
    response = HttpResponse(text, content_type="application/sql; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{target.name}-setup.sql"'
    return response


def target_sync(request: Request, name: str) -> HttpResponse:
    """Ask the worker to read the history (POST), or say how far it is (GET, a fragment that asks again)."""
    target = _target(request, name)
    if request.method == "POST":
        return redirect(once.run(request, partial(_ask_for_sync, request, target)))
    job = jobs.latest(Job.Kind.SYNC, target.pk)
    response = render(request, "targets/sync_state.html", {"target": target, "job": job})
    if job is None or job.finished_at:
        response["HX-Refresh"] = "true"
    return response


def _ask_for_sync(request: Request, target: Target) -> str:
    history.ask_for_sync(target, actor=request.user)
    return reverse("target_detail", args=[target.name])


def _target(request: Request, name: str) -> Target:
    return get_object_or_404(access.targets(request.user).select_related("rehearsal_target"), name=name)


def migration_detail(request: Request, pk: int) -> HttpResponse:
    """A migration statement by statement, its revisions, and the scripts that take it back."""
    migration = get_object_or_404(access.migrations(request.user), pk=pk)
    view = migration_page.read(migration, request.GET, request.user)
    context = {
        "migration": migration,
        "view": view,
        "found": view.found,
        "may_write": access.owns(request.user, migration.service_id),
        "may_prove": permissions.may_write(request.user, "script_proof"),
    }
    return render(request, "migrations/detail.html", context)
