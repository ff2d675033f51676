"""The page of results, the suggestions, and how quick both are."""

from __future__ import annotations

import pytest

from approvals.models import Status
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration


def test_every_page_offers_the_search_and_it_works_without_scripts(world: World) -> None:
    page = see(as_(world.dora), "/matrix/")
    assert "/search/" in page.forms
    rollback = factories.rollback_in(world, Status.DRAFT)
    results = see(as_(world.dora), "/search/", q=rollback.label)
    assert results.leads_to(f"/rollbacks/{rollback.pk}/")
    assert results.fields["q"] == rollback.label


def test_nothing_typed_says_what_one_can_look_for(world: World) -> None:
    assert "INC-31" in see(as_(world.dora), "/search/")


def test_nothing_found_says_so(world: World) -> None:
    assert "Nothing of this name" in see(as_(world.dora), "/search/", q="no such thing")


def test_all_of_one_kind_have_an_address_and_pages(world: World) -> None:
    page = see(as_(world.dora), "/search/", **{"q": "wallet", "in": "migrations"})
    assert "V3 index wallets" in page
    assert "Rollbacks" not in page.text.partition("Found for")[2]


def test_an_unknown_kind_shows_everything(world: World) -> None:
    assert "Migrations" in see(as_(world.dora), "/search/", **{"q": "wallet", "in": "cats"})


def test_suggestions_are_a_part_of_a_page(world: World) -> None:
    response = as_(world.dora).get("/search/", {"q": "index"}, headers={"HX-Request": "true"})
    html = response.content.decode()
    assert "<html" not in html
    assert "index wallets" in html
    assert "HX-Request" in response["Vary"], "a browser must not show it in place of the page"


def test_what_was_typed_is_shown_as_text(world: World) -> None:
    page = see(as_(world.dora), "/search/", q="<script>alert(1)</script>")
    assert "<script>alert" not in page.html


def test_somebody_without_a_role_has_no_search(world: World) -> None:
    client = as_(world.nora)
    assert "/search/" not in see(client, "/").forms
    assert client.get("/search/").status_code == 403
