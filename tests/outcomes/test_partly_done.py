"""The two outcomes that wait for people, provoked for real: partly done, and awaiting a restart."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.executor.conftest import portal, portal_home  # noqa: F401 (fixtures)
from tests.executor.test_restart import awaiting, configured  # noqa: F401 (a fixture)
from tests.outcomes.test_execution import watch, web  # noqa: F401 (fixtures)

if TYPE_CHECKING:
    from tests.executor.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.integration]

MAKE = "CREATE INDEX CONCURRENTLY by_amount ON wallets (amount);\n"
MAKE_UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY one_name ON users (name);\n"
INDEXES = "SELECT count(*) FROM pg_class WHERE relname IN ('by_amount', 'one_name')"


def test_ops_have_it_taken_back_after_two_others_have_signed(
    portal: Portal,  # noqa: F811
    watch: Callable[..., Page],  # noqa: F811
) -> None:
    from tests.executor.portal import UNDO_KEY

    portal.write(MAKE + MAKE_UNIQUE + UNDO_KEY)
    rollback = portal.ready()
    with portal.superuser() as somebody:  # since the rehearsal
        somebody.execute("INSERT INTO users VALUES (101, 'user 1')")
    execution = portal.ended(portal.start(rollback))
    assert execution.status == "partial", execution.sentence

    page = watch(portal.world.olga, execution)
    main = page.get_by_role("main")
    expect(main).to_contain_text("Only a part of V4 is undone on wallet-service-production")
    expect(main).to_contain_text("Done, and stays done: step 1. Begun, and left in between: step 2.")
    expect(main).to_contain_text("Not done: steps 3–4.")
    expect(main).to_contain_text("The index public.one_name is there and invalid.")
    back = page.get_by_role("region", name="Take back on wallet-service-production")
    expect(back).to_contain_text("DROP INDEX CONCURRENTLY IF EXISTS public.one_name")
    expect(back).to_contain_text("DROP INDEX CONCURRENTLY IF EXISTS public.by_amount")
    back.get_by_label("Why").fill("Names are not unique.")
    back.get_by_role("button", name="Take back on wallet-service-production").click()
    expect(main).to_contain_text("2 signatures missing")

    for dba in (portal.world.dora, portal.world.dan):
        signer = watch(dba, execution)
        signer.get_by_role("button", name=re.compile("^Sign:")).click()
        expect(signer.get_by_role("main")).to_contain_text("You have signed")

    page.reload()
    asked = page.get_by_role("region", name=re.compile("^Asked for:"))
    asked.get_by_role("button", name="Take back on wallet-service-production").click()
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text(
        "wallet-service-production is as it was before the rollback of V4", timeout=60_000
    )
    assert portal.value(INDEXES) == 0
    assert portal.versions() == ["1", "2", "3", "4"]


def test_the_page_that_waits_for_a_restart_ends_by_itself_once_it_came(
    configured: Portal,  # noqa: F811
    watch: Callable[..., Page],  # noqa: F811
) -> None:
    from waqiti_rollback.celery import app

    execution = awaiting(configured, "100")
    page = watch(configured.world.olga, execution)
    expect(page.get_by_role("row", name="max_worker_processes 8 9")).to_be_visible()
    page.get_by_role("button", name="I have restarted the server of wallet-service-production").click()
    expect(page.get_by_role("main")).to_contain_text("Olga said that it was restarted")
    configured.production_cluster.restart()
    app.send_task("executor.look_for_restarts", queue="facts")
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text("V4 is undone on wallet-service-production", timeout=60_000)
