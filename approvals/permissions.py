"""THE table of who may open which URL. A URL that is not in it answers nobody."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def refuse(request: HttpRequest) -> HttpResponse | None:
    """Replaced together with the pages."""
    return None
