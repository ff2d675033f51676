"""A connection goes straight to the primary, as an ordinary role, and keeps its password to itself."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executor.connect import Endpoint, SocketCut, connect, identity, refuse_unfit
from executor.errors import ConnectFailed, WrongServer, masked, plain
from executor.run import run
from executor.spec import Outcome
from tests.executor.standby import reachable, standby_of
from tests.executor.target import DROP_STATUS, Recording, Target, spec
from waqiti_rollback.embedded import Cluster


def test_the_password_is_in_no_repr_and_no_error(target: Target) -> None:
    endpoint = replace(target.executor, password="s3cret-and-long")
    assert "s3cret" not in repr(endpoint) + str(endpoint)
    with pytest.raises(ConnectFailed) as error:
        connect(endpoint)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None


def test_messages_are_masked() -> None:
    text = "dsn host=a password='it''s' user=b and postgres://me:pa55@host/db and PASSWORD: x"
    clean = masked(text + " token-123", "token-123")
    for secret in ("it's", "pa55", "token-123", "x"):
        assert secret not in clean.replace("postgres", "").split()
    assert plain(ValueError("two\n  lines")) == "two lines"


def test_who_answers(target: Target) -> None:
    with contextlib.closing(connect(target.executor)) as connection:
        who = identity(connection)
        assert who.system_identifier == target.value(
            "SELECT system_identifier::text FROM pg_control_system()"
        )
        assert who.database_oid == target.value(
            "SELECT oid::int FROM pg_database WHERE datname = current_database()"
        )
        assert who.timeline == 1
        assert who.backend_pid == connection.info.backend_pid
        assert not who.superuser
        refuse_unfit(who, client_pid=connection.info.backend_pid)
        refuse_unfit(
            who,
            client_pid=who.backend_pid,
            system_identifier=who.system_identifier,
            database_oid=who.database_oid,
        )


def test_unfit_servers_are_refused_each_in_its_words(target: Target) -> None:
    with contextlib.closing(connect(target.executor)) as connection:
        who = identity(connection)
    for changed, words in (
        (replace(who, in_recovery=True), "standby"),
        (replace(who, superuser=True), "superuser"),
        (replace(who, version=130010), "14 or newer"),
    ):
        with pytest.raises(WrongServer, match=words):
            refuse_unfit(changed, client_pid=changed.backend_pid)
    with pytest.raises(WrongServer, match="pooler"):
        refuse_unfit(who, client_pid=who.backend_pid + 1)


def test_a_lost_client_is_noticed_by_the_server(target: Target) -> None:
    with contextlib.closing(connect(target.executor)) as connection:
        assert connection.execute("SHOW client_connection_check_interval").fetchone() == ("1s",)


def test_cutting_the_socket_wakes_whoever_waits(target: Target) -> None:
    with contextlib.closing(connect(target.executor)) as connection, SocketCut(connection) as cut:
        timer = threading.Timer(0.2, cut)
        timer.start()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(600)")
        timer.join()
        assert connection.closed


def test_cuts_leave_no_descriptor_behind(target: Target) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(5):
        with contextlib.closing(connect(target.executor)) as connection, SocketCut(connection):
            pass
    assert descriptors() == before


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_an_attempt_leaves_no_descriptor_behind(target: Target) -> None:
    target.run(spec(DROP_STATUS))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        target.run(spec(DROP_STATUS))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_standby_is_refused(target: Target, production_cluster: Cluster) -> None:
    """A real one, made with pg_basebackup."""
    with standby_of(production_cluster) as port:
        endpoint = replace(target.executor, port=port)
        reachable(endpoint)
        result = run(spec(DROP_STATUS), endpoint, Recording())
        assert result.outcome is Outcome.NO_EFFECT
        assert "standby" in result.sentence


def test_an_endpoint_names_itself(target: Target) -> None:
    endpoint = Endpoint("db.example.com", 5432, "wallet", "me", "secret")
    assert str(endpoint) == "me@db.example.com:5432/wallet"
    assert endpoint.on("other").dbname == "other"
    assert endpoint.named("x").application_name == "x"
