"""Asking for a rollback in a browser: with the keyboard alone, and with a session that ends in mid-form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.integration]
SignIn = Callable[..., Page]


def tab_to(page: Page, wanted: Locator, limit: int = 120) -> None:
    """Press Tab until this has the focus; whatever stands between must let go of it."""
    for _press in range(limit):
        if wanted.count() == 1 and wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{limit} times Tab, and the focus never came to {wanted}")


def press(page: Page, role: str, name: str | re.Pattern[str]) -> None:
    """Reach a link or button by Tab and press Enter."""
    tab_to(page, page.get_by_role(role, name=name))  # type: ignore[arg-type]
    page.keyboard.press("Enter")


def type_into(page: Page, label: str | re.Pattern[str], text: str) -> None:
    """Reach a field by Tab and type."""
    tab_to(page, page.get_by_label(label))
    page.keyboard.insert_text(text)


def test_an_engineer_asks_with_the_keyboard_alone_and_a_lapsed_session_loses_nothing(
    sign_in: SignIn, site: Site
) -> None:
    page = sign_in("amina")
    press(page, "link", "New rollback")
    press(page, "link", re.compile("^wallet-production"))
    press(page, "link", "Undo V2025.11.22.001 and newer")
    expect(page.get_by_text("You chose it.")).to_be_visible()
    press(page, "button", re.compile("^Begin the request: 1 migration off wallet-production"))

    # The reason; the session ends while it is typed.
    expect(page.get_by_role("heading", name="Why must it be undone on wallet-production?")).to_be_visible()
    tab_to(page, page.get_by_text("Open a new incident"))
    page.keyboard.press("Enter")
    type_into(page, "Title of a new incident", "Closing an account deletes wallets")
    type_into(page, "Why the migration must be undone", "Its keys cascade,\nwhere they must not.")
    title = page.locator("#id_incident_title_foot")
    expect(title).to_be_empty()
    page.context.clear_cookies(name="sessionid")
    type_into(page, "Why a forward fix will not do", "A corrected release takes until tomorrow.")
    tab_to(page, page.get_by_role("button", name=re.compile("^Save, then")))
    # Leaving the field asked the server, which knows nobody any more: the page stays as it is and says so.
    expect(page.get_by_text("You are signed out by now.")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("What you entered is kept for you for an hour")).to_be_visible()
    type_into(page, "Username", "amina")
    type_into(page, "Password", site.passwords["amina"])
    page.keyboard.press("Enter")
    expect(page.get_by_text("You had been signed out when you sent this.")).to_be_visible()
    expect(page.get_by_label("Why the migration must be undone")).to_have_value(
        "Its keys cascade,\nwhere they must not."
    )
    expect(page.get_by_label("Title of a new incident")).to_have_value("Closing an account deletes wallets")

    # What is wrong is told beside its field when that is left, and goes away when it is mended.
    tab_to(page, page.get_by_label("Title of a new incident"))
    page.keyboard.press("Tab")
    page.keyboard.insert_text("x")
    page.keyboard.press("Backspace")
    type_into(page, "Impact of the new incident", "Twelve customers lost their wallets.")
    press(page, "button", re.compile("^Save, then: Scripts and checks"))

    # The script: the field lets Tab go, its plan follows, a message leads to its line.
    press(page, "link", re.compile("^(Edit the script|Write the script)"))
    field = page.get_by_label("Rollback SQL")
    tab_to(page, field)
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("-- by hand\nCOMIT;\n")
    plan = page.locator("#plan")
    expect(plan.get_by_role("link", name="line 2, column 1")).to_be_visible()
    expect(page.locator(".editor-lines .at")).to_have_count(1)
    tab_to(page, plan.get_by_role("link", name="line 2, column 1"))
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    page.keyboard.press("Shift+End")
    page.keyboard.press("Delete")
    expect(plan.get_by_text("as long as nothing was counted on the target")).to_be_visible()
    expect(page.locator(".editor-lines .at")).to_have_count(0)

    # The checks are tried on a copy; the answer comes into the open page.
    press(page, "button", "Try the checks on a copy")
    expect(page.get_by_text(re.compile(r"\d of \d checks? gave what (it|they) must\."))).to_be_visible()
    expect(page.get_by_text(re.compile("^On a copy "))).to_be_visible()
    expect(field).to_have_value(re.compile("^-- by hand\n"))
    press(page, "button", "Store the revision")
    expect(page.get_by_text("and this request uses it")).to_be_visible()

    # The rest, to the last step, which names what is missing and then submits.
    press(page, "button", "File and deployments")
    tab_to(page, page.get_by_label("What becomes of the migration file"))
    page.keyboard.press("ArrowDown")
    type_into(page, "Who froze deployments", "Grace, release team")
    tab_to(page, page.get_by_label(re.compile("^Frozen until")))
    for part in ("01012099", "ArrowRight", "1200AM"):
        page.keyboard.press(part) if part == "ArrowRight" else page.keyboard.type(part)
    type_into(page, "Application version", "wallet-service 4.17.2")
    press(page, "button", "Checklist")
    expect(page.get_by_text("Schema version 2025.11.22.001.")).to_be_visible()
    type_into(page, "Nothing depends on what goes", "Searched the code of all services.")
    type_into(page, "Stakeholders are notified", "Told support, ops and the teams downstream.")
    press(page, "button", "Review and submit")
    # Whether or not the worker had examined the script by then: the page follows it.
    expect(page.get_by_text("Step 7 of 7. It can be submitted.")).to_be_visible(timeout=60_000)
    press(page, "button", "Submit for review: roll back V2025.11.22.001 on wallet-production")
    expect(page.get_by_text("Submitted for review.")).to_be_visible()
