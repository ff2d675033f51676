"""What surrounds every request: an id for the audit trail, the reader's time zone, who may."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit, jobs, kept, permissions
from .errors import Denied, Refused
from .views import errors

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Ties the audit events of one request together and gives the id back in a header."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = audit.request_id.set(audit.new_request_id())
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = audit.request_id.get()
            return response
        finally:
            audit.request_id.reset(token)


class BrokerMiddleware:
    """Tells whoever asked for work that no worker could be told; the row that they made is the queue."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with jobs.noting_unsent() as unsent:
            response = self.get_response(request)
        if unsent:
            messages.warning(
                request,
                _(
                    "What you asked for is stored, but the broker that wakes the workers does not answer."
                    " It is sent again every %(seconds)d seconds; you need not ask twice."
                )
                % {"seconds": jobs.RESEND_AFTER.seconds},
            )
        return response


class TimeZoneMiddleware:
    """Shows times in the zone of whoever reads."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "UTC")
        try:
            zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            zone = zoneinfo.ZoneInfo("UTC")
        with timezone.override(zone):
            return self.get_response(request)


class AccessMiddleware:
    """Deny by default: a URL that the table of permissions does not name answers nobody."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method == "GET" and kept.was_not_shown(request):
            response = redirect(f"{resolve_url('kept')}?here=1")  # an address of its own: no loop
        kept.remember(request, response)
        return response

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: dict[str, object]
    ) -> HttpResponse | None:
        """Ask the table before any view runs; None lets the view answer."""
        refused = permissions.refuse(request)
        if refused is not None:
            return refused
        if "%00" in request.get_full_path():  # no text of the database holds a NUL, so none can be looked for
            return errors.bad_request(request, SuspiciousOperation("a NUL in the address"))
        if request.method == "POST":
            kept.forget_sent(request)
        return None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """What the domain says no to and no view took up: 403 for who may not, 409 for what does not fit."""
        if isinstance(error, Denied):
            return permissions.forbidden(request, str(error))
        if isinstance(error, Refused):
            return errors.conflict(request, str(error))
        return None
