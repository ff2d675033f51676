"""The scratch server as proofs use it: by an ordinary role, within bounds, tidied up behind the killed."""

from __future__ import annotations

import os

import psycopg
import pytest

from executor import prover, proving
from executor.connect import Endpoint
from executor.prover import NotOrdinary, require_ordinary, workspace
from executor.restore import create_database, drop_database
from executor.schema import tenant
from executor.schema.replay import DoesNotReplay, File, Replay
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
    shadow = Shadow(server, role=Replay(server, "of one who sorts").role)
    try:
        assert shadow.connection.execute("SHOW temp_file_limit").fetchone() == ("5GB",)
        for command in ("SET temp_file_limit = -1", "ALTER ROLE CURRENT_USER RESET temp_file_limit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shadow.connection.execute(command)
        shadow.connection.execute("ALTER ROLE CURRENT_USER RESET ALL")
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


def test_what_anybody_else_writes_on_a_shadow_counts_for_nothing(server: str) -> None:
    replay = Replay(server, "of one team")
    with workspace(server, "of one team"):
        replay.behind(FILES[:1]).close()
        replay.behind(FILES[:1]).close()
        assert replay.replayed == 0, "what it says itself is believed"
        mark = f'{{"waqiti_rollback": ["{FILES[0].digest}", "{FILES[1].digest}"], "seal": "{"0" * 64}"}}'
        with psycopg.connect(tenant.dsn(server, replay.role, replay.name), autocommit=True) as connection:
            connection.execute(f"COMMENT ON DATABASE {replay.name} IS '{mark}'")
        shadow = replay.behind(FILES)
        assert replay.replayed == 2
        assert shadow.connection.execute("SELECT to_regclass('two')::text").fetchone() == ("two",)
        shadow.close()
    replay.forget()


HOSTILE = (
    "ALTER TABLE one OWNER TO {role}",
    "DO $$BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'; END$$",
    "DO $$BEGIN EXECUTE 'ALTER DATABASE {role} SET search_path = evil'; END$$",
    "DO $$BEGIN EXECUTE 'COMMENT ON DATABASE {role} IS NULL'; END$$",
    "DO $$BEGIN EXECUTE 'ALTER ROLE {role} PASSWORD NULL'; END$$",
    "DO $$BEGIN EXECUTE 'ALTER ROLE waqiti_prover PASSWORD NULL'; END$$",
    "DO $$BEGIN EXECUTE 'GRANT {role} TO CURRENT_USER'; END$$",
    "DO $$BEGIN EXECUTE 'SET ROLE waqiti_prover'; END$$",
    "DO $$BEGIN EXECUTE 'ALTER ROLE CURRENT_USER SET temp_file_limit = -1'; END$$",
)


def test_files_of_one_service_reach_no_other_service_and_not_the_login(server: str) -> None:
    mine, other = Replay(server, "of a hostile team"), Replay(server, "of its victim")
    victim = other.behind(FILES[:1])
    try:
        assert other.role not in ("", mine.role)
        assert victim.connection.info.user == other.role
        for number, text in enumerate(HOSTILE):
            evil = File(f"V2__{number}.sql", text.format(role=other.role))
            with pytest.raises(DoesNotReplay, match="42501"):
                mine.behind([FILES[0], evil]).close()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(tenant.dsn(server, mine.role, victim.name)).close()
        assert victim.connection.execute("SELECT to_regclass('one')::text").fetchone() == ("one",)
    finally:
        victim.close()
        mine.forget()
        other.forget()


def test_roles_that_files_of_two_services_name_belong_to_things_of_both(server: str) -> None:
    role = f"app_{os.getpid()}"
    makes = f"DO $$BEGIN IF to_regrole('{role}') IS NULL THEN EXECUTE 'CREATE ROLE {role}'; END IF; END$$"
    makes += f"; GRANT CREATE ON SCHEMA public TO {role}"
    named = f"GRANT USAGE ON SCHEMA public TO {role}_too; ALTER TABLE one OWNER TO {role}_too"
    files = [
        FILES[0],
        File("V2__role.sql", f"{makes}; ALTER TABLE one OWNER TO {role}; SET ROLE {role}"),
        File("V3__more.sql", named),
    ]
    for team in ("one", "another", "one"):
        replay = Replay(server, f"of {team} with roles")
        replay.behind(files).close()
        replay.forget()


def test_the_clone_of_a_live_schema_belongs_to_the_role_of_its_service(
    scratch_cluster: Cluster, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = scratch_cluster.login_password(PROVER)
    login = Endpoint(HOST, scratch_cluster.port, "postgres", PROVER, password)
    monkeypatch.setattr(proving.credentials, "prover", lambda: login)
    live, replay = Shadow(server), Replay(server, "of a live schema")
    live.apply("CREATE TABLE wallets (id int)")
    shadow = Shadow(server, role=replay.role)
    try:
        proving.clone_structure(login.on(live.name), shadow)
        shadow.apply("ALTER TABLE wallets ADD COLUMN note text")
    finally:
        shadow.drop()
        live.drop()


def test_a_shadow_of_a_time_before_each_service_had_a_role_is_made_anew(server: str) -> None:
    replay = Replay(server, "of old")
    Shadow(server, name=replay.name).close()
    shadow = replay.behind(FILES)
    assert (replay.replayed, shadow.connection.info.user) == (2, replay.role)
    shadow.drop()


def test_a_login_that_may_not_bound_roles_runs_files_itself(
    scratch_cluster: Cluster, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant, "OLDEST", 990000)
    replay = Replay(server, "of a login alone")
    assert replay.role == ""
    replay.behind(FILES).close()
    replay.forget()
    assert Replay(scratch_cluster.superuser_dsn(), "of a superuser").role == ""


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
