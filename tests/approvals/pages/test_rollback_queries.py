"""What a rollback on a target may name: what is applied, and what has to go with it."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import history
from approvals.flyway.rows import HistoryRow
from approvals.models import Role
from approvals.pages import rollback_queries
from tests.approvals import factories
from tests.approvals.factories import World, history_row

pytestmark = pytest.mark.integration


def versions(found: list[rollback_queries.Choice]) -> list[str]:
    return [choice.version for choice in found]


def test_everything_applied_is_listed_newest_first_with_its_scripts(world: World) -> None:
    applied = rollback_queries.applied(world.critical)
    assert versions(applied.choices) == ["5", "4", "3", "2", "1"]
    assert [choice.scripts for choice in applied.choices] == [1, 1, 1, 0, 0]
    assert applied.choices[0].migration == world.migration("5")
    assert not any(choice.problem for choice in applied.choices)


def test_what_stands_above_the_chosen_migration_is_taken_along(world: World) -> None:
    applied = rollback_queries.applied(world.critical)
    assert versions(applied.down_to("5")) == ["5"]
    assert versions(applied.down_to("3")) == ["5", "4", "3"]
    assert applied.down_to("6") == applied.down_to("") == []


def test_what_was_applied_out_of_order_is_taken_along_to_the_end(world: World) -> None:
    # V2 came late, after V3 and V5: V5 can't go without it, nor V2 without V3, which is newer than V2.
    factories.apply(world, world.staging, ["1", "3", "5", "2"])
    applied = rollback_queries.applied(world.staging)
    assert versions(applied.choices) == ["2", "5", "3", "1"]
    for version in ("2", "3", "5"):
        together = applied.down_to(version)
        assert versions(together) == ["2", "5", "3"]
        accepted = history.require_newest(world.staging, [c.migration for c in together if c.migration])
        assert [row.migration.version for row in accepted] == ["2", "5", "3"]


def test_a_migration_without_a_file_or_from_another_file_says_so(world: World) -> None:
    other = history_row(2, world.migration("2"), checksum=4711)
    unknown = history_row(3, world.migration("3"), version="99", description="by hand")
    factories.sync(world.staging, [history_row(1, world.migration("1")), other, unknown])
    problems = [choice.problem for choice in rollback_queries.applied(world.staging).choices]
    assert problems == [
        "No file of it was imported.",
        "It was applied from another file than any that was imported.",
        "",
    ]


def test_a_history_that_contradicts_itself_offers_nothing_and_says_why(world: World) -> None:
    row = history_row(1, world.migration("1"))
    twice = [history_row(rank, world.migration("1"), type="DELETE") for rank in (2, 3)]
    factories.sync(world.staging, [row, *twice])
    applied = rollback_queries.applied(world.staging)
    assert applied.choices == []
    assert "deleted already" in applied.problem


def test_a_long_history_takes_as_many_queries_as_a_short_one(world: World) -> None:
    short = asked(world)
    rows = [history_row(rank, world.migration("1"), version=str(rank)) for rank in range(1, 41)]
    factories.sync(world.staging, [row_at(row, minute) for minute, row in enumerate(rows)])
    assert asked(world) == short


def row_at(row: HistoryRow, minute: int) -> HistoryRow:
    return row._replace(installed_on=datetime(2026, 3, 1, 9, minute))  # noqa: DTZ001


def asked(world: World) -> int:
    with CaptureQueriesContext(connection) as captured:
        rollback_queries.applied(world.staging).down_to("1")
    return len(captured)


def test_only_engineers_of_the_owning_team_ask(world: World) -> None:
    names = {"alice", "ada"}
    asking = {name for name, user in world.people.items() if rollback_queries.asks_for(user).exists()}
    assert names <= asking
    assert asking <= {name for name, user in world.people.items() if Role.ENGINEER in user.roles} - {"eve"}
