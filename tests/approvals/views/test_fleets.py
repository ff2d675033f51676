"""The pages of fleets: choosing targets, the review, the start, the matrix and what ops do with a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from approvals import fleets
from approvals.models import ExecutionStatus, FleetRun, RollbackRequest, Status, Target
from tests.approvals import factories
from tests.approvals.factories import World, again, claimed
from tests.approvals.views.visits import as_, see, send

if TYPE_CHECKING:
    from tests.approvals.views.visits import Page

pytestmark = pytest.mark.integration


@pytest.fixture
def shards(world: World) -> list[Target]:
    return factories.shards(world, 6)


def ready(world: World, targets: list[Target]) -> RollbackRequest:
    return factories.approved(world, factories.submitted(world, factories.fleet(world, targets)))


def end_wave(run: FleetRun, status: ExecutionStatus = ExecutionStatus.SUCCEEDED) -> None:
    for execution in run.executions.filter(status="queued").order_by("rollback_target__position"):
        if again(run.rollback).status == Status.EXECUTING and execution.status == "queued":
            execution.refresh_from_db()
        if execution.status != "queued":
            continue
        taken = claimed(execution)
        factories.run(taken)
        factories.end(taken, status)


def matrix(world: World, rollback: RollbackRequest, name: str = "olga", show: str = "") -> Page:
    return see(
        as_(world.people[name]), reverse("fleet_detail", args=[rollback.pk]) + (show and f"?show={show}")
    )


def test_alice_chooses_targets_of_her_service_and_reads_why_others_cannot_go_along(
    world: World, shards: list[Target]
) -> None:
    factories.write_script(world, "4")
    rollback = factories.draft(world, "4", where=shards[0])
    where = reverse("rollback_targets", args=[rollback.pk])
    page = see(as_(world.alice), where)
    assert "7 targets of the service are set up alike" in page
    others, says, _rest = page.text.partition("targets can’t go along")[2].partition(
        ": differ in environment"
    )
    assert says
    assert "wallet-service-production" in others
    assert "shard" not in others
    form = {
        "targets": [shard.name for shard in shards[:4]],
        "canary": shards[2].name,
        "revision": rollback.revision,
    }
    page = send(as_(world.alice), where, **form)
    assert "Roll back V4 on 4 targets of wallet-service" in page
    assert [each.target for each in rollback.rollback_targets.all()] == [
        shards[2],
        shards[0],
        shards[1],
        shards[3],
    ]
    unread = ", ".join(f"wallet-service-shard-00{number}" for number in (3, 2, 4))
    assert f"Not read yet: {unread}" in page
    stranger = world.production.name
    page = send(
        as_(world.alice), where, **(form | {"targets": [stranger], "revision": again(rollback).revision})
    )
    assert f"{stranger} can’t go along: it differs in environment" in page


def test_approvers_read_every_target_by_name_and_database(world: World, shards: list[Target]) -> None:
    rollback = factories.submitted(world, factories.fleet(world, shards))
    page = see(as_(world.dora), reverse("rollback_detail", args=[rollback.pk]))
    assert "On 6 targets, each named here by its system and object id" in page
    for shard in shards:
        assert f"{shard.name} wallet, {shard.system_identifier}/{shard.database_oid}" in page
    assert "wallet-service-shard-001 is the canary" in page


def test_more_targets_than_fit_on_a_page_are_read_in_pages(world: World) -> None:
    rollback = factories.fleet(world, factories.shards(world, 51))
    where, alice = reverse("rollback_detail", args=[rollback.pk]), as_(world.alice)
    first, second = see(alice, where), see(alice, f"{where}?targets=2")
    assert "wallet-service-shard-050 wallet," in first
    assert "wallet-service-shard-051 wallet," not in first
    assert "Page 1 of 2, 51 in all" in first
    assert "wallet-service-shard-051 wallet," in second
    assert "wallet-service-shard-050 wallet," not in second


def test_ops_start_the_run_in_waves_and_watch_it(world: World, shards: list[Target]) -> None:
    rollback = ready(world, shards)
    olga = as_(world.olga, confirmed=True)
    page = see(olga, reverse("fleet_start", args=[rollback.pk]))
    assert "Run the rollback of V4 on 6 targets?" in page
    form = {"digest": rollback.request_digest, "wave_size": 9, "stop_after": 1}
    where = reverse("fleet_start", args=[rollback.pk])
    assert "less than or equal to 5" in send(olga, where, **form)
    page = send(olga, where, **(form | {"wave_size": 3}))
    assert "0 of 6 taken back, 1 queued, 5 not begun." in page
    run = rollback.runs.get()
    assert (run.wave_size, run.stop_after, run.started_by) == (3, 1, world.olga)
    end_wave(run)
    page = matrix(world, rollback)
    assert "Canary" in page
    assert "Wave 1" in page
    assert "wallet-service-shard-001: Committed and verified" in page
    assert "1 of 6 taken back, 3 queued, 2 not begun." in page
    assert see(olga, reverse("fleet_live", args=[rollback.pk])).status == 200
    assert see(olga, reverse("rollback_start", args=[rollback.pk])).status == 302


def test_a_stopped_run_says_why_what_needs_a_person_and_how_it_goes_on(
    world: World, shards: list[Target]
) -> None:
    rollback = ready(world, shards)
    run = factories.started_run(world, rollback)
    end_wave(run)
    end_wave(run, ExecutionStatus.ROLLED_BACK)
    page = matrix(world, rollback)
    assert "Stopped after 1 failure." in page
    assert "Committed on 1 of 6 targets, and stays so. Nothing has changed on 5." in page
    assert "Go on if the others will not fail for the same reason; else end the run." in page
    assert "What needs a person" in page
    assert "wallet-service-shard-002 Rolled back" in page
    assert "Go on…" in page
    assert "wallet-service-shard-001" not in matrix(world, rollback, show="failed")
    assert "Go on…" not in matrix(world, rollback, "alice")
    review = see(as_(world.dora), reverse("rollback_detail", args=[rollback.pk]))
    assert "1 of 6 taken back, 1 failed, 4 not begun." in review
    assert "Canary of 6 targets" in review
    assert "Execution on wallet-service-shard-002" in review
    olga = as_(world.olga, confirmed=True)
    page = see(olga, reverse("fleet_go_on", args=[rollback.pk]))
    assert "The failures so far are accepted: 1 more stops the run again." in page
    assert "wallet-service-shard-002 Rolled back" in page
    assert "Also try those again" not in page, "none ended without effect"
    page = send(olga, reverse("fleet_go_on", args=[rollback.pk]), seen=0)
    assert "Other targets have failed since you opened the page" in page
    send(olga, reverse("fleet_go_on", args=[rollback.pk]), seen=1)
    assert FleetRun.objects.get().state == "running"
    send(olga, reverse("fleet_hold", args=[rollback.pk]), reason="The shift changes.")
    assert "Held by Olga: The shift changes." in matrix(world, rollback)
    page = send(olga, reverse("fleet_end", args=[rollback.pk]), reason="Enough.")
    assert "Partly executed" in page
    assert "1 of 6 taken back" in page
    assert "Ask anew for what is left" in page
    failed = run.executions.get(status="rolled_back")
    page = see(as_(world.alice), reverse("execution_detail", args=[failed.pk]))
    assert "wave 1 of the run of" in page
    assert "Back to the run" in page
    assert "this target takes a request of its own" in page


def test_what_cannot_be_done_answers_with_a_page(world: World, shards: list[Target]) -> None:
    rollback = ready(world, shards)
    olga = as_(world.olga, confirmed=True)
    for name in ("fleet_hold", "fleet_go_on", "fleet_end"):
        where = reverse(name, args=[rollback.pk])
        assert see(olga, where).status == 409
        assert send(olga, where, reason="x", seen=0).status in (409, 422)
    assert "Nothing has begun. The canary is wallet-service-shard-001." in matrix(world, rollback)


def test_a_matrix_of_twelve_takes_as_many_queries_as_one_of_three(
    world: World, queries_of: Callable[[Client, str], int]
) -> None:
    shards = factories.shards(world, 12)
    asked = []
    for some in (shards[:3], shards):
        rollback = ready(world, some)
        run = factories.started_run(world, rollback, wave_size=len(some) - 1)
        end_wave(run)
        end_wave(run, ExecutionStatus.ROLLED_BACK)
        pages = [reverse(name, args=[rollback.pk]) for name in ("fleet_detail", "rollback_detail")]
        see(as_(world.olga), pages[1])
        asked.append([queries_of(as_(world.olga), page) for page in pages])
        fleets.cancel(run, actor=world.olga, reason="The next one.")
    assert asked[0] == asked[1]


def test_of_many_targets_one_is_found_by_its_name_and_then_shows_it(world: World) -> None:
    rollback = ready(world, factories.shards(world, 26))
    run = factories.started_run(world, rollback)
    end_wave(run)
    end_wave(run, ExecutionStatus.ROLLED_BACK)
    where, olga = reverse("fleet_detail", args=[rollback.pk]), as_(world.olga)
    named = '<span class="name" aria-hidden="true">'
    assert named not in see(olga, where).html
    page = see(olga, where, q="SHARD-02")
    assert page.html.count(named) == 7
    assert f"{reverse('fleet_detail', args=[rollback.pk])}?q=SHARD-02&amp;show=failed" in page.html
    assert see(olga, where, show="failed").html.count(named) == 1
    page = see(olga, where, q="nowhere", show="failed")
    assert "No target has “nowhere” in its name and stands so now." in page
    assert "1 of 26 taken back, 1 failed, 24 not begun." in page


def test_whoever_watches_a_run_in_which_some_have_failed_is_told_when_it_stops(
    world: World, shards: list[Target]
) -> None:
    rollback = ready(world, shards)
    run = factories.started_run(world, rollback, wave_size=2, stop_after=3)
    end_wave(run)
    first = run.executions.filter(status="queued").order_by("rollback_target__position")[0]
    factories.end(claimed(first), ExecutionStatus.ROLLED_BACK)
    page = matrix(world, rollback)
    assert "1 of 6 taken back, 1 failed, 1 queued, 3 not begun." in page
    assert "It stops by itself after 2 more failures; hold it now" in page
