"""A form counts once: a double click or a reload of a sent form leads to the result of the first time.

Each form carries a random token (`{% once_token %}`). The first request with it claims a row of the session
table under a name made from it, which the primary key lets only one of them do; later ones wait for the
address that the first one answered with.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from .errors import Conflict

FIELD = "once"
KEEP = timedelta(days=1)
WAIT_SECONDS = 5.0


def new_token() -> str:
    """A token for one form of one page."""
    return secrets.token_urlsafe(16)


def run(request: HttpRequest, act: Callable[[], str]) -> str:
    """Call `act`, which returns the address to go to, unless this form was sent before; return the address.

    What `act` raises is passed on, and the form may be sent again. Raises Conflict if the first time is not
    done within seconds. A request without a token counts every time.
    """
    token = request.POST.get(FIELD, "")
    if not token:
        return act()
    # No session can have such a key: it holds a character that session keys never do.
    key = "once-" + hashlib.sha256(f"{request.user.pk} {request.path} {token}".encode()).hexdigest()[:35]
    if not _claim(key):
        return _result(key)
    try:
        address = act()
    except BaseException:
        Session.objects.filter(session_key=key).delete()
        raise
    Session.objects.filter(session_key=key).update(session_data=address)
    return address


def _claim(key: str) -> bool:
    try:
        with transaction.atomic():
            Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + KEEP)
    except IntegrityError:
        return False
    return True


def _result(key: str) -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        address = Session.objects.filter(session_key=key).values_list("session_data", flat=True).first()
        if address:
            return str(address)
        time.sleep(0.1)
    raise Conflict(_("This form was sent before and is still being worked on. Look again in a moment."))
