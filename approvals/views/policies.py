"""The page of policies: who must approve what. Readable by everybody, changed by nobody here."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render

from approvals import policy as policies
from approvals.models import Environment, Grade, Target
from approvals.pages import policy_page
from approvals.requests import Request


def policy(request: Request) -> HttpResponse:
    """The policy in force, or the version that the URL names, with floors and versions."""
    versions = policy_page.versions()
    newest = policies.current()
    number = request.GET.get("version", "") or str(newest.number)
    shown = next((each.version for each in versions if str(each.version.number) == number), None)
    if shown is None:
        raise Http404
    context = {
        "shown": shown,
        "newest": newest,
        "environments": [str(each.label) for each in Environment],
        "rows": policy_page.table(shown),
        "floors": policy_page.floors(),
        "versions": versions,
        "grades": sorted(Grade, reverse=True),
        "backup_limit": Target._meta.get_field("backup_limit_bytes").get_default(),
    }
    return render(request, "policies/detail.html", context)
