"""A proxy between worker and target that delays, cuts or swallows what passes, as bad networks do.

It speaks no PostgreSQL: it waits until a client says something that holds `at`, and does its harm then, once.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from executor.connect import Endpoint
from waqiti_rollback.embedded import HOST

CHUNK = 65_536


class Fault(enum.Enum):
    """What happens to the words that hold `at`."""

    NONE = "passed on"
    DROP = "not passed on, and the connection is cut"
    CUT = "passed on, and the connection is cut before the answer comes"
    SWALLOW = "not passed on, and nothing else is, both ways, but nobody hangs up"
    MUTE = "passed on, but no answer is from then on"


@dataclass
class Proxy:
    """`reached` is set when the fault happened. With `away_after` everybody else is cut off then, and nobody
    gets through any more until `heal`."""

    to: Endpoint
    fault: Fault = Fault.NONE
    at: bytes = b""
    delay_s: float = 0.0
    away_after: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    _away: threading.Event = field(default_factory=threading.Event)
    _closing: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]
        self._threads[0].start()

    @property
    def endpoint(self) -> Endpoint:
        """The target, through this proxy."""
        return replace(self.to, host=HOST, port=self._listener.getsockname()[1])

    def heal(self) -> None:
        """Whoever connects from now on gets through, unharmed."""
        self._away.clear()

    def close(self) -> None:
        """Hang up on everybody."""
        self._closing.set()
        self._listener.close()
        with self._lock:
            sockets = list(self._open)
        for each in sockets:
            _hang_up(each)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closing.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._away.is_set():
                client.close()
                continue
            server = socket.create_connection((self.to.host, self.to.port))
            with self._lock:
                self._open += [client, server]
            thread = threading.Thread(target=self._pass, args=(client, server), name="proxy", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on until somebody hangs up; one thread for both ways, so that the order is that of events."""
        swallowing = muted = False
        try:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if self.delay_s:
                        time.sleep(self.delay_s)
                    if swallowing or (muted and source is server):
                        continue
                    fault = self.fault  # once: somebody may choose the next one meanwhile
                    if source is client and self._is_it(data):
                        if self.away_after:
                            self._cut_off_all_but(client, server)
                        if fault in (Fault.CUT, Fault.MUTE):
                            server.sendall(data)
                        if fault is Fault.CUT:
                            server.recv(CHUNK)
                        if fault in (Fault.CUT, Fault.DROP):
                            return
                        swallowing, muted = fault is Fault.SWALLOW, fault is Fault.MUTE
                        continue
                    (server if source is client else client).sendall(data)
        except (OSError, ValueError):  # hung up meanwhile, on one side or by close()
            return
        finally:
            _hang_up(client)
            _hang_up(server)

    def _cut_off_all_but(self, *these: socket.socket) -> None:
        with self._lock:
            others = [each for each in self._open if each not in these]
        for each in others:
            _hang_up(each)

    def _is_it(self, data: bytes) -> bool:
        with self._lock:
            if self.fault is Fault.NONE or self.reached.is_set() or self.at not in data:
                return False
            if self.away_after:
                self._away.set()
            self.reached.set()
            return True


def _hang_up(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextlib.contextmanager
def proxy(
    to: Endpoint,
    fault: Fault = Fault.NONE,
    at: bytes = b"",
    *,
    delay_s: float = 0.0,
    away_after: bool = False,
) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts."""
    made = Proxy(to, fault, at, delay_s, away_after)
    try:
        yield made
    finally:
        made.close()
