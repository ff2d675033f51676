"""Hands on the keyboard and nowhere else: what they reach, and whether the reader sees where they are."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

# What is wrong with where the focus is: "" where it can be seen and nothing lies on it.
UNSEEN = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return "";
  const named = (at.ariaLabel || at.innerText || at.name || at.id).trim().slice(0, 60);
  const what = `${at.tagName.toLowerCase()} “${named}” has the focus`;
  const drawn = (each) => {
    const css = getComputedStyle(each);
    return css.outlineStyle !== "none" && parseFloat(css.outlineWidth) > 0;
  };
  let ring = at;
  while (ring && !drawn(ring)) ring = ring.parentElement;
  if (!ring) return `${what} and nothing shows it`;
  const box = [...at.getClientRects()].find((each) => each.width && each.height);
  if (!box) return `${what} and no size`;
  const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
  const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
  if (left >= right || top >= bottom) return `${what} outside of the window`;
  const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  if (at.contains(hit) || hit?.control === at) return "";
  return `${what} under ${hit?.outerHTML.slice(0, 120)}`;
}"""
# Waits until the page has come to rest; it glides where the reader did not ask for less motion.
STILL = """() => new Promise((done) => {
  let before = -1, calm = 0;
  const look = () => {
    calm = scrollY === before ? calm + 1 : 0;
    before = scrollY;
    calm > 8 ? done() : requestAnimationFrame(look);
  };
  look();
})"""


def press(page: Page, *keys: str) -> None:
    """One key after the other."""
    for key in keys:
        page.keyboard.press(key)


def read_on(page: Page, until: Locator, *, most: int = 15) -> None:
    """Press the space bar, which goes on by a screen, until this is on the screen."""
    box = "((box) => box.top >= 0 && box.bottom <= innerHeight)(seen.getBoundingClientRect())"
    for _screen in range(most):
        if until.evaluate(f"seen => {box}"):
            return
        page.keyboard.press("Space")
        page.evaluate(STILL)
    raise AssertionError(f"{most} screens on, {until} has not come")


def see_focus(page: Page) -> None:
    """What has the focus shows it, and nothing lies on it."""
    assert page.evaluate(UNSEEN) == ""


def tab_to(page: Page, wanted: Locator, *, key: str = "Tab", most: int = 150) -> None:
    """Press Tab (or Shift+Tab) until this has the focus. What is passed shows it too, and lets go of it."""
    here = wanted.and_(page.locator(":focus"))
    for _press in range(most):
        if here.count():
            see_focus(page)
            return
        page.keyboard.press(key)
        see_focus(page)
    raise AssertionError(f"{most} times {key}, and the focus never came to {wanted}")


def follow(page: Page, role: str, name: str | re.Pattern[str], *, key: str = "Enter") -> None:
    """Reach a link or button by Tab and press it."""
    tab_to(page, page.get_by_role(role, name=name))  # type: ignore[arg-type]
    page.keyboard.press(key)


def write(page: Page, label: str | re.Pattern[str], text: str) -> None:
    """Reach a field by Tab and type over what it holds; in a list of choices typing chooses."""
    tab_to(page, page.get_by_label(label))
    page.keyboard.type(text)


def walk_to(page: Page, text: str | re.Pattern[str], *, most: int = 40) -> None:
    """Press j until the row that says this has the focus, then o."""
    row = page.locator("[data-row]:focus-within")
    for _press in range(most):
        page.keyboard.press("j")
        see_focus(page)
        if row.filter(has_text=text).count():
            with page.expect_navigation():
                page.keyboard.press("o")
            return
    raise AssertionError(f"{most} times j, and no row says {text}")


def sign_in(page: Page, name: str, password: str) -> None:
    """From the sign-in page to the dashboard."""
    page.goto("/")
    write(page, "Username", name)
    write(page, "Password", password)
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in")


def confirm(page: Page, password: str) -> None:
    """Prove once more who it is, as decisions ask."""
    expect(page.get_by_role("heading", name="Confirm it is you")).to_be_visible()
    write(page, "Password", password)
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Confirm it is you")).to_have_count(0)
