"""The main path of whoever decides, runs and looks after the portal, without a mouse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.hands import confirm, follow, press, read_on, see_focus, sign_in, tab_to, walk_to, write

if TYPE_CHECKING:
    from tests.browser.conftest import Site
    from tests.browser.still import Still
    from waqiti_rollback.embedded import Estate

pytestmark = [pytest.mark.browser, pytest.mark.integration]
Enter = Callable[[str], Page]


@pytest.fixture
def keys(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """`keys(address)`: a page on a portal, in which no script may fail, and which nobody points at."""
    complaints: list[str] = []
    contexts = []

    def open_page(address: str) -> Page:
        contexts.append(browser.new_context(base_url=address, viewport={"width": 1280, "height": 800}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def at_rest(keys: Enter, still: Still) -> Enter:
    """`at_rest("dora")`: her page of the portal at rest, where she has signed in."""
    from tests.browser.still import PASSWORD

    def enter(name: str) -> Page:
        page = keys(still.address)
        sign_in(page, name, PASSWORD)
        return page

    return enter


def approve_on(target: str, version: str) -> None:
    """Everybody but ops has done their part, a worker's rehearsal included."""
    from waqiti_rollback.demo import journey, stories

    wish = journey.Wish(
        by="bram",
        target=target,
        versions=(version,),
        title="Wallets can not be opened",
        reason="Old releases fail on the languages that the new ones store.",
        impact="Nobody opens a wallet.",
        forward_fix="A corrected release takes until tomorrow.",
    )
    rollback = journey.ask(wish)
    journey.rehearsed(journey.ask_for_rehearsal(rollback))
    stories.sign(journey.submit(rollback))


def test_a_senior_dba_reads_asks_and_approves_what_is_high(at_rest: Enter) -> None:
    from tests.browser.still import PASSWORD

    page = at_rest("dora")
    walk_to(page, "wallet-service-high")
    gates = page.get_by_role("region", name="Gates")
    read_on(page, gates.get_by_role("heading", name="Gates"))
    expect(gates).to_contain_text("Passed on a clone.")

    follow(page, "link", "Comment on statement 1")
    said = page.get_by_label("Comment", exact=True)
    expect(said).to_be_focused()
    see_focus(page)
    page.keyboard.type("Is every wallet's user still there?")
    follow(page, "button", re.compile("^Comment$"))
    thread = page.locator(".sql-back .thread")
    expect(thread).to_be_focused()
    expect(thread).to_contain_text("Is every wallet's user still there?")

    press(page, "a")
    confirm(page, PASSWORD)
    expect(page.get_by_role("heading", name="You sign this")).to_be_visible()
    tab_to(page, page.get_by_role("checkbox"))
    press(page, "Space")
    expect(page.get_by_role("checkbox")).to_be_checked()
    follow(page, "button", "Approve for wallet-service-high")
    expect(page.get_by_text("Approved. More signatures are missing.")).to_be_visible()


def test_a_platform_lead_types_what_a_critical_rollback_loses(at_rest: Enter) -> None:
    from tests.browser.still import PASSWORD

    page = at_rest("lea")
    walk_to(page, "wallet-service-critical")
    press(page, "a")
    confirm(page, PASSWORD)
    write(page, re.compile("^Type what stays lost"), "transactions")
    follow(page, "button", "Approve for wallet-service-critical")
    refused = page.get_by_role("alert").filter(has_text="Acknowledge what stays lost, in these words")
    expect(refused).to_be_focused()  # so the next Tab is the form's first field
    see_focus(page)
    press(page, "Tab")
    typed = page.get_by_label(re.compile("^Type what stays lost"))
    expect(typed).to_be_focused()
    expect(typed).to_have_value("transactions")
    press(page, "Control+End")
    page.keyboard.type(": 120,000 rows")
    follow(page, "button", "Approve for wallet-service-critical", key="Space")
    expect(page.get_by_text("Approved. More signatures are missing.")).to_be_visible()


def test_ops_start_what_is_critical_and_watch_it_to_its_end(keys: Enter, site: Site, estate: Estate) -> None:
    with psycopg.connect(estate.production.superuser_dsn("wallet_west")) as somebody:
        somebody.execute("UPDATE users SET preferred_language = 'sw'")
    with site.records():
        approve_on("wallet-west", "9")
    page = keys(site.address)
    sign_in(page, "grace", site.passwords["grace"])
    walk_to(page, "wallet-west")
    press(page, "s")
    confirm(page, site.passwords["grace"])
    write(page, re.compile("^Type the name of the target"), "wallet-west")
    follow(page, "button", "Run it on wallet-west")
    expect(page).to_have_url(re.compile("/executions/"))
    expect(page.get_by_text("Committed and verified").first).to_be_visible()
    expect(page.get_by_role("heading", name="What to do now")).to_be_visible()
    follow(page, "link", "Write the post-mortem")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Post-mortem")


def test_an_admin_names_changes_and_takes_away_whom_to_call_by_mouse(browser: Browser, still: Still) -> None:
    with browser.new_context(base_url=still.address) as context:
        context.add_cookies(still.cookie("adam"))  # type: ignore[arg-type]
        page = context.new_page()
        page.goto("/contacts/")
        page.get_by_role("link", name="New contact").click()
        page.get_by_label("Duty").select_option(label="Backup DBA")
        page.get_by_label("For the services of a team").select_option(label="ledger")
        page.get_by_label("Name").fill("Mo Mouse")
        page.get_by_label("Email").fill("mo@bank.example")
        page.get_by_label("Phone").fill("0123")
        page.get_by_role("button", name="Save the contact").click()
        expect(page.get_by_text("Enter a phone number of digits")).to_be_visible()
        page.get_by_label("Phone").fill("+254 20 555 0199")
        page.get_by_role("button", name="Save the contact").click()
        expect(page.get_by_text("Mo Mouse is named as Backup DBA.")).to_be_visible()

        page.get_by_role("link", name="Change Mo Mouse").click()
        page.get_by_label("Phone").fill("+254 20 555 0200")
        page.get_by_role("button", name="Save the contact").click()
        expect(page.get_by_role("link", name="+254 20 555 0200")).to_be_visible()

        page.get_by_role("link", name="Take Mo Mouse away").click()
        page.get_by_role("button", name="Take Mo Mouse away").click()
        expect(page.get_by_text("Mo Mouse is no contact any more.")).to_be_visible()


def test_an_admin_does_the_same_by_keys_alone(at_rest: Enter) -> None:
    page = at_rest("adam")
    tab_to(page, page.get_by_text("More", exact=True))
    press(page, "Enter")
    follow(page, "link", "Contacts")
    expect(page.get_by_role("heading", name="Contacts and escalation")).to_be_visible()
    follow(page, "link", "New contact")
    write(page, "Duty", "Backup")
    write(page, "For the services of a team", "led")
    write(page, "Name", "Kim Keys")
    write(page, "Email", "kim@bank.example")
    write(page, "Phone", "0123")
    press(page, "Enter")
    phone = page.get_by_label("Phone")
    expect(page.get_by_text("Enter a phone number of digits")).to_be_visible()
    expect(phone).to_be_focused()
    see_focus(page)
    page.keyboard.type("0123 4567")
    follow(page, "button", "Save the contact")
    expect(page.get_by_text("Kim Keys is named as Backup DBA.")).to_be_visible()

    walk_to(page, "Kim Keys")
    expect(page.get_by_role("heading", name="Change Kim Keys")).to_be_visible()
    write(page, "Phone", "0123 4599")
    press(page, "Enter")
    expect(page.get_by_role("link", name="0123 4599")).to_be_visible()

    follow(page, "link", "Take Kim Keys away")
    tab_to(page, page.get_by_role("link", name="Back", exact=True))
    tab_to(page, page.get_by_role("button", name="Take Kim Keys away"), key="Shift+Tab")
    press(page, "Enter")
    expect(page.get_by_text("Kim Keys is no contact any more.")).to_be_visible()
