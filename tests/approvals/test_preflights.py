"""Preflights: who asks, what the portal itself has against a start, and how the answer is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import catalog, executions, preflights, schedules
from approvals.errors import Denied, Refused
from approvals.known import Known
from approvals.models import Evidence, ExecutionStatus, Job, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in

pytestmark = pytest.mark.integration


def point(verdict: str, key: str = "locks", says: str = "So it is.") -> dict[str, Any]:
    """One line as a worker tells it."""
    return {"key": key, "title": "Locks are free", "verdict": verdict, "says": says, "who": []}


def test_whoever_works_on_it_asks_and_nobody_asks_twice(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    for name in ("axel", "eve", "nora"):
        with pytest.raises(Denied):
            preflights.ask(rollback, actor=world.people[name])
    job = preflights.ask(rollback, actor=world.alice)
    assert (job.kind, job.digest) == (Job.Kind.PREFLIGHT, rollback.change_digest)
    with pytest.raises(Refused, match="asked for it already"):
        preflights.ask(rollback, actor=world.olga)
    with pytest.raises(Refused, match="is draft now"):
        preflights.ask(rollback_in(world, Status.DRAFT), actor=world.alice)


def test_go_is_kept_as_evidence_of_these_bytes(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    found = preflights.record(rollback, [point("go"), point("look")], [point("look"), point("unknown")])
    kept = Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.PREFLIGHT).latest("at")
    assert found == preflights.Found(True, "Go: nothing stands in the way; 2 points are worth knowing.")
    assert (kept.holds, kept.sentence, kept.change_digest) == (True, found.sentence, rollback.change_digest)
    assert [each["key"] for each in kept.data["points"]] == ["gates", "locks", "locks"]
    assert factories.body("preflight.recorded")["facts"]["holds"] is True


def test_one_point_that_stops_is_no_go_whatever_the_others_say(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    found = preflights.record(rollback, [point("go"), point("stop", says="Held by pid 7.")], [])
    assert found == preflights.Found(False, "No-go. Held by pid 7.")


def test_what_the_portal_has_against_it_stops_too(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    RollbackRequest.objects.filter(pk=rollback.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    world.production.history.all().delete()
    rollback.refresh_from_db()
    found = preflights.record(rollback, [point("go")], [])
    assert not found.go
    assert "The history is as it was pinned:" in found.sentence
    assert f"The time to execute {rollback.label} is over." in found.sentence


def test_repeatable_migrations_that_need_what_goes_are_named(world: World, tmp_path: Any) -> None:
    files: dict[str, str | bytes] = {
        "R__spent.sql": "CREATE OR REPLACE VIEW spent AS SELECT 1 FROM wallets, transactions;",
        "R__rich.sql": "CREATE OR REPLACE VIEW rich AS SELECT id FROM wallets;",
    }
    factories.write_files(tmp_path, {**factories.FILES, **files})
    catalog.import_directory(world.service, tmp_path, actor=None)
    rollback = rollback_in(world, Status.APPROVED, "critical")
    preflights.record(rollback, [], [])
    kept = Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.PREFLIGHT).latest("at")
    (repeatables,) = kept.data["breaks"]
    assert repeatables["verdict"] == "look"
    assert repeatables["who"] == ["R__spent.sql: transactions"]


def attempts_of(rollback: RollbackRequest) -> int:
    return RollbackRequest.objects.get(pk=rollback.pk).attempts


def test_after_a_no_go_a_start_is_refused_without_an_attempt_until_a_look_says_go(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    preflights.record(rollback, [point("stop", says="Held by pid 7.")], [])
    with pytest.raises(Refused, match=r"says no-go: Held by pid 7\. .* Have a worker look again"):
        factories.start(world, rollback)
    assert attempts_of(rollback) == 0
    assert not rollback.representative().executions.filter(purpose="real").exists()
    preflights.record(rollback, [point("go")], [])
    assert factories.start(world, rollback).status == "queued"
    assert attempts_of(rollback) == 1


def test_the_no_go_of_an_attempt_keeps_the_next_one_from_being_used_up(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    execution = factories.claimed(factories.start(world, rollback))
    preflights.record(rollback, [point("stop")], [], execution=execution)
    factories.end(execution, ExecutionStatus.NO_EFFECT)
    with pytest.raises(Refused, match="says no-go"):
        factories.start(world, factories.again(rollback))
    assert attempts_of(rollback) == 1


@pytest.mark.parametrize("why", ["long ago", "only gates", "other bytes"])
def test_a_no_go_that_says_nothing_about_now_stops_no_start(
    world: World, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    with monkeypatch.context() as patch:
        if why == "only gates":  # asked anew by the start
            patch.setattr(preflights, "objections", lambda *_, **__: [point("stop")])
        if why == "other bytes":
            patch.setattr(rollback, "change_digest", "another")
        preflights.record(rollback, [point("go" if why == "only gates" else "stop")], [])
    if why == "long ago":
        monkeypatch.setattr(Known, "now", timezone.now() + preflights.FRESH + timedelta(minutes=1))
    assert factories.start(world, factories.again(rollback)).status == "queued"


def test_the_clock_starts_what_was_scheduled_whatever_a_look_said_before(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    at = timezone.now() + timedelta(hours=1)
    found = schedules.schedule(
        rollback, actor=world.olga, digest=rollback.request_digest, confirmed_at=timezone.now(), at=at
    )
    preflights.record(rollback, [point("stop")], [])
    assert executions.start_scheduled(found).status == "queued"


def test_a_run_does_not_begin_while_the_look_at_its_canary_says_no_go(world: World) -> None:
    shards = factories.shards(world, 2)
    rollback = factories.approved(world, factories.submitted(world, factories.fleet(world, shards)))
    canary, other = rollback.rollback_targets.select_related("target", "rollback")
    preflights.record(rollback, [point("stop")], [], rollback_target=other)
    preflights.record(rollback, [point("go")], [], rollback_target=canary)
    assert preflights.no_go(Known(rollback)) == "", "what another target shows is for the run to meet"
    preflights.record(rollback, [point("stop")], [], rollback_target=canary)
    with pytest.raises(Refused, match="says no-go"):
        factories.started_run(world, rollback)
    assert attempts_of(rollback) == 0
