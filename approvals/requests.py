"""What views are handed: the request of somebody who signed in."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from .models import User


class Request(HttpRequest):
    """A request whose person is known: the table of permissions lets nobody else come as far as a view."""

    user: User
    htmx: HtmxDetails
