"""A shadow database for each test; a server of an older PostgreSQL where Debian's packages bring one."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from executor.children import Account
from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import HOST, Cluster, free_port
from waqiti_rollback.embedded.places import server_account

OLDER = Path(os.environ.get("OLDER_PG_BIN", "/usr/lib/postgresql/15/bin"))
"""Programs of the older PostgreSQL, as Debian installs them."""
SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=20",
    "shared_buffers=32MB",
    "track_commit_timestamp=on",  # unlike the others: both are tried
)


@pytest.fixture
def shadow(scratch_cluster: Cluster) -> Iterator[Shadow]:
    """An empty database on the scratch server."""
    made = Shadow(scratch_cluster.superuser_dsn())
    yield made
    made.drop()


@pytest.fixture(scope="session")
def older_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A libpq string of a server of the older PostgreSQL, made for this session."""
    if not (OLDER / "postgres").exists():
        pytest.skip(
            f"OLDER POSTGRESQL NOT TRIED: no server in {OLDER} (Debian: apt-get install postgresql-15)"
        )
    account = server_account()
    data = Path("/var/tmp" if account else tmp_path_factory.mktemp("older")) / f"older-{secrets.token_hex(4)}"
    data.mkdir(mode=0o700)
    if account is not None:
        os.chown(data, account.uid, account.gid)
    port = free_port()
    try:
        _run(account, "initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-N", "--locale=C.UTF-8")
        options = " ".join(f"-c {setting}" for setting in SETTINGS)
        options += f" -c listen_addresses={HOST} -c port={port} -c unix_socket_directories="
        _run(account, "pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
        try:
            yield make_conninfo("", host=HOST, port=port, user="postgres", dbname="postgres")
        finally:
            _run(account, "pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        subprocess.run(["rm", "-rf", str(data)], check=True)


@pytest.fixture
def older_shadow(older_server: str) -> Iterator[Shadow]:
    """An empty database on the older server."""
    made = Shadow(older_server)
    yield made
    made.drop()


def _run(account: Account | None, program: str, *arguments: str) -> None:
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    subprocess.run(
        [str(OLDER / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **identity
    )
