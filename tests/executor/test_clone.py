"""A rehearsal clone: a restored copy with the marker, in which an execution runs as on the target."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executor import backup
from executor.clone import drop_clone, make_clone
from executor.connect import Endpoint, connect
from executor.errors import CloneFailed
from executor.marker import BACKUP, CLONER, EXECUTOR, Setup, install
from executor.run import run
from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, OWNER, SCHEMA, STATUS_IS_GONE, Recording, Target, check, spec
from waqiti_rollback.embedded import HOST, Cluster


@pytest.fixture(scope="module")
def staging(staging_cluster: Cluster) -> Endpoint:
    """The login that makes clones on the staging server, prepared by the same setup as a target."""
    passwords = {role: staging_cluster.login_password(role) for role in (EXECUTOR, BACKUP, CLONER)}
    with psycopg.connect(staging_cluster.superuser_dsn(), autocommit=True) as admin:
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone():
            admin.execute(f"CREATE ROLE {OWNER}")
        admin.execute(f"CREATE DATABASE staging_wallet OWNER {OWNER}")
    with psycopg.connect(staging_cluster.superuser_dsn("staging_wallet"), autocommit=True) as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute(SCHEMA)
        connection.execute("RESET ROLE")
        install(connection, Setup(OWNER, "staging_wallet", clone_role=CLONER), passwords=passwords)
    PASSWORDS.update(passwords)
    return Endpoint(HOST, staging_cluster.port, "postgres", CLONER, passwords[CLONER])


PASSWORDS: dict[str, str] = {}


def clones_on(server: Endpoint) -> list[str]:
    with contextlib.closing(connect(server)) as connection:
        query = "SELECT datname FROM pg_database WHERE datname LIKE 'waqiti_rehearsal%'"
        return [row[0] for row in connection.execute(query).fetchall()]


def test_an_execution_runs_in_the_clone_and_leaves_the_target_alone(
    target: Target, staging: Endpoint, tmp_path: Path
) -> None:
    before = target.fingerprint()
    made = backup.dump(target.backup, tmp_path, "rehearsal")
    name = f"waqiti_rehearsal_{secrets.token_hex(16)}"
    clone = make_clone(made.path, staging, name, owner_role=OWNER)
    try:
        executor = replace(clone, user=EXECUTOR, password=PASSWORDS[EXECUTOR])
        rehearsal = spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)])
        result = run(rehearsal, executor, Recording())
        assert result.outcome is Outcome.SUCCEEDED, result.sentence
        with contextlib.closing(connect(clone)) as connection:
            assert connection.execute(STATUS_IS_GONE[0]).fetchone() == (0,)
            owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(owner).fetchall() == [(OWNER,)]
    finally:
        drop_clone(staging, name)
    assert clones_on(staging) == []
    assert target.fingerprint() == before
    drop_clone(staging, name)  # gone already: nothing happens


def test_a_dump_that_does_not_restore_leaves_no_clone(staging: Endpoint, tmp_path: Path) -> None:
    broken = tmp_path / "broken.dump"
    broken.write_bytes(b"PGDMP is not enough")
    with pytest.raises(CloneFailed, match="could not be made"):
        make_clone(broken, staging, "waqiti_rehearsal_00ff", owner_role=OWNER)
    assert clones_on(staging) == []


@pytest.mark.parametrize("name", ["postgres", "wallet", "waqiti_rehearsal_", "waqiti_rehearsal_xyz; --", ""])
def test_only_clones_are_made_and_dropped(staging: Endpoint, tmp_path: Path, name: str) -> None:
    with pytest.raises(CloneFailed):
        drop_clone(staging, name)
    with pytest.raises(CloneFailed):
        make_clone(tmp_path, staging, name, owner_role=OWNER)


def test_a_clone_goes_while_somebody_is_connected(target: Target, staging: Endpoint, tmp_path: Path) -> None:
    made = backup.dump(target.backup, tmp_path, "busy")
    clone = make_clone(made.path, staging, "waqiti_rehearsal_ab", owner_role=OWNER)
    with contextlib.closing(connect(clone)):
        drop_clone(staging, "waqiti_rehearsal_ab")
    assert clones_on(staging) == []
