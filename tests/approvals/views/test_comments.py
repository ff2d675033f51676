"""Comments on the review page: with and without JavaScript, on a line, on an older revision, on the whole."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from approvals import comments, rollbacks
from approvals.models import AuditEvent, Comment, RollbackRequest, RollbackScript, Status, Thread, User
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


def url(name: str, rollback: RollbackRequest, *more: object) -> str:
    return reverse(name, args=[rollback.pk, *more])


def review(rollback: RollbackRequest, person: User) -> Page:
    return see(as_(person), url("rollback_detail", rollback))


def script_of(rollback: RollbackRequest) -> RollbackScript:
    script = rollback.items.get().script
    assert script is not None
    return script


def in_place(client: Client, address: str, **data: str) -> Page:
    """Post as htmx does."""
    return Page(client.post(address, data, headers={"HX-Request": "true"}))


def test_a_link_at_each_statement_and_line_leads_to_a_form_for_that_line(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    client = as_(world.dora)
    page = see(client, url("rollback_detail", rollback))
    address = f"{url('rollback_comment', rollback)}?script={script_of(rollback).pk}&line="
    assert {f"{address}1", f"{address}2"} <= set(page.links)
    form = Page(client.get(f"{address}2"))
    assert form.fields["line"] == "2"
    assert "ADD CONSTRAINT wallets_user FOREIGN KEY" in form
    shown = send(
        client, url("rollback_comment", rollback), **form.fields | {"text": "How long will this take?"}
    )
    assert shown.status == 200
    assert "How long will this take?" in shown
    assert "1 open thread" in shown
    thread = Thread.objects.get()
    assert (thread.script, thread.line) == (script_of(rollback), 2)


def test_a_thread_stands_at_the_statement_that_holds_its_line(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "high")
    comments.open_thread(rollback, actor=world.dora, text="Second.", script=script_of(rollback), line=2)
    comments.open_thread(rollback, actor=world.dora, text="First.", script=script_of(rollback), line=1)
    html = review(rollback, world.dan).html.partition('id="sql"')[2]
    assert html.index('id="b1-1"') < html.index("First.") < html.index('id="b1-2"') < html.index("Second.")


def test_a_comment_on_the_whole_an_answer_and_the_end_of_the_thread(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    dora, alice = as_(world.dora), as_(world.alice)
    page = send(dora, url("rollback_comment", rollback), text="Who told support?\nAnd when?")
    assert "Who told support? And when?" in page
    thread = Thread.objects.get()
    assert "I did, at two." in send(alice, url("thread_reply", rollback, thread.pk), text="I did, at two.")
    assert "Resolved by Dora" in send(dora, url("thread_resolve", rollback, thread.pk))
    assert "1 thread, resolved" in review(rollback, world.axel)
    page = send(alice, url("thread_resolve", rollback, thread.pk), open="1")
    assert "1 open thread" in page


def test_who_resolves_what_is_resolved_reads_who_was_faster(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?")
    comments.resolve(thread, actor=world.dan)
    resolve = url("thread_resolve", rollback, thread.pk)
    assert "Dan has resolved this thread already." in send(as_(world.dora), resolve)
    assert "Resolved by Dan" in in_place(as_(world.dora), resolve)


def test_in_place_the_answer_is_the_thread_and_the_number_of_open_ones(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora)
    form = Page(client.get(url("rollback_comment", rollback), headers={"HX-Request": "true"}))
    assert "<html" not in form.html
    page = in_place(client, url("rollback_comment", rollback), text="Why?")
    thread = Thread.objects.get()
    assert page.status == 200
    assert "<html" not in page.html
    assert f'id="thread-{thread.pk}"' in page.html
    assert 'id="open-threads" hx-swap-oob="true"' in page.html
    assert "1 open thread" in page
    page = in_place(client, url("thread_resolve", rollback, thread.pk))
    assert "1 thread, resolved" in page


@pytest.mark.parametrize("text", ["", "   ", "x" * 10_001])
def test_nothing_said_or_too_much_comes_back_as_it_was_typed(text: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?")
    client = as_(world.alice)
    for address in (url("rollback_comment", rollback), url("thread_reply", rollback, thread.pk)):
        page = send(client, address, text=text)
        assert page.status == 400
        assert text.strip() in page.html
        fragment = in_place(client, address, text=text)
        assert fragment.status == 400
        assert "<html" not in fragment.html
    assert Comment.objects.count() == 1


@pytest.mark.parametrize("line", ["0", "-1", "x", "99", "9" * 30, ""])
def test_a_line_that_is_none_is_told_beside_its_field_and_the_words_are_kept(line: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    key = script_of(rollback).pk
    page = send(as_(world.dora), url("rollback_comment", rollback), script=str(key), line=line, text="Mine.")
    assert page.status == 400
    assert 'aria-invalid="true"' in page.html.partition('name="line"')[2].partition(">")[0]
    assert "Mine." in page
    assert not Thread.objects.exists()
    assert (
        Page(as_(world.dora).get(url("rollback_comment", rollback), {"script": key, "line": line})).status
        == 200
    )


def test_a_script_of_another_rollback_is_not_found(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    for key in (str(world.migration("5").scripts.get().pk), "x", "9" * 30, "²"):
        page = send(as_(world.dora), url("rollback_comment", rollback), script=key, line="1", text="x")
        assert page.status == 404


def test_a_form_sent_twice_says_it_once(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora)
    form = see(client, url("rollback_comment", rollback)).fields
    for _time in range(2):
        assert "Why?" in send(client, url("rollback_comment", rollback), **form | {"text": "Why?"})
        assert "Why?" in in_place(client, url("rollback_comment", rollback), **form | {"text": "Why?"})
    assert Comment.objects.count() == 1


def test_an_auditor_reads_and_has_no_form(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Why?", script=script_of(rollback), line=1)
    page = review(rollback, world.axel)
    assert "Why?" in page
    assert "As an auditor you read what is said here." in page
    for name, more in (
        ("rollback_comment", ()),
        ("thread_reply", (thread.pk,)),
        ("thread_resolve", (thread.pk,)),
    ):
        assert not page.leads_to(url(name, rollback, *more))
        assert send(as_(world.axel), url(name, rollback, *more), text="x").status == 403
    assert Comment.objects.count() == 1


def test_a_thread_of_another_rollback_is_not_found(world: World) -> None:
    thread = comments.open_thread(rollback_in(world, Status.DRAFT), actor=world.dora, text="Why?")
    other = rollback_in(world, Status.IN_REVIEW)
    assert send(as_(world.dora), url("thread_reply", other, thread.pk), text="x").status == 404
    assert send(as_(world.dora), url("thread_resolve", other, thread.pk)).status == 404


def test_what_was_said_is_shown_as_text(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    comments.open_thread(rollback, actor=world.dora, text="<script>alert(1)</script>")
    assert "<script>alert" not in review(rollback, world.dan).html


def test_of_many_threads_the_page_shows_the_open_and_newest_and_leads_to_all(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    first = comments.open_thread(rollback, actor=world.dora, text="Thread number 0.")
    comments.resolve(first, actor=world.dora)
    for number in range(1, 41):
        comments.open_thread(rollback, actor=world.dora, text=f"Thread number {number}.")
    page = review(rollback, world.dan)
    assert "Thread number 40." in page
    assert "Thread number 20." not in page
    assert "40 open threads" in page
    assert "26 more threads" in page
    every = url("rollback_comments", rollback)
    assert page.leads_to(every)
    client = as_(world.axel)
    assert "41 threads" in see(client, every)
    assert "Thread number 20." in see(client, every, page="2")
    resolved = see(client, every, show="resolved")
    assert "1 thread" in resolved
    assert "Thread number 0." in resolved
    assert "40 threads" in see(client, every, show="open")
    assert "41 threads" in see(client, every, show="nonsense")


def test_of_a_long_thread_the_newest_stand_there_and_all_on_its_own_page(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    thread = comments.open_thread(rollback, actor=world.dora, text="Comment number 0.")
    for number in range(1, 15):
        comments.reply(thread, actor=world.alice, text=f"Comment number {number}.")
    page = review(rollback, world.dan)
    assert "5 earlier comments" in page
    assert "Comment number 4." not in page
    assert page.text.index("Comment number 5.") < page.text.index("Comment number 14.")
    whole = see(as_(world.dan), url("thread_reply", rollback, thread.pk))
    assert "Comment number 0." in whole
    assert "Comment number 14." in whole


# What is new


def edited(world: World, rollback: RollbackRequest) -> RollbackRequest:
    """Alice takes another script and sends it to review again."""
    script = factories.write_script(world, "3", sql="-- quick\nDROP INDEX IF EXISTS wallets_by_user;\n")
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, scripts=[script])
    return factories.again(rollback)


def test_a_reviewer_sees_what_changed_since_their_last_look(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    dora = as_(world.dora)
    assert "New since your last look" not in see(dora, url("rollback_detail", rollback))
    thread = comments.open_thread(
        rollback, actor=world.dora, text="Why not IF EXISTS?", script=script_of(rollback), line=1
    )
    old = script_of(rollback)
    comments.reply(thread, actor=world.alice, text="You are right.")
    edited(world, rollback)
    page = see(dora, url("rollback_detail", rollback))
    assert "New since your last look" in page
    assert f"V3: script revision {old.number} became {old.number + 1}" in page
    assert "<del>DROP INDEX wallets_by_user;</del>" in page.html
    assert "<ins>DROP INDEX IF EXISTS wallets_by_user;</ins>" in page.html
    assert "Rehearsal passed with these exact bytes held then and is missing now." in page
    assert "Alice replied in a thread" in page
    assert f"#thread-{thread.pk}" in page.links
    assert "In review became Draft" in page
    assert "1 thread on an earlier revision of the script" in page
    assert "line 1 of V3 script r" in page
    assert "New since your last look" not in see(as_(world.lea), url("rollback_detail", rollback))


def test_a_refused_post_is_no_look(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    client = as_(world.alice)
    see(client, url("rollback_detail", rollback))
    comments.open_thread(rollback, actor=world.dora, text="Why?")
    assert send(client, url("rollback_withdraw", rollback), reason=" ").status == 409
    assert "Dora began a thread" in see(client, url("rollback_detail", rollback))


def test_looking_is_not_on_record(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    before = AuditEvent.objects.count()
    review(rollback, world.dora)
    assert AuditEvent.objects.count() == before


def test_the_page_takes_as_many_queries_however_much_was_said(world: World, queries_of: Any) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    client = as_(world.dora)
    thread = comments.open_thread(rollback, actor=world.dan, text="One.", script=script_of(rollback), line=1)
    see(client, url("rollback_detail", rollback))
    see(client, url("rollback_detail", rollback))
    few = queries_of(client, url("rollback_detail", rollback))
    for number in range(30):
        comments.reply(thread, actor=world.dora, text=f"Reply {number}.")
        comments.open_thread(rollback, actor=world.dora, text=f"Thread {number}.")
        comments.open_thread(
            rollback, actor=world.dora, text=f"On a line {number}.", script=script_of(rollback), line=1
        )
    assert queries_of(client, url("rollback_detail", rollback)) == few
