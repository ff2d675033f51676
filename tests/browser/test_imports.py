"""Imports and the next deployment in a browser: handed in, watched, read; a choice and its consequence."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Route, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]
SignIn = Callable[..., Page]
PHONE = {"width": 390, "height": 844}
NEW = "V2__notes_of_wallets.sql"
AHEAD = re.compile(r"/next-deployment/\?")


def release() -> bytes:
    """Two good files, a bad name, and SQL that does not parse."""
    files = {
        "V1__notes.sql": "CREATE TABLE notes (id bigint PRIMARY KEY);\n",
        NEW: "ALTER TABLE notes ADD COLUMN wallet_id bigint;\n",
        "V7_bad.sql": "",
        "R__b.sql": "SELECT 1;\nSELEC;",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        for name, text in files.items():
            writing.writestr(name, text)
    return made.getvalue()


def test_an_archive_becomes_an_import_with_its_problems_and_its_migration(
    site: Site, sign_in: SignIn
) -> None:
    with site.records():
        from approvals.models import Service

        team = Service.objects.get(name="wallet-service").team
        Service.objects.get_or_create(name="notes-service", defaults={"team": team})
    page = sign_in("amina")
    page.goto("/services/notes-service/")
    page.keyboard.press("i")
    page.get_by_label("Archive", exact=True).set_input_files(
        {"name": "release.zip", "mimeType": "application/zip", "buffer": release()}
    )
    page.get_by_role("button", name="Import the archive").click()
    expect(page).to_have_url(re.compile(r"/imports/\d+/$"), timeout=60_000)  # nobody loads the page anew
    expect(page.get_by_role("row", name=re.compile(r"R__b\.sql 2:1"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"V7_bad\.sql"))).to_be_visible()
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name=NEW).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("notes of wallets")
    expect(page.get_by_text("it was not imported from a repository")).to_be_visible()


def test_the_forecast_follows_the_choice(site: Site, sign_in: SignIn) -> None:
    page = sign_in("amina")
    page.goto("/rollbacks/new/?target=wallet-production&down_to=2025.11.22.001")
    page.locator("form[method=post] button.btn-main").click()
    page.goto(re.sub(r"/form/\w+/$", "/form/file/", page.url))
    panel = page.locator("#next-deployment")
    expect(panel.get_by_role("alert")).to_contain_text("The next deployment undoes this rollback.")
    page.get_by_label("What becomes of the migration file").select_option("removed")
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(panel).to_contain_text("removed from the release")
    page.get_by_label("What becomes of its row").select_option("mark")
    expect(panel).to_contain_text("Deleted")
    page.get_by_label("What becomes of the migration file").select_option("")
    expect(panel.get_by_role("alert")).to_contain_text("The migration comes back.")


def test_a_choice_made_while_an_answer_is_on_its_way_is_not_lost(site: Site, sign_in: SignIn) -> None:
    page = sign_in("amina")
    page.goto("/rollbacks/new/?target=wallet-production&down_to=2025.11.22.001")
    page.locator("form[method=post] button.btn-main").click()
    page.goto(re.sub(r"/form/\w+/$", "/form/file/", page.url))
    held: list[Route] = []
    page.route(AHEAD, lambda route: route.continue_() if held else held.append(route))
    with page.expect_request(AHEAD):
        page.get_by_label("What becomes of the migration file").select_option("removed")
    page.get_by_label("What becomes of its row").select_option("mark")
    held[0].continue_()
    panel = page.locator("#next-deployment")
    expect(panel).to_contain_text("removed from the release")
    expect(panel).to_contain_text("Deleted")
