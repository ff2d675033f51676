"""Tell the recorder what happens, and stop the attempt when the portal can't keep up with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ParamSpec

from executor.connect import Connection
from executor.ending import PortalFailed
from executor.errors import masked
from executor.spec import Level, Recorder

log = logging.getLogger(__name__)
P = ParamSpec("P")

NOTICES = 200
"""Lines of the server's notices that go into the log; a loop can raise a million."""


class Telling:
    """Calls the recorder. Its failure, or a write of more than `limit_s` while locks are held on the target,
    raises PortalFailed until `past_return` is set; from then on it is only logged."""

    def __init__(self, recorder: Recorder, limit_s: float, *secrets: str) -> None:
        self.recorder = recorder
        self.past_return = False
        self._limit_s = limit_s
        self._secrets = secrets
        self._notices: list[str] = []
        self._noticed = 0

    def __call__(self, method: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        started = time.monotonic()
        try:
            method(*args, **kwargs)
        except Exception as error:
            if not self.past_return:
                raise PortalFailed(f"The portal could not record it ({type(error).__name__}).") from error
            log.warning("The portal could not record what happened after COMMIT", exc_info=True)
        took = time.monotonic() - started
        if took > self._limit_s and not self.past_return:
            raise PortalFailed(
                f"The portal took {took:.1f} s to record it, {self._limit_s:.1f} s are allowed."
            )

    def line(self, level: Level, text: str) -> None:
        """One line for the execution's log, without secrets."""
        self(self.recorder.log, level, masked(text, *self._secrets))

    def listen(self, connection: Connection) -> None:
        """Collect the server's notices; `flush` passes them on, because a handler must not raise."""
        connection.add_notice_handler(
            lambda notice: self._keep(f"{notice.severity}: {notice.message_primary}")
        )

    def flush(self) -> None:
        """Pass on the notices that came with the last statement."""
        notices, self._notices = self._notices, []
        for text in notices:
            self.line("info", text)

    def _keep(self, text: str) -> None:
        self._noticed += 1
        if self._noticed <= NOTICES:
            self._notices.append(text)
        elif self._noticed == NOTICES + 1:
            self._notices.append(f"More than {NOTICES} notices; the others are left out.")
