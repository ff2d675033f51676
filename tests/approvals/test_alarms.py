"""The alarm after a rollback: it rings when what was taken back is applied again, unless that was planned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import alarms
from approvals.errors import Denied, Refused
from approvals.models import AuditEvent, Execution, ExecutionStatus, FileFate, Status
from tests.approvals import factories
from tests.approvals.factories import World, body, rollback_in

pytestmark = pytest.mark.integration
SUCCEEDED = ExecutionStatus.SUCCEEDED


def executed(world: World, fate: FileFate = FileFate.REMOVED) -> Execution:
    """V3 was taken back on production and is still in the history that was read before."""
    draft = factories.draft(world, file_fate=fate)
    rollback = factories.approved(world, factories.submitted(world, draft))
    return factories.executed(world, rollback, SUCCEEDED)


def again(world: World, *rows: object) -> None:
    """A deployment applied these on top of what stood before V3."""
    stands = [factories.history_row(n, world.migration(str(n))) for n in (1, 2)]
    factories.sync(world.production, [*stands, *rows])  # type: ignore[list-item]


def test_a_migration_that_comes_back_within_a_day_raises_the_alarm_once(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.executed(world, rollback, SUCCEEDED)
    factories.apply(world, world.production, "12")
    assert alarms.check_reappeared(world.production) == 0
    assert alarms.watched() == [execution]
    factories.apply(world, world.production, "123")
    assert alarms.check_reappeared(world.production) == 1
    execution.refresh_from_db()
    assert execution.reappeared_at is not None
    event = body("alarm.migration_came_back")
    assert (event["rollback"], event["facts"]) == (rollback.label, {"versions": ["3"]})
    assert alarms.check_reappeared(world.production) == 0
    assert alarms.watched() == []


def test_the_watch_ends_after_a_day_and_knows_its_target(world: World) -> None:
    execution = factories.executed(world, rollback_in(world, Status.APPROVED), SUCCEEDED)
    assert alarms.check_reappeared(world.high) == 0
    Execution.objects.filter(pk=execution.pk).update(watch_until=timezone.now() - timedelta(seconds=1))
    assert alarms.watched() == []
    assert alarms.check_reappeared(world.production) == 0


def test_a_corrected_file_of_the_same_version_is_what_was_planned(world: World) -> None:
    executed(world, FileFate.REPLACED)
    again(world, factories.history_row(3, world.migration("3"), checksum=4711))
    assert alarms.check_reappeared(world.production) == 0


@pytest.mark.parametrize("fate", [FileFate.REPLACED, FileFate.SUPERSEDED, FileFate.REMOVED])
def test_the_very_bytes_that_were_taken_back_ring_whatever_was_planned(world: World, fate: FileFate) -> None:
    execution = executed(world, fate)
    again(world, factories.history_row(3, world.migration("3")))
    assert alarms.check_reappeared(world.production) == 1
    assert list(alarms.ringing()) == [execution]


def test_a_removed_file_rings_with_other_bytes_too(world: World) -> None:
    executed(world, FileFate.REMOVED)
    again(world, factories.history_row(3, world.migration("3"), checksum=4711))
    assert alarms.check_reappeared(world.production) == 1


def test_a_file_that_a_higher_version_corrects_comes_back_together_with_it(world: World) -> None:
    executed(world, FileFate.SUPERSEDED)
    correction = factories.history_row(4, world.migration("4"))
    again(world, factories.history_row(3, world.migration("3")), correction)
    assert alarms.check_reappeared(world.production) == 0


def rung(world: World) -> Execution:
    """An execution whose alarm rings."""
    execution = executed(world)
    again(world, factories.history_row(3, world.migration("3")))
    assert alarms.check_reappeared(world.production) == 1
    execution.refresh_from_db()
    return execution


@pytest.mark.parametrize("name", ["olga", "dora"])
def test_ops_or_a_dba_answers_for_it_with_a_reason_that_is_on_record(world: World, name: str) -> None:
    execution = rung(world)
    alarms.answer(execution, actor=world.people[name], reason=" The pipeline is stopped, we redo it. ")
    execution.refresh_from_db()
    assert execution.alarm_answer == "The pipeline is stopped, we redo it."
    assert execution.alarm_answered_by == world.people[name]
    assert execution.reappeared_at is not None, "that it came back stays on record"
    assert not alarms.ringing().exists()
    event = body("alarm.answered")
    assert event["actor"] == name
    assert "pipeline" not in str(event), "free text goes into the trail by its digest only"


def test_nobody_else_answers_and_attempts_are_on_record(world: World) -> None:
    execution = rung(world)
    with pytest.raises(Denied, match="Only ops or a senior DBA"):
        alarms.answer(execution, actor=world.alice, reason="It was me.")
    assert AuditEvent.objects.latest("seq").action == "alarm.answered.denied"
    assert alarms.ringing().exists()


def test_an_answer_says_something_and_is_given_once(world: World) -> None:
    execution = rung(world)
    with pytest.raises(Refused, match="Say what is done"):
        alarms.answer(execution, actor=world.olga, reason="  ")
    alarms.answer(execution, actor=world.olga, reason="Redone.")
    with pytest.raises(Refused, match="Olga has answered for it already"):
        alarms.answer(execution, actor=world.dora, reason="Me too.")


def test_where_nothing_rings_there_is_nothing_to_answer(world: World) -> None:
    with pytest.raises(Refused, match="No alarm was raised"):
        alarms.answer(executed(world), actor=world.olga, reason="Just in case.")
