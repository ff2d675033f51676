"""Accessibility of the page that a browser shows, by axe-core (it comes with a wheel; licence MPL-2.0)."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# WCAG 2.2 AA, and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCRIPT = Axe().axe_script
RUN = """tags => axe.run({runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]})
    .then(({violations}) => violations.map(({id, help, nodes}) =>
        ({id, help, nodes: nodes.map(({html, failureSummary}) => html.slice(0, 200) + " " + failureSummary)})))"""


def violations(page: Page) -> list[str]:
    """What axe objects to on the page as it is now, one sentence per rule; empty where all is well."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(RUN, RULES)
    return [f"{each['id']}: {each['help']}: {' | '.join(each['nodes'][:3])}" for each in found]


def sideways(page: Page) -> int:
    """By how many pixels the page can be scrolled to the side; 0 is right."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide
