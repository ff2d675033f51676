"""Every page can be read: no objection by axe, light or dark, wide or narrow, none scrolls sideways; and from
every page one key leads to the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.axe import COLOURS, EVERYTHING, sideways, violations

if TYPE_CHECKING:
    from tests.browser.still import Still, Visit

pytestmark = [pytest.mark.browser, pytest.mark.integration]

WIDE, BETWEEN, NARROW, NARROWEST = 1440, 1024, 390, 320
# What does not depend on the colours is looked at once per width; a page in another state, in one scheme.
LOOKS = (
    (WIDE, "light", EVERYTHING),
    (WIDE, "dark", COLOURS),
    (NARROW, "dark", EVERYTHING),
    (NARROW, "light", COLOURS),
)


def objections(page: Page, visit: Visit, base: str) -> list[str]:
    """All that is wrong with one page, each with where it was seen."""
    answer = page.goto(visit.address)
    assert answer is not None
    found = []
    if (answer.status, page.url) != (visit.status, f"{base}{visit.address}"):
        found.append(f"{visit.name} is not the page that was meant, but {answer.status} {page.url}")
    for width, scheme, rules in LOOKS:
        if visit.again and rules is COLOURS:
            continue
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found += [f"{visit.name}, {width} px, {scheme}: {each}" for each in violations(page, rules)]
        if rules is EVERYTHING and (wide := sideways(page)):
            found.append(f"{visit.name} at {width} px {wide}")
    for width in (BETWEEN, NARROWEST):
        page.set_viewport_size({"width": width, "height": 900})
        if wide := sideways(page):
            found.append(f"{visit.name} at {width} px {wide}")
    page.set_viewport_size({"width": WIDE, "height": 900})
    if visit.reader and not leads_to_the_search(page):
        found.append(f"{visit.name}: / does not lead to the search")
    return found


def leads_to_the_search(page: Page) -> bool:
    """Does the key / lead to the search field, to whoever writes nowhere?"""
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press("/")
    return bool(page.evaluate("document.activeElement?.matches('input[type=search][data-search]')"))


def test_no_page_has_a_barrier_in_either_scheme_at_either_width(browser: Browser, still: Still) -> None:
    found: list[str] = []
    for reader in {visit.reader: None for visit in still.visits}:
        with browser.new_context(base_url=still.address, reduced_motion="reduce") as context:
            context.add_cookies(still.cookie(reader))
            page = context.new_page()
            for visit in still.visits:
                if visit.reader == reader:
                    found += objections(page, visit, still.address)
    assert not found, "\n".join(found)
