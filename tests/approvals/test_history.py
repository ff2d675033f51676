"""A target's history as last read: what is applied, what a rollback may name, and what stands in its way."""

from __future__ import annotations

from datetime import datetime

import pytest

from approvals import history
from approvals.errors import Denied, Refused
from approvals.flyway.rows import HistoryRow
from approvals.models import HistoryRow as Stored
from approvals.models import Job, Migration, Target
from tests.approvals import factories
from tests.approvals.factories import World, body, history_row, trail

pytestmark = pytest.mark.integration


def rows(world: World, *versions: str) -> list[HistoryRow]:
    return [history_row(rank, world.migration(v)) for rank, v in enumerate(versions, start=1)]


# Reading it


@pytest.mark.parametrize("name", ["alice", "bob", "dora", "lea", "olga", "axel", "adam"])
def test_whoever_sees_a_target_may_have_it_read(name: str, world: World) -> None:
    job = history.ask_for_sync(world.production, actor=world.people[name])
    assert (job.kind, job.subject, job.asked_by) == ("sync", str(world.production.pk), world.people[name])
    event = body("target.sync_requested")
    assert (event["actor"], event["target"]) == (name, "wallet-service-production")


@pytest.mark.parametrize("name", ["eve", "ida", "nora"])
def test_whoever_does_not_see_it_may_not(name: str, world: World) -> None:
    before = Job.objects.count()
    with pytest.raises(Denied, match="You do not see this target"):
        history.ask_for_sync(world.production, actor=world.people[name])
    assert (Job.objects.count(), trail()[-1]) == (before, "target.sync_requested.denied")


def test_the_portal_may_have_any_target_read(world: World) -> None:
    assert history.ask_for_sync(world.production, actor=None).asked_by is None


def test_a_reading_replaces_the_one_before(world: World) -> None:
    found = [*rows(world, "1", "2"), history_row(3, world.migration("3"), success=False, checksum=None)]
    history.record_sync(world.staging, found, system_identifier="7", database_oid=99, server_version="15.18")
    target = Target.objects.get(pk=world.staging.pk)
    assert list(history.rows_of(target)) == found
    assert (target.system_identifier, target.database_oid, target.server_version) == ("7", 99, "15.18")
    assert (target.health, target.synced_at is not None) == ("good", True)
    facts = body("target.synced")["facts"]
    was = {"system_identifier_was": factories.SYSTEM["staging"]}
    assert facts == {"rows": 3, "system_identifier": "7"} | was


def test_flyways_time_is_kept_as_it_stands(world: World) -> None:
    found = history_row(1, world.migration("1"), installed_on=datetime(2026, 3, 29, 2, 30, 15))  # noqa: DTZ001
    factories.sync(world.production, [found])
    assert Stored.objects.get(target=world.production).installed_on == "2026-03-29 02:30:15"
    assert list(history.rows_of(world.production)) == [found]


def test_a_target_that_does_not_answer_keeps_its_last_reading(world: World) -> None:
    history.record_sync_failure(world.production, "Connection refused.")
    target = Target.objects.get(pk=world.production.pk)
    assert (target.health, target.health_text) == ("failing", "Connection refused.")
    assert len(history.rows_of(target)) == 3
    factories.apply(world, target, "123")
    assert (target.health, target.health_text) == ("good", "")


# What may be taken back


def test_the_newest_applied_comes_first_with_its_pin_and_the_file_it_came_from(world: World) -> None:
    found = history.require_newest(world.critical, [world.migration("4"), world.migration("5")])
    assert [applied.migration.version for applied in found] == ["5", "4"]
    assert [applied.rank for applied in found] == [5, 4]
    assert [applied.revision.migration.version for applied in found] == ["5", "4"]
    assert found[0].pin == history.pin_of(history.rows_of(world.critical)[-1])


def test_naming_one_twice_is_naming_it_once(world: World) -> None:
    assert len(history.require_newest(world.production, [world.migration("3")] * 2)) == 1


def test_what_was_applied_out_of_order_on_top_has_to_go_along(world: World) -> None:
    factories.apply(world, world.production, ["1", "3", "2"])
    with pytest.raises(Refused, match=r"Newer migrations are applied above: V2\."):
        history.require_newest(world.production, [world.migration("3")])
    both = history.require_newest(world.production, [world.migration("2"), world.migration("3")])
    assert [applied.migration.version for applied in both] == ["2", "3"]


def test_a_failed_migration_above_stands_in_the_way(world: World) -> None:
    failed = history_row(4, world.migration("4"), success=False)
    factories.apply(world, world.production, "123", [failed])
    with pytest.raises(Refused, match="applied above: V4"):
        history.require_newest(world.production, [world.migration("3")])


def test_a_migration_that_was_deleted_is_not_applied(world: World) -> None:
    deleted = history_row(4, world.migration("3"), type="DELETE")
    factories.apply(world, world.production, "123", [deleted])
    with pytest.raises(Refused, match="V3 is not applied on wallet-service-production"):
        history.require_newest(world.production, [world.migration("3")])


def test_a_file_that_was_never_imported_is_not_known(world: World) -> None:
    other = history_row(3, world.migration("3"), checksum=-5)
    factories.sync(world.production, [*rows(world, "1", "2"), other])
    with pytest.raises(
        Refused, match=r"V3 was applied from another file \(checksum -5\) than any that was imported"
    ):
        history.require_newest(world.production, [world.migration("3")])


def test_a_migration_without_a_checksum_has_no_file(world: World) -> None:
    java = history_row(3, world.migration("3"), checksum=None, type="JDBC")
    factories.sync(world.production, [*rows(world, "1", "2"), java])
    with pytest.raises(Refused, match="V3 was applied from another file"):
        history.require_newest(world.production, [world.migration("3")])


def test_a_version_that_the_history_names_twice_has_to_be_mended_first(world: World) -> None:
    factories.apply(world, world.production, "123", [history_row(4, world.migration("3"))])
    with pytest.raises(Refused, match="The history says twice that V3 was applied; a DBA must mend it first"):
        history.require_newest(world.production, [world.migration("3")])


def test_a_history_that_contradicts_itself_is_told_as_such(world: World) -> None:
    twice = [history_row(rank, world.migration("3"), type="DELETE") for rank in (4, 5)]
    factories.apply(world, world.production, "123", twice)
    with pytest.raises(Refused, match="The history contradicts itself: history row 5 deletes version 3"):
        history.require_newest(world.production, [world.migration("2")])


@pytest.mark.parametrize("kind", [Migration.Kind.REPEATABLE, Migration.Kind.BASELINE])
def test_only_versioned_migrations_are_taken_back(kind: Migration.Kind, world: World) -> None:
    other = Migration.objects.create(
        service=world.service, kind=kind, version="3", version_key=[3], script="x"
    )
    with pytest.raises(Refused, match="is no versioned migration of wallet-service-production"):
        history.require_newest(world.production, [other])


def test_a_migration_of_another_service_is_refused(world: World) -> None:
    foreign = Migration.objects.create(service=world.foreign, version="3", version_key=[3], script="x")
    with pytest.raises(Refused, match="V3 is no versioned migration of wallet-service-production"):
        history.require_newest(world.production, [foreign])


# What was pinned


def test_pins_hold_as_long_as_their_rows_stand_on_top(world: World) -> None:
    pins = [applied.pin for applied in history.require_newest(world.production, [world.migration("3")])]
    history.require_pinned(history.rows_of(world.production), pins)
    factories.apply(world, world.production, "1234")
    with pytest.raises(Refused, match="applied above: V4"):
        history.require_pinned(history.rows_of(world.production), pins)


@pytest.mark.parametrize(
    "change",
    [
        {"installed_rank": 7},
        {"type": "JDBC"},
        {"script": "V3__other.sql"},
        {"checksum": 1},
        {"success": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_changed_is_not_the_pinned_one(change: dict[str, object], world: World) -> None:
    pins = [applied.pin for applied in history.require_newest(world.production, [world.migration("3")])]
    factories.sync(world.production, [*rows(world, "1", "2"), history_row(3, world.migration("3"), **change)])
    with pytest.raises(Refused, match="The history changed: the row of V3 is not there as it was"):
        history.require_pinned(history.rows_of(world.production), pins)


def test_what_is_only_shown_of_a_row_is_not_pinned(world: World) -> None:
    pins = [applied.pin for applied in history.require_newest(world.production, [world.migration("3")])]
    other = history_row(3, world.migration("3"), description="x", installed_by="y", execution_time=9)
    factories.sync(world.production, [*rows(world, "1", "2"), other])
    history.require_pinned(history.rows_of(world.production), pins)


def test_judging_pins_takes_one_query(world: World, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    chosen = [world.migration(version) for version in "345"]
    pins = [applied.pin for applied in history.require_newest(world.critical, chosen)]
    with django_assert_num_queries(1):
        history.require_pinned(history.rows_of(world.critical), pins)
