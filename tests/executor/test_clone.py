"""A rehearsal clone: a restored copy with the marker, in which an execution runs as on the target."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from approvals.masks import Masking
from executor import backup
from executor.clone import KEPT, copy_kept, drop_clone, make_kept
from executor.connect import Endpoint, connect
from executor.errors import CloneFailed, ConnectFailed
from executor.marker import EXECUTOR, Setup
from executor.run import run
from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, OWNER, STATUS_IS_GONE, Recording, Target, check, spec
from waqiti_rollback.embedded import Cluster


def setup_in(name: str) -> Setup:
    return Setup(OWNER, name, server_version=180000)


@pytest.fixture
def kept(target: Target, staging: Endpoint, tmp_path: Path, leaves_no_clone: None) -> Iterator[str]:
    """A clone of the target of which copies are made."""
    made = backup.dump(target.backup, tmp_path, "rehearsal")
    name = f"{KEPT}{secrets.token_hex(16)}"
    make_kept(made.path, staging, name, setup=setup_in(name), masking=Masking())
    yield name
    drop_clone(staging, name)


def copied(staging: Endpoint, kept: str, name: str = "") -> Endpoint:
    name = name or f"waqiti_rehearsal_{secrets.token_hex(16)}"
    return copy_kept(staging, kept, name, owner_role=OWNER, guests=[EXECUTOR])


def test_an_execution_runs_in_a_copy_and_leaves_target_and_other_copies_alone(
    target: Target, staging: Endpoint, kept: str, staging_cluster: Cluster
) -> None:
    before = target.fingerprint()
    first = copied(staging, kept)
    made = [first.dbname]
    try:
        executor = replace(first, user=EXECUTOR, password=staging_cluster.login_password(EXECUTOR))
        rehearsal = spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE)])
        result = run(rehearsal, executor, Recording())
        assert result.outcome is Outcome.SUCCEEDED, result.sentence
        with contextlib.closing(connect(first)) as connection:
            assert connection.execute(STATUS_IS_GONE[0]).fetchone() == (0,)
            owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(owner).fetchall() == [(OWNER,)]
        second = copied(staging, kept)
        made.append(second.dbname)
        with contextlib.closing(connect(second)) as connection:
            assert connection.execute(STATUS_IS_GONE[0]).fetchone() == (1,)
            owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
            assert connection.execute(owner).fetchall() == [(OWNER,)]
            public = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'"
            assert connection.execute(public).fetchall() == [("pg_database_owner",)]
    finally:
        for name in made:
            drop_clone(staging, name)
    assert target.fingerprint() == before
    drop_clone(staging, first.dbname)  # gone already: nothing happens


def test_nobody_but_its_maker_enters_a_kept_clone_and_only_the_executor_its_copies(
    staging: Endpoint, kept: str, staging_cluster: Cluster
) -> None:
    owner = staging_cluster.ensure_login("member_of_owner")
    with psycopg.connect(staging_cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"GRANT {OWNER} TO member_of_owner")
    stranger = replace(staging, user="stranger", password=staging_cluster.ensure_login("stranger"))
    member = replace(staging, user="member_of_owner", password=owner)
    for login in (stranger, member, staging):
        with pytest.raises(ConnectFailed):
            connect(login.on(kept))
    with (
        contextlib.closing(connect(member)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true")
    copy = copied(staging, kept, "waqiti_rehearsal_ab")
    with pytest.raises(ConnectFailed):
        connect(replace(copy, user="stranger", password=stranger.password))
    with contextlib.closing(connect(copy)):
        drop_clone(staging, "waqiti_rehearsal_ab")  # while somebody is connected


def test_a_dump_that_does_not_restore_leaves_no_clone(
    staging: Endpoint, tmp_path: Path, leaves_no_clone: None
) -> None:
    broken = tmp_path / "broken.dump"
    broken.write_bytes(b"PGDMP is not enough")
    with pytest.raises(CloneFailed, match="could not be made"):
        make_kept(broken, staging, "waqiti_kept_00ff", setup=setup_in("waqiti_kept_00ff"), masking=Masking())


@pytest.mark.parametrize("name", ["postgres", "wallet", "waqiti_rehearsal_", "waqiti_rehearsal_xyz; --", ""])
def test_only_clones_are_made_copied_and_dropped(staging: Endpoint, tmp_path: Path, name: str) -> None:
    with pytest.raises(CloneFailed):
        drop_clone(staging, name)
    with pytest.raises(CloneFailed):
        make_kept(tmp_path, staging, name, setup=setup_in(name), masking=Masking())
    with pytest.raises(CloneFailed):
        copied(staging, "postgres", name or "x")
