"""What people say about a rollback: who may, on what, and that it stays as it was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Model

from approvals import audit, comments, rollbacks
from approvals.errors import Denied, Refused
from approvals.models import AuditEvent, Comment, Status, Thread
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

pytestmark = pytest.mark.integration


def last_event() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(AuditEvent.objects.latest("seq").body)
    return found


@pytest.mark.parametrize("name", ["alice", "bob", "dora", "lea", "olga", "adam"])
@pytest.mark.parametrize("status", [Status.DRAFT, Status.IN_REVIEW, Status.REJECTED])
def test_whoever_sees_it_may_speak_whatever_its_status(status: Status, name: str, world: World) -> None:
    rollback = rollback_in(world, status)
    thread = comments.open_thread(rollback, actor=world.people[name], text=" Why now?\r\nReally? ")
    said = thread.comments.get()
    assert (said.author, said.text) == (world.people[name], "Why now?\nReally?")
    assert factories.again(rollback).status == status


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("axel", "Auditors read"),
        ("eve", "You do not see"),
        ("ida", "You do not see"),
        ("nora", "You do not see"),
    ],
)
def test_an_auditor_and_who_does_not_see_it_are_denied_on_record(name: str, why: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?")
    someone = world.people[name]
    for act, action in (
        (lambda: comments.open_thread(rollback, actor=someone, text="x"), "comment.added.denied"),
        (lambda: comments.reply(thread, actor=someone, text="x"), "comment.replied.denied"),
        (lambda: comments.resolve(thread, actor=someone), "thread.resolved.denied"),
        (lambda: comments.reopen(thread, actor=someone), "thread.reopened.denied"),
    ):
        with pytest.raises(Denied, match=why):
            act()
        assert last_event()["action"] == action
    assert Comment.objects.count() == 1


def test_the_trail_says_where_and_holds_the_words_by_their_digest(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    script = rollback.items.get().script
    assert script is not None
    thread = comments.open_thread(
        rollback, actor=world.dora, text="Does it block payments?", script=script, line=1
    )
    event = last_event()
    assert (event["action"], event["actor"], event["rollback"]) == ("comment.added", "dora", rollback.label)
    assert event["facts"] == {
        "thread": thread.pk,
        "comment": thread.comments.get().pk,
        "line": 1,
        "script_sha256": script.sha256,
        "text_sha256": audit.digest_of("Does it block payments?"),
    }


@pytest.mark.parametrize(
    ("line", "says"), [(0, "no such line"), (3, "no such line"), (-1, "no such line"), (None, "no such line")]
)
def test_a_line_that_the_script_has_not_is_refused(line: int | None, says: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    script = rollback.items.get().script
    assert script is not None
    assert script.sql.count("\n") == 1
    with pytest.raises(Refused, match=says):
        comments.open_thread(rollback, actor=world.dora, text="x", script=script, line=line)
    with pytest.raises(Refused, match=says):
        comments.open_thread(rollback, actor=world.dora, text="x", line=1)
    assert not Thread.objects.exists()


def test_a_script_of_another_migration_is_refused(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    other = world.migration("5").scripts.get()
    with pytest.raises(Refused, match="takes no migration back that this script is of"):
        comments.open_thread(rollback, actor=world.dora, text="x", script=other, line=1)


def test_a_thread_stays_with_the_revision_that_it_is_about(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    old = rollback.items.get().script
    assert old is not None
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?", script=old, line=1)
    new = factories.write_script(world, "3", sql="-- because\nDROP INDEX wallets_by_user;\n")
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, scripts=[new])
    found = comments.threads(rollback)[0]
    assert (found.pk, found.script, found.line, found.quoted) == (
        thread.pk,
        old,
        1,
        "DROP INDEX wallets_by_user;",
    )
    late = comments.open_thread(rollback, actor=world.dan, text="I read the old one.", script=old, line=1)
    assert late.script == old


@pytest.mark.parametrize("text", ["", "  \n ", "a\0b", "x" * 10_001])
def test_nothing_said_or_far_too_much_is_refused(text: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="x" * 10_000)
    with pytest.raises(Refused):
        comments.open_thread(rollback, actor=world.dora, text=text)
    with pytest.raises(Refused):
        comments.reply(thread, actor=world.dora, text=text)
    assert Comment.objects.count() == 1


def test_a_thread_is_resolved_and_reopened_once_each(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?")
    comments.reply(thread, actor=world.alice, text="Because.")
    comments.resolve(thread, actor=world.dora)
    with pytest.raises(Refused, match="Dora has resolved this thread already"):
        comments.resolve(thread, actor=world.dan)
    assert last_event()["action"] == "thread.resolved"
    comments.reply(thread, actor=world.alice, text="One more word.")
    assert not comments.threads(rollback)[0].is_open, "a reply takes nothing up again"
    comments.reopen(thread, actor=world.alice)
    with pytest.raises(Refused, match="open already"):
        comments.reopen(thread, actor=world.alice)
    found = comments.threads(rollback)[0]
    assert (found.is_open, found.resolved_by) == (True, None)
    assert [c.text for c in found.shown] == ["Why?", "Because.", "One more word."]


def test_the_database_keeps_what_was_said_and_where(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?")
    kept: list[tuple[type[Model], dict[str, object]]] = [
        (Comment, {"text": "Fine."}),
        (Comment, {"author": world.dan}),
        (Thread, {"line": 2, "script": rollback.items.get().script}),
        (Thread, {"rollback": rollback_in(world, Status.DRAFT)}),
    ]
    for model, change in kept:
        with pytest.raises(DatabaseError), transaction.atomic():
            model._default_manager.update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        Comment.objects.filter(thread=thread)._raw_delete("default")
    assert thread.comments.get().text == "Why?"


def test_a_thread_is_on_a_line_of_a_script_or_on_the_whole(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    script = rollback.items.get().script
    for script_or_not, line in ((script, None), (None, 1), (script, 0)):
        with pytest.raises(DatabaseError), transaction.atomic():
            Thread.objects.create(rollback=rollback, script=script_or_not, line=line)
