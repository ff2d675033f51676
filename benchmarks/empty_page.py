"""URLs of the portal and one page with nothing on it: what every page costs before it says anything."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include, path

from approvals.permissions import PEOPLE, TABLE, Rule
from approvals.requests import Request

NAME = "empty"


def empty(request: Request) -> HttpResponse:
    """The frame of every page: session, person, roles, navigation."""
    return render(request, "base.html")


TABLE[NAME] = Rule(PEOPLE)
urlpatterns = [path("empty/", empty, name=NAME), path("", include("waqiti_rollback.urls"))]
