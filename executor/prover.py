"""The scratch server as proofs use it: an ordinary role, one proof of a schema at a time, bounds of time and
disk, and an end to what killed workers left behind."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from executor.connect import Endpoint
from executor.errors import ExecutorError, plain
from executor.schema.replay import Replay
from executor.schema.shadow import entered

log = logging.getLogger(__name__)

SECONDS = 900
"""For one generation or proof; the files of a large service replay in less."""
BYTES = 5 * 1024**3
"""For the databases of one generation or proof together."""
STATEMENT_SECONDS = 300
OLDEST = 160000
# Said by each session, so that no ALTER DATABASE or ALTER ROLE of a script decides whose pg_class is read.
SEARCH_PATH = ' -c search_path="$user",public'
LOOK_S = 1.0
WAIT_S = 0.5
# Numbers of advisory locks in the database that the login names; any fixed ones.
AT_WORK = 0x77617101
OF_ONE = 0x77617102
_TEMPORARY = re.compile(r"shadow_[0-9a-f]{12}")

Connection = psycopg.Connection[tuple[Any, ...]]


class NotOrdinary(ExecutorError):
    """The login may do more than it should: engineers' SQL would run as superuser."""


def conninfo(
    endpoint: Endpoint, *, statement_seconds: int = STATEMENT_SECONDS, read_only: bool = False
) -> str:
    """A libpq string for an endpoint; no statement runs longer, unless it says so itself."""
    options = f"-c statement_timeout={statement_seconds}s -c lock_timeout=30s"
    if not read_only:
        options += SEARCH_PATH
    return make_conninfo(
        "",
        host=endpoint.host,
        port=endpoint.port,
        dbname=endpoint.dbname,
        user=endpoint.user,
        password=endpoint.password,
        application_name=endpoint.application_name,
        sslmode=endpoint.sslmode,
        sslrootcert=endpoint.sslrootcert or "",
        connect_timeout=10,
        options=options + (" -c default_transaction_read_only=on" if read_only else ""),
    )


def require_ordinary(server: str) -> None:
    """Raise NotOrdinary for a superuser or whoever could become one, and for a role that may not make
    databases; psycopg.Error where the server does not answer."""
    with psycopg.connect(server, autocommit=True) as connection:
        version = connection.info.server_version
        row = connection.execute(
            "SELECT rolname::text, rolsuper OR rolreplication OR rolbypassrls, rolcreatedb AND rolcreaterole"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    name, too_much, enough = row or ("", True, False)
    if too_much:
        raise NotOrdinary(
            f"“{name}” is a superuser, or nearly one: scripts that nobody approved never run as such. "
            "Make a role with LOGIN CREATEDB CREATEROLE for them."
        )
    if version < OLDEST:
        raise NotOrdinary(
            f"The scratch server is PostgreSQL {version // 10000}. Before 16 a role with CREATEROLE can give "
            "itself the rights of a superuser: use a server of version 16 or later."
        )
    if not enough:
        raise NotOrdinary(f"“{name}” lacks CREATEDB or CREATEROLE: give it both, on a server of its own.")


@contextmanager
def workspace(server: str, subject: str, *, seconds: float = SECONDS, most: int = BYTES) -> Iterator[Bounds]:
    """The shadow of `subject` for this block alone, within bounds of time and disk; what killed workers left
    on the server goes first. Waits for whoever works on the same subject."""
    require_ordinary(server)
    with psycopg.connect(server, autocommit=True) as lock:
        lock.execute("SET statement_timeout = 0")
        lock.execute("SET lock_timeout = 0")
        if _try(lock, "SELECT pg_try_advisory_lock(%s)", AT_WORK):
            _sweep(lock)
            lock.execute("SELECT pg_advisory_unlock(%s)", [AT_WORK])
        lock.execute("SELECT pg_advisory_lock_shared(%s)", [AT_WORK])
        until = time.monotonic() + seconds
        while not _try(lock, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", OF_ONE & 0x7FFFFFFF, subject):
            if time.monotonic() > until:
                raise ExecutorError(f"Another proof of {subject} did not end in time. Ask again.")
            time.sleep(WAIT_S)
        with Bounds(server, seconds, most) as bounds:
            yield bounds


def _try(connection: Connection, query: str, *values: Any) -> bool:
    row = connection.execute(query, values).fetchone()
    return bool(row and row[0])


def _sweep(connection: Connection) -> None:
    """Drop temporary shadows: nobody is at work, so nobody needs them."""
    rows = connection.execute(
        "SELECT datname::text FROM pg_database WHERE pg_has_role(datdba, 'USAGE')"
    ).fetchall()
    for name in (name for (name,) in rows if _TEMPORARY.fullmatch(name)):
        try:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.Error as error:
            log.warning("a shadow that nobody needs is still there: %s", plain(error))


class Bounds:
    """Looks once a second how long a block has run and how large its shadows are; ends their sessions above
    that, so that whatever runs there fails. `exceeded` is then a sentence, else ''."""

    def __init__(self, server: str, seconds: float, most: int) -> None:
        self.server, self.seconds, self.most = server, seconds, most
        self.exceeded = ""
        self.names: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bounds of a proof", daemon=True)

    def __enter__(self) -> Bounds:
        self._token = entered.set(self.names)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        entered.reset(self._token)

    def _watch(self) -> None:
        until = time.monotonic() + self.seconds
        while not self._over.wait(LOOK_S):
            try:
                with psycopg.connect(self.server, autocommit=True) as connection:
                    self._look(connection, late=time.monotonic() > until)
            except psycopg.Error as error:
                log.warning("the bounds of a proof could not be looked at: %s", plain(error))

    def _look(self, connection: Connection, *, late: bool) -> None:
        names = list(self.names)
        row = connection.execute(
            "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database WHERE datname = ANY(%s)", [names]
        ).fetchone()
        size = int(row[0]) if row else 0
        if late:
            self.exceeded = f"It took longer than {self.seconds:.0f} seconds."
        elif size > self.most:
            self.exceeded = f"Its databases took {size:,} bytes; {self.most:,} are allowed."
        if self.exceeded:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", [names]
            )


def shadow_of(server: str, subject: str) -> Replay:
    """The shadow that is kept for a service (and the target whose values are filled in)."""
    return Replay(server, subject)
