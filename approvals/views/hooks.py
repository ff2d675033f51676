"""Where pipelines knock: an import on every push, with a token of the service instead of a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from approvals import import_tokens, imports, limits, sources
from approvals.errors import Refused
from approvals.models import ImportRequest, ImportToken, Job

PER_MINUTE = 10
LOOKS_PER_MINUTE = 120
LARGEST_JSON = 64 * 1024
BEARER = "Bearer "
# What pushes are called by those who tell of them; ours first.
REVISIONS = ("revision", "checkout_sha", "after")

View = Callable[..., HttpResponse]


def _with_token(per_minute: int) -> Callable[[View], View]:
    """Hand the view the token that the request proves to hold; nobody else gets further than this."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            token = import_tokens.holder(_given(request))
            if token is None:
                answer = _no(
                    401, _("There is no such token, it was revoked, or whoever made it may no longer import.")
                )
                answer["WWW-Authenticate"] = "Bearer"
                return answer
            if not limits.allows(view.__name__, token, per_minute=per_minute):
                answer = _no(429, _("More than %(n)d requests in a minute.") % {"n": per_minute})
                answer["Retry-After"] = "60"
                return answer
            return view(request, token, *args, **kwargs)

        return guarded

    return decorate


def _given(request: HttpRequest) -> str:
    """The token as it was sent: `Authorization: Bearer …`, or as GitLab's webhooks do."""
    sent = request.headers.get("Authorization", "")
    if sent.startswith(BEARER):
        return sent.removeprefix(BEARER).strip()
    return request.headers.get("X-Gitlab-Token", "")


@csrf_exempt  # no session and no cookie takes part: the token in a header is the proof
@never_cache
@_with_token(PER_MINUTE)
def import_hook(request: HttpRequest, token: ImportToken) -> HttpResponse:
    """Ask for an import: a .zip as the body, or JSON that names the pushed revision of the token's
    repository."""
    try:
        what = _archive(request) if _sends_archive(request) else _revision(request, token)
        asked = imports.ask(token.service, actor=None, token=token, folder=token.folder, **what)
    except _Malformed as malformed:
        return _no(400, str(malformed))
    except Refused as refused:
        return _no(409, str(refused))
    import_tokens.used(token)
    return JsonResponse(_state(request, asked), status=202)


@never_cache
@_with_token(LOOKS_PER_MINUTE)
def import_hook_state(request: HttpRequest, token: ImportToken, pk: int) -> HttpResponse:
    """How far an import is that was asked for with this token, and what it found."""
    asked = token.requests.select_related("run", "service").defer("archive").filter(pk=pk).first()
    if asked is None:
        return _no(404, _("Nothing was asked for under this number with this token."))
    return JsonResponse(_state(request, asked))


class _Malformed(Exception):
    """The request itself is wrong; the message says what it has to be."""


def _sends_archive(request: HttpRequest) -> bool:
    return request.content_type in ("application/zip", "application/x-zip-compressed")


def _archive(request: HttpRequest) -> dict[str, Any]:
    """The body, read no further than an archive may be long; the domain says that it is too long."""
    return {"archive": request.read(sources.LARGEST_ARCHIVE + 1), "source": "pipeline.zip"}


def _revision(request: HttpRequest, token: ImportToken) -> dict[str, Any]:
    if not token.source:
        raise _Malformed(_("This token names no repository: send a .zip with Content-Type application/zip."))
    body = request.read(LARGEST_JSON + 1)
    if len(body) > LARGEST_JSON:
        raise _Malformed(_("The body is longer than 64 kB."))
    try:
        said = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise _Malformed(_("The body is no JSON.")) from None
    if not isinstance(said, dict):
        raise _Malformed(_('The body has to be a JSON object, as {"revision": "…"}.'))
    revision = next((said[name] for name in REVISIONS if said.get(name)), "")
    if not isinstance(revision, str):
        raise _Malformed(_("The revision has to be a text."))
    return {"source": token.source, "revision": revision}


def _state(request: HttpRequest, asked: ImportRequest) -> dict[str, Any]:
    """One import as pipelines read it."""
    job, run = imports.job_of(asked), asked.run
    state = Job.State.DONE if run else Job.State(job.state) if job else Job.State.WAITING
    own = reverse("import_hook_state", args=[asked.pk])
    page = reverse("import_asked", args=[asked.service.name, asked.pk])
    found = {"commit": run.commit, "summary": run.summary, "problems": run.problems} if run else {}
    return {
        "import": asked.pk,
        "state": state.value,
        "sentence": job.sentence if job else "",
        "state_url": request.build_absolute_uri(own),
        "page": request.build_absolute_uri(page),
        **found,
    }


def _no(status: int, why: str) -> JsonResponse:
    return JsonResponse({"error": why}, status=status)
