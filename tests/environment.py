"""The environment of a test session: a directory of servers, and what Django reads before it starts.

Directory, ports and passwords are settled here, at once; the servers are started by the first test that needs
one (tests/servers.py), so that unit tests run without any.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from waqiti_rollback.embedded import Estate, EstateInUse, places

LOCAL = Path(__file__).resolve().parent.parent / ".local"
PORTAL_DATABASE = "portal"
WEB_ROLE = "waqiti_web"
TESTS_ROLE = "waqiti_tests"
"""What tests sign in as: it may do what web and worker may (tests/servers.py, tests/as_web.py)."""


# Of processes side by side (tests/side_by_side.py) each looks for free ports in a part of its own: what one
# has found free, another can't take before it is used.
_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
places.PORTS = places.PORTS[int(_PROCESS) % _PROCESSES :: _PROCESSES]


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


def publish() -> None:
    """Say in the environment where the servers are, or will be; tell settings that are loaded already.

    Those of a pytest-xdist worker are: with the addresses of the session that started it. And a port that
    somebody takes before our servers start is another one afterwards.
    """
    password = ESTATE.portal.login_password(TESTS_ROLE)
    database_url = ESTATE.portal.url(PORTAL_DATABASE, TESTS_ROLE, password)
    os.environ.update(DATABASE_URL=database_url, CELERY_BROKER_URL=ESTATE.valkey.url)
    from django.conf import settings

    if not settings.configured:
        return
    from django.db import connections

    from waqiti_rollback.celery import app

    address = {"PORT": ESTATE.portal.port, "PASSWORD": password}
    connections.settings["default"].update(address)
    settings.DATABASE_URL = database_url
    settings.CELERY_BROKER_URL = app.conf.broker_url = ESTATE.valkey.url


ESTATE = hold_estate()
os.environ.update(
    DJANGO_SETTINGS_MODULE="waqiti_rollback.settings",
    WAQITI_ENV="test",
    SECRET_KEY="only for tests, never for a portal that anybody can reach",
    ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
)
publish()
