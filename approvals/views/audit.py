"""Pages of the record: the trail and its filters, one event, one rollback's story, the chain's state."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from approvals import access, audit, permissions
from approvals.forms.audit import AuditFilter
from approvals.models import AuditEvent
from approvals.pages import audit_trail, paging
from approvals.requests import Request


def audit_list(request: Request) -> HttpResponse:
    """The trail, newest first, filtered by what the URL says."""
    form = AuditFilter(request.GET)
    page = paging.by_key(request, audit_trail.events(**form.wanted), "seq")
    lines = audit_trail.lines(page.object_list)
    context = {"form": form, "page": page, "lines": lines, "head": audit_trail.head(), "sees_events": True}
    return render(request, "audit/list.html", context)


def audit_event(request: Request, seq: int) -> HttpResponse:
    """One event with everything that was recorded, and whether its link holds."""
    event = get_object_or_404(AuditEvent, seq=seq)
    newest = seq == audit_trail.head().seq
    context = {"line": audit_trail.one(event), "holds": audit_trail.link_holds(event), "newest": newest}
    return render(request, "audit/event.html", context)


def audit_verify(request: Request) -> HttpResponse:
    """Recompute every link of the chain, unless it is so long that this is the command's work."""
    head = audit_trail.head()
    verdict = audit.verify() if head.seq <= audit_trail.VERIFIED_BY_PAGE else None
    limit = audit_trail.VERIFIED_BY_PAGE
    return render(request, "audit/verify.html", {"verdict": verdict, "head": head, "limit": limit})


def rollback_story(request: Request, pk: int) -> HttpResponse:
    """Everything recorded about one rollback, from the request to the end."""
    rollback = get_object_or_404(access.rollbacks(request.user).select_related("incident"), pk=pk)
    sees_events = permissions.may_read(request.user, "audit_event")
    context = {"rollback": rollback, "lines": audit_trail.story(rollback.label), "sees_events": sees_events}
    return render(request, "audit/story.html", context)
