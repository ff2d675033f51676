"""The streams that tell an open page that what it shows has changed. They say nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from django.conf import settings
from django.contrib import auth
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from approvals import access, live, permissions
from approvals.models import AuditEvent, Job, User
from approvals.requests import Request

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def execution_changes(request: Request, pk: str) -> HttpResponseBase:
    """An execution or rehearsal moved on. It begins with a change: the page may have missed one."""
    get_object_or_404(access.executions(request.user), pk=pk)
    topics = [f"execution:{pk}"]
    return _stream(
        request, topics, lambda user: access.executions(user).filter(pk=pk).exists(), begin=live.CHANGED
    )


def rollback_changes(request: Request, pk: int) -> HttpResponseBase:
    """Something about a rollback was decided, found or said. `since`: the last event its page knows."""
    rollback = get_object_or_404(access.rollbacks(request.user), pk=pk)
    target = rollback.rollback_targets.values_list("target", flat=True).first()
    topics = [f"rollback:{rollback.label}", f"job:{Job.Kind.FACTS}:{pk}", f"job:{Job.Kind.SYNC}:{target}"]
    since = request.GET.get("since", "")
    known = int(since) if since.isascii() and since.isdigit() and len(since) < 19 else None
    newer = known is not None and AuditEvent.objects.filter(rollback=rollback.label, seq__gt=known).exists()
    return _stream(
        request,
        topics,
        lambda user: access.rollbacks(user).filter(pk=pk).exists(),
        begin=live.CHANGED if newer else live.BEAT,
    )


def dashboard_changes(request: Request) -> HttpResponseBase:
    """Something happened on a target whose service this person sees."""
    topics = _targets(request.user)
    return _stream(request, topics, lambda user: _targets(user) == topics)


def _targets(user: User) -> set[str]:
    return {f"target:{name}" for name in access.targets(user).values_list("name", flat=True)}


def _stream(
    request: Request,
    topics: Iterable[str],
    sees: Callable[[User], bool],
    *,
    begin: str = live.BEAT,
) -> HttpResponseBase:
    """A stream about these topics for as long as this session lasts, the table lets its person in here and
    `sees` holds for them."""
    if not isinstance(request, ASGIRequest) or live.hub.full(request.user.pk):
        return _headers(HttpResponse(live.AWAY))
    name = request.resolver_match.view_name if request.resolver_match else ""
    key = request.session.session_key

    def may() -> bool:
        user = _whose(key)
        return user is not None and permissions.may_read(user, name) and sees(user)

    stream = live.Stream(request.user.pk, topics, may)
    if not connection.in_atomic_block:
        connection.close()  # else a page that is left open would keep a connection to the database
    return _headers(StreamingHttpResponse(live.hub.events(stream, begin=begin)))


def _headers(response: HttpResponseBase) -> HttpResponseBase:
    response["Content-Type"] = "text/event-stream"
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would keep the words back until there are many
    return response


def _whose(session_key: str | None) -> User | None:
    """Who is signed in with this session now; nobody if it ended, or if they were disabled."""
    probe = HttpRequest()
    probe.session = SessionStore(session_key)
    user = auth.get_user(probe)
    return user if isinstance(user, User) else None
