"""A portal that has been used for years: n of everything that grows, for the pages' proofs and benchmark.

Rows go in by the thousand and yet as the database takes them: rollbacks begin as drafts and move by their
status, approvals are of people who may, events are links of the chain. Two crowds grow with each call of
`grow`: what lists show (rollbacks, incidents, people …), and what one object has below it (the history of a
target, the revisions of a script, the log of an execution), for the objects of `Grown`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import rfc8785
from django.db import models, transaction
from django.urls import get_resolver, reverse
from django.utils import timezone

from approvals import analysis, audit, comments, executions, fleets, followups, incidents, windows
from approvals.models import (
    Approval,
    AuditEvent,
    Backup,
    BackupException,
    BreakGlass,
    CalendarEntry,
    Comment,
    Contact,
    Evidence,
    ExceptionSignature,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    ExecutionStep,
    Generation,
    HistoryRow,
    ImportRequest,
    ImportRun,
    ImportToken,
    Incident,
    IncidentAction,
    IncidentNote,
    Job,
    MaskingRule,
    Migration,
    MigrationRevision,
    PostMortem,
    Proof,
    RehearsalClone,
    RollbackItem,
    RollbackRequest,
    RollbackScript,
    RollbackTarget,
    Service,
    Status,
    Target,
    Team,
    Thread,
    User,
)
from tests.approvals import answers, factories
from tests.approvals.factories import World
from tests.approvals.views.objects import BESIDES, calendar_entry, generate, masking_rule

FORWARD = """\
-- What the payments team asked for.
CREATE TABLE many_0 (id bigint PRIMARY KEY, wallet_id bigint NOT NULL, amount numeric(18, 2) NOT NULL);
CREATE INDEX many_0_by_wallet ON many_0 (wallet_id);
ALTER TABLE wallets ADD COLUMN many_0_id bigint;
ALTER TABLE wallets ADD CONSTRAINT many_0_key FOREIGN KEY (many_0_id) REFERENCES many_0 (id) NOT VALID;
INSERT INTO many_0 (id, wallet_id, amount) SELECT id, id, 0 FROM wallets;
"""
BACK = """\
ALTER TABLE wallets DROP CONSTRAINT many_0_key;
ALTER TABLE wallets DROP COLUMN many_0_id;
DROP TABLE many_0;
"""
# Above every other version, so that what is added later goes below it and it can always be taken back.
TOP = "900000"
BASE = 10_000
# How the bulk of rollbacks ends: in every status of a life's length, so that every filter finds some.
STATUSES = [
    Status.DRAFT,
    Status.IN_REVIEW,
    Status.APPROVED,
    Status.EXECUTED,
    Status.EXECUTED,
    Status.FAILED,
    Status.REJECTED,
    Status.CHANGES_REQUESTED,
    Status.CANCELLED,
    Status.EXPIRED,
]
Stored = TypeVar("Stored", bound=models.Model)


@dataclass(frozen=True)
class Grown:
    """The objects that have much below them."""

    world: World
    service: Service
    target: Target
    migration: Migration
    rollback: RollbackRequest
    execution: Execution
    waiting: Execution
    incident: Incident
    thread: Thread
    action: IncidentAction
    contact: Contact
    calendar_entry: CalendarEntry
    masking_rule: MaskingRule
    fleets: dict[str, RollbackRequest]  # by the name of the URL that is about one
    event: int


def begin(world: World) -> Grown:
    """Make the objects that grow, through the domain: a target, a rollback in review on it, its rehearsal."""
    target = factories.target(world.service, "long", environment="staging")
    migration = _migrations(world, [int(TOP)])[0]
    _scripts(world, [migration])
    generate(migration, world.alice)
    answers.answered(
        migration.scripts.get(number=1), said=answers.proved("differs", difference=answers.DIFFERENCE)
    )
    factories.sync(target, [factories.history_row(1, migration, installed_rank=int(TOP))])
    rollback = factories.draft(world, TOP, where=target)
    factories.rehearse(world, rollback)
    rollback = factories.submitted(world, rollback)
    assert rollback.incident is not None
    incidents.post_mortem_due(rollback)
    execution = Execution.objects.get(rollback_target__rollback=rollback)
    waiting = executions.ask_for_rehearsal(rollback, actor=world.alice)
    thread = comments.open_thread(rollback, actor=world.alice, text="Who told support?")
    today = timezone.localdate()
    action = followups.add_action(
        rollback.incident, text="Try it first.", owner=world.alice, due_on=today, actor=world.alice
    )
    contact = Contact.objects.create(
        duty=Contact.Duty.PRIMARY_DBA, name="Dora", email="dora@waqiti.example", phone="+254 20 123"
    )
    runs = _fleets(world)
    event = AuditEvent.objects.latest("seq").seq
    return Grown(
        world=world,
        service=world.service,
        target=target,
        migration=migration,
        rollback=rollback,
        execution=execution,
        waiting=waiting,
        incident=rollback.incident,
        thread=thread,
        action=action,
        contact=contact,
        calendar_entry=calendar_entry(target),
        masking_rule=masking_rule(world.service),
        fleets=runs,
        event=event,
    )


def _fleets(world: World) -> dict[str, RollbackRequest]:
    """A request on three targets that may start, one whose run goes on, and one whose run is held."""
    shards = factories.shards(world, 9)
    ready, running, held = (
        factories.approved(world, factories.submitted(world, factories.fleet(world, shards[n : n + 3])))
        for n in (0, 3, 6)
    )
    for each in (running, held):
        fleets.start(
            each, actor=world.olga, digest=each.request_digest, confirmed_at=timezone.now(), wave_size=2
        )
    fleets.hold(held.runs.get(), actor=world.olga, reason="Look first.")
    of_running = ("fleet_detail", "fleet_live", "fleet_hold", "fleet_end")
    return {"fleet_start": ready, "fleet_go_on": held} | dict.fromkeys(of_running, running)


def grow(grown: Grown, n: int) -> None:
    """Add n of everything."""
    with transaction.atomic():
        world = grown.world
        offset = world.service.migrations.filter(version_key__0__gte=BASE).count()
        numbers = range(BASE + offset, BASE + offset + n)
        _people(numbers)
        _services(world, numbers)
        migrations = _migrations(world, numbers)
        scripts = _scripts(world, migrations)
        bulk(_history_rows(grown.target, [(m, found) for m, found in zip(numbers, migrations, strict=True)]))
        _revisions(grown, n)
        _generations(grown, n)
        _import_run(grown, n)
        found = _incidents(world, numbers)
        rollbacks = _rollbacks(grown, found, scripts)
        _executions(rollbacks)
        _below_rollback(grown, n)
        _below_execution(grown, n)
        _below_incident(grown, numbers)
        _said(grown, n)
        _contacts(numbers)
        _calendar(grown, numbers)
        _masking(grown, numbers)
        bulk(
            Job(
                kind=Job.Kind.SYNC,
                subject=str(grown.target.pk),
                state=Job.State.DONE,
                sentence="Read.",
                finished_at=timezone.now(),
            )
            for _k in numbers
        )
        _events(grown, n)
    # What was added stands below what is taken back: proofs from before it count no more.
    script = grown.migration.scripts.get(number=1)
    answers.answered(
        script, said=answers.proved("differs", difference=answers.DIFFERENCE), target=grown.target
    )
    with_statistics()


def with_statistics() -> None:
    """Let the planner know what there is, as autovacuum would have."""
    from django.db import connection

    if not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def bulk(rows: Iterable[Stored]) -> list[Stored]:
    """Insert rows of one model, a thousand at a time."""
    rows = list(rows)
    return type(rows[0])._default_manager.bulk_create(rows, batch_size=1_000) if rows else []


def _people(numbers: Iterable[int]) -> None:
    people = bulk(
        User(username=f"person-{k}", first_name=f"Person {k}", password="!no password") for k in numbers
    )
    engineer = factories.Group.objects.get(name="engineer")
    bulk(User.groups.through(user_id=person.pk, group_id=engineer.pk) for person in people)


def _services(world: World, numbers: Iterable[int]) -> None:
    numbers = list(numbers)
    bulk(Service(name=f"service-{k}", team=world.service.team) for k in numbers)
    bulk(
        Target(
            name=f"many-{k}",
            service=world.service,
            environment="staging",
            host="db.example",
            dbname=f"wallet_{k}",
            owner_role="wallet_owner",
            rehearsal_target=world.staging,
        )
        for k in numbers
    )


def _migrations(world: World, numbers: Iterable[int]) -> list[Migration]:
    """Versioned migrations with the analysis of their file."""
    numbers = list(numbers)
    found = bulk(
        Migration(
            service=world.service,
            version=str(k),
            version_key=[k],
            description=f"many {k}",
            script=f"V{k}__many_{k}.sql",
        )
        for k in numbers
    )
    read = json.dumps(analysis.as_json(analysis.analyze(FORWARD)))
    risk = analysis.analyze(FORWARD).risk
    bulk(
        MigrationRevision(
            migration=migration,
            number=1,
            path=migration.script,
            sql=_of(FORWARD, k),
            sha256=hashlib.sha256(_of(FORWARD, k).encode()).hexdigest(),
            checksum=k,
            analysis=json.loads(_of(read, k)),
            risk=risk,
        )
        for k, migration in zip(numbers, found, strict=True)
    )
    return found


def _scripts(world: World, migrations: Iterable[Migration]) -> list[RollbackScript]:
    plan = json.dumps(analysis.as_json(analysis.plan_script(BACK)))
    scripts = bulk(_script(migration, 1, int(migration.version), plan) for migration in migrations)
    through = RollbackScript.authors.through
    bulk(through(rollbackscript_id=script.pk, user_id=world.bob.pk) for script in scripts)
    _proofs(scripts)
    return scripts


def _proofs(scripts: list[RollbackScript]) -> None:
    """One answered proof for each script, of its migration's first text; every fifth one differs."""
    revisions = dict(
        MigrationRevision.objects.filter(
            migration__in=[script.migration_id for script in scripts], number=1
        ).values_list("migration_id", "pk")
    )
    made = []
    for k, script in enumerate(scripts):
        said = answers.proved("exact" if k % 5 else "differs")
        found = answers.completeness(answers.effect(fate="undone" if k % 3 else "not undone"))
        made.append(_proof(script, revisions[script.migration_id], said, found))
    jobs = bulk(_done(Job.Kind.PROVE) for _each in made)
    for proof, job in zip(made, jobs, strict=True):
        proof.job = job
    bulk(made)


def _proof(script: RollbackScript, revision: int, said: dict[str, Any], found: dict[str, Any]) -> Proof:
    return Proof(
        script=script,
        revision_id=revision,
        completeness=found,
        proof=said,
        verdict=said["verdict"],
        way=said["way"],
        holds=said["holds"],
        server_version=said["server_version"],
        chain_sha256="c" * 64,
        at=timezone.now(),
    )


def _done(kind: Job.Kind) -> Job:
    return Job(kind=kind, subject="many", state=Job.State.DONE, sentence="So.", finished_at=timezone.now())


def _generations(grown: Grown, n: int) -> None:
    """More generations of one migration's way back, and more proofs of its first script."""
    revision = grown.migration.revisions.get(number=1)
    script = grown.migration.scripts.get(number=1)
    said = answers.proved("differs", difference=answers.DIFFERENCE)
    asked = bulk(_done(Job.Kind.GENERATE) for _k in range(n))
    bulk(
        Generation(
            migration=grown.migration,
            revision=revision,
            job=job,
            answer=answers.generated(sql=""),
            at=timezone.now(),
        )
        for job in asked
    )
    made = [_proof(script, revision.pk, said, answers.completeness()) for _k in range(n)]
    for proof, job in zip(made, bulk(_done(Job.Kind.PROVE) for _k in range(n)), strict=True):
        proof.job = job
    bulk(made)


def _script(migration: Migration, number: int, k: int, plan: str) -> RollbackScript:
    sql = _of(BACK, k) + f"-- revision {number}\n"
    return RollbackScript(
        migration=migration,
        number=number,
        origin=RollbackScript.Origin.WRITTEN,
        sql=sql,
        sha256=hashlib.sha256(sql.encode()).hexdigest(),
        checks=[
            {
                "name": "The table is gone",
                "sql": f"SELECT to_regclass('many_{k}') IS NULL",
                "expected": "true",
                "stage": "before commit",
            }
        ],
        plan=json.loads(_of(plan, k)),
    )


def _of(text: str, k: int) -> str:
    return text.replace("many_0", f"many_{k}")


def _history_rows(target: Target, applied: Iterable[tuple[int, Migration]]) -> Iterator[HistoryRow]:
    for rank, migration in applied:
        yield HistoryRow(
            target=target,
            installed_rank=rank,
            version=migration.version,
            description=migration.description,
            type="SQL",
            script=migration.script,
            checksum=int(migration.version),
            installed_by="deploy",
            installed_on="2026-03-01 09:00:00",
            execution_time=12,
            success=True,
        )


def _revisions(grown: Grown, n: int) -> None:
    """More revisions of one migration's file, and of its script."""
    first = grown.migration.revisions.order_by("number")[0]
    top = grown.migration.revisions.count()
    bulk(
        MigrationRevision(
            migration=grown.migration,
            number=number,
            path=first.path,
            sql=first.sql + f"-- {number}\n",
            sha256=hashlib.sha256(f"{first.sha256} {number}".encode()).hexdigest(),
            checksum=-number,
            analysis=first.analysis,
            risk=first.risk,
        )
        for number in range(top + 1, top + 1 + n)
    )
    plan = json.dumps(analysis.as_json(analysis.plan_script(BACK)))
    top = grown.migration.scripts.count()
    scripts = bulk(_script(grown.migration, number, int(TOP), plan) for number in range(top + 1, top + 1 + n))
    through = RollbackScript.authors.through
    bulk(through(rollbackscript_id=script.pk, user_id=grown.world.bob.pk) for script in scripts)


def _import_run(grown: Grown, n: int) -> None:
    last = grown.service.import_runs.first()
    known = last.problems if last else []
    problem = {"line": 1, "column": 1, "code": "malformed-name", "message": "No.", "severity": "error"}
    found = [problem | {"path": f"V{len(known) + k}_one.sql"} for k in range(n)]
    differences = {"new": [f"V{k}__many.sql" for k in range(len(known) + n)]}
    runs = [
        ImportRun(
            service=grown.service,
            token=grown.service.import_tokens.first(),
            summary={"files": n, "new": n, "problems": {"malformed-name": n}},
            problems=known + found if last_one else [],
            differences=differences if last_one else {},
        )
        for last_one in [*[False] * (n - 1), True]
    ]
    bulk(runs)
    digest = hashlib.sha256(f"{len(known)}".encode()).hexdigest()[:50]
    bulk(
        ImportToken(service=grown.service, name=f"t{k}", digest=f"{digest}{k}", made_by=grown.world.alice)
        for k in range(n)
    )
    asked = ImportRequest.objects.create(service=grown.service, by=grown.world.alice, source="x.zip")
    Job.objects.create(kind=Job.Kind.IMPORT, subject=str(asked.pk))


def _incidents(world: World, numbers: Iterable[int]) -> list[Incident]:
    found = bulk(
        Incident(
            service=world.service,
            title=f"Payments hang {k}",
            reason="The new index locks the table.",
            impact="Payments take a minute.",
            opened_by=world.alice,
        )
        for k in numbers
    )
    now = timezone.now()
    bulk(
        PostMortem(incident=incident, due_at=now + timedelta(hours=k % 90 - 40))
        for k, incident in enumerate(found)
    )
    return found


def _rollbacks(
    grown: Grown, incidents: list[Incident], scripts: list[RollbackScript]
) -> list[tuple[RollbackRequest, RollbackTarget]]:
    """Rollbacks on staging, each of one migration, with facts and, where in review, one decision."""
    world, now = grown.world, timezone.now()
    found = bulk(
        RollbackRequest(
            service=world.service,
            requester=world.alice,
            incident=grown.incident if k % 2 else incident,
            reason="Payments hang since the deployment.",
            change_digest=hashlib.sha256(f"change {incident.pk}".encode()).hexdigest(),
            request_digest=hashlib.sha256(f"request {incident.pk}".encode()).hexdigest(),
            risk=k % 5 + 1,
            policy_version=grown.rollback.policy_version,
            expires_at=now + timedelta(hours=k % 48 + 1),
            submitted_at=now,
            ended_at=now if STATUSES[k % len(STATUSES)] in ENDED else None,
        )
        for k, incident in enumerate(incidents)
    )
    revisions = dict(
        MigrationRevision.objects.filter(
            migration__in=[s.migration_id for s in scripts], number=1
        ).values_list("migration_id", "pk")
    )
    bulk(
        RollbackItem(
            rollback=rollback,
            position=1,
            migration_id=script.migration_id,
            revision_id=revisions[script.migration_id],
            script=script,
        )
        for rollback, script in zip(found, scripts, strict=True)
    )
    targets = bulk(RollbackTarget(rollback=rollback, target=grown.target, pins=[]) for rollback in found)
    bulk(
        Evidence(
            rollback=rollback, kind=kind, change_digest=rollback.change_digest, holds=True, sentence="Read."
        )
        for rollback in found
        for kind in (Evidence.Kind.FACTS, Evidence.Kind.REHEARSAL)
    )
    _move(found, Status.IN_REVIEW)
    bulk(
        Approval(
            rollback=rollback,
            approver=world.dora,
            role="senior_dba",
            decision=Approval.Decision.APPROVE,
            request_digest=rollback.request_digest,
            confirmed_at=now,
            at=now,
        )
        for rollback in found[::3]
    )
    _forced(grown, found[::4])
    _excepted(grown, found[1::4])
    return list(zip(found, targets, strict=True))


def _forced(grown: Grown, rollbacks: list[RollbackRequest]) -> None:
    """Break-glass for these, two of three confirmed, and every other review of those closed; and much of it,
    taken back, for one rollback."""
    world, now = grown.world, timezone.now()
    wanted = [*rollbacks, *[grown.rollback] * len(rollbacks)]
    glasses = bulk(
        BreakGlass(
            rollback=rollback,
            change_digest=rollback.change_digest,
            skips=["window", "rehearsal"],
            reason="Payments are down.",
            proposed_by=world.olga,
            proposed_at=now,
            expires_at=now + timedelta(hours=4),
        )
        for rollback in wanted
    )
    taken_back = BreakGlass.objects.filter(pk__in=[glass.pk for glass in glasses[len(rollbacks) :]])
    taken_back.update(removed_by=world.olga, removed_at=now)
    mine = BreakGlass.objects.filter(pk__in=[glass.pk for glass in glasses[: len(rollbacks)]])
    said = {"confirmed_by": world.dora, "confirmed_at": now, "proved_at": now}
    confirmed = [glass.pk for k, glass in enumerate(mine) if k % 3]
    mine.filter(pk__in=confirmed).update(**said, due_at=now + timedelta(hours=48))
    mine.filter(pk__in=confirmed[::2]).update(closed_by=world.dan, closed_at=now, review="Right.")


def _excepted(grown: Grown, rollbacks: list[RollbackRequest]) -> None:
    """Exceptions instead of a backup for these, two of three granted, the others signed by one; and much of
    it, taken back, for one rollback."""
    world, now = grown.world, timezone.now()
    wanted = [*rollbacks, *[grown.rollback] * len(rollbacks)]
    said = bulk(
        Evidence(
            rollback=rollback,
            kind=Evidence.Kind.BACKUP,
            change_digest=rollback.change_digest,
            holds=False,
            sentence="The tables hold 900.0 GB.",
            at=now - timedelta(days=1),
            data={"above_limit": True},
        )
        for rollback in wanted
    )
    exceptions = bulk(
        BackupException(
            rollback=rollback,
            change_digest=rollback.change_digest,
            evidence=evidence,
            reason="Payments are down.",
            proposed_by=world.olga,
            proposed_at=now,
            expires_at=now + timedelta(hours=24),
        )
        for rollback, evidence in zip(wanted, said, strict=True)
    )
    mine, others = exceptions[: len(rollbacks)], exceptions[len(rollbacks) :]
    taken_back = BackupException.objects.filter(pk__in=[each.pk for each in others])
    taken_back.update(removed_by=world.olga, removed_at=now)
    signers = ((world.dora, "senior_dba"), (world.dan, "senior_dba"), (world.lea, "platform_lead"))
    bulk(
        ExceptionSignature(exception=each, person=person, role=role, signed_at=now, proved_at=now)
        for k, each in enumerate(mine)
        for person, role in signers[: 3 if k % 3 else 1]
    )


ENDED = {Status.EXECUTED, Status.FAILED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED}


def _move(rollbacks: Iterable[RollbackRequest], status: Status) -> None:
    RollbackRequest.objects.filter(pk__in=[rollback.pk for rollback in rollbacks]).update(status=status)


def _executions(rollbacks: list[tuple[RollbackRequest, RollbackTarget]]) -> None:
    """An execution for each rollback that was carried out; then every rollback gets its status."""
    done = [
        pair
        for k, pair in enumerate(rollbacks)
        if STATUSES[k % len(STATUSES)] in (Status.EXECUTED, Status.FAILED)
    ]
    _move([rollback for rollback, _target in done], Status.EXECUTING)
    worked = {Status.EXECUTED: ExecutionStatus.SUCCEEDED, Status.FAILED: ExecutionStatus.ROLLED_BACK}
    ends = {
        rollback.pk: worked.get(STATUSES[k % len(STATUSES)])
        for k, (rollback, _target) in enumerate(rollbacks)
    }
    bulk(
        _execution(rollback, target, ends[rollback.pk], reappeared_at=_alarm_at(k, ends[rollback.pk]))
        for k, (rollback, target) in enumerate(done)
    )
    for status in set(STATUSES) - {Status.DRAFT}:
        _move([pair[0] for k, pair in enumerate(rollbacks) if STATUSES[k % len(STATUSES)] == status], status)


def _alarm_at(k: int, status: ExecutionStatus | None) -> datetime | None:
    """When the migration was found applied again, which raises an alarm that nobody has answered: rarely."""
    return timezone.now() if status == ExecutionStatus.SUCCEEDED and k % 10 == 0 else None


def _execution(
    rollback: RollbackRequest, where: RollbackTarget, status: ExecutionStatus | None, **fields: Any
) -> Execution:
    """A finished execution; without a status a rehearsal that passed."""
    now = timezone.now()
    given: dict[str, Any] = {
        "rollback_target": where,
        "target_id": where.target_id,
        "purpose": Execution.Purpose.REAL if status else Execution.Purpose.REHEARSAL,
        "status": status or ExecutionStatus.SUCCEEDED,
        "change_digest": rollback.change_digest,
        "request_digest": rollback.request_digest,
        "requested_by_id": rollback.requester_id,
        "claimed_at": now,
        "finished_at": now,
        "sentence": "So it ended.",
        "watch_until": now + timedelta(hours=24),
    }
    return Execution(id=uuid.uuid4(), **(given | fields))


def _below_rollback(grown: Grown, n: int) -> None:
    """Evidence and rehearsals of one rollback."""
    where = grown.rollback.rollback_targets.get()
    bulk(_execution(grown.rollback, where, None) for _k in range(n))
    bulk(
        Evidence(
            rollback=grown.rollback,
            kind=Evidence.Kind.REHEARSAL,
            change_digest=grown.rollback.change_digest,
            holds=True,
            sentence="Passed on a clone.",
            at=timezone.now() - timedelta(days=1),
        )
        for _k in range(n)
    )


def _below_execution(grown: Grown, n: int) -> None:
    """Steps, log and backups of one execution."""
    top = grown.execution.steps.count()
    bulk(
        ExecutionStep(
            execution=grown.execution,
            position=position,
            item_position=1,
            kind="DROP INDEX",
            says="Drops an index.",
            sql=f"DROP INDEX many_{position}",
            state=ExecutionStep.State.DONE,
            milliseconds=1.5,
        )
        for position in range(top + 1, top + 1 + n)
    )
    bulk(ExecutionLog(execution=grown.execution, text=f"Line {k} of the log.") for k in range(n))
    bulk(
        Backup(target=grown.target, execution=grown.execution, state=Backup.State.VERIFIED, bytes=1 << 20)
        for _k in range(n)
    )


def _below_incident(grown: Grown, numbers: Iterable[int]) -> None:
    """Notes and actions of one incident; every third action is done."""
    numbers, alice, now = list(numbers), grown.world.alice, timezone.now()
    bulk(IncidentNote(incident=grown.incident, author=alice, text=f"Note {k}.") for k in numbers)
    bulk(
        IncidentAction(
            incident=grown.incident,
            text=f"Do {k}.",
            owner=alice,
            added_by=alice,
            due_on=timezone.localdate() + timedelta(days=k % 30 - 10),
            done_by=None if k % 3 else alice,
            done_at=None if k % 3 else now,
        )
        for k in numbers
    )


def _said(grown: Grown, n: int) -> None:
    """Threads about one rollback, every other one about a line of its script; and comments in one thread."""
    script = grown.migration.scripts.order_by("number")[0]
    of_line = {"script": script, "line": 1}
    threads = bulk(Thread(rollback=grown.rollback, **(of_line if k % 2 else {})) for k in range(n))
    bulk(Comment(thread=thread, author=grown.world.bob, text="Why?") for thread in threads)
    bulk(Comment(thread=grown.thread, author=grown.world.dora, text=f"Answer {k}.") for k in range(n))


def _calendar(grown: Grown, numbers: Iterable[int]) -> None:
    """Freezes on many dates to come, and windows that nobody has confirmed: as many as a target may have."""
    rows = []
    for number in [number for number in numbers if number < windows.MOST - 1]:
        begins = timezone.now() + timedelta(days=2 + number % 300)
        rows.append(
            CalendarEntry(
                target=grown.target,
                kind="freeze" if number % 3 else "dated",
                begins_at=begins,
                ends_at=begins + timedelta(hours=1),
                reason=f"Number {number}.",
                proposed_by=grown.world.adam,
            )
        )
    bulk(rows)


def _masking(grown: Grown, numbers: Iterable[int]) -> None:
    """Rules of one service, some of which wait, and clones of its target."""
    numbers = list(numbers)
    bulk(
        MaskingRule(
            service=grown.service,
            columns=f"public.many_{number}.name",
            method="keep" if number % 5 == 0 else "scramble",
            reason="Of things." if number % 5 == 0 else "",
            proposed_by=grown.world.adam,
        )
        for number in numbers
    )
    backups = bulk(Backup(target=grown.target, state=Backup.State.VERIFIED) for _number in numbers)
    filled = {"masked_columns": 2, "with_rows": True, "unruled": [{"column": "public.a.note", "why": "so"}]}
    bulk(
        RehearsalClone(
            target=grown.target,
            server=grown.world.staging,
            backup=backup,
            masking="0" * 64,
            server_version=180000,
            state=RehearsalClone.State.READY,
            filled=filled,
        )
        for backup in backups
    )


def _contacts(numbers: Iterable[int]) -> None:
    """One person to call for each of as many teams."""
    teams = bulk(Team(name=f"team-{k}") for k in numbers)
    bulk(
        Contact(duty=Contact.Duty.PRIMARY_DBA, team=team, name="Dora", email="d@waqiti.example", phone="+254")
        for team in teams
    )


def _events(grown: Grown, n: int) -> None:
    """Links of the chain about everything that grows; the trigger looks at each as at any other."""
    labels = {
        "rollback": grown.rollback.label,
        "status": grown.rollback.status,
        "target": grown.target.name,
        "execution": str(grown.execution.pk),
        "purpose": grown.execution.purpose,
        "incident": grown.incident.label,
    }
    last = AuditEvent.objects.latest("seq")
    prev, links = bytes(last.hash), []
    for seq in range(last.seq + 1, last.seq + 1 + n):
        body = labels | {
            "seq": seq,
            "chain": audit.CHAIN,
            "at": timezone.now().isoformat(timespec="microseconds"),
            "action": "rollback.facts_read",
            "actor": grown.world.alice.username,
            "actor_name": str(grown.world.alice),
            "roles": ["engineer"],
            "request_id": "",
            "facts": {"holds": True},
        }
        text = rfc8785.dumps(body).decode()
        links.append(AuditEvent(seq=seq, body=text, prev=prev, hash=audit.link(prev, text)))
        prev = links[-1].hash
    bulk(links)


def addresses(grown: Grown) -> dict[str, str]:
    """The address of every URL that is read, about the object that has the most below it."""
    from approvals.permissions import TABLE

    found = {}
    for name, rule in TABLE.items():
        if rule.read:
            arguments = _arguments(grown, name, rule.about)
            found[name] = reverse(name, kwargs={each: arguments[each] for each in _names(name)})
    found["rollback_new"] += f"?target={grown.target.name}"
    found["search"] += "?q=many"
    found["rollback_targets"] += "?q=many"
    return found


def _arguments(grown: Grown, name: str, about: str) -> dict[str, Any]:
    prepared = grown.world.prepared
    rollback = {
        "rollback_files": prepared["production", Status.APPROVED],
        "rollback_start": prepared["production", Status.APPROVED],
        "rollback_schedule": prepared["production", Status.APPROVED],
        "rollback_edit": prepared["production", Status.DRAFT],
        "rollback_script": prepared["production", Status.DRAFT],
    }.get(name, grown.fleets.get(name, grown.rollback).pk)
    objects: dict[str, dict[str, Any]] = {
        "service": {"name": grown.service.name},
        "target": {"name": grown.target.name},
        "migration": {"pk": grown.migration.pk},
        "rollback": {"pk": rollback, "thread": grown.thread.pk},
        "execution": {"pk": _execution_of(grown, name).pk},
        "incident": {"pk": grown.incident.pk},
        "action": {"pk": grown.action.pk},
        "contact": {"pk": grown.contact.pk},
        "calendar entry": {"pk": grown.calendar_entry.pk},
        "masking rule": {"pk": grown.masking_rule.pk},
        "person": {"username": "alice"},
        "event": {"seq": grown.event},
        "import": _of_service(grown, grown.service.import_runs.latest("at")),
        "import request": _of_service(grown, grown.service.import_requests.latest("id")),
        "import token": _of_service(grown, grown.service.import_tokens.latest("id")),
    }
    return objects.get(about, {}) | BESIDES


def _of_service(grown: Grown, thing: models.Model) -> dict[str, Any]:
    return {"name": grown.service.name, "pk": thing.pk}


def _execution_of(grown: Grown, name: str) -> Execution:
    """The one that has most below it, or the one about which a page has something to ask."""
    if name == "execution_answer":
        return Execution.objects.filter(reappeared_at__isnull=False).order_by("queued_at", "id")[0]
    return grown.waiting if name == "execution_cancel" else grown.execution


def _names(url_name: str) -> list[str]:
    """What a URL takes from its address."""
    return [each for _text, names in get_resolver().reverse_dict.getlist(url_name)[0][0] for each in names]
