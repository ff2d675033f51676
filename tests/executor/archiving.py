"""A server that archives its write-ahead log, with a target on it and a physical backup of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from executor.connect import Endpoint
from executor.disposable import HOST, SUPERUSER, Disposable, server_account
from executor.marker import BACKUP, EXECUTOR, Setup, install
from executor.pgtools import tool
from tests.executor.target import OWNER, SCHEMA, Target
from waqiti_rollback.embedded import free_port
from waqiti_rollback.embedded.places import server_programs

DATABASE = "wallet"


@dataclass
class Archiving:
    """The server, the target on it, where its log is archived and where its physical backup lies."""

    server: Disposable
    target: Target
    archive: Path
    base: Path

    @property
    def restore_command(self) -> str:
        """Brings a segment back."""
        return f"cp {self.archive}/%f %p"

    @property
    def superuser_dsn(self) -> str:
        """A libpq string."""
        return self.target.superuser_dsn

    def set(self, **settings: str) -> None:
        """ALTER SYSTEM and reload; an empty text resets."""
        with self.target.superuser() as admin:
            for name, value in settings.items():
                admin.execute(
                    f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}"
                )
            admin.execute("SELECT pg_reload_conf()")

    @contextmanager
    def archiver_fails(self, *, noticed: bool = True) -> Iterator[None]:
        """Nothing is archived meanwhile; where `noticed`, the server has counted a failure by then."""
        self.set(archive_command="false")
        try:
            if noticed:
                self._until(
                    "failed_count > 0 AND last_failed_time > coalesce(last_archived_time, '-infinity')"
                )
            yield
        finally:
            self.set(archive_command=archive_command(self.archive))
            self._until("coalesce(last_archived_time > last_failed_time, true)")

    def _until(self, condition: str) -> None:
        until = time.monotonic() + 90
        while not self.target.value(f"SELECT {condition} FROM pg_stat_archiver"):
            self.target.do("SELECT pg_create_restore_point('something')", "SELECT pg_switch_wal()")
            assert time.monotonic() < until
            time.sleep(0.2)


@contextmanager
def restored_by_hand(made: Archiving, commands: str, dbname: str = DATABASE) -> Iterator[str]:
    """Run the commands to the point in time as a page shows them, on a port that is free here; how to connect
    to `dbname` there, once the server has taken over at its point."""
    account, port = server_account(), free_port()
    home = made.base.parent / f"by-hand-{port}"
    home.mkdir()
    if account:
        os.chown(home, *account)
        subprocess.run(["chown", "-R", f"{account.uid}:{account.gid}", str(made.base)], check=True)
    who = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    path = f"{server_programs()}:{os.environ['PATH']}"
    shown = commands.replace("port=5499", f"port={port}")
    done = subprocess.run(
        ["sh", "-e", "-c", shown], cwd=home, env={"PATH": path}, capture_output=True, text=True, **who
    )
    try:
        assert done.returncode == 0, done.stderr
        until = time.monotonic() + 90  # pg_ctl returns once readers are let in; the point is a moment later
        with psycopg.connect(make_conninfo(made.superuser_dsn, port=port, dbname="postgres")) as connection:
            while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                assert time.monotonic() < until
                time.sleep(0.05)
        yield make_conninfo(made.superuser_dsn, port=port, dbname=dbname)
    finally:
        stop = "pg_ctl --pgdata=restored-* --mode=immediate stop"
        subprocess.run(["sh", "-c", stop], cwd=home, env={"PATH": path}, capture_output=True, **who)


def archive_command(archive: Path) -> str:
    """Copies a segment into the folder."""
    return f"cp %p {archive}/%f"


@contextmanager
def archiving(programs: Path) -> Iterator[Archiving]:
    """A server of these programs for itself, since archiving takes a restart."""
    account = server_account()
    with tempfile.TemporaryDirectory(prefix="waqiti-archiving-", dir="/var/tmp") as name:
        place = Path(name)
        archive = place / "archive"
        archive.mkdir()
        server = Disposable(programs, place, account)
        server.make()
        if account:
            os.chown(archive, *account)
        server.start()
        try:
            with server.superuser() as admin:
                admin.execute("ALTER SYSTEM SET archive_mode = 'on'")
                admin.execute(f"ALTER SYSTEM SET archive_command = '{archive_command(archive)}'")
                admin.execute(f"CREATE ROLE {OWNER} NOLOGIN")
                admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
            server.restart()
            with server.superuser(DATABASE) as connection:
                connection.execute(f"SET ROLE {OWNER}")
                connection.execute(SCHEMA)
                connection.execute("RESET ROLE")
                setup = Setup(
                    OWNER, DATABASE, server_version=connection.info.server_version, restore_points=True
                )
                install(connection, setup, passwords=dict.fromkeys((EXECUTOR, BACKUP), server.password))
                # Or else a mere read writes whole pages into the log, which mend what a test has damaged.
                connection.execute("VACUUM (FREEZE)")

            def endpoint(role: str) -> Endpoint:
                return Endpoint(HOST, server.port, DATABASE, role, server.password)

            dsn = make_conninfo(
                "", host=HOST, port=server.port, user=SUPERUSER, password=server.password, dbname=DATABASE
            )
            made = Archiving(
                server, Target(dsn, endpoint(EXECUTOR), endpoint(BACKUP)), archive, place / "base"
            )
            take_base(made, made.base)
            yield made
        finally:
            server.stop()


def take_base(made: Archiving, base: Path) -> None:
    """A physical backup of the server."""
    subprocess.run(
        [
            tool("pg_basebackup"),
            "-d",
            made.superuser_dsn,
            "-D",
            base,
            "-c",
            "fast",
            "-X",
            "none",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
    )
