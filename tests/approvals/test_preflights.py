"""Preflights: who asks, what the portal itself has against a start, and how the answer is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import catalog, preflights
from approvals.errors import Denied, Refused
from approvals.models import Evidence, Job, RollbackRequest, Status
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
