"""Connect to a target: directly, on its primary, and never as somebody who is more than an ordinary role."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
import psycopg.abc
from psycopg import sql

from executor.errors import ConnectFailed, WrongServer, plain

Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]

CONNECT_TIMEOUT_S = 10
OLDEST_VERSION = 140000
"""PostgreSQL 14: older servers lack client_connection_check_interval and pg_read_all_data."""


_ADDRESS = re.compile(r"^connection failed: connection to server .*? failed: (FATAL:\s+)?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a database is and who asks. The password is in no repr and in no error message.

    `application_name` is what people see in pg_stat_activity; `sslmode` is libpq's.
    """

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)
    application_name: str = "waqiti_rollback"
    sslmode: str = "prefer"
    sslrootcert: str | None = None

    def named(self, application_name: str) -> Endpoint:
        """The same endpoint under another application name."""
        return replace(self, application_name=application_name)

    def on(self, dbname: str) -> Endpoint:
        """The same login on another database of the server."""
        return replace(self, dbname=dbname)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.dbname}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server and database answered. `version` is PostgreSQL's number (180006)."""

    system_identifier: str
    database_oid: int
    timeline: int
    in_recovery: bool
    version: int
    postmaster_start: datetime
    backend_pid: int
    backend_start: datetime
    superuser: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to one statement: the command tag without counts, rows where it counts them,
    and the first row's value where the answer is one column."""

    tag: str
    rows: int | None
    value: str | None


def connect(endpoint: Endpoint, *, connect_timeout_s: int = CONNECT_TIMEOUT_S) -> Connection:
    """A connection in autocommit, so that BEGIN and COMMIT are statements whose answer we read ourselves
    (`connection.commit()` in a failed transaction raises nothing). Raises ConnectFailed."""
    try:
        connection = psycopg.connect(
            host=endpoint.host,
            port=endpoint.port,
            dbname=endpoint.dbname,
            user=endpoint.user,
            password=endpoint.password,
            application_name=endpoint.application_name,
            sslmode=endpoint.sslmode,
            sslrootcert=endpoint.sslrootcert,
            connect_timeout=connect_timeout_s,
            client_encoding="UTF8",
            keepalives=1,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            prepare_threshold=None,
            autocommit=True,
        )
    except psycopg.Error as error:
        # libpq says the address first, which stands here already.
        reason = _ADDRESS.sub("", plain(error, endpoint.password))
        raise ConnectFailed(f"{endpoint} could not be reached: {reason}") from None
    try:
        _ask_for_connection_checks(connection)
    except psycopg.Error as error:
        connection.close()
        raise ConnectFailed(f"{endpoint} was lost at once: {plain(error, endpoint.password)}") from None
    return connection


def renew(connection: Connection) -> None:
    """Give a connection the role and the settings that it began with. Raises psycopg.Error."""
    connection.execute("RESET ROLE; RESET ALL")
    _ask_for_connection_checks(connection)


def _ask_for_connection_checks(connection: Connection) -> None:
    """Let the server notice within a second that its client is gone, even inside a long statement."""
    with contextlib.suppress(psycopg.errors.InvalidParameterValue):  # a platform that can't poll
        connection.execute("SET client_connection_check_interval = '1s'")


def one(connection: Connection, query: str | sql.Composed, params: psycopg.abc.Params | None = None) -> Row:
    """The first row of a query that always has one. Raises psycopg.Error."""
    row = connection.execute(query, params).fetchone()
    if row is None:
        raise psycopg.DataError("the server gave no row where there is always one")
    return row


def identity(connection: Connection) -> Identity:
    """Who answered. The timeline of a primary is read from its WAL position, because pg_control still
    shows the old one between a promotion and the next checkpoint."""
    row = one(
        connection,
        """
        SELECT (SELECT system_identifier::text FROM pg_control_system()),
               (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
               CASE WHEN pg_is_in_recovery() THEN NULL
                    ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
               (SELECT timeline_id FROM pg_control_checkpoint()),
               pg_is_in_recovery(),
               current_setting('server_version_num')::int,
               pg_postmaster_start_time(),
               pg_backend_pid(),
               (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())),
               (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)
        """,
    )
    timeline = int(row[2], 16) if row[2] else int(row[3])
    return Identity(row[0], row[1], timeline, row[4], row[5], row[6], row[7], row[8], bool(row[9]))


def refuse_unfit(
    who: Identity,
    *,
    client_pid: int,
    system_identifier: str | None = None,
    database_oid: int | None = None,
) -> None:
    """Raise WrongServer unless this is the primary itself, the approved database, and an ordinary role.

    `client_pid` is the backend's pid as the connection handshake gave it: a pooler answers with another.
    """
    if who.version < OLDEST_VERSION:
        raise WrongServer(f"PostgreSQL 14 or newer is needed; this server is version {who.version}.")
    if client_pid != who.backend_pid:
        raise WrongServer(
            f"A connection pooler stands in between: the handshake named backend {client_pid}, "
            f"but backend {who.backend_pid} answers. Give the target's direct address."
        )
    refuse_other(who, system_identifier=system_identifier, database_oid=database_oid)
    if who.superuser:
        raise WrongServer("The executor's role is a superuser; scripts run as an ordinary role only.")


def refuse_other(who: Identity, *, system_identifier: str | None, database_oid: int | None) -> None:
    """Raise WrongServer unless this is the primary, and the approved database as far as that is known."""
    if who.in_recovery:
        raise WrongServer("This server is a standby in recovery; an execution needs the primary.")
    if system_identifier is not None and who.system_identifier != system_identifier:
        raise WrongServer(
            f"Another server answers here: its system identifier is {who.system_identifier}, "
            f"approved was {system_identifier}."
        )
    if database_oid is not None and who.database_oid != database_oid:
        raise WrongServer(
            f"Another database answers under this name: its OID is {who.database_oid}, "
            f"approved was {database_oid}."
        )


def refuse_two_servers(control: Connection, who: Identity) -> None:
    """Raise WrongServer unless the control connection, which may be older, is to the server that answered:
    one to a primary of before would tell, after a loss, what is true there."""
    (start,) = one(control, "SELECT pg_postmaster_start_time()")
    if start != who.postmaster_start:
        raise WrongServer(
            "Two servers answer under this target's address, one after the other, as in a failover. "
            "Start it once more when one of them is gone."
        )


def execute_one(connection: Connection, sql: str) -> Answer:
    """Send exactly one statement through the extended protocol, in which the server itself refuses a
    string of several (42601), and return its answer. Raises psycopg.Error.

    Outside its pipeline mode psycopg would send a statement without parameters by the simple protocol.
    """
    with connection.cursor() as cursor:
        with connection.pipeline():
            cursor.execute(sql)
        tag, rows = _split_tag(cursor.statusmessage or "")
        result = cursor.pgresult
        raw = result.get_value(0, 0) if result and result.ntuples and result.nfields == 1 else None
    return Answer(tag, rows, raw.decode("utf-8", "replace") if raw is not None else None)


_COUNTS = re.compile(r"^(?P<tag>[A-Z ]*?[A-Z])(?P<numbers>(?: \d+)*)$")


def _split_tag(status: str) -> tuple[str, int | None]:
    """ "INSERT 0 5" → ("INSERT", 5), "ALTER TABLE" → ("ALTER TABLE", None)."""
    match = _COUNTS.match(status)
    if match is None:
        return status, None
    numbers = match["numbers"].split()
    return match["tag"], int(numbers[-1]) if numbers else None


def set_local(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set parameters until the end of the transaction, all in one message."""
    _set(connection, settings, local=True)


def set_session(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set parameters until the end of the session, all in one message."""
    _set(connection, settings, local=False)


def _set(connection: Connection, settings: Mapping[str, str], *, local: bool) -> None:
    calls = ", ".join("set_config(%s, %s, %s)" for _ in settings)
    values = [part for name, value in settings.items() for part in (name, value, local)]
    connection.execute(f"SELECT {calls}", values)


class SocketCut(contextlib.AbstractContextManager["SocketCut"]):
    """Called from any thread, it cuts the connection's socket, so that whoever waits on it wakes.

    It works on a duplicate of the descriptor, which is ours even after libpq has closed its own; the
    duplicate is closed when the block is left. Calling it never raises.
    """

    def __init__(self, connection: Connection) -> None:
        self._line = socket.socket(fileno=os.dup(connection.fileno()))

    def __call__(self) -> None:
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        self._line.close()
