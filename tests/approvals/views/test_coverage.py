"""Coverage of a service: how many of its migrations have come how far, and what each still lacks."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from approvals import scripts
from approvals.models import RollbackScript
from approvals.pages import coverage_page
from tests.approvals import answers, factories
from tests.approvals.factories import World
from tests.approvals.views.visits import Page, as_, see

pytestmark = pytest.mark.integration


def write(world: World, version: str, **declared: Any) -> RollbackScript:
    """A revision that nobody has rehearsed."""
    sql = f"{factories.UNDO[version]}-- again {len(declared)}\n"
    checks = [factories.CHECK[version]]
    return scripts.add_script(world.migration(version), sql=sql, checks=checks, actor=world.bob, **declared)


@pytest.fixture
def covered(world: World) -> World:
    """V1 and V2 have no script, V3 is proven and rehearsed, V4 leaves an effect, V5 differs."""
    answers.answered(world.migration("3").scripts.get())
    left_over = answers.completeness(answers.effect("set work_mem", "not undone"), answers.effect())
    answers.answered(write(world, "4"), left_over, answers.proved("differs"))
    answers.answered(write(world, "5"), said=answers.proved("exact", way="down-up"))
    factories.rehearse(world, factories.draft(world, where=world.staging))
    return world


def page_of(world: World, **asked: str) -> Page:
    return see(as_(world.axel), reverse("service_coverage", args=[world.service.name]), **asked)


def rows(page: Page) -> list[str]:
    """The versions of the table's rows, in their order."""
    table = page.html.partition("<tbody")[2]
    return [part[:2] for part in table.split("<b>")[1:]]


def test_the_chart_counts_each_share_of_all(covered: World) -> None:
    found = {share.key: (share.count, share.total) for share in coverage_page.shares(covered.service)}
    assert found == {"none": (3, 5), "incomplete": (2, 5), "unproven": (2, 5), "unrehearsed": (1, 5)}
    page = page_of(covered)
    assert "2 of 5 versioned migrations have a proven way back." in page
    assert "rehearsed 1 of 5 What is missing" in page


@pytest.mark.parametrize(
    ("show", "versions"),
    [
        ("", ["V5", "V4", "V3", "V2", "V1"]),
        ("none", ["V2", "V1"]),
        ("refused", []),
        ("incomplete", ["V4"]),
        ("unproven", ["V4"]),
        ("unrehearsed", ["V5"]),
        ("done", ["V3"]),
    ],
)
def test_what_lacks_something_is_found(show: str, versions: list[str], covered: World) -> None:
    assert rows(page_of(covered, show=show)) == versions


def test_the_least_far_come_first(covered: World) -> None:
    assert rows(page_of(covered, sort="behind")) == ["V2", "V1", "V4", "V5", "V3"]


def test_each_row_says_what_is_missing(covered: World) -> None:
    page = page_of(covered)
    assert "1 not undone differs never a step or reason for 1 effect, a proof that holds, a rehearsal" in page
    assert "complete exact the weaker way never a rehearsal" in page
    assert "complete exact yes nothing" in page
    assert "none a script" in page


def test_a_declared_effect_is_not_missing(covered: World) -> None:
    script = write(covered, "4", left={"set work_mem": "Harmless."})
    found = answers.completeness(answers.effect("set work_mem", "not undone"), answers.effect())
    answers.answered(script, found, answers.proved("exact as declared"))
    assert rows(page_of(covered, show="incomplete")) == []
    assert coverage_page.shares(covered.service)[1].count == 3


def test_a_proof_of_another_text_of_the_file_does_not_count(covered: World) -> None:
    migration = covered.migration("3")
    first = migration.revisions.get()
    first.pk, first.number, first.checksum = None, 2, first.checksum + 1
    first.save()
    assert "V3" in rows(page_of(covered, show="unproven"))


def test_the_service_s_page_shows_the_chart_and_each_proof(covered: World) -> None:
    page = see(as_(covered.axel), reverse("service_detail", args=[covered.service.name]))
    assert "proven 2 of 5" in page
    assert "revision 2, written Proof: differs" in page
    assert page.leads_to(reverse("service_coverage", args=[covered.service.name]))


def test_the_target_s_bar_counts_what_is_proven_there(covered: World) -> None:
    page = see(as_(covered.axel), reverse("target_detail", args=[covered.critical.name]))
    assert "proven 2" in page
    assert rows(see(as_(covered.axel), reverse("target_detail", args=[covered.critical.name]), show="proven"))
