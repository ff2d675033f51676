"""Choosing the targets of a request: the filter, what stays chosen, what an address may not name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals import alike, windows
from approvals.models import CalendarEntry, RollbackRequest, Service, Target
from approvals.pages.packed_keys import MOST_KEYS, packed, unpacked
from tests.approvals import factories
from tests.approvals.factories import World, again
from tests.approvals.views.test_kept import lapsed, sign_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration


@pytest.fixture
def canary(world: World) -> Target:
    return factories.shards(world, 1)[0]


@pytest.fixture
def draft(world: World, canary: Target) -> RollbackRequest:
    factories.write_script(world, "4")
    return factories.draft(world, "4", where=canary)


def cells(like: Target, count: int, word: str = "cell", **other: Any) -> list[Target]:
    """So many more targets that are set up like this one, but for `other`."""
    made = []
    for number in range(1, count + 1):
        cell = deepcopy(like)
        cell.pk, cell.name, cell._state.adding = None, f"{word}-{number:03}", True
        cell.dbname, cell.database_oid = f"db_{word}_{number:03}", 50_000 + number
        for column, value in other.items():
            setattr(cell, column, value)
        made.append(cell)
    return Target.objects.bulk_create(made)


def choose(world: World, draft: RollbackRequest, chosen: Iterable[Target] = (), **address: Any) -> Page:
    """alice's page of the choice, with these chosen."""
    address = {"kept": packed(each.pk for each in chosen)} | address
    return see(as_(world.alice), reverse("rollback_targets", args=[draft.pk]), **address)


def shown(page: Page) -> list[str]:
    return re.findall(r'<b id="t-\d+">([^<]+)</b>', page.html)


def test_keys_are_packed_into_ranges_and_come_back() -> None:
    assert packed([7, 3, 4, 5, 77]) == "3-5.7.77"
    assert unpacked("3-5.7.77") == {3, 4, 5, 7, 77}
    assert packed([]) == ""
    assert unpacked("") == set()


@pytest.mark.parametrize(
    "odd", ["-", "5-", "-5-", "9-2", "²", "1e3", "0", "9" * 40, f"1-{MOST_KEYS + 2}", "1-9.."]
)
def test_what_is_no_key_is_passed_over(odd: str) -> None:
    assert unpacked(odd) <= set(range(1, 10))


def test_the_filter_finds_by_name_host_and_database_every_word_of_it(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    cells(canary, 12)
    cells(canary, 2, "eu", host="pg-eu.example")
    assert shown(choose(world, draft, q="CELL-01")) == ["cell-010", "cell-011", "cell-012"]
    assert shown(choose(world, draft, q="pg-eu 002")) == ["eu-002"]
    assert shown(choose(world, draft, q="db_cell_007")) == ["cell-007"]
    page = choose(world, draft, q="100%_")
    assert shown(page) == []
    assert "No target that could go along has “100%_”" in page
    assert "Show all of them" in page


def test_what_is_chosen_and_not_shown_stays_chosen(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    found = cells(canary, 60)
    page = choose(world, draft, found[:3], q="cell-05", canary=canary.pk, go=found[49].pk)
    assert "5 of 62 chosen. The filter finds 10." in page
    assert unpacked(page.fields["kept"]) == {canary.pk, *(each.pk for each in found[:3])}
    second = choose(world, draft, found[:3], canary=canary.pk, page=2)
    assert "4 of 62 chosen" in second
    assert "Page 2 of 2, 62 in all" in second
    assert unpacked(second.fields["kept"]) >= {each.pk for each in found[:3]}


def test_all_that_is_found_is_chosen_or_left_out_at_once(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    found = cells(canary, 60)
    assert "61 of 62 chosen" in choose(world, draft, canary=canary.pk, q="cell", do="all")
    assert "52 of 62 chosen" in choose(world, draft, found, canary=canary.pk, q="cell-00", do="none")
    assert "1 of 62 chosen" in choose(world, draft, found, canary=canary.pk, do="clear")


def test_no_button_chooses_more_than_a_request_may_have(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    cells(canary, alike.MOST)
    page = choose(world, draft, canary=canary.pk, do="all")
    assert f"are more than the {alike.MOST} that one request may have: filter for fewer." in page
    assert f"1 of {alike.MOST + 2} chosen" in page


def test_another_canary_leaves_the_former_one_chosen(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    found = cells(canary, 2)
    page = choose(world, draft, [canary], canary=found[0].pk)
    assert "2 of 4 chosen. The canary is cell-001." in page
    assert f'id="canary-{found[0].pk}" name="canary" value="{found[0].pk}" aria-labelledby' in page.html


def test_the_choice_is_read_before_it_is_taken(world: World, draft: RollbackRequest, canary: Target) -> None:
    found = cells(canary, 3)
    before = see(as_(world.alice), reverse("rollback_targets", args=[draft.pk]))
    assert "1 of 5 chosen. The canary is wallet-service-shard-001." in before
    page = choose(world, draft, found[1:], canary=found[0].pk, do="review", revision=draft.revision)
    assert "on these 3 targets?" in page
    assert "cell-001 canary new cell-002 new cell-003 new" in page
    assert "No longer in the request 1 target wallet-service-shard-001" in page
    assert re.findall(r'name="targets" value="([^"]+)"', page.html) == ["cell-001", "cell-002", "cell-003"]
    assert draft.rollback_targets.get().target == canary


def test_what_an_address_may_not_name_is_left_out_and_said_by_name(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    other = Service.objects.create(name="other", team=world.service.team)
    foreign = cells(canary, 1, "foreign", service=other)[0]
    odd = cells(canary, 7, "odd", owner_role="postgres")
    page = choose(world, draft, [canary, foreign, *odd], canary="²", go=["x", "9" * 30])
    assert "odd-001 can’t go along: it differs in owner role." in page
    assert "2 more can’t go along either." in page
    assert "1 of the chosen targets is gone, or not yours to choose." in page
    assert "foreign-001" not in page
    assert "1 of 2 chosen. The canary is wallet-service-shard-001." in page


@pytest.mark.parametrize("wrong", ["unlike", "foreign", "unknown", "canary"])
def test_what_may_not_go_along_is_refused_by_name_and_nothing_is_changed(
    world: World, draft: RollbackRequest, canary: Target, wrong: str
) -> None:
    other = Service.objects.create(name="other", team=world.service.team)
    cells(canary, 1, "foreign", service=other)
    cells(canary, 1, "unlike", environment="production")
    good = cells(canary, 2)
    named = [canary.name, good[0].name, *([] if wrong == "canary" else [f"{wrong}-001"])]
    first = good[1].name if wrong == "canary" else canary.name
    says = {
        "unlike": "unlike-001 can’t go along: it differs in environment.",
        "foreign": "foreign-001 is none of the targets that can go along.",
        "unknown": "unknown-001 is none of the targets that can go along.",
        "canary": "The canary cell-002 is not among the chosen.",
    }
    where = reverse("rollback_targets", args=[draft.pk])
    page = send(as_(world.alice), where, targets=named, canary=first, revision=draft.revision)
    assert page.status == 400
    assert says[wrong] in page
    assert "cell-001 new" in page
    assert [each.target for each in draft.rollback_targets.all()] == [canary]
    assert again(draft).revision == draft.revision


def test_a_choice_that_somebody_overtook_is_kept_and_can_be_sent_again(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    found = cells(canary, 2)
    where = reverse("rollback_targets", args=[draft.pk])
    form = {"targets": [canary.name, found[1].name], "canary": canary.name, "revision": draft.revision - 1}
    page = send(as_(world.alice), where, **form)
    assert page.status == 409
    assert "Somebody edited" in page
    assert "cell-002 new" in page
    assert page.fields["revision"] == str(draft.revision)


def test_a_choice_that_was_sent_after_the_session_ended_is_shown_again_and_not_taken(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    found = cells(canary, 3)
    client = lapsed(world)
    form = {"targets": [found[0].name, found[2].name], "canary": found[2].name, "revision": draft.revision}
    client.post(reverse("rollback_targets", args=[draft.pk]), form)
    page = sign_in(client, world)
    assert "cell-003 canary new cell-001 new" in page
    assert "Take these 2 targets" in page
    assert draft.rollback_targets.get().target == canary


def test_a_frozen_target_says_so_where_it_is_chosen(
    world: World, draft: RollbackRequest, canary: Target
) -> None:
    cell = cells(canary, 2)[0]
    now = timezone.now()
    until = now + timedelta(days=1)
    windows.propose(
        cell, CalendarEntry.Kind.FREEZE, actor=world.lea, begins_at=now, ends_at=until, reason="Month end."
    )
    page = choose(world, draft, canary=canary.pk, q="cell")
    assert page.text.count("frozen now") == 1


def test_only_the_requester_chooses(world: World, draft: RollbackRequest) -> None:
    where = reverse("rollback_targets", args=[draft.pk])
    for name in ("bob", "dora", "olga", "axel"):
        assert see(as_(world.people[name]), where, do="review").status in (403, 404)


def test_a_thousand_take_as_many_queries_as_ten(
    world: World, draft: RollbackRequest, canary: Target, queries_of: Callable[[Client, str], int]
) -> None:
    where = reverse("rollback_targets", args=[draft.pk])
    alice = as_(world.alice)
    asked = []
    for more, word in ((10, "few"), (990, "cell")):
        chosen = packed(each.pk for each in cells(canary, more, word)[:400])
        addresses = ["", "?q=ce", f"?kept={chosen}&canary={canary.pk}&do=review"]
        see(alice, where)
        asked.append([queries_of(alice, where + each) for each in addresses])
    assert asked[0] == asked[1]


def test_the_first_target_is_filtered_too(world: World, canary: Target) -> None:
    cells(canary, 60)
    where = reverse("rollback_new")
    page = see(as_(world.alice), where, q="cell-00")
    assert "9 targets found." in page
    assert "cell-010" not in page
    page = see(as_(world.alice), where, q="nowhere")
    assert "No target has “nowhere” in its name, host, database or service. Show all of them" in page
