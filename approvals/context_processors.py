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
Place = tuple[str | Promise, str, tuple[str, ...]]
# Where the work is: always in sight where there is room.
PLACES: tuple[Place, ...] = (
    (_("Dashboard"), "dashboard", ("dashboard",)),
    (_("Rollbacks"), "rollback_list", ("rollback", "execution", "fleet", "thread")),
    (_("Targets"), "target_list", ("target", "window")),
    (_("Services"), "service_list", ("service", "migration", "script", "import")),
    (_("Incidents"), "incident_list", ("incident", "post_mortem")),
    (_("Audit"), "audit_list", ("audit",)),
)
# What one looks up: behind one word.
RULES: tuple[Place, ...] = (
    (_("Decision matrix"), "matrix", ("matrix",)),
    (_("Policies"), "policy", ("policy",)),
    (_("People"), "people", ("people", "person")),
    (_("Contacts"), "contact_list", ("contact",)),
)
THEMES = frozenset({"light", "dark"})


@dataclass(frozen=True)
class Entry:
    """One entry of the navigation."""

    word: str
    href: str
    current: bool


def portal(request: HttpRequest) -> dict[str, Any]:
    """`reader_roles` as words, `nav` and `nav_rules` with the places this person may open, `may_search`,
    and `theme` if they chose one."""
    visitor = getattr(request, "user", None)
    user = visitor if isinstance(visitor, User) else None
    theme = request.COOKIES.get("theme", "")
    return {
        "reader_roles": [role.label for role in sorted(user.roles)] if user else [],
        "nav": list(_entries(request, PLACES)) if user else [],
        "nav_rules": list(_entries(request, RULES)) if user else [],
        "may_search": user is not None and permissions.may_read(user, "search"),
        "theme": theme if theme in THEMES else "",
    }


def _entries(request: HttpRequest, places: tuple[Place, ...]) -> Iterator[Entry]:
    here = request.resolver_match.view_name if request.resolver_match else ""
    for word, name, below in places:
        if permissions.may_read(request.user, name):
            yield Entry(str(word), reverse(name), here.startswith(below))
