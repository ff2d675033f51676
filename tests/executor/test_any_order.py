"""People and faults in any order: requests, signatures, executions, faults and recoveries, as they are drawn,
against the real portal database and real targets. What must always hold is asked after each of them.

`ANY_ORDER_EXAMPLES=200 pytest tests/executor/test_any_order.py` tries more than the suite has time for, and
other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.executor.proxy import Fault, Proxy
from tests.servers import WORKER_ROLE, Database

if TYPE_CHECKING:
    from approvals.models import Execution, RollbackRequest, Target
    from tests.approvals.factories import World
    from waqiti_rollback.embedded import Estate, Valkey

EXAMPLES = int(os.environ.get("ANY_ORDER_EXAMPLES", "0"))
SIGNATURES = 2
WHERE = st.integers(0, 1)
DBAS = {"dora", "dan", "ada"}
MOMENTS = ("phase", "backend", "step_started", "committing")
FAULTS = (
    "none",
    *(f"{what} at {moment}" for what in ("session ended", "worker lost") for moment in MOMENTS),
    "worker lost at record",
    "COMMIT lost",
    "acknowledgement lost",
)
NETWORK = {"COMMIT lost": Fault.DROP, "acknowledgement lost": Fault.CUT}
COMMITTED = ("succeeded", "committed_check_failed")
TAKEN_BACK = "SELECT confdeltype = 'a' FROM pg_constraint WHERE conname = 'wallets_user'"
ROW_GONE = "SELECT count(*) = 0 FROM flyway_schema_history WHERE version = '4'"
CLAIMS = (
    "SELECT array_agg(execution_id ORDER BY 1) FROM waqiti_rollback.execution_marker WHERE kind = 'claim'"
)
STAND_AGAIN = """
    ALTER TABLE wallets DROP CONSTRAINT wallets_user;
    ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id)
        ON DELETE CASCADE;
    INSERT INTO flyway_schema_history SELECT * FROM kept;
"""


class Lost(BaseException):
    """The worker is gone at this point, as far as the portal can tell."""


class Scene:
    """A portal and two targets, each behind a proxy, and what processes do there."""

    def __init__(
        self, world: World, targets: list[Target], databases: list[Database], worker_password: str
    ) -> None:
        from executor.connect import Endpoint
        from waqiti_rollback.embedded import HOST

        self.world, self.targets, self.databases = world, targets, databases
        self.worker_password = worker_password
        self.proxies = [Proxy(Endpoint(HOST, each.cluster.port, each.name, "", "")) for each in databases]

    def value(self, where: int, query: str, *params: object) -> Any:
        """The first column of the first row on a target, past its proxy."""
        with self.databases[where].connect() as connection:
            row = connection.execute(query, params or None).fetchone()
        return row[0] if row else None

    @contextmanager
    def as_worker(self) -> Iterator[None]:
        """Sign in to the portal as its workers do."""
        from django.db import connections

        login = connections["default"].settings_dict
        before = {name: login[name] for name in ("USER", "PASSWORD")}
        connections.close_all()
        login.update(USER=WORKER_ROLE, PASSWORD=self.worker_password)
        try:
            yield
        finally:
            connections.close_all()
            login.update(before)

    def work(self, kind: str, subject: object) -> None:
        """A worker gets the message of the newest job of this kind."""
        from approvals.models import Job
        from executor.tasks import work

        job = Job.objects.filter(kind=kind, subject=str(subject)).latest("pk")
        with self.as_worker():
            work(job.pk)

    @contextmanager
    def fault(self, name: str, where: int, execution: Execution) -> Iterator[None]:
        """Let this happen to the execution."""
        what, _, moment = name.partition(" at ")
        if name == "none":
            yield
        elif moment == "record":
            with mock.patch("executor.execute.record", side_effect=Lost):
                yield
        elif name in NETWORK:
            with self._when("committing", lambda: self._arm(where, NETWORK[name])):
                yield
            self.proxies[where].fault = Fault.NONE
        elif what == "worker lost":
            with self._when(moment, _get_lost):
                yield
        else:
            with self._when(moment, lambda: self._end_session(where, execution)):
                yield

    def _arm(self, where: int, fault: Fault) -> None:
        proxy = self.proxies[where]
        proxy.reached.clear()
        proxy.at, proxy.fault = b"COMMIT\0", fault

    def _end_session(self, where: int, execution: Execution) -> None:
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
        self.value(where, query, f"waqiti_rollback {execution.pk}")

    @staticmethod
    @contextmanager
    def _when(moment: str, do: Callable[[], None]) -> Iterator[None]:
        """`do` it right before the portal is told of this."""
        from executor.recorder import PortalRecorder

        tell = getattr(PortalRecorder, moment)

        def told(self: PortalRecorder, *args: Any) -> Any:
            do()
            return tell(self, *args)

        with mock.patch.object(PortalRecorder, moment, told):
            yield


def _get_lost() -> None:
    raise Lost


class AnyOrder(RuleBasedStateMachine):
    """`asked` and `signed` are what this knows of the rollback that is under way on each target."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self.asked: dict[int, tuple[int, str]] = {}
        self.signed: dict[int, set[str]] = {0: set(), 1: set()}
        self.away: set[str] = set()

    # What there is

    def rollback(self, where: int) -> RollbackRequest | None:
        from approvals.models import RollbackRequest

        return RollbackRequest.objects.get(pk=self.asked[where][0]) if where in self.asked else None

    def status(self, where: int) -> str:
        found = self.rollback(where)
        return found.status if found else "none"

    def executions(self, where: int) -> list[Execution]:
        from approvals.models import Execution

        return list(Execution.objects.filter(target=self.scene.targets[where]).order_by("queued_at"))

    def counting(self, where: int) -> set[str]:
        """Who has signed and still may."""
        return self.signed[where] - self.away

    def person(self, name: str) -> Any:
        from approvals.models import User

        return User.objects.get(username=name)

    # What people do

    @initialize(where=WHERE)
    def bring_to_approval(self, where: int) -> None:
        """Most of what can happen begins there."""
        self.ask(where, "alice")
        for who in ("dora", "dan"):
            self.sign(where, who)

    @rule(where=WHERE, fault=st.sampled_from(FAULTS))
    def a_whole_attempt(self, where: int, fault: str) -> None:
        """As most nights go, and what then comes of it."""
        self.ask(where, "alice")
        for who in ("dora", "dan", "ada"):
            self.sign(where, who)
        self.start(where, "olga")
        self.carry_out(where, fault)

    @rule(where=WHERE, who=st.sampled_from(["alice", "ada"]))
    def ask(self, where: int, who: str) -> None:
        from approvals import checklist, history, rollbacks
        from approvals.models import ChecklistEntry
        from tests.approvals.factories import complete

        if self.status(where) in ("in_review", "approved", "executing"):
            return
        scene, target, actor = self.scene, self.scene.targets[where], self.person(who)
        if scene.value(where, TAKEN_BACK):
            with scene.databases[where].connect() as deployment:
                deployment.execute(STAND_AGAIN)
        history.ask_for_sync(target, actor=None)
        scene.work("sync", target.pk)
        rollback = rollbacks.create(
            target, [scene.world.migration("4")], actor=actor, **complete(scene.world)
        )
        scene.work("facts", rollback.pk)
        for point in (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS):
            checklist.confirm(rollback, point, note="Asked.", actor=actor)
        rollbacks.submit(type(rollback).objects.get(pk=rollback.pk), actor=actor)
        self.asked[where], self.signed[where] = (rollback.pk, who), set()

    @rule(where=WHERE, who=st.sampled_from(["dora", "dan", "ada", "bob", "lea", "olga"]))
    def sign(self, where: int, who: str) -> None:
        from django.utils import timezone

        from approvals import decisions
        from approvals.errors import Conflict, Denied, Refused
        from approvals.models import Approval, Role

        if (rollback := self.rollback(where)) is None:
            return
        may = who in DBAS - self.away and who != self.asked[where][1]
        wanted = rollback.status == "in_review" and len(self.counting(where)) < SIGNATURES
        expected = may and wanted and who not in self.signed[where]
        try:
            decisions.decide(
                rollback,
                Approval.Decision.APPROVE,
                actor=self.person(who),
                role=Role.PLATFORM_LEAD if who == "lea" else Role.SENIOR_DBA,
                digest=rollback.request_digest,
                confirmed_at=timezone.now(),
                acknowledged=decisions.acknowledgement(rollback),
            )
        except (Denied, Refused, Conflict) as error:
            refused: Exception | None = error
        else:
            refused = None
            self.signed[where].add(who)
        assert (refused is None) is expected, refused
        assert may or who == "lea" or isinstance(refused, Denied)

    @rule(who=st.sampled_from(["dora", "dan"]))
    def leave_or_return(self, who: str) -> None:
        from approvals.models import User

        self.away ^= {who}
        User.objects.filter(username=who).update(is_active=who not in self.away)

    @rule(where=WHERE, who=st.sampled_from(["olga", "olga", "olga", "dora"]))
    def start(self, where: int, who: str) -> None:
        from django.utils import timezone

        from approvals import executions
        from approvals.errors import Conflict, Denied, Refused

        if (rollback := self.rollback(where)) is None:
            return
        signed = len(self.counting(where)) >= SIGNATURES
        expected = who == "olga" and rollback.status == "approved" and signed
        try:
            executions.start(
                rollback,
                actor=self.person(who),
                digest=rollback.request_digest,
                confirmed_at=timezone.now(),
            )
        except (Denied, Refused, Conflict) as error:
            refused: Exception | None = error
        else:
            refused = None
        assert (refused is None) is expected, refused

    # What workers do, and what happens to them

    @rule(where=WHERE, fault=st.sampled_from(FAULTS))
    def carry_out(self, where: int, fault: str) -> None:
        queued = [each for each in self.executions(where) if each.status == "queued"]
        for execution in queued:
            signed = len(self.counting(where)) >= SIGNATURES
            with self.scene.fault(fault, where, execution), suppress(Lost):
                self.scene.work("execute", execution.pk)
            execution.refresh_from_db()
            began = execution.xid != "" and execution.xid is not None
            assert signed or not began, "it began without the signatures"
            if signed and fault in ("none", "acknowledgement lost"):
                assert execution.status == "succeeded", execution.sentence
            if fault == "COMMIT lost" and signed:
                assert execution.status == "rolled_back", execution.sentence

    @rule(where=WHERE)
    def deliver_again(self, where: int) -> None:
        """The message of the newest execution comes once more, to whoever is there."""
        before = self.scene.value(where, CLAIMS)
        for execution in self.executions(where)[-1:]:
            if execution.status != "queued":
                self.scene.work("execute", execution.pk)
        assert self.scene.value(where, CLAIMS) == before

    @rule()
    def recover(self) -> None:
        from executor.tasks import resolve_stale

        with self.scene.as_worker():
            resolve_stale()
        for where in self.signed:
            assert all(each.status == "queued" or not each.is_open for each in self.executions(where))

    # What always holds

    @invariant()
    def nobody_signs_for_themselves(self) -> None:
        from approvals.models import Approval

        for approval in Approval.objects.filter(rollback__in=[pk for pk, _who in self.asked.values()]):
            authors = {
                user.username for item in approval.rollback.items.all() for user in item.script.authors.all()
            }
            assert approval.approver.username not in authors | {approval.rollback.requester.username}

    @invariant()
    def what_is_said_is_so_and_happened_once(self) -> None:
        for where in self.signed:
            found = self.executions(where)
            claims = set(self.scene.value(where, CLAIMS) or ())
            assert sum(each.is_open for each in found) <= 1
            for each in found:
                if not each.is_open:
                    assert (each.pk in claims) is (each.status in COMMITTED), each.sentence
            assert claims <= {each.pk for each in found}
            taken, gone = (self.scene.value(where, query) for query in (TAKEN_BACK, ROW_GONE))
            assert taken == gone
            last = found[-1] if found else None
            if last is not None and last.rollback_target.rollback_id == self.asked.get(where, (0,))[0]:
                assert taken is (last.pk in claims)

    def teardown(self) -> None:
        """Nothing is left open for the next example, and the chain holds."""
        from approvals import audit, executions, rollbacks
        from approvals.models import User

        User.objects.filter(username__in=self.away).update(is_active=True)
        for where in self.signed:
            for each in self.executions(where):
                if each.status == "queued":
                    executions.cancel(each, actor=self.person("olga"), reason="The night is over.")
        self.recover()
        for where in self.asked:
            rollback = self.rollback(where)
            if rollback is not None and rollback.status in ("in_review", "approved"):
                rollbacks.withdraw(rollback, actor=rollback.requester, reason="The night is over.")
        assert audit.verify().holds


@pytest.fixture
def scene(
    portal_db: Database,
    estate: Estate,
    valkey: Valkey,
    fresh_database: Callable[..., Database],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> Iterator[Scene]:
    """Two staging targets with V1 to V4 applied, whose rules ask for two signatures; no worker process."""
    import json

    import redis

    from approvals import scripts
    from approvals.models import Target
    from executor.marker import BACKUP, EXECUTOR
    from tests.approvals.factories import examined, load_world, make_world
    from tests.executor import portal as made
    from tests.executor.test_worker import ruled

    make_world(tmp_path / "migrations")
    made.prepare_server(estate.production)
    first = fresh_database(estate.production, owner=made.OWNER_ROLE)
    made.fill(first)
    with first.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM flyway_schema_history WHERE version = '4'")
    databases = [first, fresh_database(estate.production, template=first.name, owner=made.OWNER_ROLE)]
    world = load_world()
    targets = [
        Target.objects.create(
            name=f"any-order-{number}",
            service=world.service,
            environment="staging",
            host=made.HOST,
            dbname=database.name,
            owner_role=made.OWNER_ROLE,
        )
        for number, database in enumerate(databases)
    ]
    logins = {
        kind: {"user": role, "password": estate.production.login_password(role)}
        for kind, role in (("executor", EXECUTOR), ("backup", BACKUP))
    }
    path = tmp_path / "credentials.json"
    path.touch(0o600)
    path.write_text(json.dumps({target.name: logins for target in targets}))
    monkeypatch.setenv("TARGET_CREDENTIALS", str(path))
    settings.WORKER_SILENCE_SECONDS = 0.0
    examined(
        scripts.add_script(
            world.migration("4"), sql=made.UNDO_KEY, checks=[made.KEY_IS_BACK], actor=world.bob
        )
    )
    found = Scene(world, targets, databases, portal_db.cluster.login_password(WORKER_ROLE))
    for target, proxy in zip(targets, found.proxies, strict=True):
        target.port = proxy.endpoint.port
        target.save()
    with ExitStack() as stack:
        for each in found.proxies:
            stack.callback(each.close)
        stack.enter_context(ruled(senior_dbas=SIGNATURES))
        yield found
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()  # messages that nobody took


WAYS = (  # fault, status behind it, status once the target was asked
    ("session ended at step_started", "rolled_back", "rolled_back"),
    ("worker lost at backend", "preflight", "no_effect"),
    ("worker lost at committing", "running", "rolled_back"),
    ("COMMIT lost", "rolled_back", "rolled_back"),
    ("acknowledgement lost", "succeeded", "succeeded"),
    ("worker lost at record", "committing", "succeeded"),
)


def each_fault_once(scene: Scene) -> None:
    """So that nobody has to rely on what is drawn: an execution ends in each of these ways."""
    machine = AnyOrder(scene)
    for number, (fault, before, after) in enumerate(WAYS):
        where = number % 2
        machine.a_whole_attempt(where, fault)
        machine.what_is_said_is_so_and_happened_once()
        assert machine.executions(where)[-1].status == before, fault
        machine.recover()
        machine.what_is_said_is_so_and_happened_once()
        machine.nobody_signs_for_themselves()
        assert machine.executions(where)[-1].status == after, fault
    machine.teardown()


def test_whatever_people_and_faults_do_in_whichever_order_what_must_hold_holds(scene: Scene) -> None:
    each_fault_once(scene)
    run_state_machine_as_test(
        lambda: AnyOrder(scene),
        settings=settings(
            max_examples=EXAMPLES or 2,
            stateful_step_count=40 if EXAMPLES else 10,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
