"""The people, the catalog and the rollbacks that the domain's tests speak of.

Rollbacks get to where a test needs them through the domain functions only, by the people who may: nothing
here writes a status, an approval or evidence by itself.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from approvals import (
    attempts,
    backups,
    catalog,
    chains,
    checklist,
    decisions,
    executions,
    fleets,
    history,
    incidents,
    jobs,
    policy,
    proofs,
    rollbacks,
    scripts,
    workflow,
)
from approvals.digests import text_sha256
from approvals.flyway.rows import HistoryRow
from approvals.models import (
    Approval,
    AuditEvent,
    Backup,
    Check,
    ChecklistEntry,
    Execution,
    ExecutionStatus,
    FleetRun,
    ImportRun,
    Incident,
    Migration,
    MigrationRevision,
    Proof,
    Role,
    RollbackRequest,
    RollbackScript,
    RollbackTarget,
    Service,
    Status,
    Target,
    Team,
    User,
)

FILES = {
    "V1__create_users.sql": "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);\n",
    "V2__create_wallets.sql": (
        "CREATE TABLE wallets (id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric NOT NULL);\n"
    ),
    "V3__index_wallets.sql": "CREATE INDEX wallets_by_user ON wallets (user_id);\n",
    "V4__key_to_users.sql": (
        "ALTER TABLE wallets DROP CONSTRAINT IF EXISTS wallets_user;\n"
        "ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id)"
        " ON DELETE CASCADE;\n"
    ),
    "V5__create_transactions.sql": "CREATE TABLE transactions (id bigint PRIMARY KEY, wallet_id bigint);\n",
}
# What undoes each: their risks are LOW, HIGH (existing rows are validated again) and CRITICAL (a table goes).
UNDO = {
    "3": "DROP INDEX wallets_by_user;\n",
    "4": (
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user;\n"
        "ALTER TABLE wallets ADD CONSTRAINT wallets_user FOREIGN KEY (user_id) REFERENCES users (id);\n"
    ),
    "5": "DROP TABLE transactions;\n",
}
CHECK = {
    "3": Check("The index is gone", "SELECT to_regclass('wallets_by_user') IS NULL", "true"),
    "4": Check("The key is there", "SELECT count(*) FROM pg_constraint WHERE conname = 'wallets_user'", "1"),
    "5": Check("The table is gone", "SELECT to_regclass('transactions') IS NULL", "true"),
}
SYSTEM = {"production": "7311111111111111111", "staging": "7322222222222222222"}


@dataclass
class World:
    """A service with its migrations and targets, and everybody around it.

    alice asks; bob, who wrote the scripts, is her colleague, eve an engineer of another team, ada an engineer
    of the team who is a senior DBA as well; dora and dan are senior DBAs, lea is the platform lead, olga ops,
    axel auditor, adam admin; ida was a senior DBA and is disabled, nora holds no role.

    Taking back the newest migration is LOW on `production` and `staging` (V3, an index), HIGH on `high` (V4,
    whose way back validates existing rows) and CRITICAL on `critical` (V5, whose way back drops a table).
    """

    people: dict[str, User]
    service: Service
    foreign: Service
    targets: dict[str, Target]
    # Rollbacks that are there already, by target and status.
    prepared: dict[tuple[str, Status], int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        for known in (self.__dict__.get("people", {}), self.__dict__.get("targets", {})):
            if name in known:
                return known[name]
        raise AttributeError(name)

    def migration(self, version: str) -> Migration:
        """The service's versioned migration of this version."""
        return self.service.migrations.get(kind=Migration.Kind.VERSIONED, version=version)

    def again(self, name: str) -> User:
        """The same person, read anew: roles are read once per instance."""
        self.people[name] = User.objects.get(username=name)
        return self.people[name]


ROLES: dict[str, tuple[Role, ...]] = {
    "alice": (Role.ENGINEER,),
    "bob": (Role.ENGINEER,),
    "eve": (Role.ENGINEER,),
    "ada": (Role.ENGINEER, Role.SENIOR_DBA),
    "dora": (Role.SENIOR_DBA,),
    "dan": (Role.SENIOR_DBA,),
    "lea": (Role.PLATFORM_LEAD,),
    "olga": (Role.OPS,),
    "axel": (Role.AUDITOR,),
    "adam": (Role.ADMIN,),
    "ida": (Role.SENIOR_DBA,),
    "nora": (),
}


APPLIED = {"production": "123", "staging": "123", "high": "1234", "critical": "12345"}


def make_world(directory: Path) -> None:
    """Fill an empty portal: people, targets, imported migrations, histories as read, scripts."""
    groups = {group.name: group for group in Group.objects.all()}
    people = {
        name: person(name, *(groups[role] for role in roles), active=name != "ida")
        for name, roles in ROLES.items()
    }
    wallets, ledger = Team.objects.create(name="wallets"), Team.objects.create(name="ledger")
    wallets.members.set([people["alice"], people["bob"], people["ada"]])
    ledger.members.set([people["eve"]])
    service = Service.objects.create(name="wallet-service", team=wallets)
    Service.objects.create(name="ledger-service", team=ledger)
    staging = target(service, "staging")
    for name in ("production", "high", "critical"):
        target(service, name, environment="production", rehearsal_target=staging)
    write_files(directory, FILES)
    catalog.import_directory(service, directory, actor=None)
    world = load_world()
    for name, versions in APPLIED.items():
        apply(world, world.targets[name], versions)
    for version, sql in UNDO.items():
        write_script(world, version, sql=sql)


def prepare(world: World) -> None:
    """Take rollbacks on each production target to draft, review and approval: most tests begin there."""
    for on, status in itertools.product(
        ("production", "high", "critical"), (Status.DRAFT, Status.IN_REVIEW, Status.APPROVED)
    ):
        world.prepared[on, status] = rollback_in(world, status, on).pk


def load_world(prepared: dict[tuple[str, Status], int] | None = None) -> World:
    """Everybody and everything as stored."""
    services = {service.name: service for service in Service.objects.select_related("team")}
    service = services["wallet-service"]
    return World(
        people={user.username: user for user in User.objects.all()},
        service=service,
        foreign=services["ledger-service"],
        targets={
            target.name.removeprefix("wallet-service-"): target
            for target in service.targets.select_related("service", "rehearsal_target")
        },
        prepared=prepared if prepared is not None else {},
    )


def person(name: str, *groups: Group, active: bool = True) -> User:
    """Somebody with these roles and no password."""
    user = User.objects.create(
        username=name, first_name=name.capitalize(), is_active=active, password="!no password"
    )
    user.groups.set(groups)
    return user


def target(service: Service, name: str, *, environment: str = "", **fields: Any) -> Target:
    """A target of the service, never read yet; its environment is its name unless said otherwise."""
    return Target.objects.create(
        name=f"{service.name}-{name}",
        service=service,
        environment=environment or name,
        host="db.example",
        dbname="wallet",
        owner_role="wallet_owner",
        **fields,
    )


def write_files(directory: Path, files: dict[str, str | bytes]) -> None:
    """Migration files in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (directory / name).write_bytes(data)


def import_files(world: World, directory: Path, files: dict[str, str | bytes]) -> ImportRun:
    """Import a directory with exactly these files into the service."""
    write_files(directory, files)
    return catalog.import_directory(world.service, directory, actor=None)


def history_row(rank: int, migration: Migration, **fields: Any) -> HistoryRow:
    """The row that Flyway writes when it has applied the newest revision of this migration."""
    revision = migration.revisions.order_by("-number")[0]
    found: dict[str, Any] = {
        "installed_rank": rank,
        "version": migration.version,
        "description": migration.description,
        "type": "SQL",
        "script": migration.script,
        "checksum": revision.checksum,
        "installed_by": "deploy",
        "installed_on": datetime(2026, 3, 1, 9, rank),  # noqa: DTZ001 (as Flyway stores it)
        "execution_time": 12,
        "success": True,
    }
    return HistoryRow(**(found | fields))


def apply(world: World, where: Target, versions: Iterable[str], extra: Iterable[HistoryRow] = ()) -> None:
    """Let the worker read a history in which exactly these versions are applied, in this order."""
    rows = [history_row(rank, world.migration(v)) for rank, v in enumerate(versions, start=1)]
    sync(where, [*rows, *extra])


def sync(where: Target, rows: Sequence[HistoryRow]) -> None:
    """The worker's answer with this history."""
    history.record_sync(
        where,
        rows,
        system_identifier=SYSTEM[where.environment],
        database_oid=16384,
        server_version="18.6",
    )
    where.refresh_from_db()


def write_script(
    world: World,
    version: str,
    *,
    sql: str | None = None,
    checks: Sequence[Check] | None = None,
    actor: User | None = None,
    **declared: Any,
) -> RollbackScript:
    """The next revision of the script of this version, examined by a worker where it can be read; bob writes
    it unless said otherwise."""
    script = scripts.add_script(
        world.migration(version),
        sql=UNDO[version] if sql is None else sql,
        checks=[CHECK[version]] if checks is None else checks,
        actor=actor or world.bob,
        **declared,
    )
    if script.readable and not script.proofs.filter(at__isnull=False).exists():
        examined(script, target=world.production if script.placeholders else None)
    return script


def examined(
    script: RollbackScript,
    *,
    verdict: Proof.Verdict = Proof.Verdict.EXACT,
    effects: Sequence[dict[str, Any]] = (),
    reason: str = "",
    revision: MigrationRevision | None = None,
    target: Target | None = None,
) -> Proof:
    """The worker's answer about this script: exact and complete, unless said otherwise."""
    proof = proofs.ask(script, actor=None, revision=revision, target=target)
    holds = verdict in (Proof.Verdict.EXACT, Proof.Verdict.MODULO_ORDER, Proof.Verdict.AS_DECLARED)
    sentence = proofs.record(
        proof,
        completeness={"method": "run", "because": "", "effects": list(effects), "steps": []},
        proved={
            "verdict": verdict.value,
            "way": "up-down-up",
            "holds": holds,
            "script_sha256": text_sha256(chains.filled(proof.revision, script, proof.target)),
            "forward_sha256": proof.revision.sha256,
            "reason": reason,
            "server_version": "18.6",
        },
        chain=chains.chain_of(proof.revision, proof.target, used=script.placeholders),
    )
    jobs.finish(proof.job, sentence=sentence)
    return Proof.objects.get(pk=proof.pk)


def incident(world: World, actor: User | None = None) -> Incident:
    """An open incident of the service."""
    return incidents.open_incident(
        world.service,
        title="Payments hang",
        reason="The new index locks the table at every payment.",
        impact="Payments take a minute.",
        actor=actor or world.alice,
    )


def complete(world: World) -> dict[str, Any]:
    """All that a requester fills in, so that only the worker's evidence and the checklist are missing."""
    return {
        "incident": incident(world),
        "reason": "Payments hang since the deployment.",
        "forward_fix": "A corrective migration needs a review that takes a day.",
        "file_fate": "removed",
        "frozen_by": "Release team",
        "frozen_until": timezone.now() + timedelta(days=2),
        "app_version": "4.17.2",
    }


def draft(
    world: World,
    *versions: str,
    where: Target | None = None,
    actor: User | None = None,
    facts: dict[str, Any] | None = None,
    **fields: Any,
) -> RollbackRequest:
    """A complete draft of alice's that takes back the newest applied migration, with the facts read."""
    where = where or world.production
    newest = where.history.order_by("-installed_rank").values_list("version", flat=True)[0]
    rollback = rollbacks.create(
        where,
        [world.migration(version) for version in versions or [newest]],
        actor=actor or world.alice,
        **(complete(world) | fields),
    )
    read_facts(rollback, facts)
    return again(rollback)


def read_facts(rollback: RollbackRequest, data: dict[str, Any] | None = None, *, holds: bool = True) -> None:
    """The worker's answer: what it read from the target for the change as it is now."""
    rollbacks.record_facts(
        rollback,
        change_digest=again(rollback).change_digest,
        holds=holds,
        sentence="Read the target: 1 table." if holds else "The target does not answer.",
        data=FACTS if data is None else data,
    )


FACTS: dict[str, Any] = {
    "schema_version": "3",
    "tables": [
        {"relation": "wallets", "rows": 50_000, "exact": True, "bytes": 8 << 20},
        {"relation": "transactions", "rows": 120_000, "exact": True, "bytes": 24 << 20},
    ],
    "values": [],
    "dependents": [],
}


def again(rollback: RollbackRequest) -> RollbackRequest:
    """The rollback as it is stored now."""
    return RollbackRequest.objects.get(pk=rollback.pk)


def confirm_checklist(world: World, rollback: RollbackRequest) -> None:
    """The requester vouches for the two points that only a person can know."""
    for point in (ChecklistEntry.Point.DEPENDENCIES, ChecklistEntry.Point.STAKEHOLDERS):
        checklist.confirm(rollback, point, note="Asked the payments team.", actor=rollback.requester)


def rehearse(world: World, rollback: RollbackRequest, *, holds: bool = True) -> Execution:
    """Alice asks for a rehearsal and a worker does it, backup included."""
    asked = executions.ask_for_rehearsal(rollback, actor=rollback.requester)
    execution = attempts.claim(asked.pk, worker="worker-1")
    assert execution is not None
    back_up(execution)
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    run(execution)
    attempts.record_rehearsal(
        execution, holds=holds, sentence="Passed on a clone." if holds else "A check failed.", data={}
    )
    outcome = ExecutionStatus.SUCCEEDED if holds else ExecutionStatus.ROLLED_BACK
    ended = attempts.record_outcome(execution, outcome, "The rehearsal ended.", timings={"total": 1.25})
    assert ended is not None
    return ended


def back_up(execution: Execution, state: Backup.State = Backup.State.VERIFIED) -> Backup:
    """The worker takes a backup and verifies it, or says why not."""
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backup = backups.begin(execution)
    backups.progress(backup, "dump", 1 << 20, 4 << 20)
    return backups.record(
        backup, state, f"Backup {state.label}.", sha256="ab" * 32, bytes=2 << 20, seconds=3.5
    )


def run(execution: Execution) -> None:
    """The worker's script begins to run."""
    attempts.record_backend(
        execution,
        xid="741",
        pid=4242,
        backend_start=timezone.now(),
        system_identifier=SYSTEM["production"],
        timeline=1,
    )


def submitted(world: World, rollback: RollbackRequest) -> RollbackRequest:
    """Checklist, rehearsal and submission: from a complete draft to its approvers."""
    confirm_checklist(world, rollback)
    if policy.rule_for(rollback).rehearsal_required:
        rehearse(world, rollback)
    return rollbacks.submit(rollback, actor=rollback.requester)


def decide(
    world: World,
    rollback: RollbackRequest,
    actor: User,
    decision: Approval.Decision = Approval.Decision.APPROVE,
    *,
    role: Role | None = None,
    **fields: Any,
) -> RollbackRequest:
    """One decision on the digest as it is now, with a fresh proof of identity and the words asked for."""
    now = again(rollback)
    given: dict[str, Any] = {
        "role": role or (Role.PLATFORM_LEAD if actor.username == "lea" else Role.SENIOR_DBA),
        "digest": now.request_digest,
        "confirmed_at": timezone.now(),
        "comment": "Read it all." if decision != Approval.Decision.APPROVE else "",
        "acknowledged": decisions.acknowledgement(now),
    }
    return decisions.decide(rollback, decision, actor=actor, **(given | fields))


def approved(world: World, rollback: RollbackRequest) -> RollbackRequest:
    """Signed by whoever the policy asks for."""
    for person in (world.dora, world.dan, world.lea):
        now = again(rollback)
        role = Role.PLATFORM_LEAD if person == world.lea else Role.SENIOR_DBA
        if now.status == Status.IN_REVIEW and role in policy.missing_signatures(now):
            decide(world, rollback, person)
    return again(rollback)


def start(world: World, rollback: RollbackRequest, **fields: Any) -> Execution:
    """Ops start it, with a fresh proof of identity."""
    given = {"digest": again(rollback).request_digest, "confirmed_at": timezone.now()}
    return executions.start(rollback, actor=world.olga, **(given | fields))


def claimed(execution: Execution) -> Execution:
    """A worker has it."""
    found = attempts.claim(execution.pk, worker="worker-1")
    assert found is not None
    return found


def end(execution: Execution, status: ExecutionStatus, **fields: Any) -> Execution:
    """The worker's last word."""
    ended = attempts.record_outcome(execution, status, "So it ended.", **fields)
    assert ended is not None
    return ended


def executed(world: World, rollback: RollbackRequest, status: ExecutionStatus) -> Execution:
    """Started, claimed, backed up, run and ended in this way."""
    execution = claimed(start(world, rollback))
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    back_up(execution)
    run(execution)
    if status in (ExecutionStatus.SUCCEEDED, ExecutionStatus.COMMITTED_CHECK_FAILED):
        attempts.enter(execution, ExecutionStatus.COMMITTING)
        attempts.enter(execution, ExecutionStatus.VERIFYING)
    return end(execution, status)


def rollback_in(world: World, status: Status, on: str = "production") -> RollbackRequest:
    """A rollback of alice's on this target that has come to this status by what people and workers do."""
    if (on, status) in world.prepared:
        return RollbackRequest.objects.get(pk=world.prepared[on, status])
    rollback = COMES_FROM[status](world, on)
    rollback = again(rollback)
    assert rollback.status == status, f"{rollback.status}, not {status}"
    return rollback


def _draft(world: World, on: str) -> RollbackRequest:
    return draft(world, where=world.targets[on])


def in_review(world: World, on: str = "production") -> RollbackRequest:
    """A new one, with the newest scripts."""
    return submitted(world, draft(world, where=world.targets[on]))


def _approved(world: World, on: str) -> RollbackRequest:
    return approved(world, in_review(world, on))


def _executing(world: World, on: str) -> RollbackRequest:
    rollback = rollback_in(world, Status.APPROVED, on)
    start(world, rollback)
    return rollback


def _executed(world: World, on: str) -> RollbackRequest:
    rollback = rollback_in(world, Status.APPROVED, on)
    executed(world, rollback, ExecutionStatus.SUCCEEDED)
    return rollback


FLEET_FACTS = FACTS | {"schema_sha256": "5c" * 32}


def shards(world: World, count: int, *, environment: str = "staging") -> list[Target]:
    """So many targets of the service that are alike, each a database of its own with V1 to V4 applied."""
    made = []
    for number in range(1, count + 1):
        shard = target(world.service, f"shard-{number:03}", environment=environment)
        shard.rehearsal_target = world.staging if environment == "production" else None
        shard.save()
        rows = [history_row(rank, world.migration(v)) for rank, v in enumerate("1234", start=1)]
        history.record_sync(
            shard,
            rows,
            system_identifier=SYSTEM[environment],
            database_oid=20_000 + number,
            server_version="18.6",
        )
        made.append(shard)
    return [Target.objects.select_related("service").get(pk=shard.pk) for shard in made]


def fleet(
    world: World, targets: Sequence[Target], facts: dict[str, Any] | None = None, **fields: Any
) -> RollbackRequest:
    """A complete draft of alice's that takes V4 back on all these targets, the first being the canary."""
    write_script(world, "4")
    rollback = draft(world, "4", where=targets[0], **fields)
    rollbacks.edit(rollback, actor=rollback.requester, revision=rollback.revision, targets=targets)
    read_fleet(rollback, facts)
    return again(rollback)


def read_fleet(rollback: RollbackRequest, facts: dict[str, Any] | None = None) -> None:
    """The worker's answer about every target of a fleet."""
    found = list(rollback.rollback_targets.all())
    for number, each in enumerate(found, start=1):
        rollbacks.record_facts(
            rollback,
            change_digest=again(rollback).change_digest,
            holds=True,
            sentence="Read the target: 2 tables.",
            data=FLEET_FACTS if facts is None else facts,
            rollback_target=each,
            more=number < len(found),
        )


def started_run(world: World, rollback: RollbackRequest, **fields: Any) -> FleetRun:
    """Ops start the run of an approved fleet: waves of two that stop at the first failure, unless said
    otherwise."""
    given = {"digest": again(rollback).request_digest, "confirmed_at": timezone.now(), "wave_size": 2}
    return fleets.start(rollback, actor=world.olga, **(given | fields))


def _partly_executed(world: World, on: str) -> RollbackRequest:
    """As the portal leaves it when a run over several targets ended with some of them done; of this one only
    the status is so (tests of fleets have real ones)."""
    rollback = rollback_in(world, Status.EXECUTING, on)
    Execution.objects.filter(rollback_target__rollback=rollback, purpose=Execution.Purpose.REAL).update(
        status=ExecutionStatus.SUCCEEDED, finished_at=timezone.now()
    )
    with transaction.atomic():
        workflow.move(workflow.locked(rollback), Status.PARTLY_EXECUTED, actor=None)
    return rollback


def _failed(world: World, on: str) -> RollbackRequest:
    rollback = rollback_in(world, Status.APPROVED, on)
    executed(world, rollback, ExecutionStatus.ROLLED_BACK)
    return rollback


def _rejected(world: World, on: str) -> RollbackRequest:
    return decide(world, rollback_in(world, Status.IN_REVIEW, on), world.dora, Approval.Decision.REJECT)


def _changes_requested(world: World, on: str) -> RollbackRequest:
    rollback = rollback_in(world, Status.IN_REVIEW, on)
    return decide(world, rollback, world.dora, Approval.Decision.REQUEST_CHANGES)


def _cancelled(world: World, on: str) -> RollbackRequest:
    rollback = rollback_in(world, Status.DRAFT, on)
    return rollbacks.withdraw(rollback, actor=world.alice, reason="Not needed any more.")


def _expired(world: World, on: str) -> RollbackRequest:
    """Expires whatever else waits, too."""
    rollback = rollback_in(world, Status.IN_REVIEW, on)
    rollbacks.expire_due(timezone.now() + timedelta(days=30))
    return rollback


COMES_FROM: dict[Status, Callable[[World, str], RollbackRequest]] = {
    Status.DRAFT: _draft,
    Status.IN_REVIEW: in_review,
    Status.APPROVED: _approved,
    Status.EXECUTING: _executing,
    Status.EXECUTED: _executed,
    Status.PARTLY_EXECUTED: _partly_executed,
    Status.FAILED: _failed,
    Status.REJECTED: _rejected,
    Status.CHANGES_REQUESTED: _changes_requested,
    Status.CANCELLED: _cancelled,
    Status.EXPIRED: _expired,
}


def target_of(rollback: RollbackRequest) -> RollbackTarget:
    """The one target of a rollback."""
    return rollback.rollback_targets.select_related("target").get()


def utc(*parts: int) -> datetime:
    """A point in time, UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@contextmanager
def taken_back() -> Iterator[None]:
    """A transaction that domain functions take for the outermost one, taken back at the end."""
    outer: Any = transaction.atomic()
    outer._from_testcase = True
    with outer:
        yield
        transaction.set_rollback(True)


def trail(*, after: int = -1) -> list[str]:
    """The actions on record, oldest first."""
    return list(AuditEvent.objects.filter(seq__gt=after).order_by("seq").values_list("action", flat=True))


def body(action: str) -> dict[str, Any]:
    """The body of the newest event with this action."""
    found: dict[str, Any] = json.loads(AuditEvent.objects.filter(action=action)[0].body)
    return found
