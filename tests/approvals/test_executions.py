"""Executions: asked for by people, answered by the worker, and never more than one at work on a target."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import alarms, attempts, audit, backups, executions, jobs, policy, rollbacks, signed
from approvals.errors import Conflict, Denied, Refused
from approvals.models import (
    AuditEvent,
    Backup,
    Evidence,
    Execution,
    ExecutionStatus,
    Grade,
    Job,
    PolicyVersion,
    PostMortem,
    RollbackRequest,
    Service,
    Status,
    Target,
)
from executor.recorder import _Write as Shown
from tests.approvals import factories
from tests.approvals.factories import World, again, body, claimed, end, rollback_in, start, trail

pytestmark = pytest.mark.integration

OUTCOMES = ExecutionStatus
NO_EFFECT, ROLLED_BACK, SUCCEEDED = OUTCOMES.NO_EFFECT, OUTCOMES.ROLLED_BACK, OUTCOMES.SUCCEEDED
UNRESOLVED, CHECK_FAILED = OUTCOMES.UNRESOLVED, OUTCOMES.COMMITTED_CHECK_FAILED


# Starting


def test_ops_start_what_is_approved(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = start(world, rollback)
    assert (execution.purpose, execution.status) == ("real", "queued")
    assert (execution.target, execution.requested_by) == (world.production, world.olga)
    assert execution.request_digest == rollback.request_digest
    assert execution.change_digest == rollback.change_digest
    assert (again(rollback).status, again(rollback).attempts) == ("executing", 1)
    job = Job.objects.latest("id")
    assert (job.kind, job.subject, job.digest) == ("execute", str(execution.pk), rollback.request_digest)
    facts = body("execution.requested")["facts"]
    assert facts == {"execution": str(execution.pk), "request": rollback.request_digest, "attempt": 1}


def test_an_execution_has_an_id_that_nobody_guesses(world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    assert (execution.pk.version, execution.pk.variant) == (4, uuid.RFC_4122)


def test_its_steps_are_those_of_the_plans_in_their_order(world: World) -> None:
    factories.apply(world, world.high, "1234")
    rollback = factories.draft(world, "3", "4", where=world.high)
    execution = factories.rehearse(world, rollback)
    steps = execution.steps.values_list("position", "item_position", "sql")
    assert [(position, item, sql.split(" ", 1)[0]) for position, item, sql in steps] == [
        (1, 1, "ALTER"),
        (2, 1, "ALTER"),
        (3, 2, "DROP"),
    ]


@pytest.mark.parametrize("name", ["alice", "bob", "ada", "dora", "lea", "axel", "adam", "eve", "ida", "nora"])
def test_nobody_else_starts_it_and_the_attempt_is_on_record(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    with pytest.raises(Denied, match="Only ops can start this rollback"):
        executions.start(
            rollback,
            actor=world.people[name],
            digest=rollback.request_digest,
            confirmed_at=timezone.now(),
        )
    assert not Execution.objects.filter(rollback_target__rollback=rollback, purpose="real").exists()
    event = body("execution.requested.denied")
    assert (event["actor"], event["rollback"]) == (name, rollback.label)


@pytest.mark.parametrize("status", [status for status in Status if status != Status.APPROVED])
def test_only_what_is_approved_is_started(status: Status, world: World) -> None:
    rollback = rollback_in(world, status)
    with pytest.raises(Refused, match=f"is {status.label.lower()} now"):
        start(world, rollback)


def test_starting_needs_the_digest_that_was_read_and_a_fresh_proof_of_identity(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    with pytest.raises(Conflict):
        start(world, rollback, digest="0" * 64)
    for confirmed_at in (None, timezone.now() - timedelta(minutes=6)):
        with pytest.raises(Refused, match="Confirm your password first"):
            start(world, rollback, confirmed_at=confirmed_at)


def test_when_the_time_to_execute_is_over_it_is_not_started(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    RollbackRequest.objects.filter(pk=rollback.pk).update(expires_at=timezone.now())
    with pytest.raises(Refused, match=f"The time to execute {rollback.label} is over"):
        start(world, rollback)


def test_every_gate_is_asked_again(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    world.dora.groups.clear()
    with pytest.raises(Refused, match="Approved by enough people: Missing: Senior DBA"):
        start(world, rollback)


def test_what_was_deployed_since_the_approval_stops_it(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    factories.apply(world, world.production, "1234")
    with pytest.raises(Refused, match="Newer migrations are applied above: V4"):
        start(world, rollback)
    factories.apply(world, world.production, "12")
    with pytest.raises(Refused, match="The history changed: the row of V3 is not there as it was"):
        start(world, rollback)


CHANGES: list[tuple[str, type[Any], dict[str, Any], str]] = [
    ("the service's placeholders", Service, {"placeholders": {"a": "b"}}, "The change"),
    ("the owner role", Target, {"owner_role": "postgres"}, "The request"),
    ("the search path", Target, {"search_path": "other"}, "The request"),
    ("the history table", Target, {"history_table": "other"}, "The request"),
    ("the system identifier", Target, {"system_identifier": "7"}, "The request"),
    ("the database", Target, {"database_oid": 7}, "The request"),
    ("the marker", Target, {"has_marker": False}, "The request"),
    ("the target's placeholders", Target, {"placeholders": {"a": "b"}}, "The request"),
]


@pytest.mark.parametrize(("model", "fields", "what"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_changed_behind_the_approvals_stops_it_before_and_after_the_start(
    model: type[Any], fields: dict[str, Any], what: str, world: World
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    sentence = f"{what} is not the one that was (asked for|approved): its digest differs"
    with factories.taken_back():
        model.objects.update(**fields)
        with pytest.raises(Refused, match=sentence):
            start(world, rollback)
    execution = start(world, rollback)
    model.objects.update(**fields)
    assert attempts.claim(execution.pk, worker="w") is None
    execution.refresh_from_db()
    assert execution.status == NO_EFFECT
    assert execution.sentence in (
        "The change is not the one that was asked for: its digest differs.",
        "The request is not the one that was approved: its digest differs.",
    )


# One at a time


def test_one_execution_is_open_on_a_target(world: World) -> None:
    first = start(world, rollback_in(world, Status.APPROVED))
    second = factories.approved(world, factories.in_review(world))
    label = first.rollback_target.rollback.label
    with pytest.raises(Refused) as refused:
        start(world, second)
    assert str(refused.value) == (
        f"{first} of {label} is queued on wallet-service-production. Only one may run there at a time."
    )
    assert again(second).status == "approved"
    elsewhere = rollback_in(world, Status.APPROVED, "high")
    assert start(world, elsewhere).status == "queued"


@pytest.mark.parametrize("status", [*OUTCOMES])
def test_the_database_lets_one_execution_be_open_on_a_target(status: ExecutionStatus, world: World) -> None:
    rollback = rollback_in(world, Status.EXECUTING)
    first = Execution.objects.get(rollback_target__rollback=rollback, purpose="real")
    Execution.objects.filter(pk=first.pk).update(status=status)
    first.refresh_from_db()
    second = Execution(
        rollback_target=first.rollback_target,
        target=first.target,
        purpose="real",
        change_digest=first.change_digest,
        request_digest=first.request_digest,
        requested_by=world.olga,
    )
    ended = {"succeeded", "no_effect", "rolled_back", "partial", "committed_check_failed"}
    assert first.is_open == (status not in ended)
    if status == "partial":
        with pytest.raises(IntegrityError, match="is not settled"), transaction.atomic():
            second.save(force_insert=True)
        Execution.objects.filter(pk=first.pk).update(settled_at=timezone.now(), settled_as="gone_on")
    if status in ended:
        second.save(force_insert=True)
    else:
        with pytest.raises(IntegrityError, match="one_open_execution_per_target"), transaction.atomic():
            second.save(force_insert=True)


def test_rehearsals_do_not_occupy_the_target_but_one_at_a_time_is_enough(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    executions.ask_for_rehearsal(rollback, actor=world.alice)
    with pytest.raises(Refused, match=f"A rehearsal of {rollback.label} is under way"):
        executions.ask_for_rehearsal(rollback, actor=world.olga)
    assert start(world, rollback).status == "queued"


# Rehearsing


@pytest.mark.parametrize("name", ["alice", "dora", "lea", "olga"])
def test_whoever_has_to_do_with_it_may_ask_for_a_rehearsal(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    execution = executions.ask_for_rehearsal(rollback, actor=world.people[name])
    assert (execution.purpose, execution.request_digest) == ("rehearsal", "")
    job = Job.objects.latest("id")
    assert (job.kind, job.subject, job.digest) == ("rehearse", str(execution.pk), rollback.change_digest)


@pytest.mark.parametrize("name", ["bob", "eve", "axel", "adam", "ida", "nora"])
@pytest.mark.parametrize("status", [Status.DRAFT, Status.CANCELLED])
def test_others_may_not(status: Status, name: str, world: World) -> None:
    with pytest.raises(Denied, match="Only the requester, an approver or ops"):
        executions.ask_for_rehearsal(rollback_in(world, status), actor=world.people[name])
    assert trail()[-1] == "rehearsal.requested.denied"


@pytest.mark.parametrize("status", [Status.EXECUTING, Status.EXECUTED, Status.REJECTED, Status.CANCELLED])
def test_what_is_over_is_not_rehearsed(status: Status, world: World) -> None:
    with pytest.raises(Refused, match="so this can't be done"):
        executions.ask_for_rehearsal(rollback_in(world, status), actor=world.alice)


def test_a_script_that_is_refused_is_not_rehearsed(world: World) -> None:
    factories.write_script(world, "3", sql="DROP INDEX wallets_by_user;\nCOMMIT;\nDROP TABLE users;\n")
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    with pytest.raises(Refused, match="Scripts are readable: Refused: V3, line 2, column 1"):
        executions.ask_for_rehearsal(rollback, actor=world.alice)


def test_a_production_target_without_staging_is_not_rehearsed(world: World) -> None:
    Target.objects.filter(pk=world.production.pk).update(rehearsal_target=None)
    with pytest.raises(Refused, match="wallet-service-production names no staging server to rehearse on"):
        executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice)


def test_a_rehearsal_is_evidence_for_its_change_only_and_moves_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    execution = factories.rehearse(world, rollback)
    evidence = rollback.evidence.filter(kind=Evidence.Kind.REHEARSAL).get()
    assert (evidence.holds, evidence.change_digest) == (True, rollback.change_digest)
    assert evidence.data["execution"] == str(execution.pk)
    assert (execution.status, again(rollback).status) == ("succeeded", "draft")
    assert (execution.watch_until, PostMortem.objects.count()) == (None, 0)


def test_a_rehearsal_of_a_change_that_was_edited_meanwhile_does_not_run(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    asked = executions.ask_for_rehearsal(rollback, actor=world.alice)
    script = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    rollbacks.edit(rollback, actor=world.alice, revision=1, scripts=[script])
    assert attempts.claim(asked.pk, worker="w") is None
    asked.refresh_from_db()
    assert (asked.status, again(rollback).status) == (NO_EFFECT, "draft")


# Claiming


def test_a_worker_claims_it_once(world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    first = attempts.claim(execution.pk, worker="one")
    assert first is not None
    assert (first.status, first.worker) == ("claimed", "one")
    assert first.claimed_at == first.heartbeat_at
    assert attempts.claim(execution.pk, worker="two") is None
    execution.refresh_from_db()
    assert execution.worker == "one"
    event = body("execution.duplicate_claim_ignored")
    assert (event["execution"], event["facts"]) == (str(execution.pk), {"worker": "two"})
    claims = AuditEvent.objects.filter(action="execution.claimed", body__contains=str(execution.pk))
    assert claims.count() == 1


def test_one_byte_changed_after_the_approval_and_nothing_runs(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    world = committed_world
    rollback = rollback_in(world, Status.APPROVED)
    execution = start(world, rollback)
    script = rollback.items.get().script
    assert script is not None
    change = "UPDATE approvals_rollbackscript SET sql = overlay(sql placing 'x' from 20) WHERE id = %s"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        superuser.execute(change, [script.pk])
    superuser.execute("ALTER TABLE approvals_rollbackscript DISABLE TRIGGER ALL")
    superuser.execute(change, [script.pk])
    assert attempts.claim(execution.pk, worker="w") is None
    execution.refresh_from_db()
    sentence = "The script of V3 is not the one whose digest was recorded."
    assert (execution.status, execution.sentence) == (NO_EFFECT, sentence)
    assert execution.finished_at is not None
    assert body("execution.claimed")["facts"]["refused"] == sentence
    with pytest.raises(Refused, match="The script of V3 is not the one"):
        start(world, again(rollback))


BEHIND = [
    ("rollbackscript", "plan", "jsonb_set(plan, '{replica_role}', 'true')"),
    ("rollbackscript", "plan", """jsonb_set(plan, '{steps,0,statement,sql}', '"DROP TABLE users"')"""),
    ("rollbackscript", "plan", """jsonb_set(plan, '{steps,0,statement,tags}', '["SELECT"]')"""),
    ("rollbackscript", "checks", "'[]'"),
    ("rollbackitem", "revision_id", "(SELECT min(id) FROM approvals_migrationrevision)"),
    ("rollbackrequest", "automatic_checks", "'[{}]'"),
    ("rollbackrequest", "session_options", """'{"lock_timeout_ms": 1}'"""),
    ("rollbackrequest", "history_treatment", "'mark'"),
    ("rollbackrequest", "risk", "1"),
    ("rollbackrequest", "revision", "2"),
    ("rollbacktarget", "pins", "'[]'"),
]


def test_whatever_a_superuser_changes_behind_the_approvals_is_found(
    committed_world: World, superuser: psycopg.Connection[Any]
) -> None:
    execution = start(committed_world, rollback_in(committed_world, Status.APPROVED, "high"))
    for table, column, value in BEHIND:
        superuser.execute(f"ALTER TABLE approvals_{table} DISABLE TRIGGER ALL")
        superuser.execute(f"CREATE TEMP TABLE kept AS SELECT id, {column} AS value FROM approvals_{table}")
        superuser.execute(f"UPDATE approvals_{table} SET {column} = {value}")
        found = signed.unapproved(Execution.objects.get(pk=execution.pk))
        assert found.endswith("its digest differs."), (table, column)
        superuser.execute(
            f"UPDATE approvals_{table} t SET {column} = kept.value FROM kept WHERE kept.id = t.id"
        )
        superuser.execute("DROP TABLE kept")
    assert signed.unapproved(Execution.objects.get(pk=execution.pk)) == ""
    superuser.execute("UPDATE approvals_rollbackrequest SET risk = 1")
    assert attempts.claim(execution.pk, worker="w") is None
    execution.refresh_from_db()
    assert (execution.status, "its digest differs" in execution.sentence) == (NO_EFFECT, True)


def test_an_approval_that_no_longer_counts_stops_it_at_the_claim(world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    world.dora.groups.clear()
    assert attempts.claim(execution.pk, worker="w") is None
    execution.refresh_from_db()
    assert execution.sentence == "An approval is missing or no longer counts."


# The worker's way through


def test_the_worker_says_where_it_is(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    for phase in (OUTCOMES.PREFLIGHT, OUTCOMES.BACKUP):
        attempts.enter(execution, phase)
        assert execution.status == phase
    factories.run(execution)
    execution.refresh_from_db()
    assert (execution.status, execution.xid, execution.pid, execution.timeline) == ("running", "741", 4242, 1)
    attempts.enter(execution, OUTCOMES.COMMITTING)
    attempts.enter(execution, OUTCOMES.VERIFYING)
    told = [action for action in trail() if action.startswith("execution.")][-6:]
    assert told == [
        "execution.claimed",
        "execution.preflight",
        "execution.backup",
        "execution.running",
        "execution.committing",
        "execution.verifying",
    ]


@pytest.mark.parametrize(
    ("source", "goal"),
    [
        ("running", "preflight"),
        ("running", "backup"),
        ("committing", "running"),
        ("verifying", "committing"),
        ("preflight", "claimed"),
        ("running", "succeeded"),
        ("running", "queued"),
    ],
)
def test_no_phase_goes_back_and_an_outcome_is_no_phase(source: str, goal: str, world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    Execution.objects.filter(pk=execution.pk).update(status=source)
    with pytest.raises(Refused, match="can't become"):
        attempts.enter(execution, ExecutionStatus(goal))
    execution.refresh_from_db()
    assert execution.status == source


def test_what_a_late_worker_shows_covers_nothing_of_what_the_resolver_has_put_on_record(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    factories.run(execution)
    Shown(fields={"marks": {"script": "then"}}, steps={1: {"state": "running"}}).carry_out(execution)
    execution.refresh_from_db()
    end(execution, OUTCOMES.PARTIAL, resolved=True, committed=True)
    Shown(fields={"marks": {"alone": "now"}}, steps={1: {"state": "done"}}).carry_out(execution)
    execution.refresh_from_db()
    assert execution.marks.keys() == {"script", "committed", "resolved"}
    assert execution.steps.get(position=1).state == "running"


@pytest.mark.parametrize(
    "status", [OUTCOMES.QUEUED, UNRESOLVED, NO_EFFECT, SUCCEEDED, OUTCOMES.AWAITING_RESTART]
)
def test_a_late_worker_may_no_longer_act(status: ExecutionStatus, world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    Execution.objects.filter(pk=execution.pk).update(status=status)
    with pytest.raises(Refused, match="a worker may no longer act on it"):
        attempts.enter(execution, OUTCOMES.COMMITTING)
    with pytest.raises(Refused, match="a worker may no longer act on it"):
        factories.run(execution)
    execution.refresh_from_db()
    assert (execution.status, execution.xid) == (status, "")


def test_preflight_finds_nothing_where_nothing_changed(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    assert attempts.preflight(execution) == []


def test_preflight_asks_every_gate_again(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    rollback = execution.rollback_target.rollback
    factories.read_facts(rollback, holds=False)
    RollbackRequest.objects.filter(pk=rollback.pk).update(expires_at=timezone.now())
    execution.refresh_from_db()
    expected = [
        "Facts were read from the target: The target does not answer.",
        (
            "Pre-rollback checklist: Open: The current schema version is recorded;"
            " The impacted tables are identified."
        ),
        f"The time to execute {rollback.label} is over.",
    ]
    assert attempts.preflight(execution) == expected


def test_a_higher_risk_than_approved_is_no_go(world: World) -> None:
    """The table was empty when the rollback was approved; it holds a row now."""
    empty = {"tables": [{"relation": "transactions", "rows": 0, "exact": True, "bytes": 0}]}
    rollback = factories.draft(world, where=world.critical, facts=factories.FACTS | empty)
    rollback = factories.approved(world, factories.submitted(world, rollback))
    execution = claimed(start(world, rollback))
    assert attempts.preflight(execution) == []
    filled = {"tables": [{"relation": "transactions", "rows": 1, "exact": True, "bytes": 8192}]}
    factories.read_facts(rollback, factories.FACTS | filled)
    (reason,) = attempts.preflight(execution)
    assert reason.startswith("The risk is CRITICAL now, more than was approved: ")


# Outcomes


def test_success_executes_the_rollback_starts_the_clocks_and_reads_the_history(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    before = timezone.now()
    execution = factories.executed(world, rollback, SUCCEEDED)
    now = again(rollback)
    assert (now.status, now.ended_at is not None) == ("executed", True)
    assert rollback.incident is not None
    due = rollback.incident.post_mortem.due_at
    assert before + timedelta(hours=48) <= due <= timezone.now() + timedelta(hours=48)
    assert execution.watch_until is not None
    assert before + timedelta(hours=24) <= execution.watch_until <= timezone.now() + timedelta(hours=24)
    assert execution.finished_at is not None
    job = Job.objects.latest("id")
    assert (job.kind, job.subject, job.asked_by) == ("sync", str(world.production.pk), None)
    assert rollback.approvals.get().voided_at is None
    assert body("execution.succeeded")["facts"]["rollback_status"] == "executed"


@pytest.mark.parametrize("status", [OUTCOMES.AWAITING_RESTART, OUTCOMES.PARTIAL])
@pytest.mark.parametrize("committed", [True, False])
def test_the_history_is_watched_from_the_commit_on_whatever_else_is_still_to_come(
    status: ExecutionStatus, committed: bool, world: World
) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    ended = end(execution, status, committed=committed)
    assert (ended.watch_until is not None) is committed
    assert (ended in alarms.watched(ended.target)) is committed


def test_a_check_that_failed_after_commit_is_executed_not_failed(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.executed(world, rollback, CHECK_FAILED)
    assert again(rollback).status == "executed"
    assert execution.watch_until is not None
    assert PostMortem.objects.count() == 1


def test_no_effect_keeps_the_approvals_for_three_attempts(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    for attempt in (1, 2):
        end(claimed(start(world, rollback)), NO_EFFECT)
        now = again(rollback)
        assert (now.status, now.attempts) == ("approved", attempt)
        assert policy.missing_signatures(now) == []
    end(claimed(start(world, rollback)), NO_EFFECT)
    assert again(rollback).status == "failed"
    assert rollback.approvals.get().void_reason == "execution no_effect"
    attempts = [
        json.loads(e.body)["facts"]["attempt"]
        for e in AuditEvent.objects.filter(action="execution.requested")
    ]
    assert attempts == [3, 2, 1]


def test_after_an_edit_there_are_three_attempts_again(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    for _attempt in range(3):
        end(claimed(start(world, rollback)), NO_EFFECT)
    rollbacks.edit(rollback, actor=world.alice, revision=1)
    rollbacks.submit(rollback, actor=world.alice)
    factories.decide(world, rollback, world.dora)
    end(claimed(start(world, rollback)), NO_EFFECT)
    assert (again(rollback).status, again(rollback).attempts) == ("approved", 1)


@pytest.mark.parametrize("status", [ROLLED_BACK])
def test_every_other_failure_voids_the_approvals(status: ExecutionStatus, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "high")
    execution = factories.executed(world, rollback, status)
    assert again(rollback).status == "failed"
    assert set(rollback.approvals.values_list("void_reason", flat=True)) == {f"execution {status}"}
    assert (execution.watch_until, PostMortem.objects.count()) == (None, 0)


@pytest.mark.parametrize("status", [UNRESOLVED, OUTCOMES.AWAITING_RESTART])
def test_what_is_not_known_yet_moves_nothing_and_keeps_the_target(
    status: ExecutionStatus, world: World
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.executed(world, rollback, status)
    assert (execution.finished_at, again(rollback).status) == (None, "executing")
    second = factories.approved(world, factories.in_review(world))
    with pytest.raises(Refused, match="Only one may run there at a time"):
        start(world, second)


@pytest.mark.parametrize(
    ("status", "goal"), [(SUCCEEDED, "executed"), (ROLLED_BACK, "failed"), (NO_EFFECT, "approved")]
)
def test_the_resolver_tells_later(status: ExecutionStatus, goal: str, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.executed(world, rollback, UNRESOLVED)
    end(execution, status, resolved=True)
    assert again(rollback).status == goal
    assert body(f"execution.{status}")["facts"]["resolved"] is True


def test_a_resolver_that_asked_before_the_script_began_says_nothing_of_what_runs_since(world: World) -> None:
    """Without a marker nothing on the target keeps a worker out that was only slow."""
    seen = claimed(start(world, rollback_in(world, Status.APPROVED)))
    factories.run(seen)
    now = Execution.objects.get(pk=seen.pk)
    seen.xid = ""  # as it was read before
    assert attempts.record_outcome(seen, NO_EFFECT, "It never began.", resolved=True) is None
    now.refresh_from_db()
    assert now.status == "running"
    assert attempts.record_outcome(now, SUCCEEDED, "It did.", resolved=True) is not None


def test_an_outcome_is_recorded_once(world: World) -> None:
    execution = factories.executed(world, rollback_in(world, Status.APPROVED), SUCCEEDED)
    assert attempts.record_outcome(execution, ROLLED_BACK, "Late.") is None
    execution.refresh_from_db()
    assert (execution.status, execution.sentence) == ("succeeded", "So it ended.")
    facts = body("execution.late_outcome_ignored")["facts"]
    assert (facts["said"], facts["is"]) == ("rolled_back", "succeeded")
    assert not AuditEvent.objects.filter(action="execution.rolled_back").exists()


def test_what_was_seen_is_kept_with_the_outcome(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    ended = end(
        execution,
        ROLLED_BACK,
        sqlstate="23503",
        blocker={"pid": 7},
        checks=[{"name": "a", "passed": False}],
        timings={"total_s": 1.2345, "lock_attempts": 2},
        locks=[{"relation": "wallets"}],
    )
    ended.refresh_from_db()
    assert (ended.sqlstate, ended.blocker, ended.locks) == ("23503", {"pid": 7}, [{"relation": "wallets"}])
    assert ended.checks == [{"name": "a", "passed": False}]
    assert ended.timings == {"total_s": 1.2345, "lock_attempts": 2}
    facts = body("execution.rolled_back")["facts"]
    assert facts["timings"] == {"total_s": 1234, "lock_attempts": 2000}


# Cancelling


def test_cancelling_what_nobody_has_taken_ends_it_at_once(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = executions.cancel(start(world, rollback), actor=world.olga, reason="Wrong window.")
    assert (execution.status, execution.sentence) == (NO_EFFECT, "Cancelled by Olga before a worker took it.")
    assert again(rollback).status == "approved"
    assert attempts.claim(execution.pk, worker="w") is None


def test_cancelling_what_runs_asks_the_worker(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    assert not attempts.cancel_requested(execution.pk)
    cancelled = executions.cancel(execution, actor=world.olga, reason="It takes too long.")
    assert attempts.cancel_requested(execution.pk)
    assert (cancelled.status, cancelled.cancel_requested_by) == ("claimed", world.olga)


def test_a_cancellation_needs_a_reason_and_something_open(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    with pytest.raises(Refused, match="Say why you cancel it"):
        executions.cancel(execution, actor=world.olga, reason=" ")
    end(execution, ROLLED_BACK)
    with pytest.raises(Refused, match=f"{execution} has ended already"):
        executions.cancel(execution, actor=world.olga, reason="Late.")


@pytest.mark.parametrize("name", ["alice", "bob", "dora", "lea", "axel", "adam", "eve", "nora"])
def test_only_ops_cancel_an_execution(name: str, world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    with pytest.raises(Denied, match="Only ops can cancel an execution"):
        executions.cancel(execution, actor=world.people[name], reason="I want to.")
    assert trail()[-1] == "execution.cancel_requested.denied"


def test_a_rehearsal_is_cancelled_by_whoever_asked_for_it(world: World) -> None:
    execution = executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice)
    with pytest.raises(Denied):
        executions.cancel(execution, actor=world.dora, reason="Not mine.")
    assert executions.cancel(execution, actor=world.alice, reason="Mistake.").status == NO_EFFECT


# Workers that fall silent


def test_a_worker_that_fell_silent_is_found(world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    assert attempts.silent() == []
    Execution.objects.filter(pk=execution.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=16))
    assert attempts.silent() == [execution]
    attempts.heartbeat(execution.pk)
    assert attempts.silent() == []


@pytest.mark.parametrize("status", [*OUTCOMES])
def test_whoever_is_at_work_or_unresolved_can_be_silent(status: ExecutionStatus, world: World) -> None:
    execution = claimed(start(world, rollback_in(world, Status.APPROVED)))
    long_ago = timezone.now() - timedelta(minutes=1)
    Execution.objects.filter(pk=execution.pk).update(status=status, heartbeat_at=long_ago)
    expected = {"claimed", "preflight", "backup", "running", "committing", "verifying", "unresolved"}
    assert bool(attempts.silent()) == (status in expected)


def test_a_worker_that_died_between_job_and_execution_is_found(world: World) -> None:
    execution = start(world, rollback_in(world, Status.APPROVED))
    job = Job.objects.get(kind="execute", subject=str(execution.pk))
    assert attempts.silent() == []
    jobs.claim(job.pk, worker="w")
    assert attempts.silent() == []
    Job.objects.filter(pk=job.pk).update(claimed_at=timezone.now() - timedelta(seconds=16))
    assert attempts.silent() == [execution]


# Backups


def test_a_verified_backup_is_evidence(world: World) -> None:
    execution = executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice)
    backup = factories.back_up(claimed(execution))
    assert (backup.state, backup.bytes, backup.verified_at is not None) == ("verified", 2 << 20, True)
    evidence = Evidence.objects.latest("id")
    said = {"backup": backup.pk, "grade": Grade.FULL, "base_taken_at": "", "above_limit": False}
    assert (evidence.kind, evidence.holds, evidence.data) == ("backup", True, said)


@pytest.mark.parametrize("state", [state for state in Backup.State if state != Backup.State.VERIFIED])
def test_anything_less_does_not_hold(state: Backup.State, world: World) -> None:
    execution = executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice)
    backup = factories.back_up(claimed(execution), state)
    assert (backup.state, backup.verified_at) == (state, None)
    assert Evidence.objects.latest("id").holds is False


def test_the_bytes_of_a_backup_are_told_while_it_is_taken(world: World) -> None:
    execution = claimed(executions.ask_for_rehearsal(rollback_in(world, Status.DRAFT), actor=world.alice))
    backup = backups.begin(execution)
    backups.progress(backup, "dump", 4711, 4_000_000)
    backup.refresh_from_db()
    assert (backup.state, backup.bytes, backup.execution) == ("running", 4711, execution)


def test_policy_versions_do_not_change_under_a_running_request(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    PolicyVersion.objects.create(number=2)
    assert again(rollback).policy_version == PolicyVersion.objects.get(number=1)
    assert start(world, rollback).status == "queued"
    assert audit.verify().holds
