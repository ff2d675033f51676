"""A hot standby of a test cluster, made with pg_basebackup: in contact with its primary, or cut off."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from executor.children import spawn
from executor.connect import Endpoint, connect
from executor.errors import ConnectFailed
from executor.pgtools import tool
from waqiti_rollback.embedded import Cluster, free_port
from waqiti_rollback.embedded.places import server_account, server_programs


@contextlib.contextmanager
def standby_of(cluster: Cluster, *, cut_off: bool = False) -> Iterator[int]:
    """A standby on a port of its own, run as the servers' account. One that is cut off never hears of what
    the primary does from now on."""
    account = server_account()
    place = Path("/var/tmp") / f"waqiti-test-standby-{os.getpid()}"
    port = free_port()
    try:
        subprocess.run(
            [tool("pg_basebackup"), "-d", cluster.superuser_dsn(), "-D", place, "-R", "--checkpoint=fast",
             "--no-sync"],
            check=True, capture_output=True,
        )  # fmt: skip
        if account:
            for path in [place, *place.rglob("*")]:
                os.chown(path, account.uid, account.gid)
        settings = [f"port={port}", *(["primary_conninfo="] if cut_off else [])]
        server = spawn(
            [
                server_programs() / "postgres",
                "-D",
                place,
                *(word for setting in settings for word in ("-c", setting)),
            ],
            account=account,
            cwd=Path("/"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def reachable(endpoint: Endpoint) -> None:
    """Wait until it answers."""
    until = time.monotonic() + 60
    while True:
        try:
            connect(endpoint).close()
            return
        except ConnectFailed:
            assert time.monotonic() < until
            time.sleep(0.1)
