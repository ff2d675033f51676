"""Accessibility of the page that a browser shows, by axe-core (it comes with a wheel; licence MPL-2.0)."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# WCAG 2.2 AA, and what axe calls best practice.
EVERYTHING = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# All that can differ between light and dark.
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
SCRIPT = Axe().axe_script
RUN = """async (only) => {
  const {violations} = await axe.run({runOnly: only, resultTypes: ["violations"]});
  const told = ({html, failureSummary}) => `${html.slice(0, 200)} ${failureSummary}`;
  return violations.map(({id, help, nodes}) => `${id}: ${help}: ${nodes.slice(0, 3).map(told).join(" | ")}`);
}"""


def violations(page: Page, only: dict[str, Any] = EVERYTHING) -> list[str]:
    """What axe objects to on the page as it is now, one text per rule; empty where all is well."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(SCRIPT)
    found: list[str] = page.evaluate(RUN, only)
    return found


SIDEWAYS = """() => {
  const {scrollWidth, clientWidth} = document.documentElement;
  if (scrollWidth <= clientWidth) return "";
  const rtl = document.documentElement.dir === "rtl";
  const out = (box) => rtl ? box.left < -0.5 : box.right > clientWidth + 0.5;
  const who = [...document.body.querySelectorAll("*")].filter((each) => out(each.getBoundingClientRect()));
  return `scrolls sideways by ${scrollWidth - clientWidth} px: ` +
    who.slice(-3).map((each) => each.outerHTML.slice(0, 150)).join(" | ");
}"""


def sideways(page: Page) -> str:
    """By how much the page can be scrolled to the side, and what sticks out; empty where it can't."""
    told: str = page.evaluate(SIDEWAYS)
    return told
