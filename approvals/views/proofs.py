"""What a worker found of a script: shown, followed while it works, asked for again."""

from __future__ import annotations

from functools import partial

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from approvals import access, jobs, once, permissions, proofs
from approvals.errors import Refused
from approvals.models import RollbackScript
from approvals.pages import declarations, proof_panel
from approvals.requests import Request


def script_proof(request: Request, pk: int, number: int) -> HttpResponse:
    """Completeness and proof of one revision (GET; a fragment for htmx), or ask for it once more (POST)."""
    migration = get_object_or_404(access.migrations(request.user), pk=pk)
    script = get_object_or_404(migration.scripts.select_related("migration__service"), number=number)
    if request.method == "POST":
        try:
            return redirect(once.run(request, partial(_ask, request, script)))
        except Refused as refused:
            return _page(request, script, why=str(refused))
    return _page(request, script)


def _ask(request: Request, script: RollbackScript) -> str:
    proofs.ask(script, actor=request.user)
    back = request.POST.get("next", "")
    here = reverse("script_proof", args=[script.migration_id, script.number])
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return f"{back.partition('#')[0]}#proof-{script.pk}" if safe else here


def _page(request: Request, script: RollbackScript, *, why: str = "") -> HttpResponse:
    view = proof_panel.read(script)
    context = {
        "migration": script.migration,
        "view": view,
        "ahead": jobs.ahead(view.asked.job) if view.asked and view.is_open else 0,
        "may_prove": permissions.may_write(request.user, "script_proof"),
        "refused": why,
        "declare": "declare" in request.GET,
    }
    if not request.htmx:
        return render(request, "proofs/page.html", context, status=409 if why else 200)
    if context["declare"] and not view.is_open:
        known = script.left
        rows = declarations.offered(view.effects, known)
        context["declarations"] = [each for each in rows if each.key not in known]
    return render(request, "proofs/fragment.html", context)
