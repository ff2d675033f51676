"""kill -9 of the worker, thousands of times, at every point of the protocol and at random moments: what the
resolver says against what is true on the target.

Run it as `python -m benchmarks.crash_matrix [--runs 2000] [--lone 1000] [--portal 0]`; it starts
servers of its own and removes them. Half of the runs die at a point (each statement to the target and each
word to the portal, before and behind it), in turn; the other half after a random time. After each, the
resolver is asked; schema, history row and marker are compared with its answer and with each other; and a late
worker tries the same execution again. Ends with 1 if a single answer was wrong.

`--lone` runs have plans with steps that run alone before and behind the transaction; of those that die at a
random moment every second one dies while the server waits for somebody else within such a step. Each step is
compared with the catalog: done, not begun, or failed, with the invalid index that it left.

`--portal` runs are of real worker processes with the portal's own database (tests/executor/dying.py), which
are killed at each statement to target and portal in turn. What the portal says afterwards is compared with
schema, history row, marker and audit trail (benchmarks/busy.py).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
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
from typing import Any

import psycopg

from executor.connect import Endpoint
from executor.marker import BACKUP, EXECUTOR, Setup, install
from executor.resolve import Attempt, Verdict, resolve
from executor.run import run
from executor.spec import RunSpec
from tests.executor.crashes import Fate, Nursery, Order
from tests.executor.lone_crashes import lone_attempt, settled_alone, stand_again, writing
from tests.executor.target import COLUMN_AND_ROW_AGAIN, OWNER, SCHEMA, Recording, Target
from tests.executor.test_crashes import attempt, happened
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


class Count:
    """How the runs of one kind ended so far."""

    def __init__(self, what: str, runs: int) -> None:
        self.what, self.runs = what, runs
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.started = self._told = time.monotonic()

    def tell(self, number: int) -> None:
        """Say how far it is, from time to time."""
        if time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            print(f"{self.what}: {number + 1} of {self.runs}, {len(self.wrong)} wrong", file=sys.stderr)

    def report(self, **more: object) -> dict[str, object]:
        """As it is printed."""
        seconds = round(time.monotonic() - self.started, 1)
        ends = dict(sorted(self.ends.items()))
        return {"runs": self.runs, "ends": ends, **more, "wrong": self.wrong, "seconds": seconds}


def order(
    tried: RunSpec, site: Target, number: int, points: tuple[str, ...], usual_s: float
) -> tuple[Order, str]:
    """When the attempt of this number dies, and in words: at the points in turn, or at a random moment."""
    if number % 2:
        return Order(tried, site.executor, after_s=random.uniform(0, 1.2 * usual_s)), "a moment"
    at = (number // 2) % len(points)
    return Order(tried, site.executor, at=at), points[at]


def lived_through(nursery: Nursery, tried: RunSpec, site: Target) -> tuple[tuple[str, ...], float, Fate]:
    """The points of an attempt, the seconds that it took, and its end."""
    began = time.monotonic()
    fate = nursery.attempt(Order(tried, site.executor))
    assert fate.outcome == "succeeded", fate
    return fate.points, time.monotonic() - began, fate


def kill_often(site: Target, runs: int) -> dict[str, object]:
    """Kill, resolve, compare, and come too late, `runs` times."""
    count = Count("in one transaction", runs)
    with Nursery() as nursery:
        points, usual_s, _fate = lived_through(nursery, attempt(), site)
        site.do(*COLUMN_AND_ROW_AGAIN)
        for number in range(runs):
            tried = attempt()
            when, where = order(tried, site, number, points, usual_s)
            fate = nursery.attempt(when)
            count.ends["died" if fate.outcome is None else f"lived: {fate.outcome}"] += 1
            verdict = resolve(site.executor, Attempt.of(tried, None)).verdict
            try:
                truth = happened(site, tried)
                right = verdict is (Verdict.COMMITTED if truth else Verdict.NOT_COMMITTED)
                run(tried, site.executor, Recording())
                twice = happened(site, tried) is not truth
            except AssertionError as half:
                truth, right, twice = False, False, False
                count.wrong.append(f"run {number}, {where}: half done: {half}")
            count.ends["committed" if truth else "not committed"] += 1
            if not right or twice:
                count.wrong.append(
                    f"run {number}, {where}: {verdict}, truly {truth}{', applied twice' * twice}"
                )
            if truth:
                site.do(*COLUMN_AND_ROW_AGAIN)
            count.tell(number)
    return count.report(points=len(points), left=left(site))


def kill_alone(site: Target, runs: int) -> dict[str, object]:
    """The same with steps that run alone; every second one that dies at a moment waits for somebody."""
    count = Count("with steps that run alone", runs)
    with Nursery() as nursery:
        tried = lone_attempt()
        points, usual_s, fate = lived_through(nursery, tried, site)
        count.wrong += settled_alone(site, tried, fate)[0]
        stand_again(site)
        for number in range(runs):
            tried = lone_attempt()
            when, where = order(tried, site, number, points, usual_s)
            with writing(site) if number % 4 == 3 else contextlib.nullcontext():
                fate = nursery.attempt(when)
                wrong, found = settled_alone(site, tried, fate)
            count.ends["died" if fate.outcome is None else f"lived: {fate.outcome}"] += 1
            count.ends[" ".join(each.state.value for each in found)] += 1
            count.ends["left an invalid index"] += any(each.leftover for each in found)
            count.wrong += [f"run {number}, {where}: {each}" for each in wrong]
            stand_again(site)
            count.tell(number)
    return count.report(points=len(points), left=left(site))


def kill_workers(runs: int, targets: int, concurrency: int) -> dict[str, object]:
    """Real worker processes with the portal's own database, on many targets at a time. Each execution dies at
    the next point in turn, every tenth with its whole worker; every third is left to other faults."""
    from benchmarks.busy import Busy, nothing, process_killed
    from benchmarks.fleet import shards
    from benchmarks.soak import behind_proxies
    from tests.executor.dying import WHOLE

    with tempfile.TemporaryDirectory(prefix="waqiti-benchmark-") as name:
        directory = Path(name)
        for file in ("orders", "points", "died"):
            (directory / file).touch()
        turn = itertools.count()

        def see_to_it(busy: Busy) -> None:
            """The next orders, once one execution has lived and told how many points there are."""
            points = int((directory / "points").read_text() or 0)
            with (directory / "orders").open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if points and not file.read():
                    numbers = [(next(turn), random.randrange(10)) for _n in range(20)]
                    file.writelines(f"{n * 7 % points}{f' {WHOLE}' * (not w)}\n" for n, w in numbers)
            if busy.site.portal.worker.process.poll() is not None:
                busy.site.portal.worker.begin()  # and no more: it may die before it answers anybody

        with shards(targets, concurrency, directory) as site, behind_proxies(site) as proxies:
            worker = site.portal.worker
            worker.stop()
            worker.app, worker.environment["DYING_DIR"] = "tests.executor.dying", name
            worker.start()
            site.do("UPDATE pace SET seconds = 0", *range(targets))
            faults = [(0.7, "at a point", nothing), (0.3, "at a moment too", process_killed)]
            busy = Busy(site, proxies, faults, runs=runs, each=see_to_it)
            busy.lead()
            died = (directory / "died").read_text().splitlines()
            report = busy.report() | {"points": int((directory / "points").read_text() or 0)}
            return report | {"died at a point": len(died), "at different ones": len(set(died))}


def left(site: Target) -> dict[str, object]:
    """What must be 0 at the end."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'waqiti%%'"
    return {
        "sessions": site.value(sessions),
        "prepared transactions": site.value("SELECT count(*) FROM pg_prepared_xacts"),
        "advisory locks": site.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
    }


def main() -> int:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--lone", type=int, default=1000)
    parser.add_argument("--portal", type=int, default=0)
    parser.add_argument("--targets", type=int, default=12, help="of --portal")
    parser.add_argument("--concurrency", type=int, default=4, help="of --portal")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    random.seed(options.seed)
    report: dict[str, Any] = {"seed": options.seed}
    if options.runs or options.lone:
        with target() as site:
            report["in one transaction"] = kill_often(site, options.runs)
            report["with steps that run alone"] = kill_alone(site, options.lone)
    if options.portal:
        import django

        import tests.environment  # noqa: F401 (sets the environment before Django reads it)

        django.setup()
        report["of whole workers"] = kill_workers(options.portal, options.targets, options.concurrency)
    print(json.dumps(report, indent=2, ensure_ascii=False))
    return 1 if any(part["wrong"] for part in report.values() if isinstance(part, dict)) else 0


if __name__ == "__main__":
    sys.exit(main())
