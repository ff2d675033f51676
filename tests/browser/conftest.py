"""Portals that the browser tests share: one with a worker, one at rest; and people who sign in to the first.

Each is made once, by the first test that needs it, so a test changes only what is its own: the rollbacks of a
target that no other test touches, a contact that it named itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.servers import chromium

if TYPE_CHECKING:
    from tests.browser.still import Still
    from waqiti_rollback.embedded import Estate

HERE = Path(__file__).parent
PATIENCE_MS = 60_000
# Production targets beside wallet-production, which stays as it is: name and newest applied version.
SOUTH, WEST = ("wallet-south", "2025.11.22.001"), ("wallet-west", "9")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those who use the portal with a worker come last: from then on that worker takes whatever jobs are
    announced, and some modules have a portal and a worker of their own."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(HERE)]
    ordered = sorted((items[place] for place in places), key=_needs_worker)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _needs_worker(item: pytest.Item) -> bool:
    return "site" in getattr(item, "fixturenames", ())


@dataclass(frozen=True)
class Site:
    """Where the portal answers and how its people sign in. Within `records()`, this process works on its
    database."""

    address: str
    passwords: dict[str, str]
    records: Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    # Playwright's loop runs in this thread; Django would take it for an asynchronous caller.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium()), args=options)
        expect.set_options(timeout=PATIENCE_MS)
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@contextmanager
def _working_on(database: str, blocker: Any) -> Iterator[None]:
    """This process works on a portal's database."""
    from tests import servers

    with blocker.unblock():
        before = servers._point_django_at(database)
        try:
            yield
        finally:
            servers._point_django_at(before)


@pytest.fixture(scope="package")
def site(
    estate: Estate, portal_template: str, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Site]:
    """Wallet-service on staging and three times in production, its people, a worker and a web server."""
    from tests import servers
    from waqiti_rollback.demo import running
    from waqiti_rollback.demo.estate import PortalEstate
    from waqiti_rollback.demo.load import create_catalog, read_histories
    from waqiti_rollback.demo.people import create_people, invent_passwords
    from waqiti_rollback.demo.services import BY_NAME, WALLET_PRODUCTION, WALLET_STAGING
    from waqiti_rollback.demo.targets import prepare_targets, write_credentials
    from waqiti_rollback.embedded import HOST, free_port
    from waqiti_rollback.embedded.processes import Children

    production = replace(BY_NAME[WALLET_PRODUCTION], newest="2025.11.22.001")
    more = [replace(production, name=name, newest=newest) for name, newest in (SOUTH, WEST)]
    targets = (BY_NAME[WALLET_STAGING], production, *more)
    prepare_targets(estate, size="small", targets=targets)
    database = servers._create(estate.portal, portal_template, servers.OWNER_ROLE)
    portal = PortalEstate(estate, database=database.name, env="test")
    write_credentials(portal.credentials, estate, targets)
    port = free_port()

    def records() -> AbstractContextManager[None]:
        return _working_on(database.name, django_db_blocker)

    try:
        with Children(portal.logs) as children:
            worker = running.start_worker(children, portal)
            web = running.start_web(children, portal, port)
            passwords = invent_passwords()
            with records():
                create_people(portal.directory / "logins.json", passwords)
                create_catalog(estate, targets)
                running.await_worker(worker)
                read_histories()
            running.await_web(web, port)
            plain = {name: password for name, (password, _hash) in passwords.items()}
            yield Site(f"http://{HOST}:{port}", plain, records)
    finally:
        servers._drop(database)


@pytest.fixture(scope="package")
def still(
    estate: Estate,
    portal_template: str,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Still]:
    """A portal at rest, with something of everything to read."""
    from django.test import override_settings

    from tests import servers
    from tests.browser import still
    from waqiti_rollback.demo import running
    from waqiti_rollback.demo.estate import PortalEstate
    from waqiti_rollback.embedded import HOST, free_port
    from waqiti_rollback.embedded.processes import Children

    database = servers._create(estate.portal, portal_template, servers.OWNER_ROLE)
    portal = PortalEstate(estate, database=database.name, env="test")
    port, pseudo_port = free_port(), free_port()

    def stored() -> frozenset[str]:
        with _working_on(database.name, django_db_blocker):
            return still.stored_words()

    try:
        with Children(portal.logs) as children:
            web = running.start_web(children, portal, port)
            pseudo = children.start(
                "pseudo",
                portal.web_argv(pseudo_port),
                env=portal.environment("web") | {"DJANGO_SETTINGS_MODULE": "tests.browser.pseudo"},
            )
            with (
                _working_on(database.name, django_db_blocker),
                override_settings(SECRET_KEY=portal.environment("web")["SECRET_KEY"]),
            ):
                sessions, visits = still.fill(tmp_path_factory.mktemp("still"))
            running.await_web(web, port)
            running.await_web(pseudo, pseudo_port)
            address, in_pseudo = (f"http://{HOST}:{each}" for each in (port, pseudo_port))
            yield still.Still(address, in_pseudo, sessions, visits, stored)
    finally:
        servers._drop(database)


@pytest.fixture
def sign_in(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """`sign_in("amina")`: a page of a browser of their own, in which nothing may go wrong unseen."""
    complaints: list[str] = []
    contexts = []

    def note(message: ConsoleMessage) -> None:
        refused = "the server responded with a status of 4" in message.text  # an answer, shown as a page
        if message.type in ("error", "warning") and not refused:
            complaints.append(message.text)

    def enter(name: str, **options: Any) -> Page:
        context = browser.new_context(base_url=site.address, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/accounts/login/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(site.passwords[name])
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{site.address}/")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []
