"""A target database for each test, cloned from a template that is made once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from executor.connect import Endpoint
from executor.marker import BACKUP, EXECUTOR, Setup, install
from tests.executor.target import OWNER, SCHEMA, Target
from tests.servers import Database
from waqiti_rollback.embedded import HOST, Cluster


@dataclass(frozen=True)
class Template:
    """The target that all others are copies of, and the passwords of its roles."""

    database: str
    executor_password: str
    backup_password: str


@pytest.fixture(scope="session")
def target_template(production_cluster: Cluster) -> Template:
    """A database as a DBA hands it over: the service's objects, its history, and the setup done."""
    template = Template("target_template", secrets.token_urlsafe(12), secrets.token_urlsafe(12))
    with psycopg.connect(production_cluster.superuser_dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {OWNER} NOLOGIN")
        admin.execute(f"CREATE DATABASE {template.database} OWNER {OWNER}")
    with psycopg.connect(production_cluster.superuser_dsn(template.database), autocommit=True) as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute(SCHEMA)
        connection.execute("RESET ROLE")
        install(
            connection,
            Setup(owner_role=OWNER, database=template.database),
            passwords={EXECUTOR: template.executor_password, BACKUP: template.backup_password},
        )
    return template


@pytest.fixture
def target(
    target_template: Template, production_cluster: Cluster, fresh_database: Callable[..., Database]
) -> Target:
    """A target of this test's own."""
    database = fresh_database(production_cluster, template=target_template.database, owner=OWNER)

    def endpoint(role: str, password: str) -> Endpoint:
        return Endpoint(HOST, production_cluster.port, database.name, role, password)

    return Target(
        superuser_dsn=database.superuser_dsn,
        executor=endpoint(EXECUTOR, target_template.executor_password),
        backup=endpoint(BACKUP, target_template.backup_password),
    )
