"""Fixtures of the domain's tests: the world of `factories`, in a transaction or in a database of its own.

The world is written once, to a database that every test takes as it is: `world` takes back what the test
did, `committed_world` is a clone. Django's models are imported inside the fixtures: pytest loads this file
before Django is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests import servers

if TYPE_CHECKING:
    from approvals.models import Status
    from tests.approvals.factories import World
    from waqiti_rollback.embedded import Estate


@dataclass(frozen=True)
class Prepared:
    """A database with the world in it, and the rollbacks that are there already."""

    database: servers.Database
    rollbacks: dict[tuple[str, Status], int]


@pytest.fixture(scope="session")
def prepared(
    estate: Estate,
    portal_template: str,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prepared]:
    """The world, committed once."""
    from tests.approvals import factories

    database = servers._create(estate.portal, portal_template, servers.OWNER_ROLE)
    with django_db_blocker.unblock():
        before = servers._point_django_at(database.name)
        factories.make_world(tmp_path_factory.mktemp("migrations"))
        world = factories.load_world()
        factories.prepare(world)
        servers._point_django_at(before)
    yield Prepared(database, world.prepared)
    servers._drop(database)


@pytest.fixture(scope="module")
def in_prepared(prepared: Prepared, django_db_blocker: Any) -> Iterator[Prepared]:
    """Django's connection is to the prepared world while the tests of this module run."""
    with django_db_blocker.unblock():
        before = servers._point_django_at(prepared.database.name)
    yield prepared
    with django_db_blocker.unblock():
        servers._point_django_at(before)


@pytest.fixture
def world(in_prepared: Prepared, db: None) -> World:
    """Everybody and everything; what the test does to it is taken back."""
    from tests.approvals import factories

    return factories.load_world(dict(in_prepared.rollbacks))


@pytest.fixture
def committed(estate: Estate, in_prepared: Prepared, django_db_blocker: Any) -> Iterator[servers.Database]:
    """A clone of the prepared database for one test; Django's connection, in every thread, is to it."""
    with django_db_blocker.unblock():
        before = servers._point_django_at("")  # nobody may be connected to what is cloned
        database = servers._create(estate.portal, in_prepared.database.name, servers.OWNER_ROLE)
        servers._point_django_at(database.name)
        try:
            yield database
        finally:
            servers._point_django_at(before)
            servers._drop(database)


@pytest.fixture
def committed_world(committed: servers.Database, in_prepared: Prepared) -> World:
    """The world in a database of its own."""
    from tests.approvals import factories

    return factories.load_world(dict(in_prepared.rollbacks))


@pytest.fixture
def connect_as(committed: servers.Database) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """`connect_as("waqiti_web")`: an autocommit connection to the committed world's database as this role."""
    opened: list[psycopg.Connection[Any]] = []

    def connect(role: str, **options: Any) -> psycopg.Connection[Any]:
        opened.append(psycopg.connect(committed.url(role), autocommit=True, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def superuser(committed: servers.Database) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's autocommit connection to the committed world's database."""
    with committed.connect() as connection:
        yield connection
