"""Whatever goes wrong, the answer is a page of ours that says what is certain and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import Client
from psycopg import sql

from approvals.models import ExecutionStatus, Job, Status
from approvals.views import errors
from tests import servers
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration
PART = {"HX-Request": "true"}


def no_traceback(page: Page) -> bool:
    return not any(
        word in page.html for word in ("Traceback", "OperationalError", "psycopg", "site-packages")
    )


# The portal's database away


@pytest.fixture
def away(committed_world: World, committed: servers.Database) -> Iterator[Client]:
    """Somebody who signed in, and whose portal's database then went away."""
    client = as_(committed_world.dora)
    client.raise_request_exception = False
    assert client.get("/").status_code == 200
    connect = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = sql.Identifier(committed.name)
    with servers._admin(committed.cluster) as admin:
        admin.execute(connect.format(name, sql.SQL("false")))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [committed.name]
        )
        try:
            yield client
        finally:
            admin.execute(connect.format(name, sql.SQL("true")))
            connections.close_all()


def test_without_its_database_the_portal_says_what_is_certain(away: Client) -> None:
    for address in ("/", "/rollbacks/1/", "/no/such/page/"):
        response = away.get(address)
        page = Page(response)
        assert page.status == 503
        assert "can't read or write its records now" in page
        assert "it commits whole and verified, or leaves nothing there" in page
        assert page.leads_to(address)
        assert response["Retry-After"]
        assert no_traceback(page)


def test_a_form_sent_meanwhile_is_told_that_it_was_recorded_whole_or_not_at_all(away: Client) -> None:
    page = Page(away.post("/rollbacks/1/submit/"))
    assert page.status == 503
    assert "Whether what you sent just now was recorded" in page


def test_a_part_of_a_page_gets_a_note_and_no_page(away: Client) -> None:
    page = Page(away.get("/search/?q=wallet", headers=PART))
    assert page.status == 503
    assert "<html" not in page.html
    assert "can't read or write its records now" in page


def test_who_was_signed_in_still_is_when_the_database_is_back(
    away: Client, committed: servers.Database
) -> None:
    assert away.get("/").status_code == 503
    with servers._admin(committed.cluster) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(committed.name))
        )
    connections.close_all()
    assert away.get("/").status_code == 200


def test_a_port_at_which_nobody_listens_is_a_database_that_is_away(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = as_(committed_world.dora)
    client.raise_request_exception = False
    connections.close_all()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    page = see(client, "/")
    assert page.status == 503
    assert no_traceback(page)


def test_a_query_that_takes_too_long_is_a_bug_and_no_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals.views import matrix

    def slow(*_args: object, **_kwargs: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '10ms'")
            cursor.execute("SELECT pg_sleep(2)")

    monkeypatch.setattr(matrix, "render", slow)
    client = as_(world.dora)
    client.raise_request_exception = False
    assert client.get("/matrix/").status_code == 500


# The broker away


def test_without_a_broker_work_is_stored_and_whoever_asked_is_told(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery import current_app

    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(current_app, "_pool", None)
    monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
    rollback = factories.rollback_in(committed_world, Status.DRAFT)
    page = send(as_(committed_world.alice), f"/rollbacks/{rollback.pk}/facts/")
    assert Job.objects.filter(kind=Job.Kind.FACTS, state=Job.State.WAITING).exists()
    assert "It is sent again every 30 seconds" in page
    assert "It is sent again" not in see(as_(committed_world.alice), "/")


# Everything else


def test_somebody_who_was_too_late_is_told_what_happened_and_by_whom(world: World) -> None:
    rollback = factories.rollback_in(world, Status.APPROVED)
    execution = factories.executed(world, rollback, ExecutionStatus.SUCCEEDED)
    page = see(as_(world.olga), f"/executions/{execution.pk}/cancel/")
    assert page.status == 409
    assert "Waqiti Rollback" in page.text.partition("What happened last")[2]
    assert page.leads_to(f"/rollbacks/{rollback.pk}/")


def test_a_conflict_tells_nothing_of_what_one_may_not_see(world: World, rf: Any) -> None:
    rollback = factories.rollback_in(world, Status.DRAFT)
    request = rf.post(f"/rollbacks/{rollback.pk}/submit/")
    request.user = world.eve
    from django.urls import resolve

    request.resolver_match = resolve(request.path)
    page = Page(errors.conflict(request, "No."))
    assert "What happened last" not in page


def test_a_link_to_what_only_takes_forms_is_a_page_of_ours(world: World) -> None:
    response = as_(world.alice).get("/rollbacks/1/submit/")
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert "This address is no page" in Page(response)


def test_a_malformed_request_is_a_page_of_ours(world: World) -> None:
    client = as_(world.dora)
    client.raise_request_exception = False
    fields = {f"f{n}": "x" for n in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1)}
    page = Page(client.post("/account/", fields))
    assert page.status == 400
    assert "does not understand this request" in page
    assert no_traceback(page)


@pytest.mark.parametrize(("address", "status"), [("/no/such/", 404), ("/rollbacks/new/", 403)])
def test_a_part_of_a_page_that_is_refused_gets_a_note(world: World, address: str, status: int) -> None:
    page = Page(as_(world.axel).get(address, headers=PART))
    assert page.status == status
    assert "<html" not in page.html
    assert 'role="alert"' in page.html


def test_the_page_of_an_error_names_the_request_as_the_log_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals.views import matrix

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(matrix, "render", fail)
    client = as_(world.dora)
    client.raise_request_exception = False
    response = client.get("/matrix/")
    assert response["X-Request-ID"] in Page(response)
