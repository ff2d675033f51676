"""After the real change on a real database the real Flyway does as was forecast."""

from __future__ import annotations

import itertools
from datetime import datetime

import psycopg
import pytest
from psycopg import sql

from approvals.flyway.forecast import FileFate, Forecast, forecast
from approvals.flyway.history import State
from approvals.flyway.treatment import Treatment, delete_row, treated
from approvals.flyway.versions import Version
from tests.differential.cases import Case, Ground, must_agree
from tests.differential.releases import FILES, lines_are_as_forecast, release, there

pytestmark = pytest.mark.integration

NOW = datetime(2025, 11, 22, 12, 0)  # noqa: DTZ001 - stored without a zone

CASES = list(itertools.product([["3"], ["2"], ["2", "3"]], Treatment, FileFate, ["false", "true"]))


def take_back(case: Case, versions: list[str], treatment: Treatment) -> None:
    """What an execution does: the tables go, and the history is treated."""
    connection = case.ground.connection
    for version in versions:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(case.schema, f"t{version}")))
    wanted = treated(
        case.history(), [Version.parse(v) for v in versions], treatment, installed_by="dba", installed_on=NOW
    )
    connection.execute(sql.SQL("DELETE FROM {}").format(case.table))
    case.append(wanted)


@pytest.mark.parametrize(("versions", "treatment", "fate", "order"), CASES)
def test_what_is_forecast_happens(
    ground: Ground, versions: list[str], treatment: Treatment, fate: FileFate, order: str
) -> None:
    with ground.case(FILES, {"flyway.outOfOrder": order}) as case:
        case.ask("migrate")
        foreseen = forecast(
            case.read().seen_by_flyway,
            case.history(),
            [Version.parse(version) for version in versions],
            treatment=treatment,
            fate=fate,
            out_of_order=order == "true",
        )
        take_back(case, versions, treatment)
        release(case, versions, fate)
        lines_are_as_forecast(case, foreseen)
        assert case.ask("validate")["passes"] == foreseen.outlook.passes
        outcome = must_agree(case)
        assert (outcome == "migrate refused") == foreseen.blocked
        ran = [] if foreseen.blocked else [file.name.script for file in foreseen.outlook.run.files]
        assert [row.script for row in case.history()[len(_kept(foreseen)) :]] == ran
        back = any(there(case, f"t{version}") for version in versions) and fate is FileFate.KEPT
        assert back == foreseen.comes_back, foreseen.sentence


def _kept(foreseen: Forecast) -> list[int]:
    """Ranks of the rows that stand before the next migrate, DELETE rows included."""
    lines = foreseen.outlook.lines
    markers = sum(line.state is State.DELETED for line in lines)
    return [line.rank for line in lines if line.rank is not None] + [0] * markers


@pytest.mark.parametrize("treatment", Treatment)
def test_after_a_rollback_migrate_brings_it_forward_and_a_second_rollback_works(
    ground: Ground, treatment: Treatment
) -> None:
    with ground.case(FILES) as case:
        case.ask("migrate")
        for _ in range(2):
            take_back(case, ["3"], treatment)
            assert not there(case, "t3")
            assert must_agree(case) == "migrated"
            assert there(case, "t3")


@pytest.mark.parametrize("version", ["2", "3"])
def test_our_delete_row_is_the_one_that_repair_appends(ground: Ground, version: str) -> None:
    with ground.case(FILES, {"flyway.ignoreMigrationPatterns": "*:pending"}) as case:
        case.ask("migrate")
        before = case.history()
        (case.directory / f"V{version}__x.sql").unlink()
        case.ask("repair")
        *same, theirs = case.history()
        assert same == before
        gone = next(row for row in before if row.version == version)
        ours = delete_row(gone, before, installed_by=theirs.installed_by, installed_on=theirs.installed_on)
        assert ours == theirs
        assert must_agree(case) == "clean"


def test_a_failed_migration_is_never_marked_by_a_delete_row(ground: Ground) -> None:
    with ground.case(FILES) as case:
        case.ask("migrate")
        failed = [row._replace(success=False) if row.version == "3" else row for row in case.history()]
        with pytest.raises(ValueError, match="would not mark"):
            delete_row(failed[2], failed, installed_by="dba", installed_on=NOW)


def test_a_second_delete_row_is_what_flyway_calls_corrupt(ground: Ground) -> None:
    with ground.case(FILES) as case:
        case.ask("migrate")
        take_back(case, ["3"], Treatment.MARK)
        *_, marker = case.history()
        case.append([marker._replace(installed_rank=marker.installed_rank + 1)])
        with pytest.raises(psycopg.errors.UniqueViolation):
            case.append([marker])
        assert must_agree(case) == "history refused"
