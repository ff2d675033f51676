"""An execution watched live: somebody blocks it, lets go, and it reaches its end on the same page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.executor.conftest import portal, portal_home  # noqa: F401 (fixtures)
from tests.servers import ROOT
from waqiti_rollback.embedded import HOST, Estate, free_port
from waqiti_rollback.safety import FOR_WORKERS

if TYPE_CHECKING:
    from approvals.models import Execution, User
    from tests.executor.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.integration]
NO_TIMERS = "window.setInterval = () => 0;"  # whatever still moves was told by the stream


@pytest.fixture
def web(portal: Portal, estate: Estate, tmp_path: Path) -> Iterator[str]:  # noqa: F811
    """The portal's web server; its address."""
    from django.db import connection

    from tests.approvals.test_live_server import _status
    from tests.executor.portal import wait_for

    name = connection.settings_dict["NAME"]
    url = estate.portal.url(name, "waqiti_web", estate.portal.login_password("waqiti_web"))
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "waqiti_rollback.asgi:application", "--host", HOST]
    environment = portal.worker.environment | {"DATABASE_URL": url}
    for secret in (*FOR_WORKERS, "BACKUP_DIR"):
        environment.pop(secret, None)
    with (tmp_path / "web.log").open("wb") as log:
        argv += ["--port", str(port), "--log-level", "warning"]
        process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_for("the web server's start", lambda: _status(port) == 200 or None)
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def watch(browser: Browser, web: str) -> Iterator[Callable[..., Page]]:
    """`watch(olga, execution)`: a page of this person's own browser, on which nothing goes wrong unseen."""
    with ExitStack() as stack:
        wrong: list[str] = []

        def watch(user: User, execution: Execution, script: str = "", blocked: str = "") -> Page:
            from django.utils import timezone

            from tests.approvals.views.visits import as_

            cookie = as_(user, confirmed=timezone.now()).cookies["sessionid"].value
            context = stack.enter_context(browser.new_context(base_url=web))
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": web}])
            if script:
                context.add_init_script(script)
            if blocked:
                context.route(blocked, lambda route: route.abort())
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.goto(f"/executions/{execution.pk}/")
            page.evaluate("window.untouched = true")
            return page

        yield watch
    assert wrong == []


def test_a_blocked_execution_names_who_blocks_it_and_goes_on_when_they_let_go(
    portal: Portal,  # noqa: F811
    watch: Callable[..., Page],
) -> None:
    rollback = portal.ready()
    asked: dict[str, int] = {}
    with portal.production.connect(application_name="finance-report") as blocker:
        blocker.execute("BEGIN")
        blocker.execute("UPDATE wallets SET amount = 1 WHERE id = 1")
        execution = portal.start(rollback)
        told = watch(portal.world.olga, execution, script=NO_TIMERS)
        asking = watch(portal.world.dora, execution, blocked="**/changes/")

        def count(request: Request) -> None:
            asked[request.url] = asked.get(request.url, 0) + 1

        asking.on("request", count)
        for page in (told, asking):
            who = page.get_by_role("region", name="Who blocks us")
            expect(who).to_contain_text(f"{blocker.info.backend_pid}, finance-report")
            expect(who).to_contain_text("postgres")
            expect(who).to_contain_text("idle in transaction")
            expect(who).to_contain_text("Blocks us since")
            expect(page.locator(".certain")).to_contain_text("tries again and again until")
            expect(page.locator(".track .now")).to_contain_text("Locks")
        expect(told.get_by_role("region", name="Backup")).to_contain_text("verified")
        blocker.execute("ROLLBACK")
    for page in (told, asking):
        expect(page.get_by_role("heading", name="V4 is undone on")).to_be_visible()
        expect(page.get_by_text("Committed and verified").first).to_be_visible()
        expect(page.get_by_role("region", name="Connection pools")).to_be_visible()
        assert page.evaluate("window.untouched"), "the page was never loaded anew"
        assert not page.locator("#live").get_attribute("data-stream"), "it stops asking at the end"
    assert any("/live/" in url for url in asked), "nothing but asking brought it here"
    assert portal.ended(execution).status == "succeeded"


def test_ops_cancel_a_running_script_and_see_what_that_means_and_how_it_ended(
    portal: Portal,  # noqa: F811
    watch: Callable[..., Page],
) -> None:
    _rollback, execution = portal.running_for_long()
    page = watch(portal.world.olga, execution)
    expect(page.locator(".certain")).to_contain_text("Step 1 of 3 runs")
    page.keyboard.press("c")
    expect(
        page.get_by_role("heading", name=re.compile("^Cancel EX-.* on wallet-service-production"))
    ).to_be_visible()
    expect(page.get_by_text("Every approval is void then.")).to_be_visible()
    page.get_by_label("Reason").fill("Support needs the table now.")
    page.get_by_role("button", name="Cancel the execution").click()
    expect(
        page.get_by_role("heading", name=re.compile("it was cancelled, and all of it was taken back"))
    ).to_be_visible()
    expect(page.locator(".certain")).to_contain_text("Olga cancelled it: “Support needs the table now.”")
    assert portal.ended(execution).status == "rolled_back"
