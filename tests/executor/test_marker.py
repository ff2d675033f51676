"""The setup that a DBA runs once: complete, repeatable, and no more than needed."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executor import marker
from executor.connect import Endpoint, connect
from executor.errors import MarkerMissing
from executor.pgtools import tool
from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, OWNER, SCHEMA, Target, spec
from tests.servers import Database
from waqiti_rollback.embedded import HOST, Cluster


@pytest.fixture
def bare(
    production_cluster: Cluster, fresh_database: Callable[..., Database], target_template: object
) -> Iterator[Target]:
    """A service's database that no DBA has prepared."""
    database = fresh_database(production_cluster, owner=OWNER)
    endpoint = Endpoint(HOST, production_cluster.port, database.name, "unprepared_executor", "")
    made = Target(database.superuser_dsn, endpoint, replace(endpoint, user="unprepared_backup"))
    with made.superuser() as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute(SCHEMA)
    yield made
    with made.superuser() as connection:
        for role in ("unprepared_executor", "unprepared_backup"):
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")


def setup_of(target: Target, **changes: object) -> marker.Setup:
    setup = marker.Setup(
        owner_role=OWNER,
        database=target.executor.dbname,
        executor_role="unprepared_executor",
        backup_role="unprepared_backup",
    )
    return replace(setup, **changes)  # type: ignore[arg-type]


def psql(target: Target, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the DBA does."""
    options = [f"--set={name}={value}" for name, value in variables.items()]
    return subprocess.run(
        [tool("psql"), "--no-psqlrc", *options, f"--file={path}", target.superuser_dsn],
        capture_output=True,
        text=True,
        env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning"},
    )


def test_the_printed_setup_prepares_a_target_and_can_run_again(bare: Target, tmp_path: Path) -> None:
    file = tmp_path / "setup.sql"
    file.write_text(marker.setup_sql(setup_of(bare)))
    password = secrets.token_urlsafe(12) + "'\\ $$"
    for _ in range(2):
        done = psql(bare, file, executor_password=password, backup_password="another")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    ready = replace(bare, executor=replace(bare.executor, password=password))
    result = ready.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    with contextlib.closing(connect(replace(bare.backup, password="another"))) as backup:
        assert backup.execute("SELECT count(*) FROM wallets").fetchone() == (100,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            backup.execute("DELETE FROM wallets")


def test_without_passwords_psql_asks_for_them(bare: Target) -> None:
    text = marker.setup_sql(setup_of(bare))
    assert text.count("\\password") == 2
    assert "PASSWORD :'executor_password'" in text


@pytest.mark.parametrize("version", [140000, 150000, 160000, 180000])
def test_older_servers_get_what_they_understand(bare: Target, version: int) -> None:
    setup = setup_of(
        bare, server_version=version, allow_replica_role=True, alter_system=("work_mem",), clone_role="cloner"
    )
    text = marker.setup_sql(setup)
    assert ("INHERIT FALSE" in text) == (version >= 160000)
    assert ("ON PARAMETER" in text) == (version >= 150000)
    assert ("clone_password" in text) == ("CREATEDB" in text)


def test_names_are_quoted_whatever_they_are(bare: Target) -> None:
    bare.do(
        'CREATE ROLE "Odd; DROP ROLE ""x""" NOLOGIN',
        'CREATE SCHEMA "a.b"',
        'ALTER TABLE flyway_schema_history SET SCHEMA "a.b"',
    )
    odd = setup_of(
        bare, owner_role='Odd; DROP ROLE "x"', history_schema="a.b", executor_role="unprepared_executor"
    )
    try:
        with bare.superuser() as connection:
            marker.install(connection, odd)
    finally:
        bare.do('DROP ROLE "Odd; DROP ROLE ""x"""')


def test_the_executor_reads_no_table_of_the_service_by_itself(target: Target) -> None:
    """It does so only under SET ROLE; the login inherits nothing."""
    with contextlib.closing(connect(target.executor)) as connection:
        for table in ("users", "wallets"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}")
        connection.execute("SET ROLE wallet_owner")
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (100,)


def test_nobody_else_may_claim(target: Target) -> None:
    for function in ("claim", "tombstone"):
        query = "SELECT has_function_privilege('public', %s, 'EXECUTE')"
        assert target.value(query, f"waqiti_rollback.{function}(uuid, text)") is False
    assert (
        target.value("SELECT has_table_privilege('public', 'waqiti_rollback.execution_marker', 'SELECT')")
        is False
    )


def test_the_functions_do_not_follow_the_callers_search_path(target: Target) -> None:
    paths = target.rows(
        "SELECT proconfig, prosecdef FROM pg_proc WHERE pronamespace = 'waqiti_rollback'::regnamespace"
    )
    assert [row["proconfig"] for row in paths] == [["search_path=pg_catalog, pg_temp"]] * 2
    assert all(row["prosecdef"] for row in paths)


def test_a_marker_that_the_executor_could_write_is_no_marker(target: Target) -> None:
    target.do("GRANT INSERT ON waqiti_rollback.execution_marker TO waqiti_rollback_executor")
    connection = connect(target.executor)
    with contextlib.closing(connection), pytest.raises(MarkerMissing, match="by itself"):
        marker.require(connection)
    target.do("REVOKE INSERT ON waqiti_rollback.execution_marker FROM waqiti_rollback_executor")
    target.do("ALTER TABLE waqiti_rollback.execution_marker DROP CONSTRAINT execution_marker_pkey")
    result = target.run(spec(DROP_STATUS))
    assert result.outcome is Outcome.NO_EFFECT
    assert "primary key" in result.sentence
