"""Reviewers at work: a question and its answer, what changed since, two who decide at once, and CRITICAL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect

if TYPE_CHECKING:
    from waqiti_rollback.embedded import Estate

pytestmark = [pytest.mark.browser, pytest.mark.integration]
PEOPLE = ("alice", "dora", "dan", "lea", "olga")


@dataclass(frozen=True)
class Desk:
    """A portal without a worker: where it answers, everybody's session, and its rollbacks by target and
    status."""

    address: str
    sessions: dict[str, str]
    rollbacks: dict[tuple[str, str], int]

    def page_of(self, target: str, status: str) -> str:
        return f"/rollbacks/{self.rollbacks[target, status]}/"


@pytest.fixture(scope="module")
def desk(
    estate: Estate,
    portal_template: str,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    from django.test import override_settings

    from tests import servers
    from waqiti_rollback.demo import running
    from waqiti_rollback.demo.estate import PortalEstate
    from waqiti_rollback.embedded import HOST, free_port
    from waqiti_rollback.embedded.processes import Children

    database = servers._create(estate.portal, portal_template, servers.OWNER_ROLE)
    portal = PortalEstate(estate, database=database.name, env="test")
    port = free_port()
    try:
        with Children(portal.logs) as children:
            web = running.start_web(children, portal, port)
            with django_db_blocker.unblock():
                before = servers._point_django_at(database.name)
                try:
                    # Sessions are signed with the key of the web server.
                    with override_settings(SECRET_KEY=portal.environment("web")["SECRET_KEY"]):
                        sessions, rollbacks = _fill(tmp_path_factory)
                finally:
                    servers._point_django_at(before)
            running.await_web(web, port)
            yield Desk(f"http://{HOST}:{port}", sessions, rollbacks)
    finally:
        servers._drop(database)


def _fill(paths: pytest.TempPathFactory) -> tuple[dict[str, str], dict[tuple[str, str], int]]:
    from tests.approvals import factories
    from tests.approvals.views.visits import as_

    factories.make_world(paths.mktemp("review"))
    world = factories.load_world()
    factories.prepare(world)
    clients = {name: as_(world.people[name], confirmed=True) for name in PEOPLE}
    sessions = {name: client.cookies["sessionid"].value for name, client in clients.items()}
    return sessions, {(where, status.value): pk for (where, status), pk in world.prepared.items()}


@pytest.fixture
def as_person(browser: Browser, desk: Desk) -> Iterator[Callable[..., Page]]:
    """`as_person("dora")`: a page of a browser of their own, in which nothing may go wrong unseen."""
    complaints: list[str] = []
    contexts = []

    def enter(name: str, **options: Any) -> Page:
        context = browser.new_context(base_url=desk.address, **options)
        contexts.append(context)
        context.add_cookies([{"name": "sessionid", "value": desk.sessions[name], "url": desk.address}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


def test_a_question_on_a_line_its_answer_and_what_changed_since_the_last_look(
    as_person: Callable[..., Page], desk: Desk
) -> None:
    dora, alice = as_person("dora"), as_person("alice")
    address = desk.page_of("production", "in_review")
    dora.goto(address)
    expect(dora.get_by_role("heading", name="New since your last look")).to_have_count(0)
    dora.locator(".sql-back .code a.n").first.click()
    expect(dora.get_by_label("Line", exact=True)).to_have_value("1")
    dora.get_by_label("Comment", exact=True).fill("Why not IF EXISTS?")
    dora.get_by_role("button", name="Comment", exact=True).click()
    expect(dora.locator(".sql-back .thread")).to_contain_text("Why not IF EXISTS?")
    expect(dora.locator("#open-threads")).to_contain_text("1 open thread")
    assert dora.url.endswith(address), "the page was not left"

    told = dora.get_by_text("Something here changed.")
    expect(told).to_have_count(0)  # what she said herself is no news

    alice.goto(address)
    thread = alice.locator(".sql-back .thread")
    thread.get_by_role("link", name="Reply").click()
    thread.get_by_label("Comment", exact=True).fill("You are right, it comes.")
    thread.get_by_role("button", name="Reply").click()
    expect(thread).to_contain_text("You are right, it comes.")
    expect(told).to_be_visible()
    alice.goto(f"{address}items/1/")
    alice.locator("textarea[name=sql]").fill("DROP INDEX IF EXISTS wallets_by_user;\n")
    alice.locator("form:has(textarea[name=sql]) button:not([type=button]):not([formaction])").last.click()
    expect(alice).to_have_url(re.compile(rf"{address}"))

    dora.goto(address)
    news = dora.locator(".news")
    expect(news).to_contain_text("script revision 1 became 2")
    expect(news.locator("del")).to_have_text("DROP INDEX wallets_by_user;")
    expect(news.locator("ins")).to_have_text("DROP INDEX IF EXISTS wallets_by_user;")
    expect(news).to_contain_text("Rehearsal passed with these exact bytes")
    news.get_by_role("link", name="Alice replied in a thread").click()
    old = dora.locator(".thread:target")
    expect(old).to_contain_text("You are right, it comes.")
    expect(old).to_contain_text("line 1 of V3 script r1")
    old.get_by_role("button", name="Resolve").click()
    expect(dora.locator("#open-threads")).to_contain_text("1 thread, resolved")


def test_of_two_reviewers_at_once_the_second_reads_who_was_faster_and_keeps_what_they_wrote(
    as_person: Callable[..., Page], desk: Desk
) -> None:
    dora, dan = as_person("dora"), as_person("dan")
    address = desk.page_of("high", "in_review")
    for page, key in ((dora, "r"), (dan, "a")):
        page.goto(address)
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile("/decide/"))
    dora.get_by_label("Say why").fill("The key needs NOT VALID first.")
    dora.get_by_role("button", name=re.compile("Request changes")).click()
    expect(dora).to_have_url(re.compile(rf"{address}$"))
    dan.get_by_role("checkbox").check()
    dan.get_by_label("Comment").fill("Counted the rows: fine.")
    dan.get_by_role("button", name=re.compile("^Approve for")).click()
    expect(dan.get_by_role("alert")).to_contain_text("Nothing was recorded: Dora was faster.")
    expect(dan.get_by_text("asked for changes")).to_be_visible()
    expect(dan.get_by_text("Counted the rows: fine.")).to_be_visible()
    expect(dan.get_by_role("button", name=re.compile("^Approve for"))).to_have_count(0)
    dan.get_by_role("link", name="Read it again").click()
    expect(dan.get_by_text("Dora asked for changes.")).to_be_visible()


def test_critical_is_typed_by_who_signs_and_by_who_starts_on_a_phone_too(
    as_person: Callable[..., Page], desk: Desk
) -> None:
    dora = as_person("dora", viewport={"width": 390, "height": 844})
    dora.goto(desk.page_of("critical", "in_review"))
    bar = dora.get_by_role("region", name="What you can do")
    for _tab in range(25):  # what has the focus is never under the bar
        dora.keyboard.press("Tab")
        assert not dora.evaluate(
            """() => {
                const bar = document.querySelector(".decide"), at = document.activeElement;
                if (at === document.body || bar.contains(at)) return false;
                return at.getBoundingClientRect().bottom > bar.getBoundingClientRect().top + 1;
            }"""
        )
    expect(bar).to_be_in_viewport()
    bar.get_by_role("link", name="Approve…").click()
    typed = dora.get_by_label(re.compile("Type what stays lost"))
    typed.fill("some rows")
    dora.get_by_role("button", name=re.compile("^Approve for")).click()
    expect(dora.get_by_text(re.compile("Acknowledge what stays lost, in these words"))).to_be_visible()
    expect(typed).to_have_value("some rows")
    typed.fill("transactions: 120,000 rows")
    dora.get_by_role("button", name=re.compile("^Approve for")).click()
    expect(dora.get_by_text("Approved. More signatures are missing.")).to_be_visible()

    lea = as_person("lea", java_script_enabled=False)  # nothing but what is live needs it
    lea.goto("/")
    waits = lea.get_by_role("region", name="For your decision").locator("[data-row]")
    waits.filter(has_text="wallet-service-critical").get_by_role("link").first.click()
    expect(lea.get_by_role("region", name="Gates")).to_contain_text("Passed on a clone.")
    bar = lea.get_by_role("region", name="What you can do")
    bar.get_by_role("link", name="Approve…").click()
    lea.get_by_label(re.compile("Type what stays lost")).fill("transactions: 120,000 rows")
    lea.get_by_role("button", name=re.compile("^Approve for")).click()
    expect(lea.get_by_text("Approved. More signatures are missing.")).to_be_visible()

    olga = as_person("olga")
    olga.goto(desk.page_of("critical", "approved"))
    olga.get_by_role("link", name="Start the execution…").click()
    name = olga.get_by_label(re.compile("Type the name of the target"))
    run = olga.get_by_role("button", name="Run it on wallet-service-critical")
    name.fill("wallet-service-high")
    run.click()
    expect(olga.get_by_text("This is not the target's name. Type wallet-service-critical.")).to_be_visible()
    name.fill("wallet-service-critical")
    run.click()
    expect(olga).to_have_url(re.compile("/executions/"))
