"""The first page: what waits for this person, what runs, what went wrong, what ended lately."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from approvals import permissions
from approvals.pages import audit_trail, inbox
from approvals.requests import Request


def dashboard(request: Request) -> HttpResponse:
    """The dashboard of whoever asks, by their roles."""
    context = {
        "inbox": inbox.read(request.user),
        "roles": request.user.roles,
        "now": timezone.localtime(),
        "head": audit_trail.head() if permissions.may_read(request.user, "audit_list") else None,
    }
    return render(request, "dashboard.html", context)
