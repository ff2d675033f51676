"""What surrounds every page, by keyboard only: search, lists, the list of keys, menus; failures in place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, Route, expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.still import Still

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def enter(browser: Browser, still: Still) -> Iterator[Callable[..., Page]]:
    """`enter("dora", "/")`: a page that this person opened, in which no script may fail."""
    contexts, complaints = [], []

    def open_page(reader: str, address: str, **options: object) -> Page:
        context = browser.new_context(base_url=still.address, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_cookies(still.cookie(reader))  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def test_the_search_is_reached_walked_and_left_by_keys(enter: Callable[..., Page]) -> None:
    page = enter("dora", "/matrix/")
    field = page.get_by_role("searchbox", name="Search")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("index wall")
    found = page.get_by_role("region", name="Suggestions")
    expect(found.get_by_role("link", name=re.compile("V3 index wallets")).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(found.get_by_role("link")).to_have_count(0)
    expect(field).to_be_focused()
    page.keyboard.type("e")
    expect(found.get_by_role("link").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(found.get_by_role("link").first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(field).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/search/\?q=index\+walle$"))


def test_lists_are_walked_and_opened_by_keys(enter: Callable[..., Page]) -> None:
    page = enter("dora", "/search/?q=wallet-service-high")
    rows = page.locator("[data-row]")
    page.locator("h1").click()
    page.keyboard.press("j")
    expect(rows.nth(0).locator("a").first).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1).locator("a").first).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0).locator("a").first).to_be_focused()
    page.keyboard.press("o")
    expect(page).not_to_have_url(re.compile("/search/"))


def test_no_key_does_anything_while_one_writes_or_holds_another_key(enter: Callable[..., Page]) -> None:
    page = enter("alice", "/")
    field = page.get_by_role("searchbox", name="Search")
    field.click()
    page.keyboard.type("njo?/")
    expect(field).to_have_value("njo?/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.locator("h1").click()
    page.keyboard.press("Control+j")
    page.keyboard.press("Alt+n")
    expect(page).to_have_url(re.compile("/$"))
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile("/rollbacks/new/"))


def test_the_keys_of_a_page_are_listed_and_can_be_switched_off(enter: Callable[..., Page]) -> None:
    page = enter("alice", "/")
    new = page.get_by_role("link", name="New rollback")
    expect(new).to_have_attribute("aria-keyshortcuts", "n")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys of this page")
    expect(dialog).to_contain_text("New rollback")
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile("/$"))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.goto("/account/")
    page.get_by_role("button", name="Switch them off").click()
    page.goto("/")
    page.keyboard.press("n")
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("/$"))
    expect(new).not_to_have_attribute("aria-keyshortcuts", "n")
    page.goto("/account/")
    page.get_by_role("button", name="Switch them on").click()


def test_the_content_is_one_key_away_and_menus_close_behind_one(enter: Callable[..., Page]) -> None:
    page = enter("dora", "/matrix/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main$"))
    more = page.locator("details.nav-more")
    more.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(more.get_by_role("link", name="People")).to_be_visible()
    page.keyboard.press("Escape")
    expect(more.get_by_role("link", name="People")).to_be_hidden()
    expect(more.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    for _entry in range(8):
        page.keyboard.press("Tab")
    expect(more.get_by_role("link", name="People")).to_be_hidden()


def test_on_a_phone_everything_is_in_one_menu_and_the_search_on_a_page(enter: Callable[..., Page]) -> None:
    page = enter("dora", "/", viewport={"width": 390, "height": 844})
    page.locator("details.all summary").click()
    menu = page.get_by_role("navigation", name="Main, small screens")
    for place in ("Rollbacks", "Incidents", "Decision matrix", "People"):
        expect(menu.get_by_role("link", name=place)).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Search").click()
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()


def test_a_part_of_a_page_that_fails_leaves_the_page_and_says_so(enter: Callable[..., Page]) -> None:
    page = enter("dora", "/matrix/")
    note = (
        '<div class="note note-fail" role="alert"><p><b>The portal can\'t read its records now</b></p></div>'
    )

    def fail(route: Route) -> None:
        route.fulfill(status=503, content_type="text/html", body=note)

    page.route("**/search/**", fail)
    page.keyboard.press("/")
    page.keyboard.type("x")
    expect(page.get_by_role("alert")).to_contain_text("can't read its records now")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.unroute("**/search/**")
    page.route("**/search/**", lambda route: route.abort())
    page.keyboard.type("y")
    expect(page.get_by_role("alert")).to_contain_text("The portal does not answer")
    page.unroute("**/search/**")
    page.keyboard.type("z")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_browser_s_zone_is_offered_and_not_imposed(enter: Callable[..., Page]) -> None:
    page = enter("lea", "/", timezone_id="Asia/Tokyo")
    offer = page.locator("[data-zone-offer]")
    expect(offer).to_contain_text("Asia/Tokyo")
    expect(page.locator(".page-head")).to_contain_text("UTC")
    offer.get_by_role("button", name="Show my time").click()
    expect(page.locator(".page-head")).to_contain_text("Tokyo, UTC+9")
    expect(page.locator("[data-zone-offer]")).to_have_count(0)
