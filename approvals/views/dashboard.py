"""The first page: what waits for this person, what runs, what went wrong, what ended lately."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from approvals import audit_trail, inbox, permissions
from approvals.models import Role


def dashboard(request: HttpRequest) -> HttpResponse:
    """The dashboard of whoever asks, by their roles."""
    context = {
        "inbox": inbox.read(request.user),
        "may_ask": Role.ENGINEER in request.user.roles,
        "head": audit_trail.head() if permissions.may_read(request.user, "audit_list") else None,
    }
    return render(request, "dashboard.html", context)
