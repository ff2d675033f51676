"""A PostgreSQL server that is made for one rehearsal and thrown away: for what reaches beyond a database.

ALTER SYSTEM and a restart concern everybody on a server, so they are never rehearsed on one that somebody
uses. SERVER_BIN names the directory of server programs (initdb, postgres); without it those beside pg_dump
are taken. Their major version must be the target's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from approvals.masks import Masking
from executor import marker
from executor.children import Account, end, spawn
from executor.connect import Connection, Endpoint
from executor.errors import ExecutorError, plain
from executor.masking import NONE_LEFT_OUT, Filled, LeftOut, fill
from executor.pgtools import ToolMissing, tool

HOST, SUPERUSER, NOBODY = "127.0.0.1", "postgres", "nobody"
PATIENCE_S = 60.0
# Nothing on it has to survive anything. What ALTER SYSTEM writes wins over these.
SETTINGS = (
    "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nlogging_collector = off\n"
)


class NoServer(ExecutorError):
    """No server can be made here; the message says why and who can help."""


@dataclass
class Disposable:
    """One such server, in a directory that goes with it."""

    programs: Path
    directory: Path
    account: Account | None
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """initdb. Raises NoServer with its own words."""
        secret = self.directory / "password"
        secret.write_text(self.password)
        for path in (self.directory, secret):
            if self.account:
                os.chown(path, *self.account)
        options = f"--username={SUPERUSER} --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync".split()
        argv: list[str | Path] = [self.programs / "initdb", *options, f"--pwfile={secret}", "-D", self.data]
        with self._log() as log:
            if spawn(argv, account=self.account, cwd=Path("/"), stdout=log, stderr=log).wait() != 0:
                raise NoServer(f"A throw-away server could not be made: {self._last_words()}")
        secret.unlink()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        """Start it on a free port. Raises NoServer with its own words."""
        self.port = self.port or _free_port()
        own = self.data / "postgresql.conf"
        if SETTINGS not in (text := own.read_text()):
            own.write_text(f"{text}\n{SETTINGS}port = {self.port}\n")
        with self._log() as log:
            self.process = spawn(
                [self.programs / "postgres", "-D", self.data],
                dies_with=signal.SIGINT,
                account=self.account,
                cwd=Path("/"),
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self.superuser().close()
                return
            if self.process.poll() is not None or time.monotonic() > until:
                raise NoServer(f"The throw-away server did not start: {self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it; nothing happens where it does not run."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # does not wait for clients
            end(self.process, PATIENCE_S)
        self.process = None

    def restart(self) -> None:
        """Stop and start it: what waits for a restart comes into force. Raises NoServer."""
        self.stop()
        self.start()

    def superuser(self, dbname: str = "postgres") -> Connection:
        """A superuser's connection in autocommit. Raises psycopg.OperationalError."""
        return psycopg.connect(
            host=HOST,
            port=self.port,
            dbname=dbname,
            user=SUPERUSER,
            password=self.password,
            autocommit=True,
            connect_timeout=5,
        )

    def restored(
        self, dump: Path, setup: marker.Setup, masking: Masking, without: LeftOut = NONE_LEFT_OUT
    ) -> tuple[Endpoint, Filled]:
        """The dump, masked, as a database of its own with the setup that a DBA runs on a target; returns it
        as the executor's login sees it, and what was masked. Raises ExecutorError."""
        database, password = setup.database, secrets.token_urlsafe(24)
        endpoint = Endpoint(HOST, self.port, database, SUPERUSER, self.password)
        owner = sql.Identifier(setup.owner_role)
        try:
            with contextlib.closing(self.superuser()) as admin:
                admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(owner))
                name = sql.Identifier(database)
                admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
            history = (setup.history_schema, setup.history_table)
            filled = fill(
                dump, endpoint, role=setup.owner_role, masking=masking, history=history, without=without
            )
            with contextlib.closing(self.superuser(database)) as admin:
                marker.install(admin, setup, passwords={setup.executor_role: password})
        except psycopg.Error as error:
            raise NoServer(f"The copy on the throw-away server could not be made: {plain(error)}.") from error
        return Endpoint(HOST, self.port, database, setup.executor_role, password), filled

    def _log(self) -> IO[bytes]:
        return (self.directory / "server.log").open("ab")

    def _last_words(self) -> str:
        lines = (self.directory / "server.log").read_text(errors="replace").splitlines()
        return " ".join(lines[-3:])


@contextlib.contextmanager
def disposable(server_version: str) -> Iterator[Disposable]:
    """A running server of the target's major version (`server_version` is PostgreSQL's number), gone with the
    block. Raises NoServer."""
    programs = server_programs(server_version)
    with tempfile.TemporaryDirectory(
        prefix="waqiti-rehearsal-", dir=os.environ.get("REHEARSAL_DIR")
    ) as place:
        made = Disposable(programs, Path(place), server_account())
        try:
            made.make()
            made.start()
            yield made
        finally:
            made.stop()


def server_programs(server_version: str) -> Path:
    """The directory of server programs of this major version. Raises NoServer."""
    named = os.environ.get("SERVER_BIN")
    try:
        programs = Path(named) if named else tool("postgres").parent
        said = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (ToolMissing, OSError, subprocess.SubprocessError):
        raise NoServer(
            "This takes a throw-away server, and this worker has no server programs. "
            "Whoever runs the worker names their directory by SERVER_BIN."
        ) from None
    here = re.search(r"\d+", said)
    wanted = int(server_version) // 10000 if server_version.isdigit() else 0
    if here is None or wanted not in (0, int(here[0])):
        raise NoServer(
            f"This takes a throw-away server of PostgreSQL {wanted}, and this worker "
            f"has {said.strip()}. Whoever runs the worker names the right programs by SERVER_BIN."
        )
    return programs


def server_account() -> Account | None:
    """PostgreSQL refuses to run as root: as another account then."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError:
        raise NoServer(f"PostgreSQL refuses to run as root, and there is no account “{NOBODY}”.") from None
    return Account(entry.pw_uid, entry.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
