"""Minutes on end of rollbacks and re-applications with faults: the truth each time, and nothing leaks.

    python -m benchmarks.soak [--minutes 30] [--targets 20] [--concurrency 4] [--seed N]

Real embedded servers, a real Celery worker, the portal with all that an execution has: gates, preflight,
marker, locks, checks, audit. Every target, one of staging behind a proxy, is taken back and migrated forward
again and again; about half of the executions meet a fault: a process of the worker killed, the session ended,
COMMIT or its acknowledgement lost, a table held by somebody, cancelled, the message delivered three times.
The whole worker is killed twice.

It ends by itself and says what is left: sessions, temporary files, advisory locks, prepared transactions at
the start and at the end; memory and open files of the worker's processes at half time, from when on none of
them is killed, and at the end. Ends with 1 if an answer was wrong or something leaked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import busy as lives
from benchmarks.busy import Busy

if TYPE_CHECKING:
    from tests.executor.fleet import Shards
    from tests.executor.proxy import Proxy

FAULTS = [
    (0.45, "nothing", lives.nothing),
    (0.10, "process killed", lives.process_killed),
    (0.10, "session ended", lives.backend_ended),
    (0.08, "COMMIT lost", lives.network("DROP", b"COMMIT\0")),
    (0.08, "acknowledgement lost", lives.network("CUT", b"COMMIT\0")),
    (0.07, "table held", lives.held),
    (0.06, "cancelled", lives.cancelled),
    (0.06, "delivered three times", lives.delivered_again),
]
GROWTH_MIB = 30.0
"""A process may grow so much from half time to the end: work of a kind that is new to it, the allocator."""


@contextlib.contextmanager
def behind_proxies(site: Shards) -> Iterator[list[Proxy]]:
    """Every target is reached through a proxy of its own from now on, and its script takes its time."""
    from approvals.models import Target
    from executor.connect import Endpoint
    from tests.executor.proxy import Proxy
    from waqiti_rollback.embedded import HOST

    port = site.portal.production_cluster.port
    proxies = [Proxy(Endpoint(HOST, port, each.name, "", "")) for each in site.databases]
    try:
        for target, proxy in zip(site.targets, proxies, strict=True):
            target.port = proxy.endpoint.port
            Target.objects.filter(pk=target.pk).update(port=target.port)
        everywhere = range(len(site.targets))
        site.do(lives.KEEP, *everywhere)
        site.do(f"UPDATE pace SET seconds = {lives.PACE_S}", *everywhere)
        yield proxies
    finally:
        for proxy in proxies:
            proxy.close()


def processes(site: Shards) -> dict[int, dict[str, float]]:
    """Private memory (MiB) and open files of the worker and its processes, by pid."""
    worker = site.portal.worker.process.pid
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    found = {}
    for pid in (worker, *map(int, children)):
        with contextlib.suppress(OSError):
            parts = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            private = sum(int(line.split()[1]) for line in parts if line.startswith("Private_"))
            files = len(os.listdir(f"/proc/{pid}/fd"))
            found[pid] = {"private_mib": round(private / 1024, 1), "files": files}
    return found


def left(site: Shards, temporary: Path) -> dict[str, int]:
    """What executions could leave behind, counted."""
    return {
        "sessions on targets": _count(site, "pg_stat_activity WHERE application_name LIKE 'waqiti%'"),
        "advisory locks": _count(site, "pg_locks WHERE locktype = 'advisory'"),
        "prepared transactions": _count(site, "pg_prepared_xacts"),
        "temporary files of the server": _count(site, "pg_ls_tmpdir()"),
        "temporary files of the worker": sum(1 for each in temporary.rglob("*") if each.is_file()),
        "sessions of the worker at the portal": _count(
            site, "pg_stat_activity WHERE usename = 'waqiti_worker'", portal=True
        ),
        "advisory locks at the portal": _count(site, "pg_locks WHERE locktype = 'advisory'", portal=True),
    }


def _count(site: Shards, what: str, *, portal: bool = False) -> int:
    import psycopg

    from tests import environment

    cluster = environment.ESTATE.portal if portal else site.portal.production_cluster
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        row = admin.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


class Watch:
    """Kills the whole worker twice in the first part, starts it where it is gone, and measures its processes
    at half time, when no more of them are killed, and at the end."""

    def __init__(self, seconds: float) -> None:
        began = time.monotonic()
        self.kills = [began + share * seconds for share in (0.15, 0.3)]
        self.calm_from, self.half_from = began + 0.4 * seconds, began + 0.5 * seconds
        self.half: dict[int, dict[str, float]] = {}

    def __call__(self, busy: Busy) -> None:
        now, worker = time.monotonic(), busy.site.portal.worker
        if self.kills and now > self.kills[0]:
            self.kills.pop(0)
            worker.kill()
            worker.start()
        if now > self.calm_from:
            busy.faults = [each for each in busy.faults if each[2] is not lives.process_killed]
        if now > self.half_from and not self.half:
            self.half = processes(busy.site)

    def grown(self, site: Shards) -> dict[int, dict[str, Any]]:
        """Half time and end of every process that is still there."""
        end = processes(site)
        return {pid: {"half": self.half[pid], "end": end[pid]} for pid in self.half.keys() & end.keys()}


def leaks(before: dict[str, int], after: dict[str, int], grown: dict[int, dict[str, Any]]) -> list[str]:
    """What is there more than before, in sentences."""
    found = [
        f"{name}: {before[name]} before, {after[name]} after" for name in before if after[name] > before[name]
    ]
    for pid, each in grown.items():
        if each["end"]["private_mib"] - each["half"]["private_mib"] > GROWTH_MIB:
            found.append(f"process {pid} grew from {each['half']} to {each['end']}")
        if each["end"]["files"] > each["half"]["files"] + 3:
            found.append(f"process {pid} holds more files: {each['half']}, {each['end']}")
    return found


def at_rest(site: Shards, temporary: Path, wanted: dict[str, int]) -> dict[str, int]:
    """What is left once it is no more than `wanted`. Helpers keep a connection to the portal while they rest:
    half a minute more than that is waited."""
    from executor.helpers import IDLE_S

    until = time.monotonic() + IDLE_S + 30
    while True:
        found = left(site, temporary)
        if all(found[name] <= wanted[name] for name in found) or time.monotonic() > until:
            return found
        time.sleep(1)


def soak(seconds: float, targets: int, concurrency: int) -> dict[str, Any]:
    """Keep them busy and measure."""
    from benchmarks.fleet import shards

    with tempfile.TemporaryDirectory(prefix="waqiti-benchmark-") as name:
        temporary = Path(name) / "tmp"
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)  # the worker inherits it
        with shards(targets, concurrency, Path(name)) as site, behind_proxies(site) as proxies:
            before = left(site, temporary)
            watch = Watch(seconds)
            busy = Busy(site, proxies, FAULTS, seconds=seconds, each=watch)
            busy.lead()
            after = at_rest(site, temporary, before)
            grown = watch.grown(site)
            report = busy.report()
    return report | {
        "left before": before,
        "left after": after,
        "processes": grown,
        "leaks": leaks(before, after, grown),
    }


def main() -> int:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    import django

    import tests.environment  # noqa: F401 (sets the environment before Django reads it)

    django.setup()
    random.seed(options.seed)
    answer = {"minutes": options.minutes, "targets": options.targets, "seed": options.seed}
    answer |= soak(options.minutes * 60, options.targets, options.concurrency)
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 1 if answer["wrong"] or answer["leaks"] else 0


if __name__ == "__main__":
    sys.exit(main())
