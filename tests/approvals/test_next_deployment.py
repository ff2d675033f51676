"""What the next deployment does after a rollback, foreseen from the history and the imported files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from approvals import catalog, history
from approvals.flyway.forecast import FileFate as Fate
from approvals.flyway.history import State
from approvals.flyway.rows import HistoryRow
from approvals.flyway.treatment import Treatment, treated
from approvals.flyway.versions import Version
from approvals.models import FileFate, RollbackRequest
from approvals.next_deployment import NextDeployment
from tests.approvals.factories import FILES, World, again, draft, write_files

pytestmark = pytest.mark.integration

Release = Callable[..., None]
V3 = Version.parse("3")
CHANGED = {"V3__index_wallets.sql": "CREATE INDEX wallets_by_user ON wallets (user_id, id);\n"}


@pytest.fixture
def release(world: World, tmp_path: Path) -> Release:
    """`release(changed, without=…)` imports the service's files anew."""

    def run(changed: dict[str, str] | None = None, *, without: str = "") -> None:
        directory = tmp_path / "sql"
        for path in directory.glob("*"):
            path.unlink()
        files = {name: sql for name, sql in FILES.items() if name.partition("__")[0] not in without.split()}
        write_files(directory, files | (changed or {}))
        catalog.import_directory(world.service, directory, actor=None)

    return run


def next_of(rollback: RollbackRequest) -> NextDeployment:
    return NextDeployment(again(rollback))


def executed(rollback: RollbackRequest, treatment: Treatment) -> None:
    """The history as the worker reads it after the execution."""
    target = rollback.rollback_targets.get().target
    rows = history.rows_of(target)
    store(rollback, treated(rows, [V3], treatment, installed_by="x", installed_on=rows[0].installed_on))


def store(rollback: RollbackRequest, rows: list[HistoryRow]) -> None:
    history.record_sync(
        rollback.rollback_targets.get().target,
        rows,
        system_identifier="7311111111111111111",
        database_oid=1,
        server_version="180000",
    )


@pytest.mark.parametrize("treatment", Treatment)
def test_a_file_that_is_still_there_comes_back(world: World, treatment: Treatment) -> None:
    rollback = draft(world, history_treatment=treatment.value)
    now = next_of(rollback).foresee_imported()
    assert now.comes_back
    assert "V3 comes back: info shows it as Pending" in now.sentence
    planned = next_of(rollback).foresee()
    assert (planned.treatment, planned.fate, planned.comes_back) == (treatment, Fate.REMOVED, False)
    executed(rollback, treatment)
    assert next_of(rollback).foresee_imported().comes_back


def test_every_choice_is_foreseen_with_and_without_out_of_order(world: World) -> None:
    found = next_of(draft(world)).every_combination()
    assert len({(each.treatment, each.fate, each.out_of_order) for each in found}) == 2 * 3 * 2 == len(found)
    assert not any(each.comes_back for each in found)
    states = {(each.treatment, each.fate): each.forecast.states[V3] for each in found if each.forecast}
    assert states == {
        (Treatment.DELETE, Fate.REMOVED): None,
        (Treatment.DELETE, Fate.REPLACED): State.PENDING,
        (Treatment.DELETE, Fate.SUPERSEDED): None,
        (Treatment.MARK, Fate.REMOVED): State.DELETED,
        (Treatment.MARK, Fate.REPLACED): State.PENDING,
        (Treatment.MARK, Fate.SUPERSEDED): State.DELETED,
    }


def test_a_request_that_decides_nothing_keeps_its_file(world: World) -> None:
    rollback = draft(world, file_fate=FileFate.UNDECIDED)
    assert next_of(rollback).foresee().comes_back
    assert next_of(rollback).settled.sentence == "Nobody has decided yet what becomes of the file."


def test_an_undo_of_the_paid_editions_stops_the_others(world: World) -> None:
    rollback = draft(world)
    rows = history.rows_of(world.production)
    undo = HistoryRow(9, "9", "x", "UNDO_SQL", "U9__x.sql", 1, "flyway", rows[0].installed_on, 1, True)
    store(rollback, [*rows, undo])
    assert "Unknown migration type 'UNDO_SQL'" in next_of(rollback).foresee().sentence
    marked = next_of(rollback).foresee(treatment=Treatment.MARK)
    assert marked.forecast is None
    assert "UNDO_SQL" in marked.sentence


def test_the_settings_of_the_service_decide_about_out_of_order(world: World, release: Release) -> None:
    rollback = draft(world, file_fate=FileFate.REPLACED)
    assert not next_of(rollback).foresee().out_of_order
    release({"flyway.toml": "[flyway]\noutOfOrder = true\n"})
    assert next_of(rollback).deployment.known
    assert next_of(rollback).foresee().out_of_order
    assert not next_of(rollback).foresee(out_of_order=False).out_of_order


def test_a_placeholder_without_a_value_on_the_target_stops_the_next_deployment(
    world: World, release: Release
) -> None:
    rollback = draft(world)
    waiting = {"V8__x.sql": "SELECT 8;\n", "V9__y.sql": "SELECT 1,\n  '${limit} ${flyway:timestamp}';\n"}
    release(waiting, without="V3 V4 V5")
    found = next_of(rollback).foresee_imported()
    assert found.forecast is not None
    assert found.forecast.blocked
    assert found.sentence == (
        "No deployment succeeds with this release: migrate applies V8__x.sql and then stops "
        "(V9__y.sql, line 2, column 4: no value for the placeholder ${limit})."
    )
    release(waiting | {"V9__y.sql.conf": "placeholderReplacement=false\n"}, without="V3 V4 V5")
    assert "nothing comes back: the next migrate applies V8__x.sql, V9__y.sql" in (
        next_of(rollback).foresee_imported().sentence
    )
    release(waiting | {"R__z.sql": "SELECT '${limit}';\n"}, without="V3 V4 V5")
    assert "Flyway refuses every command with this release: R__z.sql, line 1, column 9: no value" in (
        next_of(rollback).foresee_imported().sentence
    )
    target = rollback.rollback_targets.get().target
    target.placeholders = {"Limit": "5"}
    target.save()
    assert not next_of(rollback).foresee_imported().forecast.blocked  # type: ignore[union-attr]


def test_a_deployment_that_does_not_validate_is_not_refused_for_what_is_missing(
    world: World, release: Release
) -> None:
    rollback = draft(world)
    release(without="V1 V3")
    assert "validate fails and migrate refuses" in next_of(rollback).foresee_imported().sentence
    release({"flyway.conf": "flyway.validateOnMigrate=false\n"}, without="V1 V3")
    assert "nothing comes back" in next_of(rollback).foresee_imported().sentence


# Is the file taken care of?


def test_removed_means_that_the_last_import_no_longer_has_it(world: World, release: Release) -> None:
    rollback = draft(world, file_fate=FileFate.REMOVED)
    settled = next_of(rollback).settled
    assert not settled.holds
    assert settled.sentence.endswith("still has V3__index_wallets.sql as it was applied.")
    release(CHANGED)
    assert next_of(rollback).settled.sentence.endswith("changed but not removed.")
    release(without="V3")
    settled = next_of(rollback).settled
    assert (settled.holds, settled.at) == (True, world.service.import_runs.latest("at").at)
    assert settled.sentence.endswith("UTC no longer has the file.")
    assert not next_of(rollback).foresee_imported().comes_back


def test_replaced_means_the_same_version_with_another_checksum(world: World, release: Release) -> None:
    rollback = draft(world, file_fate=FileFate.REPLACED)
    release(without="V3")
    assert next_of(rollback).settled.sentence.endswith("has no corrected file of V3.")
    release({"V3__index_wallets.sql": FILES["V3__index_wallets.sql"].replace("\n", "\r\n")})
    assert not next_of(rollback).settled.holds, "line ends do not count"
    release(CHANGED)
    assert next_of(rollback).settled.holds
    executed(rollback, Treatment.DELETE)
    now = next_of(rollback).foresee_imported()
    assert (now.fate, now.comes_back) == (Fate.REPLACED, False)
    assert "applies the corrected file" in now.sentence


def test_superseded_means_removed_and_a_file_above_all_that_was_applied(
    world: World, release: Release
) -> None:
    rollback = draft(world, file_fate=FileFate.SUPERSEDED)
    release(without="V3 V4 V5")
    assert next_of(rollback).settled.sentence.endswith("has no file of a higher version in its place.")
    release({"V2.5__x.sql": "SELECT 1;\n"}, without="V3 V4 V5")
    assert not next_of(rollback).settled.holds
    release({"V3.1__index.sql": "SELECT 1;\n"}, without="V3 V4 V5")
    assert next_of(rollback).settled.sentence.endswith("has V3.1__index.sql in place of it.")
    planned = next_of(rollback).foresee()
    assert planned.forecast is not None
    assert [file.path for file in planned.forecast.outlook.run.files] == ["V3.1__index.sql"]


def test_a_service_that_was_never_imported_shows_nothing(world: World) -> None:
    rollback = draft(world)
    world.service.import_runs.update(service=world.foreign)
    assert next_of(rollback).settled.sentence == "The service's files were never imported."
