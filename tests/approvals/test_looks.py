"""Where each reader left off, and what counts as new since then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import comments, gates, looks, rollbacks
from approvals.known import Known
from approvals.models import Look, RollbackRequest, Status, User
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

pytestmark = pytest.mark.integration


def look(rollback: RollbackRequest, reader: User) -> looks.Since | None:
    """Open the page and let it be kept, as the view does."""
    known = Known(factories.again(rollback))
    reading = looks.since_last(known, gates.gates(known.rollback, known), reader=reader)
    if reading.look is not None:
        looks.keep(reading.look)
    return reading.since


def later(rollback: RollbackRequest, by: timedelta) -> None:
    """Let all looks be so much older."""
    for each in Look.objects.filter(rollback=rollback):
        before_at = each.before_at and each.before_at - by
        Look.objects.filter(pk=each.pk).update(at=each.at - by, before_at=before_at)


def actions(since: looks.Since | None) -> list[str]:
    assert since is not None
    return [event.action for event in since.events]


def test_the_first_look_has_nothing_to_compare_with(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert look(rollback, world.dora) is None
    assert look(rollback, world.dora) is None


def test_what_others_did_since_is_new_and_stays_so_when_the_page_is_loaded_again(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    comments.open_thread(rollback, actor=world.dan, text="Wait.")
    assert actions(look(rollback, world.dora)) == ["comment.added"]
    assert actions(look(rollback, world.dora)) == ["comment.added"]


def test_what_comes_next_is_new_since_the_look_before_it(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    thread = comments.open_thread(rollback, actor=world.dan, text="Wait.")
    look(rollback, world.dora)
    comments.resolve(thread, actor=world.dan)
    assert actions(look(rollback, world.dora)) == ["thread.resolved"]


def test_what_the_reader_did_is_not_new_and_ends_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    thread = comments.open_thread(rollback, actor=world.dan, text="Wait.")
    look(rollback, world.dora)
    comments.reply(thread, actor=world.dora, text="Why?")
    assert actions(look(rollback, world.dora)) == ["comment.added"]


def test_a_later_look_without_anything_new_says_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    comments.open_thread(rollback, actor=world.dan, text="Wait.")
    look(rollback, world.dora)
    later(rollback, timedelta(minutes=11))
    assert actions(look(rollback, world.dora)) == []


def test_readers_are_told_apart(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    comments.open_thread(rollback, actor=world.dan, text="Wait.")
    assert look(rollback, world.lea) is None
    assert actions(look(rollback, world.dora)) == ["comment.added"]


def test_denied_attempts_are_no_news(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    with pytest.raises(Exception, match="Only Alice"):
        rollbacks.submit(rollback, actor=world.bob)
    assert look(rollback, world.dora) is None


def test_scripts_digests_and_gates_are_remembered_as_they_were(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    old = rollback.items.get()
    look(rollback, world.dora)
    new = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, scripts=[new])
    since = look(rollback, world.dora)
    assert since is not None
    assert since.before["scripts"] == {str(old.migration_id): old.script_id}
    assert since.now["scripts"] == {str(old.migration_id): new.pk}
    assert "rehearsal" in set(since.before["holds"]) - set(since.now["holds"])
    assert (since.before["status"], since.now["status"]) == ("in_review", "draft")


def test_a_gate_that_fell_by_itself_is_new(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    factories.apply(world, world.production, "1234")  # somebody deployed
    since = look(rollback, world.dora)
    assert since is not None
    assert set(since.before["holds"]) - set(since.now["holds"]) == {"history"}


def test_how_it_stood_with_a_digest_is_found_for_whoever_read_that(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    seen = rollback.request_digest
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, reason="Worse than we thought.")
    look(rollback, world.dora)
    found = looks.seen_with(rollback, seen, reader=world.dora)
    assert found is not None
    assert found["request"] == seen
    assert looks.seen_with(rollback, "f" * 64, reader=world.dora) is None
    assert looks.seen_with(rollback, seen, reader=world.lea) is None


def test_a_look_costs_two_queries_and_one_statement_however_much_happened(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    for number in range(60):
        comments.open_thread(rollback, actor=world.dan, text=f"Question {number}.")
    known = Known(factories.again(rollback))
    judged = gates.gates(known.rollback, known)
    with CaptureQueriesContext(connection) as captured:
        reading = looks.since_last(known, judged, reader=world.dora)
        assert reading.look is not None
        looks.keep(reading.look)
    assert len(captured) - sum("SAVEPOINT" in q["sql"] for q in captured.captured_queries) == 3
    assert len(actions(reading.since)) == looks.TOLD


def test_loading_the_page_again_soon_writes_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    look(rollback, world.dora)
    known = Known(factories.again(rollback))
    reading = looks.since_last(known, gates.gates(known.rollback, known), reader=world.dora)
    assert (reading.since, reading.look) == (None, None)
    later(rollback, timedelta(minutes=6))
    look(rollback, world.dora)
    assert Look.objects.get(rollback=rollback, reader=world.dora).at > timezone.now() - timedelta(minutes=1)


def test_two_pages_of_one_reader_opened_at_once_leave_one_look(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    known = Known(factories.again(rollback))
    judged = gates.gates(known.rollback, known)
    first = looks.since_last(known, judged, reader=world.dora).look
    second = looks.since_last(known, judged, reader=world.dora).look
    assert first is not None
    assert second is not None
    looks.keep(first)
    looks.keep(second)
    assert Look.objects.filter(rollback=rollback, reader=world.dora).count() == 1
