"""A database built by the real Flyway, rolled back by a real execution: the real Flyway does as foreseen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from approvals.flyway.forecast import FileFate, Forecast, forecast
from approvals.flyway.history import HistoryRow, applied
from approvals.flyway.treatment import Treatment
from approvals.flyway.versions import Version
from executor.connect import Endpoint
from executor.marker import EXECUTOR, Setup, install_in_clone
from executor.run import run
from executor.spec import HistoryPin, Outcome
from tests.differential.cases import TABLE, Case, Ground, must_agree
from tests.differential.real import RealFlyway
from tests.differential.releases import FILES, lines_are_as_forecast, release, there
from tests.executor.conftest import Template
from tests.executor.target import OWNER, Recording, items, spec
from tests.servers import Database
from waqiti_rollback.embedded import HOST, Cluster

pytestmark = pytest.mark.integration

FATES = (FileFate.REMOVED, FileFate.REPLACED, FileFate.SUPERSEDED)
CASES = list(itertools.product([["3"], ["3", "2"]], Treatment, FATES))


class Built:
    """A target whose objects and history the real Flyway makes, as the service's owner."""

    def __init__(self, flyway: RealFlyway, database: Database, executor: Endpoint) -> None:
        self.flyway, self.database, self.executor = flyway, database, executor

    @contextmanager
    def case(self) -> Iterator[Case]:
        """The migrations of FILES, applied by `flyway migrate`, in a schema that executions can work on."""
        with self.database.connect() as connection:
            ground = Ground(self.flyway, self.database, connection)
            with ground.case(FILES, {"flyway.initSql": f"SET ROLE {OWNER}"}) as case:
                connection.execute(f"ALTER SCHEMA {case.schema} OWNER TO {OWNER}")
                assert must_agree(case) == "migrated"
                install_in_clone(
                    connection,
                    Setup(owner_role=OWNER, database=self.database.name, history_schema=case.schema),
                )
                yield case

    def take_back(self, case: Case, tables: dict[str, str], treatment: Treatment) -> None:
        """Execute the rollback of these versions, newest first, each of which made one table."""
        rows = {version.text: row for version, row in applied(case.history()).items()}
        parts = [
            (_pin(rows[version]), ((f"DROP TABLE {table}", "DROP TABLE"),), ())
            for version, table in tables.items()
        ]
        order = replace(
            spec(search_path=case.schema, history_schema=case.schema, history_table=TABLE, locks=()),
            items=items(*parts),
            history_treatment=treatment,
        )
        result = run(order, self.executor, Recording())
        assert result.outcome is Outcome.SUCCEEDED, result.sentence
        assert not any(there(case, table) for table in tables.values())


def _pin(row: HistoryRow) -> HistoryPin:
    return HistoryPin(**{name: getattr(row, name) for name in HistoryPin.__slots__})


@pytest.fixture
def built(
    flyway: RealFlyway,
    target_template: Template,
    production_cluster: Cluster,
    fresh_database: Callable[..., Database],
) -> Built:
    """A target of this test's own."""
    database = fresh_database(production_cluster, template=target_template.database, owner=OWNER)
    executor = Endpoint(
        HOST, production_cluster.port, database.name, EXECUTOR, target_template.executor_password
    )
    return Built(flyway, database, executor)


def foresee(case: Case, versions: Sequence[str], treatment: Treatment, fate: FileFate) -> Forecast:
    return forecast(
        case.read().seen_by_flyway,
        case.history(),
        [Version.parse(version) for version in versions],
        treatment=treatment,
        fate=fate,
    )


@pytest.mark.parametrize(("versions", "treatment", "fate"), CASES)
def test_after_an_execution_flyway_does_as_foreseen_goes_forward_again_and_back_once_more(
    built: Built, versions: list[str], treatment: Treatment, fate: FileFate
) -> None:
    with built.case() as case:
        foreseen = foresee(case, versions, treatment, fate)
        assert not foreseen.comes_back
        before = case.history()
        built.take_back(case, {version: f"t{version}" for version in versions}, treatment)
        kept = len(before) if treatment is Treatment.MARK else len(before) - len(versions)
        assert case.history()[:kept] == [row for row in before if row in case.history()]
        release(case, versions, fate)
        lines_are_as_forecast(case, foreseen)
        assert case.ask("validate")["passes"] == foreseen.outlook.passes
        assert (must_agree(case) == "migrate refused") == foreseen.blocked
        if fate is FileFate.REMOVED:  # until somebody brings it back, corrected
            for version in versions:
                (case.directory / f"V{version}__x.sql").write_text(f"create table t{version} (id int4);\n")
            assert must_agree(case) == "migrated"
        forward = ["4"] if fate is FileFate.SUPERSEDED else versions
        assert all(there(case, f"t{version}") for version in forward)
        again = foresee(case, forward, treatment, FileFate.KEPT)
        assert again.comes_back
        built.take_back(case, {version: f"t{version}" for version in forward}, treatment)
        lines_are_as_forecast(case, again)
        assert must_agree(case) == "migrated"
        assert all(there(case, f"t{version}") for version in forward), "the warning was right"
