"""Server time of every page with 1,000 rollbacks and 1,000 of everything else, next to an empty page.

    python -m benchmarks.pages [--rows 1000] [--rounds 15] [--limit-ms 100] [--profile target_detail]

Requests go through the portal's own ASGI application in this process, with every middleware, a session and a
person, to a real PostgreSQL that the benchmark starts. Pages take turns, so that noise falls on all of them;
an empty page of the same stack is one of them, and times are given as multiples of it as well. Queries are
counted in a pass of their own. Of a download of everything the time until its first byte counts. The
processor's time of this process is given too: it says what a page costs where other work on the machine makes
the clock say more. It ends with an error only where --limit-ms is given and a median is above it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import logging
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import environment, servers

# Whoever opens the pages: the first of them who may.
READERS = ("axel", "alice", "dora", "olga", "adam")
# Forms of django-allauth (one ends the session, the others send signed-in people on), and streams.
LEFT_OUT = (
    "account_login",
    "account_logout",
    "account_reauthenticate",
    "account_change_password",
    "dashboard_changes",
    "execution_changes",
    "rollback_changes",
)
# Files of everything, as long as the record is. They are streamed: what a reader waits for is the first byte.
DOWNLOADS = ("audit_export", "audit_report")


@dataclass
class Page:
    """One address as one person opens it, and what was measured there: milliseconds by the clock and by the
    processor, queries, bytes; of a download by the clock until its first byte."""

    name: str
    person: str
    address: str
    status: int = 0
    bytes: int = 0
    queries: int = 0
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def main() -> int:
    """Measure, print the table, and say by the exit code whether a limit that was asked for is kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit-ms", type=float, default=None)
    parser.add_argument("--profile", default="", metavar="URL_NAME", help="where the time of one page goes")
    options = parser.parse_args()
    with portal(options.rows) as pages:
        if options.profile:
            profile(next(page for page in pages if page.name == options.profile), options.rounds)
            return 0
        measure(pages, options.rounds)
    print_table(pages, options)
    slow = [page for page in pages if options.limit_ms is not None and page.median > options.limit_ms]
    for page in slow:
        print(f"{page.name}: {page.median:.0f} ms is above the limit of {options.limit_ms:.0f} ms")
    return 1 if slow else 0


@contextlib.contextmanager
def portal(rows: int) -> Iterator[list[Page]]:
    """A portal with that much in it, and its pages; servers and data are gone afterwards."""
    import django

    os.environ["LOG_LEVEL"] = "ERROR"
    estate = environment.ESTATE
    estate.start()
    try:
        servers.make_portal_logins()
        environment.publish()
        django.setup()
        logging.disable(logging.ERROR)
        database = servers._create(estate.portal, "template1", servers.OWNER_ROLE)
        try:
            servers._migrate(database)
            servers._point_django_at(database.name)
            yield list(filled(rows, database))
        finally:
            servers._point_django_at("")
            servers._drop(database)
    finally:
        estate.stop()
        estate.release()


def filled(rows: int, database: servers.Database) -> Iterator[Page]:
    """Fill the portal; yields its pages and, under its own name, the empty one."""
    from django.conf import settings

    from tests.approvals import factories, many

    with tempfile.TemporaryDirectory() as directory:
        factories.make_world(Path(directory))
    world = factories.load_world()
    factories.prepare(world)
    grown = many.begin(world)
    many.grow(grown, rows)
    with database.connect() as superuser:
        superuser.execute("VACUUM ANALYZE")
    settings.ROOT_URLCONF = "benchmarks.empty_page"
    from approvals.permissions import SIGNED_IN, TABLE
    from benchmarks import empty_page  # noqa: F401 (adds itself to the table)

    for name, address in many.addresses(grown).items():
        if name in LEFT_OUT:
            continue
        may = [each for each in READERS if TABLE[name].read & {SIGNED_IN, *factories.ROLES[each]}]
        for person in READERS if name == "dashboard" else may[:1]:
            yield Page(name, person, address)


def measure(pages: list[Page], rounds: int) -> None:
    """Open every page in turn: once to warm up and count its queries, then by the clock."""
    from django.db import connection, reset_queries
    from django.test.utils import CaptureQueriesContext

    clients = clients_of(pages)
    for page in pages:
        reset_queries()  # the log holds 9,000 at most, over all pages
        with CaptureQueriesContext(connection) as captured:
            clients[page.person].get(page.address)
        page.queries = len(captured)
    cookies = {name: client.cookies["sessionid"].value for name, client in clients.items()}
    asyncio.run(take_turns(pages, cookies, rounds))


def clients_of(pages: list[Page]) -> dict[str, Any]:
    """A client per person, signed in and with a fresh proof of identity."""
    from approvals.models import User
    from tests.approvals.views.visits import as_

    names = {page.person for page in pages}
    return {name: as_(User.objects.get(username=name), confirmed=True) for name in names}


async def take_turns(pages: list[Page], cookies: dict[str, str], rounds: int) -> None:
    """Let every page answer once per round; the first two rounds don't count."""
    from waqiti_rollback.asgi import application

    for number in range(rounds + 2):
        for page in pages:
            before, worked = time.perf_counter(), time.process_time()
            page.status, page.bytes, first = await get(application, page.address, cookies[page.person])
            ended = first if page.name in DOWNLOADS else time.perf_counter()
            if number >= 2:
                page.times.append((ended - before) * 1000)
                page.cpu.append((time.process_time() - worked) * 1000)


async def get(application: Any, address: str, session: str) -> tuple[int, int, float]:
    """One GET as a server would hand it to the application; returns status and bytes of the body, and when
    the first of them came."""
    path, _, query = address.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver"), (b"cookie", f"sessionid={session}".encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 80),
    }
    body_sent = False
    status, size, first = 0, 0, 0.0
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal body_sent
        if body_sent:
            await over.wait()
            return {"type": "http.disconnect"}
        body_sent = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, size, first
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            size += len(message.get("body", b""))
            first = first or time.perf_counter()
            if not message.get("more_body"):
                over.set()

    await application(scope, receive, send)
    return status, size, first


def profile(page: Page, rounds: int) -> None:
    """Where the time of one page goes, by function."""
    client = clients_of([page])[page.person]
    client.get(page.address)
    profiler = cProfile.Profile()
    profiler.enable()
    for _round in range(rounds):
        client.get(page.address)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


def print_table(pages: list[Page], options: argparse.Namespace) -> None:
    """The slowest first."""
    empty = next(page for page in pages if page.name == "empty")
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{options.rows} rows of everything, median of {options.rounds} rounds, load {load}")
    print(f"{'page':<26}{'as':<8}{'ms':>8}{'× empty':>9}{'cpu ms':>8}{'queries':>9}{'kB':>8}{'status':>8}")
    for page in sorted(pages, key=lambda page: -page.median):
        of = "  to the first byte" if page.name in DOWNLOADS else ""
        ratio = page.median / empty.median
        print(
            f"{page.name:<26}{page.person:<8}{page.median:>8.1f}{ratio:>9.1f}{statistics.median(page.cpu):>8.1f}"
            f"{page.queries:>9}{page.bytes / 1000:>8.1f}{page.status:>8}{of}"
        )


if __name__ == "__main__":
    sys.exit(main())
