"""Rehearsal clones: a dump restored and masked as a database that nobody enters, copies of it to work in, and
an end to both.

Whoever owns a database lets others in. So until it is masked a clone belongs to the login that makes it, and
not to the service's owner as whom scripts run, and afterwards no connection to it is allowed at all: only
copies are made of it, and these belong to the service's owner as the target does.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from approvals.masks import Masking
from executor.connect import Connection, Endpoint, connect
from executor.errors import BackupFailed, CloneFailed, plain
from executor.marker import Setup, install_in_clone
from executor.masking import NONE_LEFT_OUT, Filled, LeftOut, fill
from executor.restore import drop_database

PREFIX = "waqiti_rehearsal_"
KEPT = "waqiti_kept_"
_NAME = re.compile(rf"({PREFIX}|{KEPT})[0-9a-f]+")
_KEY_LENGTH = 32
# Above this a copy by files beats one through the log; it costs a checkpoint.
COPY_FILES_BYTES = 256_000_000


def make_kept(
    dump: Path,
    server: Endpoint,
    name: str,
    *,
    setup: Setup,
    masking: Masking,
    without: LeftOut = NONE_LEFT_OUT,
    look: Callable[[Connection], None] | None = None,
    encoding: str = "UTF8",
) -> Filled:
    """Restore the dump as database `name`, masked, with the marker's schema, and close it for everybody;
    `look` is given a connection to it before. The keys `without` are as `masking.fill` says.

    The login of `server` needs CREATEDB and membership in the owner of `setup` and in the marker's; these
    roles, and the executor's, must exist on that server (its own setup made them). Raises CloneFailed, and
    then no database is left; ConnectFailed.
    """
    _refuse_other_names(name)
    try:
        with contextlib.closing(connect(server)) as connection:
            _create(connection, name, setup.owner_role, encoding)
        try:
            filled = _filled(dump, server.on(name), setup, masking, without, look)
            _close(server, name)
            return filled
        except BaseException:
            drop_database(server, name)
            raise
    except BackupFailed as error:
        raise CloneFailed(f"The rehearsal clone could not be made. {error}") from error
    except psycopg.Error as error:
        raise CloneFailed(f"The rehearsal clone could not be set up: {plain(error)}.") from error


def _create(connection: Connection, name: str, owner: str, encoding: str) -> None:
    """An empty database of our own that has never let anybody else in. The service's owner may make things
    in it, and can't connect to it."""
    database, role = sql.Identifier(name), sql.Identifier(owner)
    options: sql.SQL | sql.Composed = sql.SQL("")
    row = connection.execute(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template0'"
    ).fetchone()
    if row is None or row[0] != encoding:
        options = sql.SQL(" ENCODING {} LOCALE 'C'").format(sql.Literal(encoding))
    for statement in (
        sql.SQL("CREATE DATABASE {} TEMPLATE template0{} ALLOW_CONNECTIONS false").format(database, options),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
        sql.SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}, pg_database_owner").format(database, role),
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database),
    ):
        connection.execute(statement)


def _filled(
    dump: Path,
    clone: Endpoint,
    setup: Setup,
    masking: Masking,
    without: LeftOut,
    look: Callable[[Connection], None] | None,
) -> Filled:
    with contextlib.closing(connect(clone)) as connection:
        ours = _public_is_ours(connection)
        if ours:  # what a dump says about the schema itself, only its owner may say
            _give_public(connection, setup.owner_role)
    history = (setup.history_schema, setup.history_table)
    filled = fill(dump, clone, role=setup.owner_role, masking=masking, history=history, without=without)
    with contextlib.closing(connect(clone)) as connection:
        if ours:
            _give_public(connection, "pg_database_owner")
        install_in_clone(connection, setup)
        if look is not None:
            look(connection)
    return filled


def _close(server: Endpoint, name: str) -> None:
    with contextlib.closing(connect(server)) as connection:
        closed = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        connection.execute(closed)


def _public_is_ours(connection: Connection) -> bool:
    """From PostgreSQL 15 on the schema public belongs to whoever owns the database."""
    owner = "SELECT nspowner = to_regrole('pg_database_owner') FROM pg_namespace WHERE nspname = 'public'"
    row = connection.execute(owner).fetchone()
    return bool(row and row[0])


def _give_public(connection: Connection, role: str) -> None:
    connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(role)))


def copy_kept(
    server: Endpoint, kept: str, name: str, *, owner_role: str, guests: Sequence[str], size: int = 0
) -> Endpoint:
    """A copy of a kept clone to work in, as database `name`: of the service's owner, open to `guests`
    and the login of `server`. `size` in bytes decides how it is copied. Raises CloneFailed, ConnectFailed."""
    _refuse_other_names(name)
    database = sql.Identifier(name)
    with contextlib.closing(connect(server)) as connection:
        by_files = size > COPY_FILES_BYTES and connection.info.server_version >= 150000
        strategy = sql.SQL(" STRATEGY file_copy" if by_files else "")
        try:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}{}").format(
                    database, sql.Identifier(kept), sql.Identifier(owner_role), strategy
                )
            )
            connection.execute(
                sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database)
            )
            logins = sql.SQL(", ").join(map(sql.Identifier, [*guests, server.user]))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, logins))
        except psycopg.Error as error:
            raise CloneFailed(f"The clone could not be copied: {plain(error)}.") from error
    return server.on(name)


def drop_clone(server: Endpoint, name: str) -> None:
    """Drop a rehearsal clone, whoever is connected to it; nothing happens where it is gone already. Raises
    CloneFailed, and for any other database's name too."""
    _refuse_other_names(name)
    try:
        drop_database(server, name)
    except BackupFailed as error:
        raise CloneFailed(str(error)) from error


def clones(server: Endpoint, prefix: str = PREFIX) -> list[str]:
    """The clones on a server that are named after somebody's work, by name; with `KEPT` those of which copies
    are made. Raises ConnectFailed, psycopg.Error."""
    with contextlib.closing(connect(server)) as connection:
        rows = connection.execute("SELECT datname FROM pg_database ORDER BY datname").fetchall()
    return [
        name
        for (name,) in rows
        if _NAME.fullmatch(name) and name.startswith(prefix) and len(name) == len(prefix) + _KEY_LENGTH
    ]


def _refuse_other_names(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise CloneFailed(f"“{name}” is not the name of a rehearsal clone; nothing was done.")
