"""Fixtures of the domain's tests: the world of `factories`, in a transaction or in a database of its own.

Django's models are imported inside the fixtures: pytest loads this file before Django is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.approvals.factories import World
    from tests.servers import Database


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    """Everybody and everything, taken back after the test. V1 to V3 are applied: taking back V3 is LOW."""
    from tests.approvals.factories import make_world

    return make_world(tmp_path / "migrations")


@pytest.fixture
def high(db: None, tmp_path: Path) -> World:
    """The same with V4 applied, whose rollback is HIGH."""
    from tests.approvals.factories import make_world

    return make_world(tmp_path / "migrations", versions=("1", "2", "3", "4"))


@pytest.fixture
def critical(db: None, tmp_path: Path) -> World:
    """The same with V5 applied, whose rollback drops a table with rows: CRITICAL."""
    from tests.approvals.factories import make_world

    return make_world(tmp_path / "migrations", versions=("1", "2", "3", "4", "5"))


@pytest.fixture
def committed_world(portal_db: Database, tmp_path: Path) -> World:
    """The world in a database of its own, for tests with threads and other connections."""
    from tests.approvals.factories import make_world

    return make_world(tmp_path / "migrations")


@pytest.fixture
def connect_as(portal_db: Database) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """`connect_as("waqiti_web")`: an autocommit connection to the test's portal database as this role."""
    opened: list[psycopg.Connection[Any]] = []

    def connect(role: str, **options: Any) -> psycopg.Connection[Any]:
        opened.append(psycopg.connect(portal_db.url(role), autocommit=True, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def superuser(portal_db: Database) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's autocommit connection to the test's portal database."""
    with portal_db.connect() as connection:
        yield connection
