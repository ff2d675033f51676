"""One rollback from request to verified trail, by the people whose turn it is, each in their own browser."""

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


def confirm_password(page: Page, site: Site, name: str) -> None:
    """Prove once more who it is, as decisions ask."""
    expect(page.get_by_role("heading", name="Confirm it is you")).to_be_visible()
    page.get_by_label("Password").fill(site.passwords[name])
    page.get_by_role("button", name="Confirm").click()


def until(page: Page, text: str | re.Pattern[str]) -> None:
    """Load the page anew until the worker's answer is on it."""
    found = page.get_by_text(text).first
    for _attempt in range(120):
        if found.is_visible():
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(found).to_be_visible()


def ask(page: Page) -> str:
    """Amina asks to take the newest migration of wallet-south back; returns the page of her draft."""
    page.get_by_role("link", name="New rollback").click()
    page.get_by_role("link", name=re.compile("wallet-south")).click()
    page.get_by_role("link", name="Undo V2025.11.22.001 and newer").click()
    page.get_by_role("button", name=re.compile("^Begin the request")).click()
    page.get_by_text("Open a new incident").click()
    page.get_by_label("Title of a new incident").fill("Closing an account deletes wallets")
    page.get_by_label("Impact of the new incident").fill("Twelve customers lost their wallets.")
    page.get_by_label("Why the migration must be undone").fill("Its keys cascade where they must not.")
    page.get_by_label("Why a forward fix will not do").fill("A corrected release takes until tomorrow.")
    page.get_by_role("button", name="File and deployments").click()
    page.get_by_label("What becomes of the migration file").select_option(label="removed from the release")
    page.get_by_label("Who froze deployments").fill("Grace, release team")
    page.get_by_label(re.compile("Frozen until")).fill("2099-01-01T00:00")
    page.get_by_label("Application version").fill("wallet-service 4.17.2")
    page.get_by_role("button", name="Checklist").click()
    # The worker's answer comes into the open page by itself.
    expect(page.get_by_text("Schema version 2025.11.22.001.")).to_be_visible()
    page.get_by_label("Nothing depends on what goes").fill("Searched the code of all services.")
    page.get_by_label("Stakeholders are notified").fill("Told support, ops and the teams downstream.")
    page.get_by_role("button", name=re.compile("^Save, then")).click()
    page.get_by_role("link", name=re.compile("^The page of RB-")).click()
    expect(page).to_have_url(re.compile(r"/rollbacks/\d+/$"))
    return re.sub(r"^https?://[^/]+|[?#].*$", "", page.url)


def approve(page: Page, site: Site, name: str, address: str) -> None:
    """Read, confirm the password, tick what stays lost, sign."""
    page.goto(address)
    page.get_by_role("link", name=re.compile("^Approve")).first.click()
    confirm_password(page, site, name)
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page).to_have_url(re.compile(rf"{address}$"))


def test_a_rollback_goes_from_request_to_verified_trail(sign_in: SignIn, site: Site) -> None:
    amina = sign_in("amina")
    address = ask(amina)
    amina.get_by_role("button", name="Rehearse").first.click()
    amina.goto(address)
    until(amina, re.compile("Passed on a copy of the target"))
    amina.get_by_role("button", name=re.compile("^Submit")).first.click()
    expect(amina.get_by_text("In review").first).to_be_visible()
    expect(amina.get_by_role("link", name=re.compile("^Approve"))).to_have_count(0)

    approve(sign_in("dunya"), site, "dunya", address)
    second = sign_in("emeka")
    approve(second, site, "emeka", address)
    expect(second.get_by_text("Approved").first).to_be_visible()

    grace = sign_in("grace")
    grace.goto(address)
    grace.get_by_role("link", name="Start the execution…").click()
    confirm_password(grace, site, "grace")
    grace.get_by_role("button", name=re.compile("^Run")).click()
    expect(grace).to_have_url(re.compile("/executions/"))
    # Live, without loading the page anew.
    expect(grace.get_by_text(re.compile("Committed: V2025.11.22.001")).first).to_be_visible()

    hassan = sign_in("hassan")
    hassan.goto(address.replace("/rollbacks/", "/audit/rollback/"))
    for told in ("amina", "dunya", "emeka", "grace"):
        expect(hassan.get_by_text(re.compile(told, re.IGNORECASE)).first).to_be_visible()
    hassan.goto("/audit/verify/")
    hassan.get_by_role("button", name="Verify now").click()
    expect(hassan.get_by_text("The chain is whole")).to_be_visible()

    history = sign_in("emeka")
    history.goto("/targets/wallet-south/")
    until(history, re.compile("3 pending"))


def test_an_engineer_who_types_the_address_of_the_decision_is_refused_and_that_is_on_record(
    sign_in: SignIn, site: Site
) -> None:
    amina = sign_in("amina")
    answer = amina.goto("/rollbacks/1/decide/approve/")
    assert answer is not None
    assert answer.status == 403
    hassan = sign_in("hassan")
    hassan.goto("/audit/?denied=on")
    expect(hassan.get_by_role("listitem").filter(has_text="Amina").first).to_be_visible()
