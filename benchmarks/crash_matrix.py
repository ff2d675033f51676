"""kill -9 of the worker, thousands of times, at every point of the protocol and at random moments: what the
resolver says against what is true on the target.

Run it as `python -m benchmarks.crash_matrix [--runs 2000] [--seed N]`; it starts a PostgreSQL cluster of its
own and removes it. Half of the runs die at a point (each statement to the target and each word to the portal,
before and behind it), in turn; the other half after a random time. After each, the resolver is asked; schema,
history row and marker are compared with its answer and with each other; and a late worker tries the same
execution again. Ends with 1 if a single answer was wrong.

What is not in here: the portal's own database. `tests/executor/test_worker.py` kills whole workers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg

from executor.connect import Endpoint
from executor.marker import BACKUP, EXECUTOR, Setup, install
from executor.resolve import Attempt, Verdict, resolve
from executor.run import run
from tests.executor.crashes import Nursery, Order
from tests.executor.target import OWNER, SCHEMA, Recording, Target
from tests.executor.test_crashes import STAND_AGAIN, attempt, happened
from waqiti_rollback.embedded import HOST, Cluster

TELL_EVERY_S = 10.0


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """A cluster of its own with the target of the tests."""
    with tempfile.TemporaryDirectory(prefix="waqiti-benchmark-") as directory:
        os.chmod(directory, 0o755)  # the server may run as another user
        cluster = Cluster("production", Path(directory))
        cluster.start(die_with_parent=True)
        try:
            passwords = {role: secrets.token_urlsafe(16) for role in (EXECUTOR, BACKUP)}
            with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
                admin.execute(f"CREATE ROLE {OWNER}")
                admin.execute(f"CREATE DATABASE wallet OWNER {OWNER}")
            dsn = cluster.superuser_dsn("wallet")
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"SET ROLE {OWNER}")
                connection.execute(SCHEMA)
                connection.execute("RESET ROLE")
                install(connection, Setup(OWNER, "wallet"), passwords=passwords)
            endpoints = (Endpoint(HOST, cluster.port, "wallet", role, passwords[role]) for role in passwords)
            yield Target(dsn, *endpoints)
        finally:
            cluster.stop()
            cluster.remove_data()


def kill_often(site: Target, runs: int, seed: int) -> dict[str, object]:
    """Kill, resolve, compare, and come too late, `runs` times."""
    random.seed(seed)
    found: Counter[str] = Counter()
    wrong: list[str] = []
    started = told = time.monotonic()
    with Nursery() as nursery:
        whole = attempt()
        began = time.monotonic()
        points = nursery.attempt(Order(whole, site.executor)).points
        usual_s = time.monotonic() - began
        assert happened(site, whole)
        site.do(*STAND_AGAIN)
        for number in range(runs):
            tried = attempt()
            if number % 2:
                order, where = (
                    Order(tried, site.executor, after_s=random.uniform(0, 1.2 * usual_s)),
                    "a moment",
                )
            else:
                at = (number // 2) % len(points)
                order, where = Order(tried, site.executor, at=at), points[at]
            fate = nursery.attempt(order)
            found["died" if fate.outcome is None else f"lived: {fate.outcome}"] += 1
            verdict = resolve(site.executor, Attempt.of(tried, None)).verdict
            try:
                truth = happened(site, tried)
                right = verdict is (Verdict.COMMITTED if truth else Verdict.NOT_COMMITTED)
                run(tried, site.executor, Recording())
                twice = happened(site, tried) is not truth
            except AssertionError as half:
                truth, right, twice = False, False, False
                wrong.append(f"run {number}, {where}: half done: {half}")
            found["committed" if truth else "not committed"] += 1
            if not right or twice:
                wrong.append(f"run {number}, {where}: {verdict}, truly {truth}{', applied twice' * twice}")
            if truth:
                site.do(*STAND_AGAIN)
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                print(f"{number + 1} of {runs}, {len(wrong)} wrong", file=sys.stderr)
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'waqiti%%'"
    return {
        "runs": runs,
        "seed": seed,
        "points": len(points),
        "ends": dict(sorted(found.items())),
        "sessions left": site.value(left),
        "prepared transactions left": site.value("SELECT count(*) FROM pg_prepared_xacts"),
        "wrong": wrong,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> int:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with target() as site:
        report = kill_often(site, options.runs, options.seed)
    print(json.dumps(report, indent=2))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
