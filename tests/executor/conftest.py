"""A target database for each test, cloned from a template that is made once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from executor.connect import Endpoint, connect
from executor.marker import BACKUP, CLONER, EXECUTOR, Setup, install
from tests.executor.target import OWNER, SCHEMA, Target
from tests.servers import Database
from waqiti_rollback.embedded import HOST, Cluster, Estate

if TYPE_CHECKING:
    from tests.executor.portal import Portal


@dataclass(frozen=True)
class Template:
    """The target that all others are copies of, and the passwords of its roles."""

    database: str
    executor_password: str
    backup_password: str


@pytest.fixture(scope="session")
def target_template(production_cluster: Cluster) -> Template:
    """A database as a DBA hands it over: the service's objects, its history, and the setup done."""
    executor, backup = (production_cluster.login_password(role) for role in (EXECUTOR, BACKUP))
    template = Template("target_template", executor, backup)
    with psycopg.connect(production_cluster.superuser_dsn(), autocommit=True) as admin:
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (template.database,)).fetchone():
            return template  # tests elsewhere use this fixture too, and pytest makes it once for each place
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone():
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


@pytest.fixture(scope="module")
def staging(staging_cluster: Cluster) -> Endpoint:
    """The login that makes clones on the staging server, prepared by the same setup as a target."""
    passwords = {role: staging_cluster.login_password(role) for role in (EXECUTOR, BACKUP, CLONER)}
    with psycopg.connect(staging_cluster.superuser_dsn(), autocommit=True) as admin:
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone():
            admin.execute(f"CREATE ROLE {OWNER}")
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = 'staging_wallet'").fetchone():
            admin.execute(f"CREATE DATABASE staging_wallet OWNER {OWNER}")
            with psycopg.connect(
                staging_cluster.superuser_dsn("staging_wallet"), autocommit=True
            ) as database:
                database.execute(f"SET ROLE {OWNER}")
                database.execute(SCHEMA)
                database.execute("RESET ROLE")
                setup = Setup(OWNER, "staging_wallet", clone_role=CLONER)
                install(database, setup, passwords=passwords)
    return Endpoint(HOST, staging_cluster.port, "postgres", CLONER, passwords[CLONER])


@pytest.fixture
def leaves_no_clone(staging: Endpoint) -> Iterator[None]:
    """The test leaves no clone behind. Those that a worker keeps from other tests are not its business."""

    def clones() -> set[str]:
        with contextlib.closing(connect(staging)) as connection:
            query = "SELECT datname FROM pg_database WHERE datname ~ '^waqiti_(rehearsal|kept)'"
            return {row[0] for row in connection.execute(query).fetchall()}

    before = clones()
    yield
    assert clones() <= before


@pytest.fixture(scope="module")
def portal_home(
    portal_template: str,
    django_db_setup: None,
    django_db_blocker: Any,
    estate: Estate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Portal]:
    """A portal's database and a worker process for the tests of one module, which only ever add to it."""
    from tests import servers
    from tests.approvals.factories import load_world, make_world
    from tests.executor import portal as made

    directory = tmp_path_factory.mktemp("portal")
    database = servers._create(estate.portal, portal_template, servers.OWNER_ROLE)
    with django_db_blocker.unblock():
        before = servers._point_django_at(database.name)
        make_world(directory / "migrations")
        world = load_world()
        for cluster in (estate.production, estate.staging):
            made.prepare_server(cluster)
        worker = made.Worker(
            made.worker_environment(database, estate, world, directory), directory / "worker.log"
        )
        home = made.Portal(world, worker, estate.production, estate.staging)
        try:
            worker.start()
            yield home
        finally:
            worker.stop()
            servers._point_django_at(before)
            servers._drop(database)


@pytest.fixture
def portal(
    portal_home: Portal, fresh_database: Callable[..., Database], django_db_blocker: Any
) -> Iterator[Portal]:
    """The portal with targets of this test's own: V1 to V4 applied, and the script that undoes V4."""
    with django_db_blocker.unblock():
        portal_home.take(fresh_database)
        yield portal_home
        portal_home.end_what_is_open()
