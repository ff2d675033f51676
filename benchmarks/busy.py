"""Targets that are kept busy: asked for, approved, executed by real workers, faults in between, once more.

`benchmarks.soak` and `benchmarks.crash_matrix --portal` are made of it. One process asks for all targets in
turn, as people would; workers are processes of their own. After each execution what the portal says is
compared with what is true on the target.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.executor.proxy import Proxy

if TYPE_CHECKING:
    from approvals.models import Execution, Job, RollbackRequest, Target
    from tests.executor.fleet import Shards
    from tests.servers import Database

PATIENCE_S = 600.0
"""An execution that has no outcome by then is wrong, however busy the machine is."""
LOST_S = 20.0
"""A reading whose worker was killed comes back after five minutes; people ask again sooner."""
PACE_S = 0.5
"""So long the first statement of each script takes, so that faults find it at work."""
QUICK_LOCKS = {"lock_phase_s": 8.0, "lock_timeout_ms": 500}
TICK_S = 0.05
BEAT_S = 2.0
TELL_EVERY_S = 30.0
COMMITTED = ("succeeded", "committed_check_failed")
TAKEN_BACK = "SELECT confdeltype FROM pg_constraint WHERE conname = 'wallets_user'"
CLAIMS = "SELECT count(*) FROM waqiti_rollback.execution_marker WHERE kind = 'claim'"
KEEP = "CREATE TABLE kept AS SELECT * FROM flyway_schema_history WHERE version = '4'"
STAND_AGAIN = """
    ALTER TABLE wallets DROP CONSTRAINT wallets_user;
    ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id)
        ON DELETE CASCADE;
    INSERT INTO flyway_schema_history SELECT * FROM kept;
"""

Waiting = Generator[None, None, None]
Fault = Callable[["Life", "Execution"], Waiting]
"""What happens to an execution that was started, in a thread of its own; it yields where it waits."""


class Life:
    """One target: the same rollback again and again. `lead` is a generator that yields where it waits."""

    def __init__(self, busy: Busy, target: Target, database: Database, proxy: Proxy) -> None:
        self.busy, self.target, self.database, self.proxy = busy, target, database, proxy
        self.committed = 0
        self.under_way = False

    def value(self, query: str, *params: object) -> Any:
        """The first column of the first row on the target, asked by a superuser past the proxy."""
        with self.database.connect() as connection:
            row = connection.execute(query, params or None).fetchone()
        return row[0] if row else None

    def lead(self) -> Waiting:
        """Until nobody wants any more."""
        from approvals.errors import Refused

        while not self.busy.over:
            try:
                yield from self._one_rollback()
            except Refused as refused:
                self.busy.refused[str(refused)[:120]] += 1
                yield

    def _one_rollback(self) -> Waiting:
        portal = self.busy.site.portal
        rollback = yield from self._approved()
        while rollback.status == "approved" and not self.busy.over:
            yield from self._executed(portal.start(rollback))
            rollback = portal.again(rollback)
        if self.value(TAKEN_BACK) == "a":
            with self.database.connect() as connection:
                connection.execute(STAND_AGAIN)

    def _approved(self) -> Generator[None, None, RollbackRequest]:
        """Asked for, read and signed, as `Portal.request` and `Portal.approved` do it, without waiting."""
        from approvals import checklist, history, rollbacks
        from approvals.models import ChecklistEntry, Job, RollbackRequest
        from tests.approvals.factories import complete

        portal, alice = self.busy.site.portal, self.busy.site.portal.world.alice
        history.ask_for_sync(self.target, actor=None)
        yield from self._done(Job.Kind.SYNC, self.target.pk)
        rollback = rollbacks.create(
            self.target, [portal.migration("4")], actor=alice, **complete(portal.world)
        )
        RollbackRequest.objects.filter(pk=rollback.pk).update(session_options=QUICK_LOCKS)
        rollback = rollbacks.edit(rollback, actor=alice, revision=rollback.revision)
        yield from self._done(Job.Kind.FACTS, rollback.pk)
        for point in (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS):
            checklist.confirm(rollback, point, note="Asked.", actor=alice)
        rollbacks.submit(portal.again(rollback), actor=alice)
        self._sign(rollback)
        return portal.again(rollback)

    def _sign(self, rollback: RollbackRequest) -> None:
        from django.utils import timezone

        from approvals import decisions, policy
        from approvals.models import Approval, Role

        portal = self.busy.site.portal
        for dba in (portal.world.dora, portal.world.dan):
            now = portal.again(rollback)
            if policy.missing_signatures(now):
                decisions.decide(
                    now,
                    Approval.Decision.APPROVE,
                    actor=dba,
                    role=Role.SENIOR_DBA,
                    digest=now.request_digest,
                    confirmed_at=timezone.now(),
                    acknowledged=decisions.acknowledgement(now),
                )

    def _done(self, kind: Job.Kind, subject: object) -> Waiting:
        """Wait for a reading; one whose worker was killed is given to another."""
        from approvals import jobs
        from approvals.models import Job

        until = time.monotonic() + LOST_S
        while (job := jobs.latest(kind, subject)) is None or job.finished_at is None:
            if job is not None and time.monotonic() > until:
                Job.objects.filter(pk=job.pk, finished_at=None).update(state=Job.State.WAITING)
                jobs._send(job.pk, kind)
                until = time.monotonic() + LOST_S
            yield

    def _executed(self, execution: Execution) -> Waiting:
        """Let a fault happen to it, wait for its outcome and compare that with the target."""
        from approvals.models import OPEN, Execution

        name, fault = self.busy.fault()
        self.under_way = True
        thread = threading.Thread(target=self._let_happen, args=(fault, execution), name=name)
        thread.start()
        until = time.monotonic() + PATIENCE_S
        while (execution := Execution.objects.get(pk=execution.pk)).status in OPEN:
            if time.monotonic() > until:
                self.busy.wrong.append(f"{execution.pk} after “{name}”: {execution.status} for too long")
                break
            yield
        self.under_way = False
        thread.join()
        self.busy.ends[f"{name}: {execution.status}"] += 1
        self.busy.runs += 1
        self.busy.wrong += [f"{execution.pk} after “{name}”: {each}" for each in self._wrong(execution)]

    def _let_happen(self, fault: Fault, execution: Execution) -> None:
        """Until it has happened, or the execution has ended."""
        from django.db import connections

        happens = fault(self, execution)
        try:
            for _waits in happens:
                if not self.under_way:
                    return
                time.sleep(TICK_S)
        finally:
            happens.close()
            connections.close_all()

    def _wrong(self, execution: Execution) -> Iterator[str]:
        """Where portal, target, marker, history row and audit trail do not say the same."""
        from approvals.models import AuditEvent

        committed = execution.status in COMMITTED
        if not committed and execution.status not in ("no_effect", "rolled_back"):
            yield f"ended as {execution.status}: {execution.sentence}"
        self.committed += committed
        taken = self.value(TAKEN_BACK) == "a"
        row_gone = self.value("SELECT count(*) FROM flyway_schema_history WHERE version = '4'") == 0
        kind = "SELECT kind FROM waqiti_rollback.execution_marker WHERE execution_id = %s"
        marked = self.value(kind, execution.pk) == "claim"
        if not committed == taken == row_gone == marked:
            yield f"says {execution.status}; schema {taken}, history row gone {row_gone}, marker {marked}"
        if (claims := self.value(CLAIMS)) != self.committed:
            yield f"{claims} markers on the target for {self.committed} executions that committed"
        outcomes = AuditEvent.objects.filter(
            rollback=execution.rollback_target.rollback.label,
            action=f"execution.{execution.status}",
            body__contains=str(execution.pk),
        )
        if outcomes.count() != 1:
            yield f"{outcomes.count()} outcomes on record"


class Busy:
    """All lives, led in turn until so many seconds or executions are over. `faults`: (share, name, fault)."""

    def __init__(
        self,
        site: Shards,
        proxies: list[Proxy],
        faults: list[tuple[float, str, Fault]],
        *,
        seconds: float = float("inf"),
        runs: int = sys.maxsize,
        each: Callable[[Busy], None] = lambda _busy: None,
    ) -> None:
        self.site, self.faults, self.each = site, faults, each
        self.most, self.until = runs, time.monotonic() + seconds
        self.runs = 0
        self.ends: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        together = zip(site.targets, site.databases, proxies, strict=True)
        self.lives = [Life(self, *each) for each in together]

    @property
    def over(self) -> bool:
        """Is it time to end what is under way and begin nothing more?"""
        return self.runs >= self.most or time.monotonic() > self.until

    def fault(self) -> tuple[str, Fault]:
        """The next one, as often as its share says."""
        weights = [share for share, _name, _fault in self.faults]
        ((_share, name, fault),) = random.choices(self.faults, weights)
        return name, fault

    def lead(self) -> None:
        """Lead all lives to their end."""
        from waqiti_rollback.celery import app

        leads = [life.lead() for life in self.lives]
        told = beaten = time.monotonic()
        while leads:
            leads = [each for each in leads if next(each, self) is not self]
            self.each(self)
            now = time.monotonic()
            if now - beaten > BEAT_S:  # what beat does every five seconds
                beaten = now
                for task in ("executor.resolve_stale", "executor.send_waiting_jobs"):
                    app.send_task(task, queue="facts", expires=10)
            if now - told > TELL_EVERY_S:
                told = now
                print(f"{self.runs} executions, {len(self.wrong)} wrong", file=sys.stderr, flush=True)
            time.sleep(TICK_S)

    def report(self) -> dict[str, Any]:
        """Counts, and whether the audit chain holds."""
        from approvals import audit

        chain = audit.verify()
        if not chain.holds:
            self.wrong.append(f"the audit chain does not hold: {chain}")
        return {
            "executions": self.runs,
            "ends": dict(sorted(self.ends.items())),
            "refused": dict(self.refused),
            "audit events": chain.events,
            "wrong": self.wrong,
        }


# What can happen


def nothing(_life: Life, _execution: Execution) -> Waiting:
    """An ordinary night."""
    yield from ()


def works(life: Life, execution: Execution) -> Waiting:
    """Wait until the script sleeps, as it does in its first statement."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'PgSleep'"
    while not life.value(query, f"waqiti_rollback {execution.pk}"):
        yield


def backend_ended(life: Life, execution: Execution) -> Waiting:
    """Somebody ends the session of the attempt at work."""
    yield from works(life, execution)
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
    life.value(end, f"waqiti_rollback {execution.pk}")


def held(life: Life, _execution: Execution) -> Waiting:
    """Somebody holds the table for a moment, or for longer than the attempt has patience."""
    until = time.monotonic() + random.choice((2.0, 2.0, 30.0))
    with life.database.connect() as somebody:
        somebody.execute("BEGIN")
        somebody.execute("LOCK TABLE wallets IN ROW EXCLUSIVE MODE")
        while time.monotonic() < until:
            yield


def cancelled(life: Life, execution: Execution) -> Waiting:
    """Ops change their mind while the script is at work."""
    from approvals import executions
    from approvals.errors import Refused

    yield from works(life, execution)
    with suppress(Refused):
        executions.cancel(execution, actor=life.busy.site.portal.world.olga, reason="Wrong night.")


def delivered_again(_life: Life, execution: Execution) -> Waiting:
    """The message comes twice more."""
    from approvals.models import Job
    from waqiti_rollback.celery import app

    job = Job.objects.get(kind=Job.Kind.EXECUTE, subject=str(execution.pk))
    for _again in range(2):
        app.send_task("executor.work", [job.pk], queue="execute")
    yield


def process_killed(_life: Life, execution: Execution) -> Waiting:
    """kill -9 of the process that carries it, at a random moment; its worker starts another one."""
    from approvals.models import Execution

    while not (worker := Execution.objects.values_list("worker", flat=True).get(pk=execution.pk)):
        yield
    until = time.monotonic() + random.uniform(0, 3.0)
    while time.monotonic() < until:
        yield
    with suppress(ProcessLookupError):
        os.kill(int(worker.rpartition("/")[2]), signal.SIGKILL)


def network(fault_name: str, at: bytes) -> Fault:
    """The network loses the words that hold `at`, or their answer."""

    def happens(life: Life, execution: Execution) -> Waiting:
        from tests.executor.proxy import Fault as Network

        yield from works(life, execution)
        life.proxy.reached.clear()
        life.proxy.at, life.proxy.fault = at, Network[fault_name]
        try:
            while not life.proxy.reached.is_set():
                yield
        finally:
            life.proxy.fault = Network.NONE

    return happens
