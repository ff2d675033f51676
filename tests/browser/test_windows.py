"""A window in a browser: one person asks for it by keyboard and phone, another reads it on the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]
SignIn = Callable[..., Page]
PHONE = {"width": 390, "height": 844}


def test_one_person_asks_for_a_window_and_the_second_one_says_no(site: Site, sign_in: SignIn) -> None:
    ines = sign_in("ines", viewport=PHONE)
    ines.goto("/targets/wallet-production/")
    ines.get_by_role("link", name="Calendar").click()
    ines.get_by_role("link", name="Weekly window…").click()
    group = ines.get_by_role("group", name="Days on which it opens")
    group.get_by_label("Saturday").check()
    ines.get_by_label("From").fill("22:00")
    ines.get_by_label("Until").fill("02:00")
    ines.get_by_label("Note").fill("Few people pay at night.")
    assert ines.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ines.get_by_role("button", name="Ask for the window").click()
    expect(ines.get_by_text("Saturday, 22:00 to 02:00 on the next day").first).to_be_visible()
    expect(ines.get_by_text("You asked for it, so somebody else has to confirm it.")).to_be_visible()
    expect(ines.get_by_role("button", name="Confirm the window")).to_have_count(0)
    assert ines.evaluate("document.documentElement.scrollWidth <= innerWidth")

    grace = sign_in("grace")
    grace.goto("/")
    waits = grace.get_by_role("region", name="Windows and freezes that wait for a second person")
    waits.get_by_role("link", name="wallet-production").click()
    entry = grace.get_by_role("listitem").filter(has_text="Few people pay at night.")
    expect(entry.get_by_role("button", name="Confirm the window")).to_be_visible()
    entry.get_by_role("button", name="Say no").click()
    expect(grace.get_by_text("It stays as it was.")).to_be_visible()
    expect(grace.get_by_text("It has no windows, so it is always open.")).to_be_visible()
