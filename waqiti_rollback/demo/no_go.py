"""Executions that others stop: by a dump of the target that runs, and by rows that were not committed.

This is no pretence either: pg_dump really runs, held up in the middle because nobody takes what it writes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from approvals.models import ExecutionStatus, RollbackRequest
from waqiti_rollback.embedded import Cluster, Estate
from waqiti_rollback.embedded.places import server_programs

from . import journey, stories
from .services import BY_NAME

HAS_ITS_LOCKS = """
    SELECT 1 FROM pg_stat_activity JOIN pg_locks USING (pid)
     WHERE application_name = 'pg_dump' AND datname = %s AND granted AND relation >= 16384"""


def stop_at_preflight(servers: Estate, rollback: RollbackRequest) -> None:
    """Ops start the approved rollback while somebody dumps its database. Raises journey.Stuck."""
    target = BY_NAME[rollback.rollback_targets.get().target.name]
    with _dump(servers.clusters[target.environment], target.database):
        stories.carry_out(rollback, ExecutionStatus.NO_EFFECT)


def stop_at_locks(servers: Estate, rollback: RollbackRequest) -> None:
    """Ops start the approved rollback while a session rests in its transaction. Raises journey.Stuck."""
    target = BY_NAME[rollback.rollback_targets.get().target.name]
    dsn = servers.clusters[target.environment].superuser_dsn(target.database)
    with psycopg.connect(dsn, application_name="nightly-clean-up") as somebody:
        somebody.execute("UPDATE wallets SET status = 'CLOSED' WHERE balance < 0")
        stories.carry_out(rollback, ExecutionStatus.NO_EFFECT)
        somebody.rollback()


@contextmanager
def _dump(cluster: Cluster, database: str) -> Iterator[None]:
    """A dump that has all its locks, and goes on no further."""
    where = conninfo_to_dict(cluster.superuser_dsn(database))
    environment = os.environ | {"PGPASSWORD": str(where.pop("password"))}
    argv = [str(server_programs() / "pg_dump"), "--dbname", make_conninfo("", **where)]
    reader, writer = _full_pipe()
    dump = subprocess.Popen(argv, stdout=writer, env=environment)
    try:
        with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:

            def runs() -> bool | None:
                return True if admin.execute(HAS_ITS_LOCKS, [database]).fetchone() else None

            journey.wait_for("pg_dump to have its locks", runs)
        yield
    finally:
        dump.kill()
        dump.wait()
        os.close(reader)
        os.close(writer)


def _full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more, so that whoever writes to it waits."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\0" * 4096)
    os.set_blocking(writer, True)
    return reader, writer
