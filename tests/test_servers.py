"""The fixtures that other tests rely on: isolation, roles, clones, and that nothing stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tests.as_web import WebRights
from tests.servers import Database, chromium
from waqiti_rollback.embedded import Estate, Valkey


def current(what: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {what}")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("run", [1, 2])
def test_each_test_with_portal_db_sees_an_empty_portal_and_may_commit(portal_db: Database, run: int) -> None:
    people = get_user_model().objects
    assert not people.filter(username="committed").exists()
    with transaction.atomic(durable=True):
        people.create(username="committed")
    assert current("current_database()") == portal_db.name


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.django_db
def test_each_test_with_db_is_taken_back(run: int) -> None:
    people = get_user_model().objects
    assert not people.filter(username="taken back").exists()
    people.create(username="taken back")


def test_the_portal_is_never_used_as_its_owner(portal_db: Database) -> None:
    assert current("current_user") == "waqiti_tests"
    owner = "pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert current(owner) == "waqiti_owner"
    assert current("rolsuper FROM pg_roles WHERE rolname = current_user") == "False"


def test_a_request_has_the_rights_of_the_web_process_only(portal_db: Database) -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            seen.append(current("current_user"))
            transaction.set_rollback(True)  # and what was set in it is taken back
        seen.append(current("current_user"))
        return HttpResponse()

    WebRights(view)(RequestFactory().get("/"))
    assert seen == ["waqiti_web", "waqiti_web"]
    assert current("current_user") == "waqiti_tests"


def test_threads_see_the_same_portal(portal_db: Database) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(current("current_database()"))
        connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [portal_db.name]


def test_a_worker_can_sign_in_by_url(portal_db: Database) -> None:
    with psycopg.connect(portal_db.url("waqiti_worker")) as worker:
        assert worker.execute("SELECT current_user, current_database()").fetchone() == (
            "waqiti_worker",
            portal_db.name,
        )


def test_the_audit_trail_is_append_only_for_the_portals_roles(portal_db: Database) -> None:
    for change in ("TRUNCATE", "DELETE FROM"):
        with pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(f"{change} approvals_auditevent")


@pytest.fixture
def gone_afterwards() -> Iterator[list[Database]]:
    """Looks, when what a test names behind this fixture is torn down, that these databases are gone."""
    databases: list[Database] = []
    yield databases
    for database in databases:
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            database.connect()


def test_a_fresh_database_may_be_a_clone_and_does_not_stay(
    estate: Estate, gone_afterwards: list[Database], fresh_database: Callable[..., Database]
) -> None:
    origin = fresh_database(estate.production)
    with origin.connect() as session:
        session.execute("CREATE TABLE wallets AS SELECT 7 AS balance")
    clone = fresh_database(estate.production, template=origin.name)
    with clone.connect() as session:
        assert session.execute("SELECT balance FROM wallets").fetchone() == (7,)
    gone_afterwards += [origin, clone]


def test_a_portal_does_not_stay(gone_afterwards: list[Database], portal_db: Database) -> None:
    gone_afterwards.append(portal_db)


def test_the_broker_is_empty(valkey: Valkey) -> None:
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0


@pytest.mark.browser
def test_browser_tests_run_only_with_a_browser() -> None:
    assert chromium() is not None
