"""One request for many targets: what people sign, what a run begins, what stops it, what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import (
    attempts,
    continuing,
    digests,
    fleets,
    gates,
    halfway,
    rollbacks,
)
from approvals.errors import Denied, Refused
from approvals.fleet_progress import advance, lock, stand, tries_of
from approvals.goes import phrases
from approvals.models import (
    Evidence,
    Execution,
    ExecutionStatus,
    FleetRun,
    Job,
    Role,
    RollbackRequest,
    RollbackTarget,
    Status,
    Target,
)
from approvals.waves import Stand
from tests.approvals import factories
from tests.approvals.factories import World, again, body, claimed, trail

pytestmark = pytest.mark.integration

NO_EFFECT, ROLLED_BACK = ExecutionStatus.NO_EFFECT, ExecutionStatus.ROLLED_BACK
SUCCEEDED, UNRESOLVED = ExecutionStatus.SUCCEEDED, ExecutionStatus.UNRESOLVED


@pytest.fixture
def shards(world: World) -> list[Target]:
    return factories.shards(world, 6)


def ready(world: World, targets: list[Target], **fields: Any) -> RollbackRequest:
    """Approved, with whatever the policy asks for."""
    rollback = factories.submitted(world, factories.fleet(world, targets, **fields))
    return factories.approved(world, rollback)


@pytest.fixture
def run(world: World, shards: list[Target]) -> FleetRun:
    """A run over six shards in waves of two whose canary is queued."""
    return factories.started_run(world, ready(world, shards))


def fresh(run: FleetRun) -> FleetRun:
    return FleetRun.objects.get(pk=run.pk)


def stands(run: FleetRun) -> str:
    """How each target stands, a letter each, in order."""
    tries = tries_of(run)
    targets = run.rollback.rollback_targets.all()
    return "".join(stand(tries[each.pk]).value[0] for each in targets)


def queued(run: FleetRun) -> list[Execution]:
    return list(run.executions.filter(status="queued").order_by("rollback_target__position"))


def end(execution: Execution, status: ExecutionStatus) -> None:
    """A worker takes it and ends it so."""
    taken = claimed(execution)
    if status != NO_EFFECT:
        factories.run(taken)
    factories.end(taken, status)


def end_all(run: FleetRun, status: ExecutionStatus = SUCCEEDED) -> None:
    """The whole wave, one after another."""
    for execution in queued(run):
        end(execution, status)


# What is asked for and signed


def test_the_request_covers_every_target_by_its_database_and_history_rows_and_who_is_the_canary(
    world: World, shards: list[Target]
) -> None:
    rollback = ready(world, shards)
    assert [each.target for each in rollback.rollback_targets.all()] == shards
    assert rollback.representative().target == shards[0]
    signed = digests.request_digest(rollback)
    assert signed == rollback.request_digest
    Target.objects.filter(pk=shards[4].pk).update(database_oid=77)
    assert digests.request_digest(rollback) != signed
    Target.objects.filter(pk=shards[4].pk).update(database_oid=shards[4].database_oid)
    assert digests.request_digest(rollback) == signed
    with pytest.raises(IntegrityError), transaction.atomic():
        rollback.rollback_targets.filter(position=2).delete()


def test_one_unread_or_other_schema_or_one_database_twice_holds_the_whole_request_back(
    world: World, shards: list[Target]
) -> None:
    rollback = factories.fleet(world, shards)

    def lacks() -> dict[str, str]:
        found = gates.gates(again(rollback))
        return {gate.key: gate.detail for gate in found if not gate.holds and gate.key in ("facts", "alike")}

    assert lacks() == {}
    last = rollback.rollback_targets.get(target=shards[5])

    def read(data: dict[str, Any], *, holds: bool = True) -> None:
        rollbacks.record_facts(
            rollback,
            change_digest=rollback.change_digest,
            holds=holds,
            sentence="It does not answer.",
            data=data,
            rollback_target=last,
        )

    read({}, holds=False)
    assert lacks()["facts"] == "wallet-service-shard-006: It does not answer."
    read(factories.FACTS | {"schema_sha256": "other"})
    assert "wallet-service-shard-006" in lacks()["alike"]
    read(factories.FLEET_FACTS)
    Target.objects.filter(pk=shards[5].pk).update(database_oid=shards[4].database_oid)
    assert lacks()["alike"] == ("The same database: wallet-service-shard-005, wallet-service-shard-006.")


def test_targets_that_are_set_up_otherwise_are_refused_and_so_is_leaving_the_rehearsed_one(
    world: World, shards: list[Target]
) -> None:
    rollback = factories.fleet(world, shards[:3])

    def choose(targets: list[Target]) -> None:
        rollbacks.edit(rollback, actor=world.alice, revision=again(rollback).revision, targets=targets)

    Target.objects.filter(pk=shards[3].pk).update(search_path="other")
    with pytest.raises(Refused, match="shard-004 differs in: search path"):
        choose([*shards[:3], Target.objects.get(pk=shards[3].pk)])
    factories.rehearse(world, again(rollback))
    with pytest.raises(Refused, match="rehearsed on wallet-service-shard-001, which therefore stays"):
        choose(shards[1:3])
    choose([shards[1], shards[0], shards[4]])
    assert [each.target for each in rollback.rollback_targets.all()] == [shards[1], shards[0], shards[4]]
    # What was rehearsed on another target speaks for the new canary no more.
    assert gates.latest_evidence(again(rollback), Evidence.Kind.REHEARSAL) is None


def test_what_goes_is_added_up_and_one_table_with_rows_makes_all_of_it_risky(
    world: World, shards: list[Target]
) -> None:
    factories.write_script(world, "4", sql="DROP TABLE transactions;")
    rollback = factories.draft(world, "4", where=shards[0])
    rollbacks.edit(rollback, actor=world.alice, revision=rollback.revision, targets=shards)

    def counted(rows: list[int]) -> RollbackRequest:
        for rows_there, each in zip(rows, rollback.rollback_targets.all(), strict=True):
            table = {"relation": "transactions", "rows": rows_there, "exact": True, "bytes": 8192}
            rollbacks.record_facts(
                rollback,
                change_digest=again(rollback).change_digest,
                holds=True,
                sentence="Read.",
                data=factories.FLEET_FACTS | {"tables": [table | {"as_of": None}]},
                rollback_target=each,
            )
        return again(rollback)

    none = counted([0] * 6)
    assert (none.risk, len(none.automatic_checks)) == (4, 1)
    some = counted([0, 0, 7, 0, 5, 0])
    assert (some.risk, some.automatic_checks) == (5, [])
    found = gates.latest_evidence(some, Evidence.Kind.FACTS)
    assert phrases(some, found) == ["transactions: 12 rows"]


def test_a_fleet_has_no_single_execution(world: World, shards: list[Target]) -> None:
    rollback = ready(world, shards)
    with pytest.raises(Refused, match="is a fleet: start its run"):
        factories.start(world, rollback)


# The run


def test_the_canary_first_then_waves_and_the_rollback_is_executed_when_all_are_done(run: FleetRun) -> None:
    assert stands(run) == "owwwww"
    end_all(run)
    assert stands(run) == "doowww"
    first, second = queued(run)
    end(first, SUCCEEDED)
    assert stands(run) == "ddowww", "the next wave waits for all of the last"
    end(second, SUCCEEDED)
    assert (stands(run), fresh(run).wave) == ("dddoow", 2)
    end_all(run)
    end_all(run)
    assert (stands(run), fresh(run).state) == ("dddddd", "finished")
    rollback = again(run.rollback)
    assert (rollback.status, rollback.attempts) == (Status.EXECUTED, 1)
    assert body("execution.succeeded")["facts"]["run_state"] == "finished"
    waves = run.executions.order_by("rollback_target__position").values_list("wave", flat=True)
    assert list(waves) == [0, 1, 1, 2, 2, 3]


def test_a_canary_that_fails_begins_nothing_else_and_nobody_goes_on_without_it(
    world: World, run: FleetRun
) -> None:
    end_all(run, ROLLED_BACK)
    assert (stands(run), fresh(run).state) == ("fwwwww", "stopped")
    with pytest.raises(Refused, match="The canary is not done"):
        fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1, again=True)
    fleets.cancel(run, actor=world.olga, reason="The script is wrong.")
    rollback = again(run.rollback)
    assert rollback.status == Status.FAILED, "nothing was taken back anywhere"
    assert not rollback.approvals.filter(voided_at=None).exists()


def test_it_stops_after_as_many_failures_as_were_said_and_ops_go_on(
    world: World, shards: list[Target]
) -> None:
    run = factories.started_run(world, ready(world, shards), wave_size=3, stop_after=2)
    end_all(run)
    first, second, third = queued(run)
    end(first, ROLLED_BACK)
    assert fresh(run).state == "running"
    end(second, ROLLED_BACK)
    assert (stands(run), fresh(run).state) == ("dffwww", "stopped")
    third.refresh_from_db()
    assert (third.status, third.set_aside) == ("no_effect", True), "no worker had taken it"
    assert again(run.rollback).status == Status.EXECUTING
    with pytest.raises(Refused, match="Other targets have failed"):
        fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1)
    fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=2)
    assert stands(run) == "dffooo"
    end_all(run)
    assert (fresh(run).state, again(run.rollback).status) == ("finished", Status.PARTLY_EXECUTED)
    assert body("fleet.went_on")["facts"]["in_spite_of"] == 2
    assert not run.rollback.approvals.filter(voided_at=None).exists()


def test_what_ended_without_effect_may_be_tried_again_three_times_in_all(world: World, run: FleetRun) -> None:
    for _try in range(3):
        assert stands(run) == "owwwww"
        end_all(run, NO_EFFECT)
        assert (stands(run), fresh(run).state) == ("fwwwww", "stopped")
        if _try < 2:
            fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1, again=True)
    with pytest.raises(Refused, match="The canary is not done"):
        fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1, again=True)


def test_whoever_holds_it_calls_off_what_is_queued_and_a_late_worker_begins_nothing(
    world: World, run: FleetRun
) -> None:
    end_all(run)
    first, second = queued(run)
    running = claimed(first)
    fleets.hold(run, actor=world.olga, reason="The night shift changes.")
    assert stands(run) == "dowwww"
    assert attempts.claim(second.pk, worker="late") is None
    assert Job.objects.get(kind=Job.Kind.EXECUTE, subject=second.pk).state == Job.State.DONE
    factories.run(running)
    factories.end(running, SUCCEEDED)
    assert (stands(run), fresh(run).state) == ("ddwwww", "held"), "what was under way went to its end"
    assert "Held by Olga: The night shift changes." in fresh(run).sentence
    fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=0)
    assert stands(run) == "ddooww"


def test_an_unresolved_target_holds_the_run_until_the_target_has_said_and_somebody_goes_on(
    world: World, run: FleetRun
) -> None:
    end_all(run)
    first, second = queued(run)
    lost = claimed(first)
    factories.run(lost)
    factories.end(lost, UNRESOLVED)
    assert (stands(run), fresh(run).state) == ("duwwww", "held")
    with pytest.raises(Refused, match="Before it can go on, see how wallet-service-shard-002 stands"):
        fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=0)
    lost.refresh_from_db()
    factories.end(lost, SUCCEEDED, resolved=True)
    assert (stands(run), fresh(run).state) == ("ddwwww", "held")
    fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=0)
    assert stands(run) == "ddooww"
    assert again(second.rollback_target.rollback).status == Status.EXECUTING


def settle_by_hand(world: World, execution: Execution) -> None:
    """Olga says that people have seen to it, and a DBA signs."""
    offered, now = halfway.offer(execution, "by_hand"), timezone.now()
    asked = continuing.ask(
        execution,
        course="by_hand",
        digest=halfway.digest_of(execution, "by_hand", offered.steps),
        reason="Dropped the index.",
        actor=world.olga,
        confirmed_at=now,
    )
    continuing.sign(asked, actor=world.dora, role=Role.SENIOR_DBA, digest=asked.digest, confirmed_at=now)
    continuing.start(asked, actor=world.olga, confirmed_at=now)


def test_partly_done_holds_the_run_and_counts_as_failed_once_people_have_seen_to_it(
    world: World, run: FleetRun
) -> None:
    end_all(run)
    first, second = queued(run)
    end(first, ExecutionStatus.PARTIAL)
    assert (stands(run), fresh(run).state) == ("duwwww", "held")
    assert second.pk not in [each.pk for each in queued(run)]
    first.refresh_from_db()
    settle_by_hand(world, first)
    assert stands(run) == "dfwwww"
    fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1)
    end_all(run)
    end_all(run)
    assert (stands(run), again(run.rollback).status) == ("dfdddd", Status.PARTLY_EXECUTED)


def test_ending_it_cancels_what_is_under_way_and_says_of_the_rollback_that_some_is_done(
    world: World, run: FleetRun
) -> None:
    end_all(run)
    first, _second = queued(run)
    running = claimed(first)
    fleets.cancel(run, actor=world.olga, reason="Enough.")
    assert attempts.cancel_requested(running.pk)
    assert again(run.rollback).status == Status.EXECUTING, "one is still under way"
    factories.end(running, NO_EFFECT)
    assert (stands(run), fresh(run).state) == ("dfwwww", "cancelled")
    assert (again(run.rollback).status, fresh(run).ended_at is not None) == (Status.PARTLY_EXECUTED, True)
    with pytest.raises(Refused, match="The run is cancelled"):
        fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=1)


def test_a_target_that_another_execution_holds_holds_the_run_and_begins_nothing_of_the_wave(
    world: World, run: FleetRun, shards: list[Target]
) -> None:
    other = factories.approved(
        world, factories.submitted(world, factories.draft(world, "4", where=shards[2]))
    )
    factories.start(world, other)
    end_all(run)
    assert (stands(run), fresh(run).state) == ("dwwwww", "held")
    assert f"of {other.label} is queued on wallet-service-shard-003" in fresh(run).sentence


def test_called_twice_it_begins_nothing_twice(run: FleetRun) -> None:
    end_all(run)
    before = Execution.objects.count(), Job.objects.count()
    with transaction.atomic():
        for _time in range(3):
            assert advance(lock(run.pk))["began"] == 0
    assert (Execution.objects.count(), Job.objects.count()) == before
    first = queued(run)[0]
    claimed(first)
    assert attempts.claim(first.pk, worker="again") is None
    assert trail()[-1] == "execution.duplicate_claim_ignored"


@pytest.mark.parametrize("name", ["alice", "dora", "lea", "axel", "adam"])
def test_only_ops_start_hold_go_on_and_end(name: str, world: World, shards: list[Target]) -> None:
    rollback = ready(world, shards)
    person = world.people[name]
    given: dict[str, Any] = {"digest": rollback.request_digest, "confirmed_at": timezone.now()}
    with pytest.raises(Denied):
        fleets.start(rollback, actor=person, wave_size=2, **given)
    run = factories.started_run(world, rollback)
    acts: list[Callable[[], object]] = [
        lambda: fleets.hold(run, actor=person, reason="x"),
        lambda: fleets.go_on(run, actor=person, confirmed_at=timezone.now(), seen=0),
        lambda: fleets.cancel(run, actor=person, reason="x"),
    ]
    for act in acts:
        with pytest.raises(Denied):
            act()
    assert trail()[-1] == "fleet.cancelled.denied"


def test_the_worker_asks_about_the_one_target_that_is_about_to_begin(world: World, run: FleetRun) -> None:
    end_all(run)
    first, second = queued(run)
    done = run.rollback.rollback_targets.get(position=1)
    target = Target.objects.get(pk=done.target_id)
    factories.apply(world, target, "123")
    Target.objects.filter(pk=target.pk).update(database_oid=20_001)
    assert attempts.preflight(first) == [], "that V4 is gone on the canary is nobody's concern any more"
    target = Target.objects.get(pk=second.target_id)
    factories.apply(world, target, "123")
    Target.objects.filter(pk=target.pk).update(database_oid=20_003)
    assert any("The history is as it was pinned" in said for said in attempts.preflight(second))


# What the database holds


def refused(execution: Execution, **fields: Any) -> str:
    """The constraint that keeps a copy of this execution with other fields out."""
    execution = Execution.objects.get(pk=execution.pk)
    for name, value in ({"id": uuid4(), "status": "queued"} | fields).items():
        setattr(execution, name, value)
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        execution.save(force_insert=True)
    return str(error.value).splitlines()[0]


def test_the_database_holds_the_canary_first_the_run_and_its_state(world: World, run: FleetRun) -> None:
    canary = queued(run)[0]
    second = RollbackTarget.objects.get(rollback=run.rollback, position=2)
    there = {"rollback_target": second, "target": second.target}
    assert refused(canary, **there) == "the canary comes first"
    assert "one of several targets runs in a run of its rollback only" in refused(canary, **there, run=None)
    end_all(run)
    fleets.hold(run, actor=world.olga, reason="x")
    assert refused(canary, **there) == "the run does not run"
    late = run.executions.filter(set_aside=True).first()
    assert late is not None
    fleets.go_on(run, actor=world.olga, confirmed_at=timezone.now(), seen=0)
    waiting = queued(run)[0]
    FleetRun.objects.filter(pk=run.pk).update(state="held")
    with pytest.raises(IntegrityError, match="the run does not run"), transaction.atomic():
        Execution.objects.filter(pk=waiting.pk).update(status="claimed")
    for change, why in [
        ({"wave_size": 9}, "what a run is for does not change"),
        ({"ended_at": timezone.now()}, "run_ends_cancelled_or_finished"),
    ]:
        with pytest.raises(IntegrityError, match=why), transaction.atomic():
            FleetRun.objects.filter(pk=run.pk).update(**change)
    with pytest.raises(IntegrityError, match="a run of this rollback is not over"), transaction.atomic():
        RollbackRequest.objects.filter(pk=run.rollback_id).update(status="failed")
    FleetRun.objects.filter(pk=run.pk).update(state="cancelled")
    with pytest.raises(IntegrityError, match="what is over stays over"), transaction.atomic():
        FleetRun.objects.filter(pk=run.pk).update(state="running")


def test_stand_of_a_target_is_that_of_what_was_not_set_aside() -> None:
    assert stand([]) is Stand.WAITING
    assert stand([Execution(status="no_effect", set_aside=True)]) is Stand.WAITING
    assert stand([Execution(status="succeeded"), Execution(status="no_effect", set_aside=True)]) is Stand.DONE
    assert stand([Execution(status="committed_check_failed")]) is Stand.FAILED
    assert stand([Execution(status="awaiting_restart")]) is Stand.OPEN
    taken_back = Execution(status="succeeded", course="take_back")
    assert stand([taken_back]) is Stand.FAILED
