"""The dashboard: what waits for whom, what runs, what went wrong, and nothing that concerns others only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals import rollbacks
from approvals.models import (
    Execution,
    ExecutionStatus,
    IncidentAction,
    PostMortem,
    Role,
    RollbackRequest,
    Status,
)
from approvals.pages import inbox
from tests.approvals import factories
from tests.approvals.factories import World
from tests.approvals.views.visits import Page, as_, see

pytestmark = pytest.mark.integration


def section(page: Page, heading: str) -> str:
    """The words below a heading of the page, up to the next one."""
    html = page.html
    begin = html.index(f">{heading}</h2>")
    end = html.find("<h2", begin)
    return html[begin : end if end > 0 else None]


def only(world: World, rollback: RollbackRequest) -> RollbackRequest:
    """Withdraw all the others that every test begins with."""
    for other in RollbackRequest.objects.exclude(pk=rollback.pk):
        rollbacks.withdraw(other, actor=world.alice, reason="Tidy up.")
    return rollback


# What waits


@pytest.mark.parametrize("name", ["dora", "dan", "lea"])
def test_a_critical_rollback_waits_for_everybody_whose_signature_is_missing(world: World, name: str) -> None:
    rollback = only(world, factories.rollback_in(world, Status.IN_REVIEW, "critical"))
    page = see(as_(world.people[name]), "/")
    assert "1 rollback waits for you" in page
    assert rollback.label in section(page, "For your decision")
    assert "3 signatures are missing" in page


def test_a_low_rollback_does_not_wait_for_the_lead(world: World) -> None:
    only(world, factories.rollback_in(world, Status.IN_REVIEW, "production"))
    page = see(as_(world.lea), "/")
    assert "Nothing waits for you" in page
    assert "1 more is in review, but not for you" in page


def test_what_i_signed_no_longer_waits_for_me(world: World) -> None:
    rollback = only(world, factories.rollback_in(world, Status.IN_REVIEW, "high"))
    factories.decide(world, rollback, world.dora)
    assert "Nothing waits for you" in see(as_(world.dora), "/")
    assert "Yours is the last signature it needs." in see(as_(world.dan), "/")


def test_what_i_asked_for_or_wrote_does_not_wait_for_my_signature(world: World) -> None:
    factories.write_script(world, "4", sql=factories.UNDO["4"] + "SELECT 1;\n", actor=world.ada)
    rollback = only(world, factories.submitted(world, factories.draft(world, where=world.high)))
    assert rollback.items.get().script.authors.filter(username="ada").exists()
    page = see(as_(world.ada), "/")
    assert "Nothing waits for you" in page
    assert rollback.label in section(see(as_(world.dora), "/"), "For your decision")


def test_a_voided_signature_waits_again(world: World) -> None:
    rollback = only(world, factories.rollback_in(world, Status.IN_REVIEW, "high"))
    factories.decide(world, rollback, world.dora)
    rollbacks.edit(
        rollback, actor=world.alice, revision=factories.again(rollback).revision, reason="Another reason."
    )
    factories.rehearse(world, rollback)
    rollbacks.submit(factories.again(rollback), actor=world.alice)
    assert "1 rollback waits for you" in see(as_(world.dora), "/")


def test_an_approved_rollback_waits_for_ops(world: World) -> None:
    rollback = only(world, factories.rollback_in(world, Status.APPROVED))
    assert rollback.label in section(see(as_(world.olga), "/"), "Approved, to be started by ops")
    assert "Approved, to be started by ops" not in see(as_(world.dora), "/")


def test_what_is_approved_and_cannot_be_started_does_not_wait_for_ops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = only(world, factories.rollback_in(world, Status.APPROVED))
    monkeypatch.setattr("approvals.known.Known.now", timezone.now() + timedelta(days=365))  # no freeze lasts
    page = see(as_(world.olga), "/")
    assert "Nothing waits for you" in page
    assert rollback.label not in section(page, "Approved, to be started by ops")
    blocked = section(page, "Approved, and can't be started as it is")
    assert rollback.label in blocked
    assert "a freeze that is not over yet" in blocked


def test_my_drafts_wait_for_me_and_only_for_me(world: World) -> None:
    rollback = only(world, factories.rollback_in(world, Status.DRAFT))
    page = see(as_(world.alice), "/")
    assert "1 rollback waits for you" in page
    assert rollback.label in section(page, "Your rollbacks")
    assert rollback.label not in section(see(as_(world.bob), "/"), "Your rollbacks")


def test_a_list_that_was_cut_says_so_and_leads_to_all_of_it(world: World) -> None:
    for _row in range(inbox.LIMIT):
        factories.draft(world)
    page = see(as_(world.again("alice")), "/")
    assert "The 20 most pressing are shown." in page
    assert "/rollbacks/?mine=on" in page.links
    assert "most pressing are shown" not in see(as_(world.again("olga")), "/")


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.APPROVED])
def test_what_others_must_act_on_does_not_wait_for_me(world: World, status: Status) -> None:
    rollback = only(world, factories.rollback_in(world, status))
    page = see(as_(world.alice), "/")
    assert "Nothing waits for you" in page
    assert rollback.label in section(page, "Your rollbacks")


def test_what_waits_for_me_stands_before_what_waits_for_others(world: World) -> None:
    mine = factories.rollback_in(world, Status.DRAFT, "production")
    theirs = factories.rollback_in(world, Status.APPROVED, "critical")
    assert theirs.pk > mine.pk
    shown = section(see(as_(world.alice), "/"), "Your rollbacks")
    assert shown.index(f">{mine.label}<") < shown.index(f">{theirs.label}<")


def test_what_waits_for_others_says_for_whom(world: World) -> None:
    only(world, factories.rollback_in(world, Status.IN_REVIEW, "high"))
    assert "2 signatures are missing: 2 × Senior DBA." in section(
        see(as_(world.alice), "/"), "Your rollbacks"
    )


# What runs and what went wrong


@pytest.mark.parametrize(
    ("status", "words"),
    [(ExecutionStatus.UNRESOLVED, "unresolved"), (ExecutionStatus.PARTIAL, "partly done")],
)
def test_what_keeps_a_target_stands_above_all(status: ExecutionStatus, words: str, world: World) -> None:
    execution = factories.executed(world, factories.rollback_in(world, Status.APPROVED), status)
    html = see(as_(world.dora), "/").html
    label = execution.rollback_target.rollback.label
    assert html.index(f"{label} on {world.production} is {words}") < html.index("<h1")


def test_a_migration_that_came_back_is_an_alarm_above_all(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    Execution.objects.filter(rollback_target__rollback=rollback, purpose="real").update(
        reappeared_at=timezone.now()
    )
    html = see(as_(world.alice), "/").html
    assert html.index(f"What {rollback.label} took back is applied again on") < html.index("<h1")
    assert "applied again" not in see(as_(world.eve), "/")


def test_what_runs_is_shown_and_a_rehearsal_is_called_one(world: World) -> None:
    from approvals import executions

    rollback = factories.draft(world, where=world.staging)
    execution = executions.ask_for_rehearsal(rollback, actor=world.alice)
    running = section(see(as_(world.dora), "/"), "Running now")
    assert str(execution) in running
    assert "Rehearsal" in running


def test_what_committed_and_then_failed_a_check_is_not_shown_as_good(world: World) -> None:
    rollback = factories.rollback_in(world, Status.APPROVED)
    factories.executed(world, rollback, ExecutionStatus.COMMITTED_CHECK_FAILED)
    ended = section(see(as_(world.alice), "/"), "Ended lately")
    assert "Committed, a check failed after commit" in ended
    assert "state-warn" in ended


def test_an_alarm_that_somebody_answered_is_no_alarm_any_more(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    now = timezone.now()
    Execution.objects.filter(rollback_target__rollback=rollback, purpose="real").update(
        reappeared_at=now, alarm_answered_at=now, alarm_answered_by=world.olga
    )
    assert "applied again" not in see(as_(world.alice), "/")


def test_what_ended_says_how(world: World) -> None:
    rollback = factories.rollback_in(world, Status.EXECUTED)
    ended = section(see(as_(world.alice), "/"), "Ended lately")
    assert rollback.label in ended
    assert "So it ended." in ended


def test_an_overdue_post_mortem_is_counted(world: World) -> None:
    factories.rollback_in(world, Status.EXECUTED)
    PostMortem.objects.update(due_at=timezone.now() - timedelta(hours=5))
    for name in ("alice", "dora", "axel"):
        page = see(as_(world.people[name]), "/")
        assert "1 overdue" in page
        assert "was due 5 h ago" in page
    assert "overdue" not in see(as_(world.eve), "/")


def test_what_i_promised_after_an_incident_is_mine_to_see_and_nobody_else_s(world: World) -> None:
    incident = factories.incident(world)
    yesterday = timezone.localdate() - timedelta(days=1)
    IncidentAction.objects.create(
        incident=incident, text="Test the key first.", owner=world.bob, due_on=yesterday, added_by=world.alice
    )
    page = see(as_(world.bob), "/")
    assert "Test the key first." in section(page, "You promised")
    assert "was due on" in page
    assert "Test the key first." not in see(as_(world.alice), "/")


def test_an_overdue_post_mortem_stands_above_all(world: World) -> None:
    factories.rollback_in(world, Status.EXECUTED)
    PostMortem.objects.update(due_at=timezone.now() - timedelta(hours=5))
    html = see(as_(world.alice), "/").html
    assert html.index("1 post-mortem is overdue.") < html.index("<h1")


def test_of_what_ends_in_the_same_hour_the_gravest_comes_first(world: World) -> None:
    low = factories.rollback_in(world, Status.IN_REVIEW, "production")
    critical = factories.rollback_in(world, Status.IN_REVIEW, "critical")
    hour = timezone.now().replace(minute=10) + timedelta(hours=3)
    RollbackRequest.objects.filter(pk=low.pk).update(expires_at=hour)
    RollbackRequest.objects.filter(pk=critical.pk).update(expires_at=hour + timedelta(minutes=5))
    shown = section(see(as_(world.dora), "/"), "For your decision")
    assert shown.index(critical.label) < shown.index(f"{low.label}<")
    RollbackRequest.objects.filter(pk=low.pk).update(expires_at=hour - timedelta(hours=1))
    shown = section(see(as_(world.dora), "/"), "For your decision")
    assert shown.index(f"{low.label}<") < shown.index(critical.label)


# Nothing of others, and nothing at all


def test_each_role_is_told_what_to_do_first_where_nothing_waits(world: World) -> None:
    for rollback in RollbackRequest.objects.all():
        rollbacks.withdraw(rollback, actor=world.alice, reason="Tidy up.")
    says = {
        "dora": "Nothing is in review that you may sign.",
        "olga": "Nothing is approved and not started.",
        "axel": "Begin with the chain",
    }
    for name, sentence in says.items():
        assert sentence in see(as_(world.people[name]), "/")


def test_an_admin_sees_what_lacks_a_connection_or_a_role(world: World) -> None:
    fresh = factories.target(world.service, "fresh", environment="staging")
    page = see(as_(world.adam), "/")
    assert page.leads_to(f"/targets/{fresh.name}/")
    assert page.leads_to("/people/nora/")
    assert world.production.name not in section(page, "Set up")


def test_another_team_s_dashboard_is_empty_and_says_how_to_begin(world: World) -> None:
    page = see(as_(world.eve), "/")
    assert "Nothing waits for you" in page
    assert "RB-" not in page
    assert "Begin with a target" in page


def test_somebody_without_a_role_is_told_so(world: World) -> None:
    page = see(as_(world.nora), "/")
    assert "You have no role yet" in page
    assert "RB-" not in page


def test_an_auditor_finds_the_state_of_the_record(world: World) -> None:
    page = see(as_(world.axel), "/")
    assert page.leads_to("/audit/verify/")
    assert set(page.forms) <= {"/search/", "/account/zone/"}, "nothing but how they read"


@pytest.mark.parametrize("name", ["alice", "dora", "olga", "axel"])
def test_many_rollbacks_take_as_many_queries_as_few(
    world: World, name: str, queries_of: Callable[[Client, str], int]
) -> None:
    counts = []
    for rows in (0, 40):
        for _row in range(rows):
            factories.draft(world)
        person = world.again(name)
        if name == "dora":
            assert Role.SENIOR_DBA in person.roles
        client = as_(person)
        client.get("/")
        counts.append(queries_of(client, "/"))
    assert counts[0] == counts[1] <= 30
