"""Real servers without installing any: four PostgreSQL clusters and a Valkey, from wheels.

Databases of one cluster share a system identifier and ALTER SYSTEM, so the portal, production, staging and
the scratch server are clusters of their own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import TextIO

from .clusters import Cluster, start_all, stop_all
from .making import SUPERUSER
from .places import HOST, EmbeddedError, free_port, port_is_free, server_home
from .server import Say, quiet
from .valkey import Valkey

__all__ = [
    "CLUSTERS",
    "HOST",
    "SUPERUSER",
    "Cluster",
    "EmbeddedError",
    "Estate",
    "EstateInUse",
    "Valkey",
    "free_port",
    "port_is_free",
    "start_all",
    "stop_all",
]

CLUSTERS = ("portal", "production", "staging", "scratch")


class EstateInUse(EmbeddedError):
    """Another process uses this directory's servers."""


class Estate:
    """All the servers of one directory. One process at a time holds it, from `hold` or `start` to `stop`.

    With `die_with_parent` the servers end when this process does, however it ends.
    """

    def __init__(self, directory: Path, *, durable: bool = True, die_with_parent: bool = False) -> None:
        self.directory = directory.resolve()
        self.die_with_parent = die_with_parent
        self.clusters = {name: Cluster(name, self.directory, durable=durable) for name in CLUSTERS}
        self.valkey = Valkey(self.directory)
        self._lock: TextIO | None = None

    @property
    def portal(self) -> Cluster:
        """The cluster of the portal's own database."""
        return self.clusters["portal"]

    @property
    def production(self) -> Cluster:
        """The cluster of the production targets."""
        return self.clusters["production"]

    @property
    def staging(self) -> Cluster:
        """The cluster of the staging targets and of rehearsal clones."""
        return self.clusters["staging"]

    @property
    def scratch(self) -> Cluster:
        """The cluster on which backups are verified and rollbacks proven."""
        return self.clusters["scratch"]

    @property
    def running(self) -> bool:
        """Whether every server runs."""
        return all(cluster.running for cluster in self.clusters.values()) and self.valkey.running

    def hold(self) -> None:
        """Make this process the one that uses the directory; released when it ends, however it ends.
        Raises EstateInUse, naming the holder."""
        if self._lock is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = (self.directory / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise EstateInUse(f"The servers of {self.directory} are in use by process {holder}.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def start(self, *, say: Say = quiet) -> None:
        """Start all servers side by side, with the data, passwords and (where still free) ports of the last
        time. Raises EstateInUse or EmbeddedError; then none of them is left running."""
        self.hold()
        home = server_home(self.directory)
        if home != self.directory:
            say(f"PostgreSQL refuses to run as root, and other accounts cannot enter {self.directory}:")
            say(f"its data is in {home}")
        try:
            start_all(self.clusters.values(), say=say, die_with_parent=self.die_with_parent)
            self.valkey.start(say=say, die_with_parent=self.die_with_parent)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all servers and release the directory."""
        self.valkey.stop()
        stop_all(self.clusters.values())
        self.release()

    def remove(self) -> None:
        """Stop all servers and delete the directory with everything in it. Raises EstateInUse."""
        self.hold()
        home = server_home(self.directory)
        self.valkey.stop()
        stop_all(self.clusters.values())
        for place in {home, self.directory}:
            shutil.rmtree(place)
        self.release()

    def __enter__(self) -> Estate:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
