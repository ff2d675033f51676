"""The scratch server as proofs use it: by an ordinary role, within bounds, tidied up behind the killed."""

from __future__ import annotations

import os

import psycopg
import pytest

from executor import prover
from executor.connect import Endpoint
from executor.prover import NotOrdinary, require_ordinary, workspace
from executor.restore import create_database, drop_database
from executor.schema.replay import File, Replay
from executor.schema.shadow import Shadow
from waqiti_rollback.embedded import HOST, Cluster
from waqiti_rollback.embedded.prover import PROVER, ensure_prover, prover_dsn

pytestmark = pytest.mark.integration


@pytest.fixture
def server(scratch_cluster: Cluster) -> str:
    """The scratch server, as the role for engineers' scripts."""
    ensure_prover(scratch_cluster)
    return prover_dsn(scratch_cluster)


def test_no_superuser_runs_what_nobody_approved(scratch_cluster: Cluster, server: str) -> None:
    with pytest.raises(NotOrdinary, match="superuser"):
        require_ordinary(scratch_cluster.superuser_dsn())
    require_ordinary(server)


def test_no_server_is_used_on_which_createrole_is_as_good_as_superuser(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prover, "OLDEST", 990000)  # as if this server were of an old version
    with pytest.raises(NotOrdinary, match="Before 16 a role with CREATEROLE"):
        require_ordinary(server)


def test_a_database_that_a_backup_is_restored_into_is_closed_to_the_prover(
    scratch_cluster: Cluster, server: str
) -> None:
    password = scratch_cluster.ensure_login("waqiti_scratch", "CREATEDB")
    login = Endpoint(HOST, scratch_cluster.port, "postgres", "waqiti_scratch", password)
    name = f"verification_{os.getpid()}"
    create_database(login, name)
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(scratch_cluster.dsn(name, PROVER, scratch_cluster.login_password(PROVER))).close()
    finally:
        drop_database(login, name)


def test_what_takes_too_long_or_grows_too_large_is_ended(server: str) -> None:
    slow = File("V1__slow.sql", "SET statement_timeout = 0; SELECT pg_sleep(600)")
    with workspace(server, "slow", seconds=1) as bounds:
        replay = Replay(server, "slow")
        with pytest.raises(Exception, match=r"terminating connection|closed"):
            replay.behind([slow])
    assert bounds.exceeded == "It took longer than 1 seconds."
    with workspace(server, "large", most=1) as bounds:
        shadow = Shadow(server)
        with pytest.raises(psycopg.OperationalError):
            shadow.connection.execute("SELECT pg_sleep(60)")
        shadow.drop()
    assert "bytes; 1 are allowed" in bounds.exceeded


def test_temporary_files_are_bounded_and_no_script_lifts_that(server: str) -> None:
    shadow = Shadow(server)
    try:
        assert shadow.connection.execute("SHOW temp_file_limit").fetchone() == ("5GB",)
        for command in ("SET temp_file_limit = -1", f"ALTER ROLE {PROVER} RESET temp_file_limit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shadow.connection.execute(command)
        shadow.connection.execute(f"ALTER ROLE {PROVER} RESET ALL")
        with shadow.copied() as copy:
            assert copy.connection.execute("SHOW temp_file_limit").fetchone() == ("5GB",)
    finally:
        shadow.drop()


def test_shadows_that_a_killed_worker_left_go_with_the_next_proof(server: str) -> None:
    left = Shadow(server)
    left.close()
    with workspace(server, "anything"), psycopg.connect(server) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname = %s", [left.name]
        ).fetchone()
    assert row == (0,)


FILES = [File("V1__one.sql", "CREATE TABLE one (id int)"), File("V2__two.sql", "CREATE TABLE two (id int)")]


def test_what_another_shadow_writes_on_this_one_counts_for_nothing(server: str) -> None:
    replay, other = Replay(server, "of one team"), Replay(server, "of another")
    with workspace(server, "of one team"):
        replay.behind(FILES[:1]).close()
        replay.behind(FILES[:1]).close()
        assert replay.replayed == 0, "what it says itself is believed"
        mark = f'{{"waqiti_rollback": ["{FILES[0].digest}", "{FILES[1].digest}"], "seal": "{"0" * 64}"}}'
        lie = f"COMMENT ON DATABASE {replay.name} IS '{mark}'"
        other.behind([File("V1__lie.sql", lie)]).close()
        shadow = replay.behind(FILES)
        assert replay.replayed == 2
        assert shadow.connection.execute("SELECT to_regclass('two')::text").fetchone() == ("two",)
        shadow.close()
    replay.forget()
    other.forget()


def test_a_search_path_that_a_script_leaves_behind_is_not_that_of_the_next_session(
    scratch_cluster: Cluster, server: str
) -> None:
    password = scratch_cluster.login_password(PROVER)
    login = Endpoint(HOST, scratch_cluster.port, "postgres", PROVER, password)
    shadow = Shadow(prover.conninfo(login))
    try:
        shadow.apply(
            f"DO $$BEGIN EXECUTE 'ALTER DATABASE {shadow.name} SET search_path = evil, pg_catalog'; END$$"
        )
        with shadow.copied() as copy:
            assert copy.connection.execute("SHOW search_path").fetchone() == ('"$user",public',)
        shadow.close()
        kept = Shadow.kept(shadow.server, shadow.name)
        assert kept is not None
        found = kept.connection.execute("SHOW search_path").fetchone()
        kept.close()
        assert found == ('"$user",public',)
    finally:
        shadow.drop()
