"""Targets and migrations in a browser: copied, read live, walked by keys, side by side where there's room."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]
SignIn = Callable[..., Page]
WIDE, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}


def test_the_setup_is_copied_and_the_history_read_again_by_one_key(site: Site, sign_in: SignIn) -> None:
    page = sign_in("amina", permissions=["clipboard-read", "clipboard-write"])
    page.goto("/targets/wallet-production/")
    page.get_by_text("What a DBA must run here once").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert 'GRANT "wallet_owner" TO "waqiti_rollback_executor"' in copied
    assert copied == page.locator("#setup-sql").text_content()

    page.keyboard.press("r")
    expect(page.get_by_text("Amina Okafor asked for it")).to_be_visible()  # nobody loads the page anew
    expect(page.locator("#sync-state")).to_contain_text(
        "rows read from the primary as waqiti_rollback_backup"
    )


def test_lists_are_walked_by_keys_down_to_a_statement_beside_its_step(site: Site, sign_in: SignIn) -> None:
    page = sign_in("amina", viewport=WIDE)
    page.goto("/targets/?environment=production")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/targets/wallet-production/$"))
    bar = page.locator("svg.cover rect").first
    assert (bar.bounding_box() or {})["width"] > 10

    page.get_by_role("link", name="2025.11.22.001").click()
    row = page.locator(".side-row").first
    forward, back, note = (
        row.locator(f".side-{name}").bounding_box() or {} for name in ("forward", "back", "note")
    )
    assert forward["x"] < back["x"] < note["x"]
    assert forward["y"] == back["y"] == note["y"]
    page.set_viewport_size(PHONE)
    forward, back, note = (
        row.locator(f".side-{name}").bounding_box() or {} for name in ("forward", "back", "note")
    )
    assert note["y"] < forward["y"] < back["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
