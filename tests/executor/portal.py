"""A portal with a real target, a real worker process, and the words in which tests talk to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from django.utils import timezone

from approvals import attempts, checklist, decisions, executions, history, rollbacks, scripts
from approvals.flyway.checksums import checksum_of_text
from approvals.models import (
    OPEN,
    Check,
    ChecklistEntry,
    Execution,
    ExecutionStatus,
    Job,
    Migration,
    Role,
    RollbackRequest,
    Target,
)
from executor import vault
from executor.children import spawn
from executor.marker import BACKUP, EXECUTOR, OWNER, Setup, install
from tests.approvals.factories import FILES, World, complete, examined
from tests.servers import ROOT, Database
from waqiti_rollback.embedded import HOST, Cluster, Estate
from waqiti_rollback.embedded.places import server_programs

T = TypeVar("T")
OWNER_ROLE, CLONE, SCRATCH = "wallet_owner", "waqiti_rollback_clone", "waqiti_scratch"
PATIENCE = 60.0

HISTORY = """
    CREATE TABLE pace (seconds float NOT NULL);
    INSERT INTO pace VALUES (0);
    CREATE TABLE elsewhere (id int);
    CREATE TABLE flyway_schema_history (
        installed_rank int NOT NULL CONSTRAINT flyway_schema_history_pk PRIMARY KEY,
        version varchar(50), description varchar(200) NOT NULL, type varchar(20) NOT NULL,
        script varchar(1000) NOT NULL, checksum int, installed_by varchar(100) NOT NULL,
        installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL, success boolean NOT NULL)
"""
ROWS = """
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
    INSERT INTO wallets SELECT n, n, n * 10 FROM generate_series(1, 100) n;
"""
VERSIONS = ("1", "2", "3", "4")


def wait_for(what: str, look: Callable[[], T | None], seconds: float | None = None) -> T:
    """What `look` finds, as soon as it finds something; for PATIENCE seconds unless said otherwise."""
    seconds = seconds or PATIENCE
    until = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < until, f"{what} took longer than {seconds:.0f} s"
        time.sleep(0.05)
    return found


def prepare_server(cluster: Cluster) -> None:
    """The roles that a DBA makes on a server of targets; those of the executor come with the setup."""
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        known = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in {OWNER_ROLE, OWNER} - known:
            admin.execute(f"CREATE ROLE {role} NOLOGIN")
        cluster.ensure_login(CLONE, "CREATEDB")
        admin.execute(f"GRANT {OWNER_ROLE}, {OWNER} TO {CLONE}")


def fill(database: Database) -> None:
    """The service's objects and rows as its owner, Flyway's history, and the setup that a DBA runs once."""
    passwords = {role: database.cluster.login_password(role) for role in (EXECUTOR, BACKUP)}
    with database.connect() as connection:
        fill_over(connection, database.name, passwords)


def fill_over(
    connection: psycopg.Connection[Any], name: str, passwords: dict[str, str], **setup: Any
) -> None:
    """The same over a superuser's connection to the database of this name, on whatever server."""
    with connection:
        connection.execute(f"SET SESSION AUTHORIZATION {OWNER_ROLE}")
        connection.execute(HISTORY)
        for rank, version in enumerate(VERSIONS, start=1):
            file = next(file for file in FILES if file.startswith(f"V{version}__"))
            connection.execute(FILES[file])
            if version == "2":
                connection.execute(ROWS)
            connection.execute(
                "INSERT INTO flyway_schema_history"
                " VALUES (%s, %s, %s, 'SQL', %s, %s, 'flyway', DEFAULT, 5, true)",
                (rank, version, file[4:-4].replace("_", " "), file, checksum_of_text(FILES[file])),
            )
        connection.execute("RESET SESSION AUTHORIZATION")
        install(connection, Setup(owner_role=OWNER_ROLE, database=name, **setup), passwords=passwords)


@dataclass
class Worker:
    """A real Celery worker process, with all that a worker has and nothing else has."""

    environment: dict[str, str]
    log: Path
    concurrency: int = 2
    app: str = "waqiti_rollback"
    name: str = "worker"
    process: subprocess.Popen[bytes] = field(init=False)

    def begin(self) -> None:
        """Start it and don't wait."""
        argv = [sys.executable, "-m", "celery", "--app", self.app, "--quiet", "worker"]
        argv += ["--queues", "facts,scratch,backup,execute", "--concurrency", str(self.concurrency)]
        argv += ["--loglevel", "INFO", "--hostname", f"{self.name}@%h"]
        argv += ["--without-gossip", "--without-mingle"]
        with self.log.open("ab") as log:
            self.process = spawn(argv, env=self.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def start(self) -> Worker:
        """Start it and wait until it answers a ping."""
        from waqiti_rollback.celery import app

        self.begin()

        def answers() -> bool | None:
            assert self.process.poll() is None, f"the worker ended at its start; {self.log} says why"
            replies = app.control.ping(timeout=0.3) or ()
            return any(node.startswith(f"{self.name}@") for reply in replies for node in reply) or None

        wait_for("the worker's start", answers)
        return self

    def has(self, execution: Execution) -> bool:
        """Is it a process of this worker that took the execution?"""
        taken_by = execution.worker.rpartition("/")[2]
        asked = subprocess.run(["ps", "-o", "ppid=", "-p", taken_by], capture_output=True, check=True)
        return int(asked.stdout) == self.process.pid

    def kill(self) -> None:
        """kill -9: no handler runs, no connection is closed in order."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In order, as a deployment does."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def worker_environment(database: Database, estate: Estate, world: World, directory: Path) -> dict[str, str]:
    """What a worker has and no other process: logins for targets and for the scratch server."""
    logins = credentials(directory / "credentials.json", world, estate.production, estate.staging)
    scratch = estate.scratch.ensure_login(SCRATCH, "CREATEDB")
    key = directory / "backup.key"
    if not key.exists():
        vault.make_key(key)
    commands = directory / "service-tests.json"
    commands.write_text("{}")
    return os.environ | {
        "DATABASE_URL": database.url("waqiti_worker"),
        "TARGET_CREDENTIALS": str(logins),
        "SCRATCH_DATABASE_URL": estate.scratch.url("postgres", SCRATCH, scratch),
        "BACKUP_DIR": str(directory / "backups"),
        "BACKUP_KEY_FILE": str(key),
        "SERVER_BIN": str(server_programs()),
        "SERVICE_TESTS": str(commands),
        "WORKER_SILENCE_SECONDS": "3",
        "PYTHONWARNINGS": "ignore",
    }


@dataclass
class Portal:
    """The portal's world with real targets and a worker."""

    world: World
    worker: Worker
    production_cluster: Cluster
    staging_cluster: Cluster
    production: Database = field(init=False)
    staging: Database = field(init=False)

    def take(self, fresh_database: Callable[..., Database]) -> None:
        """Give the two targets databases of their own, let the worker read them, and write V4's script."""
        if self.worker.process.poll() is not None:
            self.worker.start()
        for name, cluster in (("production", self.production_cluster), ("staging", self.staging_cluster)):
            database = fresh_database(cluster, owner=OWNER_ROLE)
            fill(database)
            setattr(self, name, database)
            target = Target.objects.get(pk=getattr(self.world, name).pk)
            target.host, target.port, target.dbname, target.system_identifier = (
                HOST,
                cluster.port,
                database.name,
                "",
            )
            target.save()
            self.synced(target)
        self.write(UNDO_KEY)

    def end_what_is_open(self) -> None:
        """A test that failed must not leave an execution that keeps the next one from its target."""
        for execution in Execution.objects.filter(status__in=OPEN):
            attempts.record_outcome(execution, ExecutionStatus.NO_EFFECT, "The test ended.")
        partly = Execution.objects.filter(status=ExecutionStatus.PARTIAL, settled_at=None)
        partly.update(settled_at=timezone.now(), settled_as=Execution.Settled.BY_HAND)

    @property
    def target(self) -> Target:
        """The production target as it is stored now."""
        return Target.objects.get(pk=self.world.production.pk)

    def superuser(self) -> psycopg.Connection[Any]:
        """Somebody else on the production target; the caller closes it."""
        return self.production.connect()

    def value(self, query: str) -> Any:
        """The first column of the first row, asked on the production target."""
        with self.superuser() as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def versions(self) -> list[str]:
        """What the production target's history says is applied."""
        with self.superuser() as connection:
            found = connection.execute("SELECT version FROM flyway_schema_history ORDER BY installed_rank")
            return [row[0] for row in found.fetchall()]

    def key_deletes(self) -> str:
        """What the foreign key does on delete: 'c' (cascade) since V4, 'a' (nothing) before."""
        return str(self.value("SELECT confdeltype FROM pg_constraint WHERE conname = 'wallets_user'"))

    def write(self, sql: str, *checks: Check) -> None:
        """The script that undoes V4, taken for proven: what happens on the target is another matter."""
        script = scripts.add_script(
            self.migration("4"), sql=sql, checks=list(checks) or [KEY_IS_BACK], actor=self.world.bob
        )
        if script.readable:
            examined(script)

    def synced(self, target: Target) -> Target:
        """The target after the worker has read its history."""
        job = history.ask_for_sync(target, actor=None)
        assert self.done(Job.Kind.SYNC, target.pk).state == Job.State.DONE, Job.objects.get(
            pk=job.pk
        ).sentence
        return Target.objects.get(pk=target.pk)

    def migration(self, version: str) -> Migration:
        """The service's migration of this version."""
        return self.world.migration(version)

    def request(self, history_treatment: str = "delete", **options: Any) -> RollbackRequest:
        """Alice's complete request to take V4 back, with facts read. `options` are its session options."""
        fields = complete(self.world) | {"history_treatment": history_treatment}
        rollback = rollbacks.create(self.target, [self.migration("4")], actor=self.world.alice, **fields)
        if options:
            RollbackRequest.objects.filter(pk=rollback.pk).update(session_options=options)
            rollback = rollbacks.edit(rollback, actor=self.world.alice, revision=rollback.revision)
        self.done(Job.Kind.FACTS, rollback.pk)
        for point in (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS):
            checklist.confirm(rollback, point, note="Asked.", actor=self.world.alice)
        return self.again(rollback)

    def running_for_long(self) -> tuple[RollbackRequest, Execution]:
        """An execution whose script sleeps: quick in the rehearsal, for minutes on production."""
        self.write(SLOW + UNDO_KEY)
        rollback = self.ready()
        with self.superuser() as somebody:
            somebody.execute("UPDATE pace SET seconds = 120")
        return rollback, self.reaches(self.start(rollback), "running")

    def rehearse(self, rollback: RollbackRequest) -> Execution:
        """A rehearsal, waited for."""
        return self.ended(executions.ask_for_rehearsal(rollback, actor=self.world.alice))

    def approved(self, rollback: RollbackRequest) -> RollbackRequest:
        """Submitted by alice and approved by dora and dan."""
        rollbacks.submit(rollback, actor=self.world.alice)
        for dba in (self.world.dora, self.world.dan):
            now = self.again(rollback)
            decisions.decide(
                now,
                "approve",  # type: ignore[arg-type]
                actor=dba,
                role=Role.SENIOR_DBA,
                digest=now.request_digest,
                confirmed_at=timezone.now(),
                acknowledged=decisions.acknowledgement(now),
            )
        return self.again(rollback)

    def ready(self, **options: Any) -> RollbackRequest:
        """Requested, rehearsed, submitted and approved."""
        rollback = self.request(**options)
        self.rehearse(rollback)
        return self.approved(rollback)

    def start(self, rollback: RollbackRequest) -> Execution:
        """Ops start it."""
        now = self.again(rollback)
        return executions.start(
            now, actor=self.world.olga, digest=now.request_digest, confirmed_at=timezone.now()
        )

    def reaches(self, execution: Execution, *statuses: str) -> Execution:
        """Wait until the execution stands in one of these."""

        def look() -> Execution | None:
            found = Execution.objects.get(pk=execution.pk)
            return found if found.status in statuses else None

        return wait_for(f"{execution} to be {' or '.join(statuses)}", look)

    def ended(self, execution: Execution) -> Execution:
        """Wait until it has an outcome and its job is done."""

        def look() -> Execution | None:
            found = Execution.objects.get(pk=execution.pk)
            return None if found.status in OPEN else found

        return wait_for(f"{execution} to end", look)

    def done(self, kind: Job.Kind, subject: object) -> Job:
        """Wait until the newest job of this kind about this subject has ended."""

        def look() -> Job | None:
            job = Job.objects.filter(kind=kind, subject=str(subject)).order_by("-id").first()
            return job if job and job.finished_at else None

        return wait_for(f"job {kind}", look)

    @staticmethod
    def again(rollback: RollbackRequest) -> RollbackRequest:
        """As it is stored now."""
        return RollbackRequest.objects.get(pk=rollback.pk)


SLOW = "SELECT pg_sleep(seconds) FROM pace;\n"
KEY_IS_BACK = Check(
    "The key no longer cascades", "SELECT confdeltype FROM pg_constraint WHERE conname = 'wallets_user'", "a"
)
UNDO_KEY = """\
ALTER TABLE wallets DROP CONSTRAINT wallets_user;
ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id);
"""


def credentials(path: Path, world: World, production: Cluster, staging: Cluster) -> Path:
    """The worker's file of logins."""
    entries = {
        target.name: {
            "executor": {"user": EXECUTOR, "password": cluster.login_password(EXECUTOR)},
            "backup": {"user": BACKUP, "password": cluster.login_password(BACKUP)},
            "clone": {"user": CLONE, "password": cluster.login_password(CLONE)},
        }
        for target, cluster in ((world.production, production), (world.staging, staging))
    }
    path.touch(0o600)
    path.write_text(json.dumps(entries))
    return path
