"""What every page knows: who reads it and in which roles."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def portal(request: HttpRequest) -> dict[str, Any]:
    """The reader's roles, in the order of the enum, and their time zone."""
    user = getattr(request, "user", None)
    roles = sorted(user.roles) if user is not None and user.is_authenticated else []
    return {"reader_roles": [role.label for role in roles]}
