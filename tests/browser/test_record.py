"""The auditor's path (story, filter, export, verify) and an incident up to its post-mortem, by mouse and by
keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from approvals import offline_verifier

if TYPE_CHECKING:
    from tests.browser.still import Still

pytestmark = [pytest.mark.browser, pytest.mark.integration]
Enter = Callable[[str], Page]


@pytest.fixture
def enter(browser: Browser, still: Still) -> Iterator[Enter]:
    """`enter("axel")`: a page of theirs, signed in; whatever the browser complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def enter(name: str) -> Page:
        contexts.append(browser.new_context(base_url=still.address, accept_downloads=True))
        contexts[-1].add_cookies(still.cookie(name))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


def address_of(still: Still, name: str) -> str:
    return next(visit.address for visit in still.visits if visit.name == name)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, what: str, *, most: int = 80) -> None:
    """Tab until the focus is on a control of this name: what a reader without a mouse does."""
    focused = "document.activeElement?.ariaLabel || document.activeElement?.labels?.[0]?.innerText"
    focused += " || document.activeElement?.innerText || ''"
    for _step in range(most):
        if re.match(what, str(page.evaluate(focused)).strip()):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"No {what} within {most} tabs")


def verified(path: Path) -> int:
    """How many events of an export hold."""
    with path.open(encoding="utf-8") as lines:
        return offline_verifier.verify(lines)[0]


def test_an_auditor_follows_filters_exports_and_verifies_by_mouse(
    enter: Enter, still: Still, tmp_path: Path
) -> None:
    page = enter("axel")
    page.goto(address_of(still, "rollback executed"))
    page.goto(page.url.replace("/rollbacks/", "/audit/rollback/"))
    expect(page.get_by_role("heading", name=re.compile("^Executed"))).to_be_visible()
    page.get_by_role("link", name="These events in the trail").click()
    expect(page.get_by_label("About")).to_have_value(re.compile("RB-"))
    whole = page.get_by_role("heading", name=re.compile(r"^\d+ events$")).inner_text()

    page.get_by_label("Action").select_option(label="Executions: everything")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("action=execution"))
    fewer = page.get_by_role("heading", name=re.compile(r"^\d+ events$"))
    expect(fewer).not_to_have_text(whole)

    with page.expect_download() as started:
        page.get_by_role("link", name="JSON lines").click()
    target = tmp_path / "events.jsonl"
    started.value.save_as(target)
    assert verified(target) == int(fewer.inner_text().split()[0])

    page.get_by_role("button", name=re.compile("^Verify")).click()
    expect(page.get_by_role("heading", name="The chain is whole")).to_be_visible()
    expect(page.get_by_text(re.compile("by Axel")).first).to_be_visible()


def test_an_auditor_does_the_same_by_keys_alone(enter: Enter, tmp_path: Path) -> None:
    page = enter("axel")
    page.goto("/audit/")
    press(page, "j", "j")
    expect(page.locator("[data-row]").nth(1).get_by_role("link").first).to_be_focused()
    press(page, "o")
    expect(page.get_by_role("heading", name=re.compile("^Event "))).to_be_visible()
    page.go_back()

    tab_to(page, "Person")
    page.keyboard.type("alice")
    press(page, "Enter")
    expect(page).to_have_url(re.compile("person=alice"))
    tab_to(page, "CSV", most=150)
    with page.expect_download() as started:
        press(page, "Enter")
    assert started.value.suggested_filename.startswith("waqiti-events-")
    started.value.save_as(tmp_path / "events.csv")
    assert "alice" in (tmp_path / "events.csv").read_text().splitlines()[1]

    page.goto("/audit/")
    press(page, "v")
    expect(page.get_by_role("heading", name="The chain is whole")).to_be_visible()


def test_an_incident_gets_its_post_mortem_and_an_action_by_keys_alone(enter: Enter, still: Still) -> None:
    page = enter("alice")
    page.goto(address_of(still, "post_mortem"))
    tab_to(page, "The facts as the portal knows them")
    press(page, "Enter")
    tab_to(page, "Add them to what happened")
    press(page, "Enter")
    expect(page.get_by_label("What happened?")).to_have_value(re.compile("opened the incident"))
    for section, text in (("Why did it happen", "A lock."), ("What changes", "V6 builds it concurrently.")):
        tab_to(page, section)
        page.keyboard.type(text)
    tab_to(page, "Hand it in")
    press(page, "Enter")
    expect(page.get_by_text("The post-mortem is handed in.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"before it was due")).first).to_be_visible()

    tab_to(page, "Add an action", most=400)
    press(page, "Enter")
    tab_to(page, "What will be done")
    page.keyboard.type("Try it on the clone first")
    tab_to(page, "Owner")
    page.keyboard.type("Bob")
    tab_to(page, "Add the action")
    press(page, "Enter")
    expect(page.get_by_text(re.compile("Bob has it to do until"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Try it on the clone first.*Bob.*open"))).to_be_visible()
