"""A run over many targets against `xargs -P psql -1 -f`: the same script, databases and run.

    python -m benchmarks.fleet [--targets 200] [--concurrency 8] [--processes 12] [--backup] [--limit 1.2]

Real embedded servers, a real Celery worker that runs so many scripts at once, as many as xargs does, in more
processes than that (half as many more where nothing is said), so that the others prepare what comes next; the
portal with all that a run has: canary, then one wave of all others; every gate, preflight, marker, locks,
checks, audit. The targets are of staging, where the policy asks for no backup; with --backup it does: each is
dumped, restored and compared.
Twice: once with a script of about a second on each target (`pg_sleep(1)` within), once with a trivial one,
which shows the fixed cost per target and where it goes: the mean time between the events of an execution, and
whose processor time it is. xargs only runs the script and deletes the history row. It ends with an error only
where --limit is given and the first ratio is above it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from approvals.models import FleetRun
    from tests.executor.fleet import Shards
    from tests.servers import Database
    from waqiti_rollback.embedded import Cluster

PATIENCE_S = 1800.0
STAND_AGAIN = """
    ALTER TABLE wallets DROP CONSTRAINT wallets_user;
    ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id)
        ON DELETE CASCADE;
    INSERT INTO flyway_schema_history SELECT * FROM kept;
"""
KEEP = "CREATE TABLE kept AS SELECT * FROM flyway_schema_history WHERE version = '4'"
TICKS = os.sysconf("SC_CLK_TCK")
EVENTS = ("claimed", "preflight", "preflight.recorded", "running", "committing", "succeeded")


@contextlib.contextmanager
def shards(targets: int, concurrency: int, directory: Path, *, processes: int = 0) -> Iterator[Shards]:
    """The portal, its worker, and the targets with V1 to V4 applied; all of it removed at the end."""
    from tests import environment, servers

    estate = environment.ESTATE
    estate.start()
    made: list[Database] = []

    def fresh(cluster: Cluster, *, template: str = "template1", owner: str = "") -> Database:
        made.append(servers._create(cluster, template, owner))
        return made[-1]

    try:
        for cluster in estate.clusters.values():
            servers._tidy(cluster)
        servers.make_portal_logins()
        environment.publish()
        database = fresh(estate.portal, owner=servers.OWNER_ROLE)
        servers._migrate(database)
        servers._point_django_at(database.name)
        from tests.approvals.factories import load_world, make_world
        from tests.executor import portal as made_portal
        from tests.executor.fleet import Shards

        make_world(directory / "migrations")
        world = load_world()
        for cluster in (estate.production, estate.staging):
            made_portal.prepare_server(cluster)
        environ = made_portal.worker_environment(database, estate, world, directory)
        environ["WORKER_SCRIPTS_AT_ONCE"] = str(concurrency)
        worker = made_portal.Worker(environ, directory / "worker.log", concurrency=processes or concurrency)
        made_portal.PATIENCE = PATIENCE_S
        try:
            worker.start()
            yield Shards(made_portal.Portal(world, worker, estate.production, estate.staging), fresh, targets)
        finally:
            worker.stop()
    finally:
        for each in made:
            servers._drop(each)
        servers._point_django_at("")
        estate.stop()


def processor_s(site: Shards) -> dict[str, float]:
    """Seconds of processor time so far: of the worker with its processes and what they started, and of the
    servers of portal, targets and (for restoring) scratch. Linux tells it."""
    from tests import environment

    estate = environment.ESTATE
    found = {
        name: _of_tree(int((cluster.data / "postmaster.pid").read_text().split()[0]))
        for name, cluster in estate.clusters.items()
        if name != "staging"
    }
    return {"worker": _of_tree(site.portal.worker.process.pid), **found}


def _of_tree(root: int) -> float:
    """Of this process, of those it has now, and of those that it has waited for."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if root in (int(stat.parent.name), int(fields[1])):
                total += sum(map(int, fields[11:15])) / TICKS
    return total


def by_portal(site: Shards, *, backup: bool) -> tuple[float, FleetRun, dict[str, float]]:
    """Seconds of a run from its start to its end, the run, and milliseconds of processor time per target."""
    site.sync()
    rollback = site.approved(rehearsed=backup)
    began, before = time.monotonic(), processor_s(site)
    run = site.start(rollback, wave_size=len(site.targets) - 1)
    run = site.rests(run, "finished", "stopped", "held")
    seconds = time.monotonic() - began
    used = {name: (after - before[name]) * 1000 for name, after in processor_s(site).items()}
    if (run.state, set(site.taken_back())) != ("finished", {"a"}):
        bad = run.executions.exclude(status="succeeded").values_list("target__name", "status", "sentence")
        sys.exit(f"The run did not end well: {run.state}, {run.sentence} {list(bad)[:5]}")
    return seconds, run, {name: round(ms / len(site.targets), 1) for name, ms in used.items()}


def ask_for_backups() -> None:
    """Let the policy ask for a verified backup on staging, too."""
    from approvals import policy
    from approvals.models import PolicyRule, PolicyVersion

    rules = list(policy.current().rules.all())
    stricter = PolicyVersion.objects.create(number=policy.current().number + 1)
    for rule in rules:
        rule.pk, rule.policy, rule.backup_required = None, stricter, True
    PolicyRule.objects.bulk_create(rules)


def by_xargs(site: Shards, concurrency: int, directory: Path) -> float:
    """Seconds of xargs and psql for the same script with the history row."""
    from executor.pgtools import tool
    from tests.executor.portal import OWNER_ROLE, SLOW, UNDO_KEY

    script = directory / "undo.sql"
    row = "DELETE FROM flyway_schema_history WHERE version = '4';\n"
    script.write_text(f"SET ROLE {OWNER_ROLE};\n{SLOW}{UNDO_KEY}{row}")
    names = "\n".join(each.superuser_dsn for each in site.databases)
    psql = [str(tool("psql")), "-1", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-f", str(script)]
    began = time.monotonic()
    ran = subprocess.run(
        ["xargs", f"-P{concurrency}", "-d", "\\n", "-n1", *psql, "-d"], input=names, text=True, check=False
    )
    if ran.returncode or set(site.taken_back()) != {"a"}:
        sys.exit("xargs did not take all back")
    return time.monotonic() - began


def where_it_goes(run: FleetRun) -> dict[str, float]:
    """Milliseconds between the events of an execution, on average."""
    from approvals.models import AuditEvent

    label = run.rollback.label
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for event in AuditEvent.objects.filter(rollback=label).order_by("seq"):
        body: dict[str, Any] = json.loads(event.body)
        name = body["action"].removeprefix("execution.")
        if body.get("purpose") == "real" and name in EVENTS:
            found[body["execution"]].setdefault(name, datetime.fromisoformat(body["at"]).timestamp())
    spans: dict[str, list[float]] = defaultdict(list)
    for at in found.values():
        for before, after in itertools.pairwise(EVENTS):
            spans[f"{before} → {after}"].append(at[after] - at[before])
        spans["claimed → succeeded"].append(at["succeeded"] - at["claimed"])
    return {name: round(sum(each) / len(each) * 1000, 1) for name, each in spans.items()}


def compare(targets: int, concurrency: int, processes: int, *, backup: bool) -> dict[str, Any]:
    """Both scripts, both ways."""
    answer: dict[str, Any] = {"targets": targets, "concurrency": concurrency, "processes": processes}
    answer["backup"] = backup
    with (
        tempfile.TemporaryDirectory(prefix="waqiti-benchmark-") as name,
        shards(targets, concurrency, Path(name), processes=processes) as site,
    ):
        everywhere = range(targets)
        if backup:
            ask_for_backups()
        site.do("CREATE TABLE kept AS SELECT * FROM flyway_schema_history WHERE version = '4'", *everywhere)
        for what, seconds in (("a second", 1.0), ("trivial", 0.0)):
            site.do(f"UPDATE pace SET seconds = {seconds}", *everywhere)
            xargs = by_xargs(site, concurrency, Path(name))
            site.do(STAND_AGAIN, *everywhere)
            fleet, run, used = by_portal(site, backup=backup)
            site.do(STAND_AGAIN, *everywhere)
            answer[what] = {
                "xargs_s": round(xargs, 2),
                "fleet_s": round(fleet, 2),
                "ratio": round(fleet / xargs, 2),
                "more_per_target_ms": round((fleet - xargs) / targets * 1000, 1),
                "processor_ms_per_target": used,
                "where_ms": where_it_goes(run),
            }
    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--processes", type=int, default=0, help="of the worker; 0: half as many more")
    parser.add_argument("--backup", action="store_true", help="the policy asks for a verified backup")
    parser.add_argument("--limit", type=float, default=0.0)
    options = parser.parse_args()
    import django

    import tests.environment  # noqa: F401 (sets the environment before Django reads it)

    django.setup()
    processes = options.processes or options.concurrency * 3 // 2
    answer = compare(options.targets, options.concurrency, processes, backup=options.backup)
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    if options.limit and answer["a second"]["ratio"] > options.limit:
        sys.exit(f"ratio {answer['a second']['ratio']} is above {options.limit}")


if __name__ == "__main__":
    main()
