"""What somebody sent after their session had ended: kept for them, and for them alone, until they signed in.

A form that is sent without a session does nothing. Its fields go into the browser's new, still nameless
session, with the person to whom the browser's last page was shown: a signed cookie says who that was. Signing
in carries the fields along; whoever signs in as somebody else never gets them, and throws them away.
docs/decisions/input-outlives-the-session.md says why it is done this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone

from . import once
from .models import User

COOKIE, SALT = "person", "approvals.kept"
SESSION_KEY = "kept_input"
KEEP = timedelta(hours=1)
# As much as Django takes in one form: what it took is never dropped for its size.
LONGEST = 2_621_440
# Tokens belong to the page that they were made for; proofs of who one is are never written down.
LEFT_OUT = frozenset({"csrfmiddlewaretoken", once.FIELD, "secret", "otp", "code"})
# Where people prove who they are: nothing from there is kept at all.
NEVER = ("account_", "mfa_", "confirm")


class Fields(QueryDict):
    """Fields that were kept: a form shows them again and takes them for nothing that was sent."""


@dataclass(frozen=True)
class Kept:
    """One form as it was sent: where to, when, with which fields; `files` are the names of those left out."""

    path: str
    name: str
    at: datetime
    fields: dict[str, list[str]]
    files: list[str]


def remember(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser say later, signed, to whom its last page was shown."""
    if isinstance(request.user, User) and _person(request) != request.user.pk:
        response.set_signed_cookie(
            COOKIE,
            str(request.user.pk),
            salt=SALT,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )


def keep(request: HttpRequest) -> bool:
    """Keep what was sent without a session; False where nobody knows for whom, or nothing may be kept."""
    person, match = _person(request), request.resolver_match
    if person is None or match is None or (match.view_name or "").startswith(NEVER):
        return False
    fields = {name: request.POST.getlist(name) for name in request.POST if not _left_out(name)}
    if sum(len(text.encode()) for texts in fields.values() for text in texts) > LONGEST:
        return False
    request.session[SESSION_KEY] = {
        "person": person,
        "path": request.get_full_path(),
        "name": match.view_name,
        "at": timezone.now().isoformat(),
        "fields": fields,
        "files": [file.name for files in request.FILES.lists() for file in files[1]],
        "state": "",
    }
    return True


def _left_out(name: str) -> bool:
    return name.lower() in LEFT_OUT or "password" in name.lower()


def _person(request: HttpRequest) -> int | None:
    """To whom the last page of this browser was shown; None if nobody or nobody's signature says so."""
    found = request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=timedelta(days=7))
    return int(found) if found else None


def find(request: HttpRequest) -> Kept | None:
    """What is kept for this person. What is another's, or an hour old, is thrown away instead."""
    entry = _entry(request)
    if entry is None:
        return None
    at = datetime.fromisoformat(entry["at"])
    return Kept(entry["path"], entry["name"], at, entry["fields"], entry["files"])


def _entry(request: HttpRequest) -> dict[str, Any] | None:
    session = getattr(request, "session", None)
    entry: dict[str, Any] | None = session.get(SESSION_KEY) if session is not None else None
    if entry is None or not isinstance(request.user, User):
        return None
    too_old = timezone.now() - datetime.fromisoformat(entry["at"]) > KEEP
    if too_old or entry["person"] != request.user.pk:
        del request.session[SESSION_KEY]
        return None
    return entry


def refill(request: HttpRequest) -> Fields | None:
    """The kept fields for the page that is being opened, which thereby has them: they are kept no longer."""
    entry = _entry(request)
    if entry is None or request.method != "GET" or entry["path"] != request.get_full_path():
        return None
    del request.session[SESSION_KEY]
    fields = Fields(mutable=True)
    for name, texts in entry["fields"].items():
        fields.setlist(name, texts)
    return fields


def try_page(request: HttpRequest) -> bool:
    """True the first time: the page of the form gets its chance to show the fields (see `refill`)."""
    entry = _entry(request)
    if entry is None or entry["state"]:
        return False
    request.session[SESSION_KEY] = entry | {"state": "tried"}
    return True


def was_not_shown(request: HttpRequest) -> bool:
    """The page of the form was opened and has no field for it: the general page has to show it."""
    entry = _entry(request)
    if entry is None or entry["state"] != "tried" or entry["path"] != request.get_full_path():
        return False
    request.session[SESSION_KEY] = entry | {"state": "shown"}
    return True


def forget_sent(request: HttpRequest) -> None:
    """A form was sent to where the kept one was going: that one is settled."""
    entry = _entry(request)
    if entry is not None and entry["path"] == request.get_full_path():
        del request.session[SESSION_KEY]
