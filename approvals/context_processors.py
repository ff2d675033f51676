"""What every page knows: who reads it in which roles, where they can go, and which colours they chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import permissions
from .models import User

# word, the URL it leads to, and how the names of all URLs below it begin
PLACES: tuple[tuple[str | Promise, str, tuple[str, ...]], ...] = (
    (_("Dashboard"), "dashboard", ("dashboard",)),
    (_("Rollbacks"), "rollback_list", ("rollback", "execution")),
    (_("Services"), "service_list", ("service", "migration", "script")),
    (_("Targets"), "target_list", ("target",)),
    (_("Incidents"), "incident_list", ("incident", "post_mortem")),
    (_("Audit"), "audit_list", ("audit",)),
    (_("Decision matrix"), "matrix", ("matrix",)),
    (_("People"), "people", ("people",)),
)
THEMES = frozenset({"light", "dark"})


@dataclass(frozen=True)
class Entry:
    """One entry of the navigation."""

    word: str
    href: str
    current: bool


def portal(request: HttpRequest) -> dict[str, Any]:
    """`reader_roles` as words, `nav` with the places this person may open, `theme` if they chose one."""
    user = getattr(request, "user", None)
    signed_in = isinstance(user, User)
    theme = request.COOKIES.get("theme", "")
    return {
        "reader_roles": [role.label for role in sorted(user.roles)] if signed_in else [],
        "nav": list(_nav(request)) if signed_in else [],
        "theme": theme if theme in THEMES else "",
    }


def _nav(request: HttpRequest) -> Iterator[Entry]:
    here = request.resolver_match.view_name if request.resolver_match else ""
    for word, name, below in PLACES:
        if permissions.may_read(request.user, name):
            yield Entry(str(word), reverse(name), here.startswith(below))
