"""The demo's migrations are real: they apply, every rollback script undoes its migration, and the history
table is the one that Flyway makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from approvals import analysis
from approvals.flyway.checksums import checksum
from approvals.flyway.files import MigrationFile, read_directory
from approvals.flyway.names import Kind
from tests.servers import Database
from waqiti_rollback.demo.deploy import deploy
from waqiti_rollback.demo.services import (
    BY_NAME,
    LEDGER,
    LEDGER_STAGING,
    SERVICES,
    SHARDS,
    WALLET_PRODUCTION,
    DemoService,
    DemoTarget,
)
from waqiti_rollback.demo.targets import allow_server_settings, make_roles
from waqiti_rollback.demo.witness import Witness
from waqiti_rollback.embedded import Estate

Make = Callable[..., Database]
# Of each service the target that has the most versions, so that every script has somewhere to run.
FURTHEST = {
    "wallet-service": BY_NAME["wallet-staging"],
    "ledger-service": BY_NAME[LEDGER_STAGING],
    "notification-service": BY_NAME[SHARDS[0]],
}


def files(service: DemoService, kind: Kind) -> list[MigrationFile]:
    return [file for file in read_directory(service.migrations).files if file.name.kind is kind]


SCRIPTS = [(service, file) for service in SERVICES for file in files(service, Kind.UNDO)]


@pytest.fixture
def deployed(estate: Estate, fresh_database: Make) -> Iterator[Callable[[DemoTarget], Database]]:
    """`deployed(target)` is a database at the target's newest version, with 100 rows in the large tables."""
    make_roles(estate.staging)

    def make(target: DemoTarget) -> Database:
        database = fresh_database(estate.staging, owner=target.service.owner_role)
        with database.connect() as connection:
            allow_server_settings(connection, target)
            deploy(connection, target, rows=100)
        return database

    yield make
    with psycopg.connect(estate.staging.superuser_dsn(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM RESET ALL")


def run(database: Database, sql: str) -> None:
    """Statement by statement, as the autocommit steps of V999 need it."""
    with database.connect() as connection:
        for statement in analysis.analyze(sql).statements:
            connection.execute(statement.sql.encode())


def before(target: DemoTarget, file: MigrationFile) -> DemoTarget:
    """The same target one version earlier than `file`, and its forward file."""
    older = [f for f in files(target.service, Kind.VERSIONED) if f.name.version < file.name.version]
    return replace(target, newest=older[-1].name.version.text)


@pytest.mark.parametrize(("service", "script"), SCRIPTS, ids=lambda value: getattr(value, "path", None))
def test_a_rollback_script_undoes_its_migration(
    deployed: Callable[[DemoTarget], Database], service: DemoService, script: MigrationFile
) -> None:
    forward = next(f for f in files(service, Kind.VERSIONED) if f.name.version == script.name.version)
    database = deployed(before(FURTHEST[service.name], script))
    witness = Witness(database.cluster, database.name)
    layout = witness.layout()
    run(database, forward.sql)
    assert witness.layout() != layout
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO flyway_schema_history VALUES (99, %s, 'd', 'SQL', 's', 1, 'me', now(), 1, true)",
            [script.name.version.text],
        )
    run(database, script.sql)
    run(database, "DROP SCHEMA IF EXISTS rollback_archive CASCADE")  # left there on purpose
    assert witness.layout() == layout


def test_a_directory_holds_nothing_that_flyway_trips_over_but_one_file_left_behind_by_a_generator() -> None:
    problems = [problem for service in SERVICES for problem in read_directory(service.migrations).problems]
    assert [(problem.path, problem.code) for problem in problems] == [
        ("R999__Rollback_Increase_PostgreSQL_MaxConnections.sql", "malformed-name")
    ]


def test_the_history_is_the_table_that_flyway_makes(deployed: Callable[[DemoTarget], Database]) -> None:
    database = deployed(BY_NAME["ledger-production"])
    with database.connect() as connection:
        columns = connection.execute(
            """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
                WHERE attrelid = 'flyway_schema_history'::regclass AND attnum > 0 ORDER BY attnum"""
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'flyway_schema_history' ORDER BY 1"
        ).fetchall()
    assert columns == [
        ("installed_rank", "integer", True),
        ("version", "character varying(50)", False),
        ("description", "character varying(200)", True),
        ("type", "character varying(20)", True),
        ("script", "character varying(1000)", True),
        ("checksum", "integer", False),
        ("installed_by", "character varying(100)", True),
        ("installed_on", "timestamp without time zone", True),
        ("execution_time", "integer", True),
        ("success", "boolean", True),
    ]
    assert indexes == [("flyway_schema_history_pk",), ("flyway_schema_history_s_idx",)]


def test_every_history_row_is_what_flyway_writes_for_its_file(
    deployed: Callable[[DemoTarget], Database],
) -> None:
    target = BY_NAME[WALLET_PRODUCTION]
    database = deployed(target)
    with database.connect() as connection:
        rows = connection.execute("SELECT * FROM flyway_schema_history ORDER BY installed_rank").fetchall()
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1][1] == target.newest
    assert [row[1] for row in rows].count(None) == 1, "one repeatable migration"
    for _, _, description, kind, script, crc, by, _, milliseconds, success in rows:
        assert crc == checksum((target.service.migrations / Path(script)).read_bytes())
        assert description == script.removesuffix(".sql").partition("__")[2].replace("_", " ")
        assert (kind, by, success) == ("SQL", "wallet_owner", True)
        assert milliseconds >= 0
    moments = [row[7] for row in rows]
    assert moments == sorted(moments)
    assert owners == [("wallet_owner",)]


def test_the_server_settings_change_and_change_back(deployed: Callable[[DemoTarget], Database]) -> None:
    database = deployed(BY_NAME[LEDGER_STAGING])
    script = next(file for file in files(LEDGER, Kind.UNDO) if file.name.version.text == "999")
    wanted = """SELECT setting FROM pg_file_settings
                 WHERE name = 'max_connections' ORDER BY seqno DESC LIMIT 1"""
    witness = Witness(database.cluster, database.name)
    assert witness.one(wanted) == "200"
    assert witness.one("SELECT check_connection_threshold()") is True
    assert witness.one("SELECT count(*) FROM connection_usage_by_database") >= 1
    assert witness.one("SELECT count(*) FROM connection_usage_by_application") >= 1
    run(database, script.sql)
    assert witness.one(wanted) == "100"
