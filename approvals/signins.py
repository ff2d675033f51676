"""Signing in and out, on record: whoever did is an event of the chain; who failed to is nobody yet.

Failed attempts are written to the log and counted, never chained: without an account, too, anybody could make
the chain grow. What was counted for an account stands in the event of its next sign-in.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.signals import password_changed, user_logged_in
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.core.cache import cache
from django.dispatch import receiver
from django.http import HttpRequest

from . import audit, limits
from .models import User

log = logging.getLogger(__name__)

COUNTED_SECONDS = 7 * 24 * 3600


@receiver(user_logged_in)
def signed_in(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """Record that somebody signed in, and how many attempts failed since they last did."""
    failed_before = cache.get(_key(user), 0)
    with audit.unit_of_work("session.began", actor=user) as facts:
        facts["failed_before"] = failed_before
    cache.delete(_key(user))


@receiver(user_logged_out)
def signed_out(sender: object, request: HttpRequest, user: User | None, **_: Any) -> None:
    """Record that somebody signed out."""
    if user is not None:
        with audit.unit_of_work("session.ended", actor=user):
            pass


@receiver(password_changed)
def changed_password(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """Record that somebody changed their password."""
    with audit.unit_of_work("account.password_changed", actor=user):
        pass


@receiver(user_login_failed)
def failed(sender: object, credentials: dict[str, Any], **_: Any) -> None:
    """Count and log a failed attempt. A name that no account has may be a password: it is not written."""
    user = User.objects.filter(username__iexact=credentials.get("username") or "").first()
    if user is None:
        log.warning("a sign-in failed: no account of this name")
        return
    failures = limits.count(_key(user), seconds=COUNTED_SECONDS)
    log.warning("a sign-in as %s failed, %d since the last one", user.username, failures)


def _key(user: User) -> str:
    return f"failed-sign-ins:{user.pk}"
