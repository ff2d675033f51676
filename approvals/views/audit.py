"""Pages of the record: the trail and its filters, an event, a rollback's story, the chain, exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core import signing
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils import timezone

from approvals import access, audit, downloads, exports, offline_verifier, permissions
from approvals.forms.audit import AuditFilter
from approvals.forms.choosing import OFFERED
from approvals.models import AuditEvent, RollbackRequest, Target, User
from approvals.pages import audit_filter, audit_trail, compliance, paging
from approvals.requests import Request

# Events that one request verifies: about a second.
SLICE = 40_000
# Events on one page of a rollback's story.
EVENTS = 100
# A verification that was left alone for so long begins anew.
RESUME_SECONDS = 3600


def audit_list(request: Request) -> HttpResponse:
    """The trail, newest first, filtered by what the URL says."""
    form = AuditFilter(request.GET)
    wanted = form.wanted
    found = audit_filter.events(**wanted)
    page = paging.by_key(request, found, "seq")
    chain = audit_trail.chain()
    context: dict[str, Any] = {"form": form, "page": page, "chain": chain, "sees_events": True}
    context |= {
        "lines": audit_trail.lines(page.object_list),
        "filtered": bool(wanted),
        "limit": audit_trail.COUNTED,
    }
    context["count"] = audit_trail.counted(found) if wanted else chain.head.seq + 1
    context["people"] = User.objects.order_by("username").values_list("username", flat=True)[:OFFERED]
    context["places"] = Target.objects.order_by("name").values_list("name", flat=True)[:OFFERED]
    context["may_export"] = permissions.may_read(request.user, "audit_export")
    context["may_verify"] = permissions.may_write(request.user, "audit_verify")
    return render(request, "audit/list.html", context)


def audit_event(request: Request, seq: int) -> HttpResponse:
    """One event with everything that was recorded, and whether its link holds."""
    event = get_object_or_404(AuditEvent, seq=seq)
    newest = seq == audit_trail.head().seq
    context = {"line": audit_trail.one(event), "holds": audit_trail.link_holds(event), "newest": newest}
    return render(request, "audit/event.html", context)


def audit_verify(request: Request) -> HttpResponse:
    """The state of the chain; a POST recomputes every link, slice by slice, and puts the result on record."""
    if request.method == "POST":
        verdict = audit.verify_slice(_so_far(request), limit=SLICE)
        if not verdict.complete:
            return _under_way(request, verdict)
        audit.record_verdict(verdict, actor=request.user)
        return redirect("audit_verify")
    context = {
        "chain": audit_trail.chain(),
        "may_verify": permissions.may_write(request.user, "audit_verify"),
    }
    return render(request, "audit/verify.html", context)


def _so_far(request: Request) -> audit.Verdict | None:
    """What earlier slices of this person found; signed by us, since it comes back from the browser."""
    try:
        found = signing.loads(request.POST.get("so_far", ""), salt=_salt(request), max_age=RESUME_SECONDS)
    except signing.BadSignature:
        return None
    return audit.Verdict(**found)


def _under_way(request: Request, verdict: audit.Verdict) -> HttpResponse:
    so_far = signing.dumps({"events": verdict.events, "head": verdict.head}, salt=_salt(request))
    head = audit_trail.head().seq
    context = {"verdict": verdict, "head": head, "so_far": so_far, "percent": 100 * verdict.events // head}
    return render(request, "audit/verifying.html", context)


def _salt(request: Request) -> str:
    return f"audit.verify.{request.user.pk}"


def rollback_story(request: Request, pk: int) -> HttpResponse:
    """Everything recorded about one rollback, from the request to the end."""
    visible = access.rollbacks(request.user)
    told = visible.select_related("incident__post_mortem", "incident__corrected_by")
    rollback = get_object_or_404(told, pk=pk)
    found = audit_trail.story(rollback.label)
    page = paging.page(request, found, per_page=EVENTS, whole=paging.wants_whole(request))
    lines = audit_trail.lines(page.object_list, audit_trail.texts_of([rollback.pk]))
    context = {
        "rollback": rollback,
        "page": page,
        "chapters": audit_trail.chapters(lines),
        "sees_events": permissions.may_read(request.user, "audit_event"),
        "demands": compliance.demands(rollback.incident) if rollback.incident else [],
        "doers": compliance.who_did_what(RollbackRequest.objects.filter(pk=rollback.pk)),
        "target": rollback.rollback_targets.select_related("target").first(),
    }
    return render(request, "audit/story.html", context)


def audit_export(request: Request, form: str) -> HttpResponseBase:
    """Events as the filter says, as a file; on record before the first byte."""
    chosen = AuditFilter(request.GET)
    if not chosen.is_valid():
        return _say_what_is_wrong(request)
    wanted = chosen.wanted
    found = audit_filter.events(**wanted)
    if form == "csv":
        parts, content_type = exports.events_as_csv, "text/csv; charset=utf-8"
    elif form == "jsonl":
        parts, content_type = exports.events_as_json_lines, "application/jsonl; charset=utf-8"
    else:
        raise Http404
    upto = exports.record(request.user, form, wanted)
    return downloads.download(
        request, parts(found, upto), name=_name("events", form), content_type=content_type
    )


def _say_what_is_wrong(request: Request) -> HttpResponse:
    """To the list, which says it beside the field; without its filter the export would be of everything."""
    return redirect(f"{resolve_url('audit_list')}?{request.GET.urlencode()}")


def audit_report(request: Request) -> HttpResponseBase:
    """One row per rollback asked for in the filter's span of time, as CSV."""
    chosen = AuditFilter(request.GET)
    if not chosen.is_valid():
        return _say_what_is_wrong(request)
    since, before = chosen.range
    upto = exports.record_report(request.user)
    parts = exports.rollbacks_as_csv(since, before, upto)
    name = _name("rollbacks", "csv")
    return downloads.download(request, parts, name=name, content_type="text/csv; charset=utf-8")


def audit_verifier(request: Request) -> HttpResponse:
    """The program that verifies an export without the portal, to take away."""
    headers = {"Content-Disposition": 'attachment; filename="offline_verifier.py"'}
    text = Path(offline_verifier.__file__).read_text()
    return HttpResponse(text, content_type="text/x-python; charset=utf-8", headers=headers)


def _name(what: str, ending: str) -> str:
    return f"waqiti-{what}-{timezone.now():%Y%m%dT%H%M%SZ}.{ending}"
