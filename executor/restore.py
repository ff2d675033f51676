"""Run PostgreSQL's own programs against a server, and make databases from dumps."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from executor.children import spawn
from executor.connect import Connection, Endpoint, connect, one
from executor.errors import BackupFailed, masked, plain
from executor.pgtools import ToolMissing, tool

POLL_S = 0.1
# An entry of pg_constraint in a dump's table of contents.
_CONSTRAINT = re.compile(r"\d+; 2606 (\d+) ")
DROP_PATIENCE_S = 15.0


def run_tool(
    name: str, endpoint: Endpoint, arguments: Sequence[str | Path], *, while_running: Callable[[], None]
) -> None:
    """Run `name` against `endpoint` until it ends; `while_running` is called ten times a second, and an
    exception from it ends the program. The password goes through the environment, never the command line.

    Call it from a thread that lives until it returns: the child dies with it. Raises BackupFailed with the
    program's last words.
    """
    try:
        program = tool(name)
    except ToolMissing as error:
        raise BackupFailed(str(error)) from None
    database = make_conninfo(
        host=endpoint.host, port=endpoint.port, user=endpoint.user, dbname=endpoint.dbname
    )
    with tempfile.TemporaryFile() as said:
        child = spawn(
            [program, "--no-password", f"--dbname={database}", *arguments],
            env=_environment(endpoint),
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        with _ended(child):
            while child.poll() is None:
                while_running()
                time.sleep(POLL_S)
        if child.returncode != 0:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().splitlines()[-3:]
            raise BackupFailed(masked(f"{name} failed: {' '.join(words)}", endpoint.password))


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """What libpq has to know beside the address; nothing of ours but PATH and the language of messages."""
    environment = _plain_environment() | {
        "PGPASSWORD": endpoint.password,
        "PGSSLMODE": endpoint.sslmode,
        "PGAPPNAME": endpoint.application_name,
        "PGCONNECT_TIMEOUT": "10",
    }
    if endpoint.sslrootcert:
        environment["PGSSLROOTCERT"] = endpoint.sslrootcert
    return environment


def _plain_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def create_database(
    server: Endpoint, name: str, *, owner: str | None = None, encoding: str = "UTF8"
) -> Endpoint:
    """An empty database `name` on the server, and its endpoint for the same login; without an `owner` nobody
    else may connect to it. Raises BackupFailed."""
    with contextlib.closing(connect(server)) as connection:
        options = sql.SQL(" OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
        if encoding != _template_encoding(connection):
            options += sql.SQL(" ENCODING {} LOCALE 'C'").format(sql.Literal(encoding))
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0{}").format(sql.Identifier(name), options)
        try:
            connection.execute(statement)
            if owner is None:
                private = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
                connection.execute(private)
        except psycopg.Error as error:
            raise BackupFailed(f"The database {name} could not be made: {plain(error)}.") from None
    return server.on(name)


def drop_database(server: Endpoint, name: str) -> None:
    """Drop a database and end whoever is in it; nothing happens where there is none. Raises BackupFailed.

    A session of another role can't be ended by this login; the executor's own ones are closed by then and
    go by themselves, so it is tried again for a while.
    """
    until = time.monotonic() + DROP_PATIENCE_S
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with contextlib.closing(connect(server)) as connection:
        while True:
            try:
                connection.execute(statement)
                return
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse) as error:
                if time.monotonic() > until:
                    raise BackupFailed(f"The database {name} could not be dropped: {plain(error)}.") from None
                time.sleep(0.1)
            except psycopg.Error as error:
                raise BackupFailed(f"The database {name} could not be dropped: {plain(error)}.") from None


def restore(
    path: Path,
    endpoint: Endpoint,
    *,
    role: str | None = None,
    without: Container[int] = (),
    options: Sequence[str] = (),
    while_running: Callable[[], None] | None = None,
) -> None:
    """Restore a dump in custom format into an empty database; everything belongs to `role`, or else to the
    login, and grants, publications and subscriptions stay out, and so do the constraints with the OIDs
    `without`. `options` are more of pg_restore's own, for a part of the dump. `while_running` as with
    `run_tool`. Raises BackupFailed at the first error."""
    arguments: list[str | Path] = [
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        "--no-publications",
        "--no-subscriptions",
        *options,
    ]
    if role is not None:
        arguments.append(f"--role={role}")
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="surrogateescape", dir=path.parent, prefix=".contents-"
    ) as contents:
        if without:
            contents.writelines(_contents(path, without))
            contents.flush()
            arguments.append(f"--use-list={contents.name}")
        run_tool("pg_restore", endpoint, [*arguments, path], while_running=while_running or _nothing)


def _contents(path: Path, without: Container[int]) -> Iterator[str]:
    """The lines of a dump's table of contents, `dump id; catalog oid kind …`, but for these constraints.
    Raises BackupFailed."""
    try:
        listed = subprocess.run(
            [tool("pg_restore"), "--list", path], env=_plain_environment(), capture_output=True, check=True
        )
    except ToolMissing as error:
        raise BackupFailed(str(error)) from None
    except subprocess.CalledProcessError as error:
        words = " ".join(error.stderr.decode("utf-8", "replace").split()[-40:])
        raise BackupFailed(f"The dump can't be listed: {words}") from None
    for line in listed.stdout.decode("utf-8", "surrogateescape").splitlines(keepends=True):
        found = _CONSTRAINT.match(line)
        if found is None or int(found[1]) not in without:
            yield line


def _template_encoding(connection: Connection) -> str:
    query = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template0'"
    return str(one(connection, query)[0])


def _nothing() -> None:
    """Nobody waits for the progress of a restore."""
