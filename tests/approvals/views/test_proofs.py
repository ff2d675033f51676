"""Completeness and proof as pages show them: on a page of their own, in the editor, on the request."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from approvals import proofs
from approvals.models import Job, RollbackScript, Status
from approvals.pages import completeness_panel, declarations
from tests.approvals import answers
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.test_scripts import HTMX, script
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


@pytest.fixture
def stored(world: World) -> RollbackScript:
    """The script of V3, with no proof under way."""
    return world.migration("3").scripts.get()


def page_of(script: RollbackScript) -> str:
    return reverse("script_proof", args=[script.migration_id, script.number])


def test_every_effect_is_told_with_what_becomes_of_it(world: World, stored: RollbackScript) -> None:
    answers.answered(
        stored,
        answers.completeness(
            answers.effect("created index public.by_user", steps=[1, 2]),
            answers.effect("dropped view public.v", "not undone", line=7),
            answers.effect("set work_mem", "left on purpose", reason="It harms nobody."),
            steps=[answers.step("undoes nothing the migration did", position=2, line=3, sql="DROP TABLE y")],
        ),
        answers.proved("differs", difference=answers.DIFFERENCE),
    )
    page = see(as_(world.dora), page_of(stored))
    assert "1 effect not undone" in page
    assert "dropped view public.v not undone Line 7 of the migration." in page
    assert "set work_mem left on purpose It harms nobody." in page
    assert "created index public.by_user undone by steps 1, 2" in page
    assert "Step 2, line 3 undoes nothing the migration did DROP TABLE y" in page


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answers.proved(), ["Exact", "byte for byte", "PostgreSQL 18.1", "4 migrations before it"]),
        (answers.proved("exact modulo column order"), ["Exact but for the order of columns"]),
        (answers.proved("exact as declared"), ["What was declared as left on purpose differs"]),
        (
            answers.proved("differs", difference=answers.DIFFERENCE),
            [
                "2 lines of the schema are missing",
                "− 3 note text",
                "amount numeric( 18,2),",
                "amount numeric( 20,2)",
            ],
        ),
        (
            answers.proved(
                "error",
                step=1,
                line=1,
                sqlstate="42704",
                reason="Step 1 (line 1) fails: no index",
                way="up-down-up",
            ),
            ["Step 1 fails at line 1 42704", "DROP INDEX wallets_by_user"],
        ),
        (answers.proved(way="down-up"), ["The weaker way, because the files do not replay"]),
        (
            answers.proved(stand_ins=["pgcrypto"], made_roles=["app"], beyond=["ALTER SYSTEM SET x = 1"]),
            ["Stand-ins pgcrypto", "Roles made app", "Left out ALTER SYSTEM SET x = 1"],
        ),
        (answers.proved(forward_again=False), ["does not apply again after the way back"]),
        (answers.proved(with_rows="On tables with rows it does not."), ["On tables with rows it does not."]),
    ],
)
def test_a_verdict_is_told_in_words_with_what_it_rests_on(
    said: dict[str, Any], words: list[str], world: World, stored: RollbackScript
) -> None:
    answers.answered(stored, said=said)
    page = see(as_(world.axel), page_of(stored))
    for each in words:
        assert each in page, each


def test_what_was_found_by_reading_says_so(world: World, stored: RollbackScript) -> None:
    found = answers.completeness(method="read", because="V2 does not apply.")
    answers.answered(stored, found, answers.proved("not provable", way="up-down-up", holds=False))
    page = see(as_(world.alice), page_of(stored))
    assert "Found by reading, not by running: the weaker way. V2 does not apply." in page
    assert "Not provable" in page


def test_a_proof_under_way_is_followed_and_one_that_failed_says_why(
    world: World, stored: RollbackScript
) -> None:
    before = answers.answered(stored)
    send(as_(world.olga), page_of(stored))
    asked = proofs.newest_of([stored.pk])[stored.pk]
    assert asked != before
    proofs.enter(asked, "replay to V2__create_wallets.sql")
    page = see(as_(world.olga), page_of(stored))
    assert "replay to V2__create_wallets.sql" in page
    assert "Until then, what was found before" in page
    fragment = Page(as_(world.olga).get(page_of(stored), headers=HTMX))
    assert "hx-get" in fragment.html
    assert "<html" not in fragment.html
    answers.finish(asked.job, "The scratch server does not answer.", failed=True)
    page = see(as_(world.olga), page_of(stored))
    assert "The scratch server does not answer." in page
    assert "every 1s" not in page.html


def test_auditors_read_it_and_can_t_ask(world: World, stored: RollbackScript) -> None:
    answers.answered(stored)
    assert "Prove it" in see(as_(world.dora), page_of(stored))
    assert "Prove it" not in see(as_(world.axel), page_of(stored))
    assert as_(world.axel).post(page_of(stored)).status_code == 403
    assert proofs.newest_of([stored.pk])[stored.pk].at is not None


def test_asking_goes_back_to_where_it_was_asked_from_and_nowhere_else(
    world: World, stored: RollbackScript
) -> None:
    inside = as_(world.alice).post(page_of(stored), {"next": "/targets/?q=x#y"})
    assert inside["Location"] == f"/targets/?q=x#proof-{stored.pk}"
    outside = as_(world.alice).post(page_of(stored), {"next": "https://evil.example/"})
    assert outside["Location"] == page_of(stored)


# In the editor


def test_an_effect_that_is_not_undone_is_declared_in_the_editor_and_stays_declared(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    item = rollback.items.get()
    assert item.script is not None
    answers.answered(item.script, answers.completeness(answers.effect("set work_mem", "not undone")))
    address = reverse("rollback_script", args=[rollback.pk, 1])
    page = see(as_(world.alice), address)
    assert "Undo it, or say why it stays" in page
    assert page.fields["left_key"] == "set work_mem"
    data = script(revision=rollback.revision, left_key="set work_mem", left_reason="It harms nobody.")
    page = send(as_(world.alice), address, **data)
    assert "Script revision 2 is stored" in page
    item.refresh_from_db()
    assert item.script is not None
    assert item.script.left == {"set work_mem": "It harms nobody."}
    assert Job.objects.filter(kind=Job.Kind.PROVE, state="waiting").exists()
    assert "A worker is proving it" in page
    again = see(as_(world.alice), address)
    assert "It harms nobody." in again
    assert "set work_mem" in again


def test_without_a_reason_nothing_is_declared_and_one_that_is_too_long_is_told(world: World) -> None:
    address = reverse("script_new", args=[world.migration("3").pk])
    long = send(as_(world.alice), address, **script(left_key="x", left_reason="y" * 2001))
    assert long.status == 400
    assert "A reason has at most 2000 characters." in long
    send(as_(world.alice), address, **script(left_key=["x", "z"], left_reason=["  ", "Harmless."]))
    newest = world.migration("3").scripts.order_by("-number")[0]
    assert newest.left == {"z": "Harmless."}


def test_the_editor_gets_fields_for_what_was_found_while_it_was_open(
    world: World, stored: RollbackScript
) -> None:
    answers.answered(stored, answers.completeness(answers.effect("set work_mem", "not undone")))
    fragment = Page(as_(world.alice).get(f"{page_of(stored)}?declare=1", headers=HTMX))
    assert 'hx-swap-oob="beforeend:#left-rows"' in fragment.html
    assert fragment.fields["left_key"] == "set work_mem"


def test_a_field_that_comes_later_has_another_name_than_those_that_are_there(world: World) -> None:
    found = completeness_panel.effects(answers.completeness(answers.effect("new", "not undone")))
    rows = declarations.offered(found, {"old": "Harmless."})
    assert [(each.number, each.key, each.reason) for each in rows] == [
        (1, "old", "Harmless."),
        (2, "new", ""),
    ]


def test_where_nothing_can_be_proven_its_author_says_why_it_may_go(
    world: World, stored: RollbackScript
) -> None:
    address = reverse("script_new", args=[stored.migration_id])
    assert "Why it may go without a proof" not in see(as_(world.alice), address)
    answers.answered(stored, said=answers.proved("not provable", holds=False))
    assert "Why it may go without a proof" in see(as_(world.alice), address)
    send(as_(world.alice), address, **script(unproven="The chain is broken since 2019."))
    newest = world.migration("3").scripts.order_by("-number")[0]
    assert newest.unproven == "The chain is broken since 2019."


# On the pages of migration and request


def test_the_migration_s_page_shows_what_was_found_of_its_script(
    world: World, stored: RollbackScript
) -> None:
    answers.answered(stored)
    page = see(as_(world.alice), reverse("migration_detail", args=[stored.migration_id]))
    assert "Completeness Complete script revision 1" in page
    assert page.leads_to(reverse("script_generate", args=[stored.migration_id]))


def test_approvers_read_what_stays_and_the_proof_on_the_request(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    item = rollback.items.get()
    assert item.script is not None
    answers.answered(item.script)
    page = see(as_(world.dora), reverse("rollback_detail", args=[rollback.pk]))
    assert "Completeness of V3 Complete" in page
    assert "Proof of V3 exact" in page
