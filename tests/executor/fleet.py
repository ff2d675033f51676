"""Shards for tests of fleets: real databases of one cluster that are alike, known to portal and worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from approvals import checklist, decisions, fleets, history, rollbacks, schedules, windows
from approvals.errors import Refused
from approvals.models import (
    OPEN,
    CalendarEntry,
    ChecklistEntry,
    FleetRun,
    Job,
    Role,
    RollbackRequest,
    Schedule,
    Target,
)
from approvals.openings import Span
from approvals.policy import missing_signatures
from executor.children import end, spawn
from tests.approvals.factories import complete
from tests.executor import portal as made
from tests.executor.portal import SLOW, UNDO_KEY, Portal, wait_for
from tests.servers import ROOT, Database
from waqiti_rollback.embedded import HOST


class Shards:
    """So many shards of the service in staging, copies of one database with V1 to V4 applied, and a script
    that takes V4 back, as slowly as each shard's table `pace` says."""

    def __init__(
        self,
        portal: Portal,
        fresh_database: Callable[..., Database],
        count: int,
        zones: Sequence[str] = (),
    ) -> None:
        self.portal, cluster = portal, portal.production_cluster
        self.zones = zones or ("UTC",) * count
        first = fresh_database(cluster, owner=made.OWNER_ROLE)
        made.fill(first)
        copies = [
            fresh_database(cluster, template=first.name, owner=made.OWNER_ROLE) for _n in range(count - 1)
        ]
        self.databases = [first, *copies]
        self.targets = [self._target(number, each) for number, each in enumerate(self.databases, start=1)]
        self._give_logins()
        self.sync()
        portal.write(SLOW + UNDO_KEY)

    def sync(self) -> None:
        """Let the worker read the history of every shard."""
        for target in self.targets:
            history.ask_for_sync(target, actor=None)
        for target in self.targets:
            assert self.portal.done(Job.Kind.SYNC, target.pk).state == Job.State.DONE

    def _target(self, number: int, database: Database) -> Target:
        return Target.objects.create(
            name=f"shard-{database.name.replace('_', '-')}-{number}",
            service=self.portal.world.service,
            environment="staging",
            host=HOST,
            port=self.portal.production_cluster.port,
            dbname=database.name,
            owner_role=made.OWNER_ROLE,
            time_zone=self.zones[number - 1],
        )

    def _give_logins(self) -> None:
        """The worker reads its file anew for every connection."""
        path = Path(self.portal.worker.environment["TARGET_CREDENTIALS"])
        known = json.loads(path.read_text())
        login = known[self.portal.world.production.name]  # of the same server
        beside = path.with_suffix(".new")
        beside.touch(0o600)
        beside.write_text(json.dumps(known | {target.name: login for target in self.targets}))
        os.replace(beside, path)

    def each(self, query: str) -> list[Any]:
        """The first column of the first row on every shard, the canary first."""
        found = []
        for database in self.databases:
            with database.connect() as connection:
                row = connection.execute(query).fetchone()
                found.append(row[0] if row else None)
        return found

    def do(self, statement: str, *numbers: int) -> None:
        """Run a statement on these shards (from 0) as superuser."""
        for number in numbers:
            with self.databases[number].connect() as connection:
                connection.execute(statement)

    def taken_back(self) -> str:
        """How each shard's foreign key deletes: a where V4 was taken back, c where it stands."""
        return "".join(self.each("SELECT confdeltype FROM pg_constraint WHERE conname = 'wallets_user'"))

    def approved(self, *, rehearsed: bool = False) -> RollbackRequest:
        """Alice's request to take V4 back on all of them: read by the worker, `rehearsed` on a copy of the
        canary if so wanted, and approved."""
        portal, alice = self.portal, self.portal.world.alice
        fields = complete(portal.world)
        rollback = rollbacks.create(self.targets[0], [portal.migration("4")], actor=alice, **fields)
        rollback = rollbacks.edit(rollback, actor=alice, revision=rollback.revision, targets=self.targets)
        portal.done(Job.Kind.FACTS, rollback.pk)
        for point in (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS):
            checklist.confirm(rollback, point, note="Asked.", actor=alice)
        if rehearsed:
            assert portal.rehearse(portal.again(rollback)).status == "succeeded"
        rollbacks.submit(rollback, actor=alice)
        now = portal.again(rollback)
        while missing_signatures(now):
            decisions.decide(
                now,
                "approve",  # type: ignore[arg-type]
                actor=portal.world.dora,
                role=Role.SENIOR_DBA,
                digest=now.request_digest,
                confirmed_at=timezone.now(),
                acknowledged=decisions.acknowledgement(now),
            )
            now = portal.again(rollback)
        return now

    def start(self, rollback: RollbackRequest, wave_size: int = 2, stop_after: int = 1) -> FleetRun:
        """Ops start the run."""
        return fleets.start(
            rollback,
            actor=self.portal.world.olga,
            digest=rollback.request_digest,
            confirmed_at=timezone.now(),
            wave_size=wave_size,
            stop_after=stop_after,
        )

    def go_on(self, run: FleetRun, seen: int, *, again: bool = False) -> FleetRun:
        """Ops go on."""
        olga = self.portal.world.olga
        return fleets.go_on(run, actor=olga, confirmed_at=timezone.now(), seen=seen, again=again)

    def rests(self, run: FleetRun, *states: str) -> FleetRun:
        """Wait until the run stands in one of these and nothing of it is under way."""

        def look() -> FleetRun | None:
            found = FleetRun.objects.get(pk=run.pk)
            under_way = found.executions.filter(status__in=OPEN).exists()
            return found if found.state in states and not under_way else None

        return wait_for(f"{run} to be {' or '.join(states)}", look)

    def run_on(self, run: FleetRun, *positions: int) -> None:
        """Wait until the scripts run on the targets at these positions (from 1)."""
        wanted = run.executions.filter(rollback_target__position__in=positions, status="running")
        wait_for("the wave to run", lambda: wanted.count() == len(positions) or None)

    def outcomes(self, run: FleetRun) -> list[str]:
        """How what began ended, in the order of the targets; what was set aside is left out."""
        found = run.executions.filter(set_aside=False).order_by("rollback_target__position", "queued_at")
        return list(found.values_list("status", flat=True))


@contextmanager
def beat(portal: Portal, schedule: Path) -> Iterator[None]:
    """A real beat process, by whose ticks the worker looks what is due; it keeps its own record in a file."""
    argv = [sys.executable, "-m", "celery", "--app", "waqiti_rollback", "--quiet", "beat"]
    argv += ["--schedule", str(schedule), "--pidfile", ""]
    with schedule.with_suffix(".log").open("ab") as log:
        process = spawn(argv, env=portal.worker.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        end(process, 20.0)


def opens(portal: Portal, target: Target, after: float, *, lasting: float = 3600.0) -> Span:
    """Two people agree on a window of the target; all in seconds."""
    begins = timezone.now() + timedelta(seconds=after)
    found = Span(begins, begins + timedelta(seconds=lasting))
    entry = windows.propose(
        target,
        CalendarEntry.Kind.DATED,
        actor=portal.world.adam,
        begins_at=found.begins,
        ends_at=found.ends,
    )
    windows.confirm(entry, actor=portal.world.dora)
    return found


def scheduled_soon(portal: Portal, shards: Shards, rollback: RollbackRequest) -> tuple[datetime, Schedule]:
    """Ops schedule the run for the next window of the canary, which is every day at a time that comes in a
    few seconds on its own clock; in more where this machine was too slow for those."""
    canary = shards.targets[0]
    for seconds in (4, 10, 30, 60):
        begins = timezone.now() + timedelta(seconds=seconds)
        local = begins.astimezone(windows.zone_of(canary))
        entry = windows.propose(
            canary,
            CalendarEntry.Kind.WEEKLY,
            actor=portal.world.adam,
            days=range(7),
            starts=local.time(),
            ends=(local + timedelta(hours=1)).time(),
        )
        windows.confirm(entry, actor=portal.world.dora)
        now = portal.again(rollback)
        try:
            made = schedules.schedule(
                now,
                actor=portal.world.olga,
                digest=now.request_digest,
                confirmed_at=timezone.now(),
                wave_size=1,
                stop_after=1,
            )
        except Refused:  # it is open already
            CalendarEntry.objects.filter(pk=entry.pk).update(removed_at=timezone.now())
        else:
            return begins, made
    raise AssertionError("This machine is too slow to schedule anything.")
