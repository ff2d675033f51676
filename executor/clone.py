"""Make a rehearsal clone: a dump restored as a database of its own, with the marker schema, and drop it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import psycopg

from executor.connect import Endpoint, connect
from executor.errors import BackupFailed, CloneFailed, plain
from executor.marker import Setup, install_in_clone
from executor.restore import create_database, drop_database, restore

PREFIX = "waqiti_rehearsal_"
_NAME = re.compile(rf"{PREFIX}[0-9a-f]+")
_KEY_LENGTH = 32


def make_clone(
    dump_path: Path,
    server: Endpoint,
    name: str,
    *,
    owner_role: str,
    history_schema: str = "public",
    history_table: str = "flyway_schema_history",
    encoding: str = "UTF8",
) -> Endpoint:
    """Restore the dump as database `name`, everything owned by `owner_role`, ready for an execution by the
    executor's role. Returns the clone's endpoint for the login of `server`.

    That login needs CREATEDB and membership in `owner_role` and the marker's owner; these roles, and the
    executor's, must exist on that server (its own setup made them). Raises CloneFailed, and then no
    database is left; ConnectFailed.
    """
    _refuse_other_names(name)
    setup = Setup(owner_role, name, history_schema, history_table)
    try:
        clone = create_database(server, name, owner=owner_role, encoding=encoding)
        try:
            restore(dump_path, clone, role=owner_role)
            with contextlib.closing(connect(clone)) as connection:
                install_in_clone(connection, setup)
        except BaseException:
            drop_database(server, name)
            raise
    except BackupFailed as error:
        raise CloneFailed(f"The rehearsal clone could not be made. {error}") from error
    except psycopg.Error as error:
        raise CloneFailed(f"The rehearsal clone could not be set up: {plain(error)}.") from error
    return clone


def drop_clone(server: Endpoint, name: str) -> None:
    """Drop a rehearsal clone, whoever is connected to it; nothing happens where it is gone already. Raises
    CloneFailed, and for any other database's name too."""
    _refuse_other_names(name)
    try:
        drop_database(server, name)
    except BackupFailed as error:
        raise CloneFailed(str(error)) from error


def clones(server: Endpoint) -> list[str]:
    """The clones on a server that are named after somebody's work, by name. Raises ConnectFailed,
    psycopg.Error."""
    with contextlib.closing(connect(server)) as connection:
        rows = connection.execute("SELECT datname FROM pg_database ORDER BY datname").fetchall()
    return [name for (name,) in rows if _NAME.fullmatch(name) and len(name) == len(PREFIX) + _KEY_LENGTH]


def _refuse_other_names(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise CloneFailed(f"“{name}” is not the name of a rehearsal clone; nothing was done.")
