"""How far the ways back of a service have come: a table, and a small chart."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from approvals import access
from approvals.forms.catalog import CoverageFilter
from approvals.pages import coverage_page, paging
from approvals.requests import Request


def service_coverage(request: Request, name: str) -> HttpResponse:
    """Each versioned migration of a service with its script, proof and rehearsal, and what is missing."""
    service = get_object_or_404(access.services(request.user), name=name)
    form = CoverageFilter(request.GET)
    filters = {name: form.chosen(name) for name in ("show", "sort")}
    page = paging.page(request, coverage_page.migrations(service, text=form.chosen("q"), **filters))
    page.object_list = coverage_page.rows(page.object_list)
    context = {"service": service, "shares": coverage_page.shares(service), "page": page, "form": form}
    return render(request, "services/coverage.html", context)
