"""Coverage counts every applied migration once, at the furthest stage it has come to."""

from __future__ import annotations

import pytest

from approvals.pages.ways_back import NONE, PROVEN, REHEARSED, SCRIPT, WayBack, coverage, ways_back
from tests.approvals import answers, factories
from tests.approvals.factories import World


def test_the_bar_has_every_stage_and_is_full() -> None:
    found = coverage([SCRIPT, NONE, REHEARSED, PROVEN, NONE])
    assert [(part.stage.key, part.count) for part in found.parts] == [
        ("rehearsed", 1),
        ("proven", 1),
        ("script", 1),
        ("none", 2),
    ]
    assert [(part.begins, part.width) for part in found.parts] == [(0, 20), (20, 20), (40, 20), (60, 40)]
    assert found.total == 5


def test_nothing_to_cover_is_an_empty_bar() -> None:
    assert [part.width for part in coverage([]).parts] == [0, 0, 0, 0]


@pytest.mark.integration
def test_only_a_passed_rehearsal_of_the_newest_script_on_this_target_counts(world: World) -> None:
    migration = world.migration("3").pk

    def stage() -> str:
        return ways_back(world.staging)[migration].stage.key

    rollback = factories.draft(world, where=world.staging)
    answers.answered(world.migration("3").scripts.get(), said=answers.proved("differs"))
    assert stage() == "script"
    factories.rehearse(world, rollback, holds=False)
    assert stage() == "script"
    factories.rehearse(world, rollback)
    assert stage() == "rehearsed"
    assert ways_back(world.high)[migration].stage.key == "script"
    factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    assert stage() == "proven"


@pytest.mark.integration
def test_a_proof_counts_where_it_is_of_the_newest_script_and_of_the_text_that_is_applied(
    world: World,
) -> None:
    migration = world.migration("3")

    def way_back() -> WayBack:
        return ways_back(world.staging)[migration.pk]

    answers.answered(migration.scripts.get())
    assert way_back().stage.key == "proven"
    checksum = migration.revisions.get().checksum
    assert way_back().for_text(checksum).stage.key == "proven"
    assert way_back().for_text(checksum + 1).stage.key == "script"
    factories.scripts.add_script(migration, sql="DROP INDEX wallets_by_user;", checks=[], actor=world.bob)
    assert way_back().stage.key == "script"
