"""The next deployment after a rollback: what Flyway will do, for every choice, and files for it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header

from approvals import takeaway
from approvals.errors import Refused
from approvals.forms.rollbacks import AheadForm
from approvals.models import RollbackRequest
from approvals.next_deployment import NextDeployment
from approvals.pages import deployment_panel
from approvals.requests import Request
from approvals.views.rollbacks import visible


def rollback_ahead(request: Request, pk: int) -> HttpResponse:
    """The choice that the address names, or what the request has chosen; the panel alone where htmx asks: for
    a form above it, which it follows, or for the page of the rollback, which does not wait for it."""
    rollback = visible(request, pk)
    if not rollback.rollback_targets.exists():
        raise Http404
    asked = {name: request.GET.get(name) for name in ("history_treatment", "file_fate")}
    choosing = any(value is not None for value in asked.values())
    if choosing:
        ahead = chosen(rollback, treatment=asked["history_treatment"] or "", fate=asked["file_fate"])
    else:
        ahead = deployment_panel.of_rollback(NextDeployment(rollback))
    may_take_files = not choosing and rollback.status in takeaway.APPROVED
    context = {"rollback": rollback, "deployment": ahead, "may_take_files": may_take_files}
    if request.htmx:
        return render(request, "rollbacks/parts/next_deployment.html", context)
    form = AheadForm({"history_treatment": ahead.treatment, "file_fate": ahead.fate})
    return render(request, "rollbacks/next_deployment.html", context | {"form": form})


def chosen(
    rollback: RollbackRequest, *, treatment: str = "", fate: str | None = None
) -> deployment_panel.Panel:
    """The panel for a choice; what is not given is the request's own."""
    return deployment_panel.planned(NextDeployment(rollback), treatment=treatment, fate=fate)


KINDS = {"undo": takeaway.undo_files, "forward": takeaway.forward_file}
TYPES = {True: "application/sql; charset=utf-8", False: "application/zip"}


def rollback_files(request: Request, pk: int, kind: str) -> HttpResponse:
    """The approved scripts as undo files, or as one migration that goes forward; several come as a .zip."""
    rollback = visible(request, pk)
    if kind not in KINDS:
        raise Http404
    try:
        files = KINDS[kind](rollback)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("rollback_detail", pk)
    single = len(files) == 1
    name = next(iter(files)) if single else f"{rollback.label}-{kind}.zip"
    content = next(iter(files.values())).encode() if single else _zipped(files)
    kept = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    headers = {"Content-Disposition": kept, "Cache-Control": "no-store"}
    return HttpResponse(content, content_type=TYPES[single], headers=headers)


def _zipped(files: Mapping[str, str]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writing:
        for name, text in files.items():
            writing.writestr(name, text)
    return made.getvalue()
