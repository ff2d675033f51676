"""Give Django its environment before it reads its settings, and load the fixtures."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck
from hypothesis import settings as examples

import tests.environment  # noqa: F401 (sets os.environ; must be the first)

pytest_plugins = ["tests.servers", "tests.side_by_side"]


def pytest_configure() -> None:
    """Load the settings: pytest-django sets Django up only where somebody has.

    And listen to Ctrl-C: a session that a script starts in the background inherits that it is ignored, and
    the processes it starts would, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from django.conf import settings

    # How long an example takes on a busy machine says nothing of the code.
    slowness = {*examples.default.suppress_health_check, HealthCheck.too_slow}
    examples.register_profile("unhurried", examples.default, deadline=None, suppress_health_check=slowness)
    examples.load_profile("unhurried")

    assert settings.WAQITI_ENV == "test"
    settings.MIDDLEWARE = ["tests.as_web.WebRights", *settings.MIDDLEWARE]
