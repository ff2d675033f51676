"""Step-up: proof, at most five minutes old, that whoever decides is who signed in.

A decision page sends people to the URL `confirm` with `next`, and hands `confirmed_at(request)` to the
domain, which judges its age. The proof belongs to the session and to the person; signing out ends it.

Here plugs in the second factor: append a `Proof` to PROOFS. Each proof reads what it needs from the posted
form and returns why it does not hold, or nothing; all of them must hold before the time is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from . import audit
from .errors import Denied
from .models import AuditEvent, User

Proof = Callable[[User, Mapping[str, str]], str]

ACTION = "identity.confirmed"
SESSION_KEY = "identity_confirmed"
ATTEMPTS = 5
WINDOW = timedelta(minutes=5)


class TooManyAttempts(Denied):
    """Too many wrong answers lately; nothing is tried until some time has passed."""


def password(user: User, posted: Mapping[str, str]) -> str:
    """The password, once more."""
    return "" if user.check_password(posted.get("password", "")) else _("This is not your password.")


PROOFS: list[Proof] = [password]


def confirm(request: HttpRequest, user: User) -> datetime:
    """Check every proof in the posted form and note the time in the session; returns it.

    Wrong answers are audited, and five of them within five minutes stop further ones, whatever session or
    process they come from. Raises Denied or TooManyAttempts.
    """
    with audit.unit_of_work(ACTION, actor=user):
        locked = User.objects.select_for_update().get(pk=user.pk)  # attempts of one person queue
        if _failures(locked) >= ATTEMPTS:
            raise TooManyAttempts(_("Too many wrong answers. Try again in five minutes."))
        for proof in PROOFS:
            if problem := proof(locked, request.POST):
                raise Denied(problem)
    now = timezone.now()
    request.session[SESSION_KEY] = {"user": user.pk, "at": now.isoformat()}
    return now


def confirmed_at(request: HttpRequest) -> datetime | None:
    """When this person last proved who they are in this session; None if never or too long ago."""
    kept = request.session.get(SESSION_KEY)
    if not kept or kept["user"] != request.user.pk:
        return None
    at = datetime.fromisoformat(kept["at"])
    return at if timezone.now() - at <= timedelta(seconds=settings.STEP_UP_SECONDS) else None


def _failures(user: User) -> int:
    since = (timezone.now() - WINDOW).isoformat(timespec="microseconds")
    return AuditEvent.objects.filter(action=f"{ACTION}.denied", actor=user.username, at__gte=since).count()
