"""Pages about who works here: people with their roles, what each role may do, and one person's work."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from approvals import permissions
from approvals.forms.people import PeopleFilter
from approvals.models import AuditEvent, Role, User
from approvals.pages import audit_trail, paging, people_page
from approvals.requests import Request

LATELY = 20


def people(request: Request) -> HttpResponse:
    """Who works here in which roles; readable by everybody who does."""
    form = PeopleFilter(request.GET)
    wanted = {name: form.chosen(name) for name in ("role", "team", "state", "sort")}
    page = paging.page(request, people_page.listed(text=form.chosen("q"), **wanted))
    context = {"page": page, "form": form, "roles": dict(Role.choices), "cards": people_page.roles()}
    return render(request, "people/list.html", context)


def person(request: Request, username: str) -> HttpResponse:
    """One person: roles and what they allow, teams and services, open work, and what they did lately."""
    found = get_object_or_404(User, username=username)
    sees_events = permissions.may_read(request.user, "audit_list")
    lately = AuditEvent.objects.filter(actor=username).order_by("-seq")[:LATELY] if sees_events else []
    context = {
        "person": found,
        "person_roles": [role.label for role in Role if role in found.roles],
        "may": people_page.parties_of(found),
        "teams": people_page.teams_of(found),
        "work": people_page.open_work(found, request.user),
        "lines": audit_trail.lines(lately),
        "sees_events": sees_events,
    }
    return render(request, "people/detail.html", context)
