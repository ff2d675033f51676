"""Every page takes as many queries at 1,000 rows of everything as at 10: one test over the table of URLs.

The portal is filled twice, once per module, and every URL is opened after each time by somebody who may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tests.approvals.conftest import Prepared

if TYPE_CHECKING:
    from tests.approvals.many import Grown
    from waqiti_rollback.embedded import Estate

pytestmark = pytest.mark.integration

FEW, MANY = 10, 1_000

STREAM = "it stays open, and has tests of its own"
BLOCKS = "it reads the chain block by block, so that memory does not grow with its length"
# URL name -> why nothing is counted there.
EXEMPT = {
    "account_login": "signed-in people are sent on; it shows nothing stored",
    "account_logout": "it ends the session that counts",
    "audit_export": BLOCKS,
    "audit_report": BLOCKS,
    "dashboard_changes": STREAM,
    "execution_changes": STREAM,
    "import_hook_state": "it answers a pipeline's token only, with one import",
    "rollback_changes": STREAM,
    "account_reauthenticate": "it asks for a password, which the people of these tests lack",
}
# Pages that are other pages to other people: each is counted for every one of these.
BY_ROLE = {"dashboard": ["alice", "dora", "lea", "olga", "axel", "adam"]}
READERS = ["alice", "axel", "dora", "olga", "adam"]
Answer = tuple[int, int]  # status code, number of queries


def opened() -> dict[str, list[str]]:
    """The names of all URLs that somebody may read, with whom they are opened as."""
    from approvals.permissions import ANONYMOUS, SIGNED_IN, TABLE
    from tests.approvals.factories import ROLES

    found = {}
    for name, rule in TABLE.items():
        if not rule.read or name in EXEMPT:
            continue
        may = [each for each in READERS if rule.read & {SIGNED_IN, ANONYMOUS, *ROLES[each]}]
        found[name] = BY_ROLE.get(name, may[:1])
    return found


def counts(grown: Grown) -> dict[tuple[str, str], Answer]:
    """How each page answers now, and in how many queries, by URL and person."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tests.approvals.many import addresses
    from tests.approvals.views.visits import as_

    found = {}
    clients = {
        name: as_(grown.world.people[name], confirmed=True) for name in {*READERS, *BY_ROLE["dashboard"]}
    }
    where = addresses(grown)  # which takes queries of its own
    for url_name, people in opened().items():
        for name in people:
            connection.queries_log.clear()  # it holds 9,000, and all pages together take more
            with CaptureQueriesContext(connection) as captured:
                response = clients[name].get(where[url_name])
                b"".join(response)  # what is streamed is read only now
            found[url_name, name] = response.status_code, len(captured)
    return found


@pytest.fixture(scope="module")
def counted(
    estate: Estate, prepared: Prepared, django_db_setup: None, django_db_blocker: Any
) -> Iterator[dict[tuple[str, str], tuple[Answer, Answer]]]:
    """Queries of every page at few and at many rows, in a database of this module."""
    from approvals.models import Status  # noqa: F401 (Django is set up by now)
    from tests.approvals import factories, many

    with django_db_blocker.unblock():
        before = servers._point_django_at("")
        database = servers._create(estate.portal, prepared.database.name, servers.OWNER_ROLE)
        servers._point_django_at(database.name)
        try:
            grown = many.begin(factories.load_world(dict(prepared.rollbacks)))
            many.grow(grown, FEW)
            counts(grown)  # the first look at a page is put on record, which takes more
            few = counts(grown)
            many.grow(grown, MANY - FEW)
            yield {page: (few[page], answer) for page, answer in counts(grown).items()}
        finally:
            servers._point_django_at(before)
            servers._drop(database)


@pytest.mark.parametrize("url_name", sorted(opened()))
def test_a_page_takes_as_many_queries_at_many_rows_as_at_few(
    url_name: str, counted: dict[tuple[str, str], tuple[Answer, Answer]]
) -> None:
    of_page = {page: pair for page, pair in counted.items() if page[0] == url_name}
    assert of_page
    for (_name, person), (few, many) in of_page.items():
        assert few[0] in (200, 302)
        assert few == many, f"{url_name} as {person}: {few[1]} queries at {FEW} rows, {many[1]} at {MANY}"


def test_only_urls_that_are_there_are_exempt() -> None:
    from approvals.permissions import TABLE

    assert set(EXEMPT) <= set(TABLE)
