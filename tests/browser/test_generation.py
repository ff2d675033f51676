"""A way back from nothing to submission, with a real worker: generated, edited, found incomplete, declared,
proven."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]
SignIn = Callable[..., Page]

VERSION, TARGET = "2025.11.22.001", "wallet-production"
KEY = "fk_payments_payment_method"
WHY = "Payments outlive the method that they were made with."


def begin(page: Page) -> None:
    """A draft with its reason, at the step of its scripts."""
    page.goto(f"/rollbacks/new/?target={TARGET}&down_to={VERSION}")
    page.get_by_role("button", name=re.compile("^Begin the request")).click()
    page.get_by_text("Open a new incident").click()
    page.get_by_label("Title of a new incident").fill("Deleted people take their wallets along")
    page.get_by_label("Impact of the new incident").fill("Two wallets were restored by hand.")
    page.get_by_label("Why the migration must be undone").fill("Its keys cascade.")
    page.get_by_label("Why a forward fix will not do").fill("Three services would have to change first.")
    page.get_by_role("button", name=re.compile("^Save, then: Scripts and checks")).click()


def generate(page: Page) -> None:
    """Have it generated and follow the worker, without loading the page again."""
    page.get_by_role("link", name=f"Generate the way back of V{VERSION}").click()
    page.get_by_label("Count what goes on").select_option("wallet-staging")
    page.get_by_role("button", name="Generate the way back").click()
    result = page.locator("#result")
    expect(result.get_by_text("No gap")).to_be_visible()
    expect(result.get_by_text("Complete", exact=True)).to_be_visible()
    expect(result.get_by_text("byte for byte as pg_dump writes it")).to_be_visible()
    expect(result.get_by_text(re.compile("^Against revision "))).to_be_visible()


def settle_file(page: Page) -> None:
    """What the next deployment must find."""
    page.get_by_role("button", name="File and deployments", exact=True).click()
    page.get_by_label("What becomes of the migration file").select_option("removed")
    page.get_by_label("Who froze deployments").fill("Grace, release team")
    page.get_by_label(re.compile("^Frozen until")).fill("2099-01-01T00:00")
    page.get_by_label("Application version").fill("wallet-service 4.17.2")


def store(page: Page) -> None:
    page.get_by_role("button", name="Store the revision").click()
    expect(page.get_by_text("and this request uses it")).to_be_visible()


def test_a_way_back_is_generated_edited_declared_proven_and_submitted(sign_in: SignIn) -> None:
    page = sign_in("bram")
    begin(page)
    generate(page)

    # Edited by hand: one effect is not undone any more, and that is told while the step is open.
    page.get_by_role("link", name=re.compile("^Read, edit and use it in RB-")).click()
    field = page.get_by_label("Rollback SQL")
    generated = field.input_value()
    kept = [statement for statement in generated.split(";\n") if KEY not in statement]
    assert len(kept) < len(generated.split(";\n"))
    field.fill(";\n".join(kept))
    page.get_by_label("Name").first.fill("The keys are there")
    page.get_by_label("Query").first.fill(
        "SELECT count(*) FROM pg_constraint WHERE conname = 'fk_wallets_user'"
    )
    page.get_by_label("Expected result").first.fill("1")
    store(page)
    expect(page.get_by_text("1 effect not undone")).to_be_visible()
    page.get_by_role("button", name="Review and submit", exact=True).click()
    expect(page.get_by_text(re.compile("^V2025.11.22.001.*not undone"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Submit for review"))).to_have_count(0)

    # Declared, with the reason that approvers will read; proven as declared.
    page.get_by_role("link", name="Scripts and checks").click()
    page.get_by_role("link", name=re.compile("^Edit the script and checks")).click()
    page.get_by_label(re.compile(KEY)).fill(WHY)
    store(page)
    expect(page.get_by_text("complete, 1 effect left on purpose")).to_be_visible()
    expect(page.get_by_text("exact as declared")).to_be_visible()

    settle_file(page)
    page.get_by_role("button", name="Review and submit", exact=True).click()
    expect(page.locator("#missing").get_by_role("img", name="missing")).to_have_count(0)
    page.reload()  # the facts of this change may have come in meanwhile
    page.get_by_role("button", name=re.compile("^Submit for review")).click()
    expect(page.get_by_text("Submitted for review.")).to_be_visible()
    expect(page.get_by_text(WHY).first).to_be_visible()
