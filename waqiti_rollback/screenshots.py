"""Take pictures of every page of the demo: python -m waqiti_rollback.screenshots (--help says more).

Desktop and phone, light and dark, as WebP. Needs Chromium and what requirements-dev.txt holds; the demo has a
directory of its own and is stopped afterwards.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from waqiti_rollback.demo.__main__ import say
from waqiti_rollback.demo.estate import ROOT
from waqiti_rollback.demo.running import SIGN_IN
from waqiti_rollback.embedded import HOST, free_port
from waqiti_rollback.embedded.processes import ChildEnded, Children

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Window

DIRECTORY = ROOT / ".local" / "screenshots"
PICTURES = ROOT / "docs" / "screenshots"
LOADING_SECONDS = 900.0
READY = "Ctrl-C stops everything"  # the demo says so last
QUALITY = 80
# Name, width of the window, and how much of a long page is shown: pixels.
SIZES = (("desktop", 1440, 1800), ("phone", 390, 2200))
SCHEMES = ("light", "dark")


@dataclass(frozen=True)
class Picture:
    """One page: who opens which address; with `follow`, the first link there that it selects."""

    name: str
    person: str
    address: str
    follow: str = ""


PROVE = "main form:has(input[name=password]) button.btn-main"
LIST = "main table tbody th a"
DECIDE = f"{LIST} >> a[href*='/decide/approve']"
EXECUTION = f"{LIST} >> main a[href^='/executions/']"
PARTLY_DONE = f"{EXECUTION} >> #live div.note:not([role]) a[href^='/executions/']"
FORM = f"{LIST} >> main a:is([href*='/form/'], [href*='/edit/'])"
EDITOR = "main a[href^='/migrations/'] >> main a[href$='/script/']"
MIGRATION = "main a[href^='/migrations/']"
GENERATE, FIX = "main a[href*='/generate/']", "main a[href$='/fix/']"
START = f"{LIST} >> a[href*='/start/']"
EXCEPTION = f"{LIST} >> main a[href$='/backup-exception/']"
REJECT = f"{LIST} >> a[href*='/decide/reject']"
COMMENT = f"{LIST} >> main a[href*='/comment/']"
STORY = f"{LIST} >> main a[href^='/audit/rollback/']"
RUN = f"{LIST} >> main #targets a[href$='/run/']"
PAGES = (
    Picture("sign-in", "", SIGN_IN),
    Picture("dashboard-engineer", "amina", "/"),
    Picture("dashboard", "emeka", "/"),
    Picture("dashboard-ops", "grace", "/"),
    Picture("dashboard-auditor", "hassan", "/"),
    Picture("dashboard-admin", "ines", "/"),
    Picture("search", "emeka", "/search/?q=wallet"),
    Picture("rollbacks", "emeka", "/rollbacks/"),
    Picture("review", "emeka", "/rollbacks/?status=in_review&sort=risk", LIST),
    Picture("decision", "emeka", "/rollbacks/?status=in_review&sort=risk", DECIDE),
    Picture("rejection", "emeka", "/rollbacks/?status=in_review&sort=risk", REJECT),
    Picture("comment", "emeka", "/rollbacks/?status=in_review&sort=risk", COMMENT),
    Picture("rollback-draft", "amina", "/rollbacks/?status=draft", LIST),
    Picture("rollback-approved", "grace", "/rollbacks/?status=approved&risk=3", LIST),
    Picture("rollback-executed", "emeka", "/rollbacks/?status=executed", LIST),
    Picture("rollback-failed", "amina", "/rollbacks/?status=failed", LIST),
    Picture("rollback-forced", "emeka", "/rollbacks/?forced=on", LIST),
    Picture("break-glass", "emeka", "/rollbacks/?forced=on", f"{LIST} >> main a[href*='/break-glass/']"),
    Picture("rollback-excepted", "grace", "/rollbacks/?excepted=on", LIST),
    Picture("backup-exception", "grace", "/rollbacks/?excepted=on", EXCEPTION),
    Picture("backup-exception-to-sign", "emeka", "/", "main a[href*='/backup-exception/']"),
    Picture("start-by-exception", "grace", "/rollbacks/?excepted=on", START),
    Picture("start", "grace", "/rollbacks/?status=approved&risk=3", START),
    Picture("execution-unresolved", "grace", "/rollbacks/?status=executing", EXECUTION),
    Picture("execution-no-go", "grace", "/rollbacks/?status=approved&risk=4", EXECUTION),
    Picture("execution-blocked", "grace", "/rollbacks/?status=approved&risk=3", EXECUTION),
    Picture("preflight-no-go", "grace", "/rollbacks/?status=approved&risk=4", START),
    Picture("execution-awaiting-restart", "grace", "/rollbacks/?status=executing&risk=2", EXECUTION),
    Picture("execution-partly-done", "grace", "/rollbacks/?status=executing&risk=2", PARTLY_DONE),
    Picture("execution-committed", "grace", "/rollbacks/?status=executed", EXECUTION),
    Picture("execution-rolled-back", "grace", "/rollbacks/?status=failed", EXECUTION),
    Picture("fleet-review", "emeka", "/rollbacks/?status=partly_executed", LIST),
    Picture("fleet-run", "grace", "/rollbacks/?status=partly_executed", RUN),
    Picture("fleet-failed", "grace", "/rollbacks/?status=partly_executed", f"{RUN} >> a.cell-fail"),
    Picture("new-rollback", "amina", "/rollbacks/new/"),
    Picture("new-rollback-migrations", "amina", "/rollbacks/new/?target=wallet-production"),
    Picture("script-editor", "amina", "/targets/wallet-production/", EDITOR),
    Picture("new-rollback-form", "bram", "/rollbacks/?status=draft", FORM),
    Picture("services", "amina", "/services/"),
    Picture("service", "amina", "/services/wallet-service/"),
    Picture("imports", "amina", "/services/wallet-service/imports/"),
    Picture("import", "amina", "/services/wallet-service/imports/", "main th a[href*='/imports/']"),
    Picture("import-new", "amina", "/services/wallet-service/imports/new/"),
    Picture("import-tokens", "amina", "/services/wallet-service/tokens/"),
    Picture("targets", "amina", "/targets/"),
    Picture("target", "amina", "/targets/wallet-production/"),
    Picture("calendar", "ines", "/targets/ledger-production/calendar/"),
    Picture("freeze-new", "grace", "/targets/ledger-production/calendar/new/freeze/"),
    Picture("schedule", "grace", "/rollbacks/?status=approved&risk=4", f"{LIST} >> a[href$='/schedule/']"),
    Picture("migration", "amina", "/targets/wallet-production/", "main a[href^='/migrations/']"),
    Picture("coverage", "amina", "/services/wallet-service/coverage/"),
    Picture("generate", "amina", "/services/wallet-service/?q=audit+events", f"{MIGRATION} >> {GENERATE}"),
    Picture("forward-fix", "amina", "/services/wallet-service/?q=audit+events", f"{MIGRATION} >> {FIX}"),
    Picture("proof", "amina", "/services/wallet-service/coverage/?q=sagas", "main a[href*='/proof/']"),
    Picture("incidents", "amina", "/incidents/"),
    Picture("incident", "amina", "/incidents/", "main a[href^='/incidents/']:has(b)"),
    Picture("incident-new", "amina", "/incidents/new/"),
    Picture("post-mortem", "amina", "/incidents/1/", "main a[href*='/post-mortem/']"),
    Picture("actions", "amina", "/incidents/actions/"),
    Picture("audit", "hassan", "/audit/"),
    Picture("audit-event", "hassan", "/audit/", "main ol a[href^='/audit/']"),
    Picture("audit-chain", "hassan", "/audit/verify/"),
    Picture("audit-story", "hassan", "/rollbacks/?status=executed", STORY),
    Picture("decision-matrix", "emeka", "/matrix/"),
    Picture("policies", "emeka", "/policies/"),
    Picture("people", "emeka", "/people/"),
    Picture("person", "emeka", "/people/", "main tbody a[href^='/people/']"),
    Picture("contacts", "emeka", "/contacts/"),
    Picture("contact-new", "ines", "/contacts/new/"),
    Picture("prove-who-you-are", "emeka", "/confirm/?next=/"),
    Picture("account", "emeka", "/account/"),
    Picture("not-found", "emeka", "/no/such/page/"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the demo, take the pictures, stop it. Returns the exit code."""
    options = _parser().parse_args(arguments)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        say("No Chromium is installed (Debian: apt-get install chromium).")
        return 1
    port = free_port()
    argv = [sys.executable, "-m", "waqiti_rollback.demo", "--directory", str(options.directory)]
    argv += ["--port", str(port), "--size", "small"] + (["--reset"] if options.reset else [])
    try:
        with Children(options.directory.with_name(f"{options.directory.name}-logs"), say=say) as children:
            demo = children.start("demo", argv, env=dict(os.environ))
            say("Waiting for the demo and its stories …")
            demo.wait_until(lambda: READY in demo.log.read_text(errors="replace"), seconds=LOADING_SECONDS)
            logins = json.loads((options.directory / "logins.json").read_text())
            _take(f"http://{HOST}:{port}", chromium, logins, options.out, options.only)
    except ChildEnded as error:
        say(str(error))
        return 1
    return 0


def _take(address: str, chromium: str, logins: dict[str, str], out: Path, only: Sequence[str]) -> None:
    """Every picture, or those named, into `out`."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        windows: dict[str, Window] = {}
        for picture in PAGES:
            if only and picture.name not in only:
                continue
            if picture.person not in windows:
                windows[picture.person] = _sign_in(browser, address, picture.person, logins)
            window = windows[picture.person]
            if not _open(window, picture, logins):
                say(f"Nothing to show for {picture.name}")
                continue
            for size, width, longest in SIZES:
                for scheme in SCHEMES:
                    _shoot(window, out / f"{picture.name}-{size}-{scheme}.webp", scheme, width, longest)
            say(picture.name)
        browser.close()


def _sign_in(browser: Browser, address: str, person: str, logins: dict[str, str]) -> Window:
    """A window of this person's own; nobody signs in for an empty name."""
    options = {"base_url": address, "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
    window = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    if person:
        window.goto(SIGN_IN)
        window.fill("input[name=login]", person)
        window.fill("input[name=password]", logins[person])
        window.click(PROVE)
        window.wait_for_url("**/")
    return window


def _open(window: Window, picture: Picture, logins: dict[str, str]) -> bool:
    """Go there, by its links; False where the demo has none of these. Gives a password that is asked for."""
    window.set_viewport_size({"width": 1440, "height": 900})
    window.goto(picture.address)
    for selector in filter(None, picture.follow.split(" >> ")):
        link = window.locator(selector).first
        if not link.count():
            return False
        window.goto(link.get_attribute("href") or "/")
        if "/confirm/" in window.url:
            window.fill("input[name=password]", logins[picture.person])
            window.click(PROVE)
    return True


def _shoot(window: Window, path: Path, scheme: str, width: int, longest: int) -> None:
    """One picture. Chromium writes WebP itself, a fifth of the size of PNG."""
    window.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    window.set_viewport_size({"width": width, "height": 900})
    tall: int = window.evaluate("document.documentElement.scrollHeight")
    # As tall as the picture, so that a bar at the foot of the window is at the foot of the picture.
    window.set_viewport_size({"width": width, "height": max(900, min(tall, longest))})
    window.wait_for_timeout(200)
    clip = {"x": 0, "y": 0, "width": width, "height": max(900, min(tall, longest)), "scale": 1}
    session = window.context.new_cdp_session(window)
    asked = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    path.write_bytes(base64.b64decode(session.send("Page.captureScreenshot", asked)["data"]))
    session.detach()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m waqiti_rollback.screenshots", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the demo keeps its data")
    parser.add_argument("--reset", action="store_true", help="begin with fresh data")
    parser.add_argument("--out", type=Path, default=PICTURES, help="where the pictures go")
    parser.add_argument("only", nargs="*", help="names of pages; all of them if none is given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
