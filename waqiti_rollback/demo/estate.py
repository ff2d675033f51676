"""Everything a portal needs to run: its database and roles, secrets, and how each process is started."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from executor import vault
from waqiti_rollback.embedded import HOST, Estate
from waqiti_rollback.embedded.places import server_programs
from waqiti_rollback.embedded.prover import prover_url
from waqiti_rollback.embedded.server import Say, quiet, write_secret

from .services import TARGETS, DemoTarget
from .targets import SCRATCH, Size, prepare_targets, write_credentials

Process = Literal["web", "worker", "beat", "migrate"]
ROOT = Path(__file__).resolve().parent.parent.parent
PORTAL = "portal"
ROLES = {"web": "waqiti_web", "worker": "waqiti_worker", "beat": "waqiti_worker", "migrate": "waqiti_owner"}


class MigrationFailed(Exception):
    """The portal's own database could not be migrated; the message has the end of what was said."""


class PortalEstate:
    """One portal on embedded servers. `servers` may be stopped; what is asked of them needs them started.

    `database` is the portal's own database, `env` its WAQITI_ENV.
    """

    def __init__(self, servers: Estate, *, database: str = PORTAL, env: str = "demo") -> None:
        self.servers = servers
        self.database = database
        self.env = env

    @property
    def directory(self) -> Path:
        """Where servers, secrets, dumps and logs of this portal are."""
        return self.servers.directory

    @property
    def credentials(self) -> Path:
        """The worker's logins for targets, mode 0600."""
        return self.directory / "credentials.json"

    @property
    def logs(self) -> Path:
        """Where the output of web server, worker and beat goes."""
        return self.directory / "logs"

    def environment(self, process: Process = "web") -> dict[str, str]:
        """The settings of a process: each kind has its own database role, only the worker has logins."""
        role = ROLES[process]
        found = {
            "DJANGO_SETTINGS_MODULE": "waqiti_rollback.settings",
            "PYTHONPATH": str(ROOT),
            "WAQITI_ENV": self.env,
            "SECRET_KEY": self._secret_key(),
            "ALLOWED_HOSTS": f"{HOST},localhost",
            "DATABASE_URL": self.servers.portal.url(
                self.database, role, self.servers.portal.login_password(role)
            ),
            "CELERY_BROKER_URL": self.servers.valkey.url,
        }
        if process == "worker":
            found["TARGET_CREDENTIALS"] = str(self.credentials)
            found["BACKUP_DIR"] = str(self.directory / "backups")
            found["BACKUP_KEY_FILE"] = str(self._backup_key())
            found["SCRATCH_DATABASE_URL"] = self.servers.scratch.url(
                "postgres", SCRATCH, self.servers.scratch.login_password(SCRATCH)
            )
            found["SERVER_BIN"] = str(server_programs())
            found["PROVER_DATABASE_URL"] = prover_url(self.servers.scratch)
        return found

    def _backup_key(self) -> Path:
        """The key that dumps are encrypted with; made the first time."""
        path = self.directory / "backup.key"
        if not path.exists():
            vault.make_key(path)
        return path

    def worker_argv(self, *, concurrency: int = 2, name: str = "worker") -> list[str]:
        """A Celery worker for every queue; `name` tells several of them apart."""
        options = f"--queues facts,scratch,backup,execute --concurrency {concurrency} --loglevel INFO"
        quick = "--without-gossip --without-mingle"
        return [*_celery("worker"), *options.split(), *quick.split(), "--hostname", f"{name}@%h"]

    def web_argv(self, port: int) -> list[str]:
        """The web server."""
        options = f"--host {HOST} --port {port} --lifespan off --no-server-header --log-level warning"
        return [sys.executable, "-m", "uvicorn", "waqiti_rollback.asgi:application", *options.split()]

    def beat_argv(self) -> list[str]:
        """Celery's clock. Its file remembers what was due, so that it begins at once the next time."""
        return [*_celery("beat"), "--loglevel", "INFO", "--schedule", str(self.directory / "beat")]

    def prepare_portal(self) -> None:
        """Make the portal's database anew, with a role for each kind of process, and migrate it."""
        portal = self.servers.portal
        for role in set(ROLES.values()):
            portal.ensure_login(role)
        with psycopg.connect(portal.superuser_dsn(), autocommit=True) as admin:
            name = sql.Identifier(self.database)
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        portal.ensure_database(self.database, ROLES["migrate"])
        self.migrate()

    def migrate(self) -> None:
        """Bring the portal's database to this version, as its owner. Raises MigrationFailed."""
        argv = [sys.executable, "-W", "ignore", str(ROOT / "manage.py"), "migrate", "--no-input"]
        env = os.environ | self.environment("migrate")
        done = subprocess.run(argv, env=env, capture_output=True, text=True)
        if done.returncode:
            raise MigrationFailed(f"The portal's database could not be migrated.\n{done.stderr[-2000:]}")

    def _secret_key(self) -> str:
        note = self.directory / "secret-key"
        if not note.exists():
            write_secret(note, secrets.token_urlsafe(64))
        return note.read_text()


def prepare(
    servers: Estate,
    *,
    size: Size = "small",
    targets: Iterable[DemoTarget] = TARGETS,
    env: str = "demo",
    say: Say = quiet,
) -> PortalEstate:
    """Make a complete portal anew on running servers: its database, the targets, all roles and secrets.

    The portal's database is migrated while the targets are filled.
    """
    estate = PortalEstate(servers, env=env)
    with ThreadPoolExecutor(1) as pool:
        portal = pool.submit(estate.prepare_portal)
        prepare_targets(servers, size=size, targets=targets, say=say)
        if any(target.alter_system for target in targets):
            servers.staging.restart()  # what their migrations set is in force then, as after any night
        write_credentials(estate.credentials, servers)
        portal.result()
    say("The portal's database is ready")
    return estate


def _celery(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "waqiti_rollback", "--quiet", command]
