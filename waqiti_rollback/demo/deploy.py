"""Bring a target to a version as Flyway would have: files in their order, a history table with its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from approvals import analysis
from approvals.flyway.files import MigrationFile, read_directory
from approvals.flyway.names import Kind
from approvals.flyway.versions import Version

from .services import DemoTarget

Connection = psycopg.Connection[tuple[object, ...]]

# As Flyway 13 makes it on PostgreSQL: columns, their order and types, key and index.
HISTORY = """
CREATE TABLE public.flyway_schema_history (
    installed_rank integer NOT NULL,
    version character varying(50),
    description character varying(200) NOT NULL,
    type character varying(20) NOT NULL,
    script character varying(1000) NOT NULL,
    checksum integer,
    installed_by character varying(100) NOT NULL,
    installed_on timestamp without time zone NOT NULL DEFAULT now(),
    execution_time integer NOT NULL,
    success boolean NOT NULL
);
ALTER TABLE public.flyway_schema_history ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON public.flyway_schema_history (success);
"""
ROW = """
INSERT INTO public.flyway_schema_history
VALUES (%s, %s, %s, 'SQL', %s, %s, %s, %s, %s, true)
"""
# The newest went out three hours ago, the one before it three days ago, each older one two weeks earlier.
NEWEST, BEFORE, OLDER = timedelta(hours=3), timedelta(days=3, hours=5), timedelta(days=14, minutes=37)


def deploy(connection: Connection, target: DemoTarget, *, rows: int) -> None:
    """Make the history table, run the files up to `target.newest` and fill the tables on the way.

    `connection` is a superuser's, in autocommit; what Flyway would do is done as the service's owner.
    """
    owner, service = target.service.owner_role, target.service
    _act_as(connection, owner)
    connection.execute(HISTORY)
    files = list(_files(target))
    for rank, (file, installed_on) in enumerate(zip(files, _moments(len(files)), strict=True), start=1):
        started = time.perf_counter()
        _run(connection, file.sql)
        milliseconds = round((time.perf_counter() - started) * 1000)
        version = file.name.version
        row = (rank, version and version.text, file.name.description, file.path, file.checksum, owner)
        connection.execute(ROW, (*row, installed_on, milliseconds))
        if version == Version.parse(service.filled_after):
            _fill(connection, owner, service.rows.read_text(encoding="utf-8"), rows)
    connection.execute("RESET SESSION AUTHORIZATION")
    connection.execute("VACUUM ANALYZE")


def _act_as(connection: Connection, owner: str) -> None:
    connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(owner)))


def _files(target: DemoTarget) -> Iterator[MigrationFile]:
    """What Flyway ran, in its order: the first release with its repeatable files, then one file at a time."""
    newest, first_release = Version.parse(target.newest), Version.parse("10")
    found = read_directory(target.service.migrations).files
    versioned = [
        f for f in found if f.name.kind is Kind.VERSIONED and f.name.version and f.name.version <= newest
    ]
    yield from (f for f in versioned if f.name.version and f.name.version <= first_release)
    yield from (f for f in found if f.name.kind is Kind.REPEATABLE)
    yield from (f for f in versioned if f.name.version and f.name.version > first_release)


def _moments(count: int) -> list[datetime]:
    """When each file was installed, oldest first; without a zone, as Flyway stores it."""
    now = datetime.now(UTC).replace(tzinfo=None)
    ages = [NEWEST, BEFORE, *(BEFORE + OLDER * number for number in range(1, count))][:count]
    return [now - age for age in reversed(ages)]


def _run(connection: Connection, text: str) -> None:
    """One file, in one transaction where PostgreSQL allows it, else statement by statement."""
    statements = analysis.analyze(text, name="").statements
    if all(statement.transactional for statement in statements):
        connection.execute(text.encode())
        return
    for statement in statements:
        connection.execute(statement.sql.encode())


def _fill(connection: Connection, owner: str, text: str, rows: int) -> None:
    """Believable rows. Their references are right by construction, so they are not looked up one by one."""
    connection.execute("RESET SESSION AUTHORIZATION")
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica; SET LOCAL synchronous_commit = off")
        connection.execute("SELECT set_config('demo.size', %s, true)", (str(rows),))
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner)))
        connection.execute(text.encode())
    _act_as(connection, owner)
