"""Pages for when something is wrong: each says what is certain, that nothing was half done, and what to do.

They are pages of ours to a browser and a note in place of the part that was asked for to htmx; those for 500
and 503 render without a database, whatever failed before.
"""

from __future__ import annotations

import sys
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from approvals import access, audit
from approvals.context_processors import THEMES
from approvals.models import AuditEvent, Execution, RollbackRequest, User
from approvals.pages import audit_trail

CHANGES_SHOWN = 3
RETRY_SECONDS = 15
# What PostgreSQL says when it is going away, full, or coming up (classes 08 and 57P, and 53300).
GONE = ("08", "57P", "53300")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: the request itself is malformed."""
    return render(request, "400.html", status=400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: a form without its token."""
    return render(request, "403_csrf.html", status=403)


def conflict(request: HttpRequest, why: str) -> HttpResponse:
    """409: it does not fit how things are now; with what others did lately, and the way back to it."""
    rollback = _rollback(request)
    context = {"why": why, "back": _back(request, rollback), "changes": _changes(rollback)}
    return render(request, "409.html", context, status=409)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where it was the portal's database that did not answer. Asks nothing of a database."""
    if is_database_away(sys.exc_info()[1]):
        response = _without_database(request, "503.html", 503)
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    return _without_database(request, "500.html", 500)


def is_database_away(error: BaseException | None) -> bool:
    """True if the portal's database could not be reached; a query that failed or waited too long is a bug."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(GONE)


def _without_database(request: HttpRequest, template: str, status: int) -> HttpResponse:
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {
        "request_id": audit.request_id.get(),
        "again": request.get_full_path() if request.method == "GET" else "",
        "theme": theme if theme in THEMES else "",
        "in_part": "HX-Request" in request.headers,
    }
    # No request: context processors would ask the database who reads.
    return HttpResponse(loader.render_to_string(template, context), status=status)


def _rollback(request: HttpRequest) -> RollbackRequest | None:
    """The rollback that the address is about, if this person may see it."""
    match = request.resolver_match
    if match is None or not isinstance(request.user, User) or "pk" not in match.kwargs:
        return None
    name, pk = match.view_name, match.kwargs["pk"]
    if name.startswith(("rollback", "thread")):
        return access.rollbacks(request.user).filter(pk=pk).first()
    if name.startswith("execution"):
        found: Execution | None = access.executions(request.user).filter(pk=pk).first()
        return found.rollback_target.rollback if found else None
    return None


def _back(request: HttpRequest, rollback: RollbackRequest | None) -> str:
    """Where one looks again: the page one came from, or that of the rollback."""
    came_from = request.headers.get("Referer", "")
    here = {request.get_host()}
    if url_has_allowed_host_and_scheme(came_from, allowed_hosts=here, require_https=request.is_secure()):
        return came_from
    if rollback is not None:
        return reverse("rollback_detail", kwargs={"pk": rollback.pk})
    return reverse("dashboard")


def _changes(rollback: RollbackRequest | None) -> list[audit_trail.Line]:
    """The newest events about the rollback: who was faster, and what they did."""
    if rollback is None:
        return []
    events = AuditEvent.objects.filter(rollback=rollback.label).exclude(action__endswith=".denied")
    return audit_trail.lines(events.order_by("-seq")[:CHANGES_SHOWN])
