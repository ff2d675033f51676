"""Browser tests whose portal has a worker of its own, so that it can be killed, stopped and kept waiting.

They are no part of tests/browser: the worker of the portal there takes whatever jobs are announced, as long
as that portal is there.
"""

from __future__ import annotations

from tests.browser.conftest import browser  # noqa: F401 (a fixture)
