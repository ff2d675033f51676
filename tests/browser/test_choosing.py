"""Choosing the targets of a fleet among more than a page of them: with scripts and keys, and without."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.axe import violations
from tests.browser.hands import press, tab_to

if TYPE_CHECKING:
    from tests.browser.still import Still

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def choosing(browser: Browser, still: Still, **options: object) -> Page:
    """alice's page of a draft of which only the canary is chosen."""
    context: BrowserContext = browser.new_context(base_url=still.address, **options)  # type: ignore[arg-type]
    context.add_cookies(still.cookie("alice"))
    page = context.new_page()
    page.goto(next(visit.address for visit in still.visits if visit.name == "targets to choose"))
    return page


def test_what_is_chosen_stays_so_while_the_filter_changes_what_is_shown(
    browser: Browser, still: Still
) -> None:
    page = choosing(browser, still)
    counted = page.get_by_role("status").and_(page.locator("#counted"))
    expect(counted).to_contain_text("1 of 71 chosen.")
    press(page, "f")
    page.keyboard.type("cell-1")
    expect(counted).to_contain_text("1 of 71 chosen. The filter finds 10.")
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page.get_by_role("searchbox", name="Filter by name")).to_be_focused()
    tab_to(page, page.get_by_role("checkbox", name=re.compile("cell-11")))
    press(page, "Space", "j", "o")
    expect(counted).to_contain_text("3 of 71 chosen.")
    expect(page.get_by_role("checkbox", name=re.compile("cell-12"))).to_be_focused()

    field = page.get_by_role("searchbox", name="Filter by name")
    field.fill("cell-2")
    expect(page.get_by_role("checkbox", name=re.compile("cell-21"))).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page.locator("#go-nothing")).to_have_count(0)
    page.get_by_role("button", name="Choose all 10 found").press("Enter")
    expect(counted).to_contain_text("13 of 71 chosen.")
    expect(page.get_by_role("button", name="Choose all 10 found")).to_be_focused()
    page.get_by_role("radio", name=re.compile("cell-21")).check()
    expect(counted).to_contain_text("The canary is wallet-service-cell-21.")
    page.reload()
    expect(counted).to_contain_text("13 of 71 chosen.")

    field.fill("nowhere")
    expect(page.get_by_text("No target that could go along has “nowhere”")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Show all of them").click()
    expect(page.get_by_text("Page 1 of 2, 71 in all")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(counted).to_contain_text("13 of 71 chosen.")
    page.get_by_role("button", name="Read the choice…").click()
    expect(page.get_by_role("heading", name=re.compile("on these 13 targets"))).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="canary")).to_contain_text("cell-21")
    page.context.close()


def test_without_scripts_every_button_keeps_what_was_ticked(browser: Browser, still: Still) -> None:
    page = choosing(browser, still, java_script_enabled=False)
    page.get_by_role("checkbox", name=re.compile("cell-05")).check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("checkbox", name=re.compile("shard-009")).check()
    page.get_by_role("searchbox", name="Filter by name").fill("cell-4")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#counted")).to_contain_text("3 of 71 chosen. The filter finds 10.")
    page.get_by_role("button", name="Choose all 10 found").click()
    page.get_by_role("checkbox", name=re.compile("cell-44")).uncheck()
    page.get_by_role("button", name="Read the choice…").click()
    expect(page.get_by_role("heading", name=re.compile("on these 12 targets"))).to_be_visible()
    names = page.locator(".chosen li").all_inner_texts()
    assert [name for name in names if "cell-05" in name or "shard-009" in name or "cell-44" in name] == [
        "wallet-service-cell-05 new",
        "wallet-service-shard-009 new",
    ]
    page.get_by_role("link", name="Change the choice").click()
    page.get_by_role("button", name="Clear the choice").click()
    expect(page.locator("#counted")).to_contain_text("1 of 71 chosen.")
    page.context.close()
