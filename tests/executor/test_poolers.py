"""A connection pooler between worker and target is noticed before anything happens, whatever its mode.

Through transaction pooling two clients can both “get” one session lock, and a SET reaches the next client.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.children import spawn
from executor.connect import Endpoint
from executor.run import run
from executor.spec import Outcome
from tests.executor.standby import reachable
from tests.executor.target import DROP_STATUS, Recording, Target, spec
from waqiti_rollback.embedded import HOST, free_port
from waqiti_rollback.embedded.places import server_account

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed"),
]


@contextlib.contextmanager
def pooled(to: Endpoint, mode: str) -> Iterator[Endpoint]:
    """The target behind a pgbouncer."""
    account, port = server_account(), free_port()
    with tempfile.TemporaryDirectory(prefix="waqiti-pgbouncer-", dir="/var/tmp") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"""[databases]
{to.dbname} = host={to.host} port={to.port} user={to.user} password={to.password}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = options,extra_float_digits
unix_socket_dir =
"""
        )
        if account:
            for path in (folder, config):
                os.chown(path, account.uid, account.gid)
        pooler = spawn(
            [PGBOUNCER, "-q", config],
            account=account,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            endpoint = replace(to, host=HOST, port=port)
            reachable(endpoint)
            yield endpoint
        finally:
            pooler.send_signal(signal.SIGKILL)
            pooler.wait()


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_a_pooler_is_refused_and_nothing_happens(target: Target, mode: str) -> None:
    before = target.fingerprint()
    attempt = spec(DROP_STATUS)
    with pooled(target.executor, mode) as through:
        result = run(attempt, through, Recording())
    assert result.outcome is Outcome.NO_EFFECT, result.sentence
    assert "pooler" in result.sentence
    assert target.fingerprint() == before
    assert target.marker_of(attempt) is None
