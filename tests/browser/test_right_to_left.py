"""In a longer language that runs from right to left nothing breaks, and no text is left untranslated."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser

from tests.browser.axe import sideways

if TYPE_CHECKING:
    from tests.browser.still import Still

pytestmark = [pytest.mark.browser, pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
# Text without brackets, outside of what is data by its element, or says which language it is in.
UNMARKED = """() => {
  const data = "code, pre, kbd, time, option, textarea, datalist, script, template, .code, .brand,"
    + " :not(html)[lang]";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let depth = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.data;
    const before = depth;
    depth += text.split("⟦").length - text.split("⟧").length;
    if (before || depth || text.includes("⟦") || node.parentElement.closest(data)) continue;
    const told = text.replace(/\\s+/g, " ").trim();
    if (/[A-Za-z]{2}/.test(told)) found.push(told);
  }
  return found;
}"""
# What the portal makes from numbers and digests, units, addresses; and the loss that approvers acknowledge,
# which is kept word for word, in English.
LABELS = re.compile(
    r"(RB|INC|EX)-[0-9a-f]+|[VBRU][0-9.]+|UTC([+-][0-9:]+)?|SHA-256|[0-9a-f]{64}"
    r"|[0-9.,:]+ ?(ms|min|kB|MB|GB|h|s)\b|(about [0-9,]+|an unknown number of) (rows|values)|:[0-9]+\b"
)


@cache
def plain_english() -> frozenset[str]:
    """The texts of the plain Python packages, which know no translation."""
    found: set[str] = set()
    for package in ("approvals/analysis", "approvals/flyway", "executor"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    # A table of data is one text there and many on the page.
                    found.update(" ".join(part.split()) for part in re.split(r"[|\n()]", node.value))
                    found.add(" ".join(node.value.split()))
    return frozenset(found)


def is_data(text: str, stored: frozenset[str]) -> bool:
    """True for what the database or a plain package holds, also for several of these in a row."""
    known = stored | plain_english()
    return text in known or all(_is_one(part, known) for part in re.split(r"[;()“”]| · |: ", text))


def _is_one(text: str, known: frozenset[str]) -> bool:
    bare = LABELS.sub("", text).strip(" ,.:·→≠/–-")
    if not re.search("[A-Za-z]{2}", bare):
        return True
    if {bare, f"{bare}."} & known or any(len(bare) > 9 and bare in each for each in known):
        return True
    words = re.split(r"[ ,]+", bare)
    return len(words) > 1 and all(_is_one(word, known) for word in words)


def test_in_a_longer_language_from_right_to_left_no_page_breaks_and_every_text_is_marked(
    browser: Browser, still: Still
) -> None:
    found: list[str] = []
    stored = still.stored()
    for reader in {visit.reader: None for visit in still.visits}:
        with browser.new_context(base_url=still.pseudo, viewport={"width": 1440, "height": 900}) as context:
            cookies: Any = still.cookie(reader)
            context.add_cookies(cookies)
            page = context.new_page()
            for visit in (each for each in still.visits if each.reader == reader):
                page.goto(visit.address)
                assert page.evaluate("document.documentElement.dir") == "rtl"
                texts = [text for text in page.evaluate(UNMARKED) if not is_data(text, stored)]
                found += [
                    f"{visit.name}: {text!r} is not marked for translation" for text in dict.fromkeys(texts)
                ]
                for width in (1440, 390):
                    page.set_viewport_size({"width": width, "height": 900})
                    if wide := sideways(page):
                        found.append(f"{visit.name} at {width} px {wide}")
    assert not found, "\n".join(found)
