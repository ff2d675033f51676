"""Search: suggestions while somebody types, and a page of results with a URL of its own."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.vary import vary_on_headers

from approvals.pages import paging, search
from approvals.requests import Request


@vary_on_headers("HX-Request")
def find(request: Request) -> HttpResponse:
    """What is found for `?q=`, in groups; with `?in=` all of one kind, page by page."""
    text, kind = request.GET.get("q", ""), request.GET.get("in", "")
    if request.htmx:
        groups = search.find(request.user, text, limit=search.SUGGESTED)
        return render(request, "search/suggestions.html", {"text": text.strip(), "groups": groups})
    every = search.all_of(request.user, text, kind)
    context = {
        "text": text.strip(),
        "kind": kind,
        "kind_title": search.GROUPS[kind][0] if every is not None else "",
        "page": paging.page(request, every) if every is not None else None,
        "groups": search.find(request.user, text) if every is None else [],
    }
    return render(request, "search/results.html", context)
