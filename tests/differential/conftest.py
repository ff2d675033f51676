"""The real Flyway and a database for it; where Java is missing, these tests are skipped and say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.differential import real
from tests.executor.conftest import target, target_template  # noqa: F401 (fixtures)

if TYPE_CHECKING:
    from tests.differential.cases import Ground
    from tests.servers import Database


@pytest.fixture(scope="session")
def flyway() -> Iterator[real.RealFlyway]:
    """The real Flyway, one process for all tests."""
    if why := real.missing():
        pytest.skip(f"NOT COMPARED WITH THE REAL FLYWAY: {why}")
    running = real.RealFlyway()
    yield running
    running.close()


@pytest.fixture(scope="session")
def flyway_database(flyway: real.RealFlyway, estate: object) -> Iterator[Database]:
    """One database for all cases; each takes a schema of its own."""
    from tests.servers import ESTATE, SUPERUSER, _create, _drop

    database = _create(ESTATE.staging, "template1", SUPERUSER)
    yield database
    _drop(database)


@pytest.fixture(scope="session")
def ground(flyway: real.RealFlyway, flyway_database: Database) -> Iterator[Ground]:
    """Where a case is laid out: the real Flyway with a directory and a schema for each."""
    from tests.differential.cases import Ground

    with flyway_database.connect() as connection:
        yield Ground(flyway, flyway_database, connection)
