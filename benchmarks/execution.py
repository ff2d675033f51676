"""The executor against `psql -1 -f`: the same rollback script on a table of a million rows, taking turns.

Measured are wall time and the time ACCESS EXCLUSIVE is held on the table, for both in the same way: a third
session looks at pg_locks as often as it can. Run it as `python -m benchmarks.execution [--pairs 20]`; it
starts a PostgreSQL cluster of its own and removes it.

What is compared: `executor.run.run` in a running process (a worker is one), without backup, with one check
and a recorder that writes nothing, against a fresh `psql` that also deletes the history row. Writes to the
portal are therefore not in these numbers. A second script that does nearly nothing shows the fixed overhead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from executor.connect import Endpoint
from executor.marker import EXECUTOR, Setup, install
from executor.pgtools import tool
from executor.run import run
from executor.spec import CheckSpec, HistoryPin, ItemSpec, Outcome, RunSpec, StepSpec
from waqiti_rollback.embedded import HOST, Cluster

OWNER = "wallet_owner"
FIXED_MS = 100.0
WALL_AIM, LOCK_AIM = 1.10, 1.05

SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
    CREATE TABLE transfers (
        id bigint PRIMARY KEY, user_id int NOT NULL, amount numeric(12, 2) NOT NULL, note text,
        CONSTRAINT transfers_user FOREIGN KEY (user_id) REFERENCES users
    );
    INSERT INTO users SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 50000) n;
    INSERT INTO transfers SELECT n, n % 50000 + 1, n % 1000, 'note ' || n FROM generate_series(1, {rows}) n;
    CREATE TABLE flyway_schema_history (
        installed_rank int NOT NULL PRIMARY KEY, version varchar(50), description varchar(200) NOT NULL,
        type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum int,
        installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(),
        execution_time int NOT NULL, success boolean NOT NULL
    );
    INSERT INTO flyway_schema_history VALUES (1, '1', 'create', 'SQL', 'V1.sql', 1, 'flyway', now(), 1, true);
"""
HISTORY = (
    "INSERT INTO flyway_schema_history VALUES (2, '2', 'x', 'SQL', 'V2.sql', 2, 'flyway', now(), 1, true)"
)
PIN = HistoryPin(2, "2", "SQL", "V2.sql", 2, True)


@dataclass(frozen=True)
class Script:
    """A forward change, and its rollback as (statement, command tag, kind)."""

    name: str
    forward: tuple[str, ...]
    back: tuple[tuple[str, str, str], ...]
    check: tuple[str, str]


LARGE = Script(
    "a million rows: validate a foreign key again, drop a column, build an index",
    (
        "ALTER TABLE transfers DROP CONSTRAINT IF EXISTS transfers_user",
        """ALTER TABLE transfers ADD CONSTRAINT transfers_user FOREIGN KEY (user_id) REFERENCES users
           ON DELETE CASCADE NOT VALID""",
        "DROP INDEX IF EXISTS transfers_by_user",
        "ALTER TABLE transfers ADD COLUMN fee numeric(12, 2) NOT NULL DEFAULT 0",
    ),
    (
        ("ALTER TABLE transfers DROP CONSTRAINT transfers_user", "ALTER TABLE", "DROP CONSTRAINT"),
        (
            "ALTER TABLE transfers ADD CONSTRAINT transfers_user FOREIGN KEY (user_id) REFERENCES users",
            "ALTER TABLE",
            "ADD FOREIGN KEY",
        ),
        ("ALTER TABLE transfers DROP COLUMN fee", "ALTER TABLE", "DROP COLUMN"),
        ("CREATE INDEX transfers_by_user ON transfers (user_id)", "CREATE INDEX", "CREATE INDEX"),
    ),
    ("SELECT confdeltype FROM pg_constraint WHERE conname = 'transfers_user'", "a"),
)
SMALL = Script(
    "nearly nothing: drop a column",
    ("ALTER TABLE transfers ADD COLUMN fee int",),
    (("ALTER TABLE transfers DROP COLUMN fee", "ALTER TABLE", "DROP COLUMN"),),
    ("SELECT count(*) FROM pg_attribute WHERE attname = 'fee'", "0"),
)


@dataclass(frozen=True)
class Sample:
    """Milliseconds of one run."""

    wall: float
    locked: float


class Silent:
    """A recorder that writes nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args: None

    def cancelled(self) -> bool:
        """Nobody cancels."""
        return False


class LockWatch:
    """How long anybody holds ACCESS EXCLUSIVE on the table, as a session sees it that looks all the time."""

    def __init__(self, dsn: str) -> None:
        self.ms = 0.0
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> LockWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        query = (
            "SELECT FROM pg_locks WHERE relation = 'transfers'::regclass::oid "
            "AND mode = 'AccessExclusiveLock' AND granted"
        )
        first = last = None
        while not self._stop.is_set():
            if self._connection.execute(query, prepare=True).fetchone() is not None:
                last = time.perf_counter()
                first = first or last
            time.sleep(0.001)
        self.ms = (last - first) * 1000 if first and last else 0.0


@contextlib.contextmanager
def target(rows: int) -> Iterator[tuple[str, Endpoint]]:
    """A cluster of its own with a prepared target: the superuser's DSN and the executor's endpoint."""
    with tempfile.TemporaryDirectory(prefix="waqiti-benchmark-") as directory:
        os.chmod(directory, 0o755)  # the server may run as another user
        cluster = Cluster("production", Path(directory))
        cluster.start(die_with_parent=True)
        try:
            password = secrets.token_urlsafe(16)
            with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
                admin.execute(f"CREATE ROLE {OWNER}")
                admin.execute(f"CREATE DATABASE wallet OWNER {OWNER}")
            dsn = cluster.superuser_dsn("wallet")
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"SET ROLE {OWNER}")
                connection.execute(SCHEMA.format(rows=rows))
                connection.execute("RESET ROLE")
                install(connection, Setup(OWNER, "wallet"), passwords={EXECUTOR: password})
                connection.execute("VACUUM ANALYZE")
            yield dsn, Endpoint(HOST, cluster.port, "wallet", EXECUTOR, password)
        finally:
            cluster.stop()
            cluster.remove_data()


def apply(dsn: str, script: Script) -> None:
    """Bring the database to where the rollback starts; not measured."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"SET ROLE {OWNER}")
        for statement in (*script.forward, HISTORY):
            connection.execute(statement)
        connection.execute("RESET ROLE")
        connection.execute("CHECKPOINT")


def by_executor(dsn: str, endpoint: Endpoint, script: Script) -> Sample:
    """One run through the executor."""
    steps = tuple(
        StepSpec(number, 1, text, kind, (tag,), number, text)
        for number, (text, tag, kind) in enumerate(script.back, start=1)
    )
    check = CheckSpec(1, "as before", *script.check, "before commit")
    spec = RunSpec(
        execution_id=uuid.uuid4(),
        request_digest="benchmark",
        script_digest="benchmark",
        items=(ItemSpec(1, "2", steps, (check,), PIN),),
        locks=(("transfers", "ACCESS EXCLUSIVE"),),
        owner_role=OWNER,
    )
    with LockWatch(dsn) as watch:
        started = time.perf_counter()
        result = run(spec, endpoint, Silent())
        wall = (time.perf_counter() - started) * 1000
    if result.outcome is not Outcome.SUCCEEDED:
        sys.exit(result.sentence)
    return Sample(wall, watch.ms)


def by_psql(dsn: str, _endpoint: Endpoint, script: Script, file: Path) -> Sample:
    """One run through psql, as one transaction."""
    delete = "DELETE FROM flyway_schema_history WHERE version = '2'"
    file.write_text(
        "".join(f"{text};\n" for text in (f"SET ROLE {OWNER}", *(b[0] for b in script.back), delete))
    )
    argv = [tool("psql"), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", file, dsn]
    with LockWatch(dsn) as watch:
        started = time.perf_counter()
        subprocess.run(argv, check=True)
        wall = (time.perf_counter() - started) * 1000
    return Sample(wall, watch.ms)


def compare(dsn: str, endpoint: Endpoint, script: Script, pairs: int, file: Path) -> dict[str, object]:
    """Run the pairs, changing who begins, and put the medians side by side."""
    ours: list[Sample] = []
    theirs: list[Sample] = []
    for number in range(pairs + 1):
        for executor in (True, False) if number % 2 else (False, True):
            apply(dsn, script)
            sample = by_executor(dsn, endpoint, script) if executor else by_psql(dsn, endpoint, script, file)
            if number:  # the first pair warms up
                (ours if executor else theirs).append(sample)
        print(f"{script.name}: pair {number} of {pairs}", file=sys.stderr)
    wall = compared([s.wall for s in ours], [s.wall for s in theirs])
    locked = compared([s.locked for s in ours], [s.locked for s in theirs])
    return {"script": script.name, "pairs": pairs, "wall": wall, "locked": locked}


def compared(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Medians in milliseconds, their ratio, and the ratio beyond the fixed overhead."""
    executor, psql = statistics.median(ours), statistics.median(theirs)
    return {
        "executor_ms": round(executor, 1),
        "psql_ms": round(psql, 1),
        "overhead_ms": round(executor - psql, 1),
        "ratio": round(executor / psql, 3),
        "ratio_beyond_fixed": round(max(executor - FIXED_MS, 0.0) / psql, 3),
    }


def main() -> None:
    """Print one JSON document; the aims are said with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with target(options.rows) as (dsn, endpoint), tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "rollback.sql"
        large = compare(dsn, endpoint, LARGE, options.pairs, file)
        small = compare(dsn, endpoint, SMALL, options.pairs, file)
    report = {
        "rows": options.rows,
        "recorder": "writes nothing",
        "aims": {"wall": WALL_AIM, "locked": LOCK_AIM, "fixed_ms": FIXED_MS},
        "results": [large, small],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
