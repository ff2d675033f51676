"""The environment of a test session: a directory of servers, and what Django reads before it starts.

Directory, ports and passwords are settled here, at once; the servers are started by the first test that needs
one (tests/servers.py), so that unit tests run without any.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from waqiti_rollback.embedded import Estate, EstateInUse

LOCAL = Path(__file__).resolve().parent.parent / ".local"
PORTAL_DATABASE = "portal"
WEB_ROLE = "waqiti_web"


def hold_estate() -> Estate:
    """The first directory of servers that no other test session uses. Sessions share none, so an ALTER SYSTEM
    or a crash in one is not seen in another; the next session finds warm data."""
    for number in count(1):
        name = "test" if number == 1 else f"test-{number}"
        estate = Estate(LOCAL / name, durable=False, die_with_parent=True)
        try:
            estate.hold()
        except EstateInUse:
            continue
        return estate
    raise AssertionError("unreachable")


ESTATE = hold_estate()
os.environ.update(
    DJANGO_SETTINGS_MODULE="waqiti_rollback.settings",
    WAQITI_ENV="test",
    SECRET_KEY="only for tests, never for a portal that anybody can reach",
    ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
    DATABASE_URL=ESTATE.portal.url(PORTAL_DATABASE, WEB_ROLE, ESTATE.portal.login_password(WEB_ROLE)),
    CELERY_BROKER_URL=ESTATE.valkey.url,
)
