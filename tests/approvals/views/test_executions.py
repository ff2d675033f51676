"""Executions: the confirmation before a start, the live page, one state for each outcome, cancelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import alarms, attempts, backups, rollbacks
from approvals.models import (
    AuditEvent,
    Backup,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    ExecutionStep,
    RollbackRequest,
    Status,
)
from tests.approvals import factories
from tests.approvals.factories import World, rollback_in
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

BLOCKER = {
    "pid": 48211,
    "user": "report_ro",
    "application": "finance-report",
    "query_start": "2026-03-01T02:19:00+00:00",
    "state": "idle in transaction",
    "relation": "wallets",
}


def start_url(rollback: RollbackRequest) -> str:
    return reverse("rollback_start", args=[rollback.pk])


def url(execution: Execution, name: str = "execution_detail") -> str:
    return reverse(name, args=[execution.pk])


def running(world: World, on: str = "production") -> Execution:
    """An execution whose script has begun."""
    execution = factories.claimed(factories.start(world, rollback_in(world, Status.APPROVED, on)))
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    factories.back_up(execution)
    factories.run(execution)
    return execution


def look(world: World, execution: Execution, name: str = "olga") -> Page:
    return see(as_(world.people[name]), url(execution))


def test_the_confirmation_names_target_action_and_digest(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    page = see(as_(world.olga, confirmed=True), start_url(rollback))
    assert "Run the rollback of V3 on wallet-service-production?" in page
    assert "Run it on wallet-service-production" in page
    assert rollback.request_digest in page
    assert "Type the name of the target" not in page


def test_ops_start_it_and_watch_it_on_the_next_page(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    page = send(as_(world.olga, confirmed=True), start_url(rollback), digest=rollback.request_digest)
    assert "It waits for a worker since" in page
    assert Execution.objects.filter(purpose="real", status="queued").count() == 1


def test_critical_types_the_targets_name(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "critical")
    client = as_(world.olga, confirmed=True)
    data = {"digest": rollback.request_digest}
    for wrong in ("", "wallet-service-production", "WALLET-SERVICE-CRITICAL"):
        page = send(client, start_url(rollback), name=wrong, **data)
        assert page.status == 400
        assert "This is not the target's name. Type wallet-service-critical." in page
    send(client, start_url(rollback), name=" wallet-service-critical ", **data)
    assert Execution.objects.filter(purpose="real").count() == 1


def test_a_start_sent_twice_starts_once(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    client = as_(world.olga, confirmed=True)
    send(client, start_url(rollback), digest=rollback.request_digest)
    again = send(client, start_url(rollback), digest=rollback.request_digest)
    assert again.status == 409
    assert Execution.objects.filter(purpose="real").count() == 1


def test_a_start_from_a_page_of_an_older_digest_is_refused(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    client = as_(world.olga, confirmed=True)
    assert send(client, start_url(rollback), digest="0" * 64).status == 409
    opened = see(client, start_url(rollback), digest="0" * 64)
    assert opened.status == 409
    assert "was changed since you opened its page" in opened
    assert not Execution.objects.filter(purpose="real").exists()


def test_a_start_takes_a_fresh_proof(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert as_(world.olga).get(start_url(rollback)).status_code == 302
    page = send(as_(world.olga), start_url(rollback), digest=rollback.request_digest)
    assert page.status == 409
    assert "Confirm your password first" in page


@pytest.mark.parametrize("name", ["alice", "dora", "lea", "axel", "adam"])
def test_only_ops_start_and_other_attempts_are_on_record(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    client = as_(world.people[name], confirmed=True)
    assert send(client, start_url(rollback), digest=rollback.request_digest).status == 403
    assert AuditEvent.objects.latest("seq").action == "page.opened.denied"


def test_what_is_not_approved_says_why_it_can_not_start(world: World) -> None:
    page = see(as_(world.olga, confirmed=True), start_url(rollback_in(world, Status.IN_REVIEW)))
    assert page.status == 409
    assert "It is not approved yet: 1 signature is missing." in page


def test_the_live_page_shows_where_it_is_and_asks_for_itself(world: World) -> None:
    execution = running(world)
    ExecutionStep.objects.filter(execution=execution).update(state=ExecutionStep.State.RUNNING)
    ExecutionLog.objects.create(execution=execution, text="step 1: DROP INDEX")
    page = look(world, execution)
    assert "Rolling back V3 on wallet-service-production" in page
    assert "Step 1 of 1 runs: Drops index wallets_by_user." in page
    assert "Nothing is committed." in page
    assert "2,097,152 bytes" in page
    assert "step 1: DROP INDEX" in page
    assert f'data-stream="{url(execution, "execution_changes")}" data-every="1"' in page.html
    assert f'hx-get="{url(execution, "execution_live")}" hx-trigger="changed"' in page.html
    assert "Without JavaScript this page does not update itself." in page


def test_the_fragment_is_the_same_template_without_the_page_around_it(world: World) -> None:
    execution = running(world)
    client = as_(world.olga)
    fragment = Page(client.get(url(execution, "execution_live"), headers={"HX-Request": "true"}))
    assert "<html" not in fragment.html
    assert f"Running: {execution} · Waqiti Rollback" in fragment, "the tab's title follows"
    assert 'id="live"' in fragment.html
    assert 'data-every="1"' in fragment.html


def test_it_stops_asking_when_it_has_ended(world: World) -> None:
    execution = running(world)
    factories.end(execution, ExecutionStatus.ROLLED_BACK)
    assert url(execution, "execution_live") not in look(world, execution).html
    assert "execution.js" not in look(world, execution).html


def test_who_blocks_is_named_with_session_user_state_and_relation(world: World) -> None:
    execution = running(world)
    Execution.objects.filter(pk=execution.pk).update(blocker=BLOCKER)
    page = look(world, execution)
    assert "It waits for a lock on wallets. Session 48211 (finance-report) holds it." in page
    for words in ("Who blocks us", "report_ro", "idle in transaction", "pg_terminate_backend(48211)"):
        assert words in page


def test_the_backup_grows_in_bytes(world: World) -> None:
    execution = factories.claimed(factories.start(world, rollback_in(world, Status.APPROVED)))
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backup = backups.begin(execution)
    backups.progress(backup, "dump", 123_456_789, 246_913_578)
    page = look(world, execution)
    assert "117.7 MB (123,456,789 bytes) of about 235.5 MB" in page
    assert 'value="50"' in page.html
    backups.progress(backup, "dump", 130_000_000, 130_000_000, ended=True)
    backups.progress(backup, "restore", 1_000_000, 4_000_000)
    assert "1,000,000 bytes" in look(world, execution)
    backups.progress(backup, "compare", 3, 7)
    assert "3 of 7 tables read" in look(world, execution)
    assert Backup.objects.get(execution=execution).state == Backup.State.RUNNING


def test_a_silent_worker_is_admitted(world: World) -> None:
    execution = running(world)
    long_ago = timezone.now() - timedelta(minutes=3)
    Execution.objects.filter(pk=execution.pk).update(heartbeat_at=long_ago)
    assert "The worker was last heard of 3 min ago." in look(world, execution)


OUTCOMES = {
    ExecutionStatus.SUCCEEDED: (
        "V3 is undone on wallet-service-production",
        "Recycle the connection pools",
    ),
    ExecutionStatus.NO_EFFECT: ("Nothing changed on wallet-service-production", "the approvals still count"),
    ExecutionStatus.ROLLED_BACK: ("all of it was taken back", "Every approval is void."),
    ExecutionStatus.UNRESOLVED: ("We do not know yet whether", "do not run the script by hand"),
    ExecutionStatus.AWAITING_RESTART: ("needs a restart of PostgreSQL", "Restart PostgreSQL"),
    ExecutionStatus.COMMITTED_CHECK_FAILED: ("but a check after the commit failed", "mend forward"),
    ExecutionStatus.PARTIAL: ("Only a part of V3 is undone", "Do not run the script again"),
}


@pytest.mark.parametrize("status", OUTCOMES)
def test_every_outcome_is_one_unmistakable_state(status: ExecutionStatus, world: World) -> None:
    execution = running(world)
    if status in (ExecutionStatus.SUCCEEDED, ExecutionStatus.COMMITTED_CHECK_FAILED):
        attempts.enter(execution, ExecutionStatus.COMMITTING)
        attempts.enter(execution, ExecutionStatus.VERIFYING)
    factories.end(execution, status)
    page = look(world, execution)
    assert page.status == 200
    for words in (*OUTCOMES[status], "So it ended.", "What is certain", "What to do now"):
        assert words in page


def test_success_is_watched_for_a_day_and_asks_for_the_post_mortem(world: World) -> None:
    rollback = rollback_in(world, Status.EXECUTED)
    execution = Execution.objects.get(purpose="real")
    page = look(world, execution)
    assert "The history is watched for the migration coming back." in page
    assert page.leads_to(reverse("post_mortem", args=[rollback.incident_id]))


def test_a_migration_that_came_back_is_an_alarm_here_and_on_the_rollback(world: World) -> None:
    rollback = rollback_in(world, Status.EXECUTED)
    execution = Execution.objects.get(purpose="real")
    assert alarms.check_reappeared(world.production) == 1
    page = look(world, execution)
    assert "V3 is applied on wallet-service-production again" in page
    assert "Seen in the history:" in page
    verdict = see(as_(world.dora), reverse("rollback_detail", args=[rollback.pk]))
    assert "It was taken back, and it has come back" in verdict


def test_checks_show_what_was_expected_and_what_came(world: World) -> None:
    execution = running(world)
    check = {
        "name": "The index is gone",
        "sql": "SELECT 1",
        "expected": "true",
        "stage": "before commit",
        "actual": None,
        "passed": False,
        "error": "42P01",
        "ms": 1.5,
    }
    factories.end(execution, ExecutionStatus.ROLLED_BACK, checks=[check])
    page = look(world, execution)
    assert "The index is gone before commit 42P01 Not passed" in page
    assert "true" in page
    assert "nothing" in page


def test_steps_that_ran_are_shown_as_taken_back_after_a_rollback(world: World) -> None:
    execution = running(world)
    ExecutionStep.objects.filter(execution=execution).update(state="done", tag="DROP INDEX", rows=1234)
    assert "1,234" in look(world, execution)
    factories.end(execution, ExecutionStatus.ROLLED_BACK)
    page = look(world, execution)
    assert "Taken back DROP INDEX" in page
    assert "Done DROP INDEX" not in page


def test_cancelling_takes_a_reason_and_says_what_it_means(world: World) -> None:
    execution = running(world)
    cancel = url(execution, "execution_cancel")
    assert f"Cancel {execution} on wallet-service-production?" in see(as_(world.olga), cancel)
    empty = send(as_(world.olga), cancel, reason=" ")
    assert empty.status == 409
    assert "Say why you cancel it." in empty
    page = send(as_(world.olga), cancel, reason="Payments wait.")
    assert "Olga asked to cancel it: “Payments wait.”" in page
    assert "Somebody cancelled it already" in page
    assert not page.leads_to(cancel)
    assert attempts.cancel_requested(execution.pk)


def test_cancelling_says_what_it_does_at_this_moment(world: World) -> None:
    execution = factories.start(world, rollback_in(world, Status.APPROVED))
    cancel = url(execution, "execution_cancel")
    words = see(as_(world.olga), cancel)
    assert "it ends at once and nothing runs on wallet-service-production" in words
    assert "The approvals still count; it was attempt 1 of 3." in words
    factories.claimed(execution)
    attempts.enter(execution, ExecutionStatus.PREFLIGHT)
    attempts.enter(execution, ExecutionStatus.BACKUP)
    assert "The dump ends, the script never begins" in see(as_(world.olga), cancel)
    began = {"lock": timezone.now().isoformat()}
    Execution.objects.filter(pk=execution.pk).update(marks=began)
    assert "lets go of every lock it has" in see(as_(world.olga), cancel)
    Execution.objects.filter(pk=execution.pk).update(marks=began | {"script": began["lock"]})
    factories.run(execution)
    assert "Every approval is void then." in see(as_(world.olga), cancel)
    attempts.enter(execution, ExecutionStatus.COMMITTING)
    for answer in (see(as_(world.olga), cancel), send(as_(world.olga), cancel, reason="Too late.")):
        assert answer.status == 409
        assert "It can't be cancelled any more: COMMIT was sent." in answer
    assert not attempts.cancel_requested(execution.pk)


def test_it_is_cancelled_once_however_often_the_button_is_pressed(world: World) -> None:
    execution = running(world)
    cancel = url(execution, "execution_cancel")
    assert send(as_(world.olga), cancel, reason="Payments wait.").status == 200
    again = send(as_(world.olga), cancel, reason="Payments wait.")
    assert again.status == 409
    assert "Somebody cancelled it already" in again
    assert AuditEvent.objects.filter(action="execution.cancel_requested").count() == 1


def test_the_locks_are_tried_for_until_a_time_that_is_named(world: World) -> None:
    execution = running(world)
    began = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
    Execution.objects.filter(pk=execution.pk).update(
        status=ExecutionStatus.BACKUP,
        marks={"connect": began.isoformat(), "lock": began.isoformat()},
        limits={"lock_phase_s": 120.0, "client_deadline_s": 2100.0},
        blocker=BLOCKER,
    )
    page = look(world, execution)
    assert "It tries again and again until 02:02:00 UTC, and then gives up." in page
    assert "The script has not begun." in page
    assert "Locks" in page


def test_who_waits_for_its_locks_is_counted_by_application(world: World) -> None:
    execution = running(world)
    waiters = [
        {"application": "wallet-api", "count": 31, "longest_s": 9.1},
        {"application": "", "count": 6, "longest_s": 4.0},
    ]
    Execution.objects.filter(pk=execution.pk).update(waiters=waiters)
    page = look(world, execution)
    assert "Who waits for us 37 sessions" in page
    assert "wallet-api 31 9.1 s" in page
    assert "unnamed 6" in page
    factories.end(execution, ExecutionStatus.ROLLED_BACK)
    assert "Who waits for us" not in look(world, execution)


def test_after_the_commit_it_names_the_pools_to_recycle(world: World) -> None:
    execution = running(world)
    pools = [{"application": "wallet-api", "user": "wallet", "client": "10.4.7.20", "count": 24}]
    factories.end(execution, ExecutionStatus.SUCCEEDED, pools=pools)
    assert "Recycle these pools" in look(world, execution)
    assert "wallet-api wallet 10.4.7.20 24" in look(world, execution)


def test_steps_and_locks_stand_beside_those_of_the_rehearsal(world: World) -> None:
    execution = running(world)
    rehearsal = Execution.objects.filter(purpose="rehearsal", change_digest=execution.change_digest).latest(
        "queued_at"
    )
    lock = {
        "relation": "public.wallets",
        "mode": "ACCESS EXCLUSIVE",
        "held_from": "2026-03-01T02:00:00+00:00",
        "held_to": "2026-03-01T02:00:08+00:00",
        "waited_s": 0.0,
    }
    Execution.objects.filter(pk__in=[execution.pk, rehearsal.pk]).update(locks=[lock])
    rehearsal.steps.update(milliseconds=2100.0)
    page = look(world, execution)
    assert "Locks, observed and in the rehearsal" in page
    assert "f-rehearsed" in page.html
    assert "2.1 s" in page


def test_the_whole_log_has_pages_of_its_own(world: World) -> None:
    execution = running(world)
    lines = [ExecutionLog(execution=execution, text=f"line {n}.") for n in range(1, 302)]
    ExecutionLog.objects.bulk_create(lines)
    page = look(world, execution)
    assert "101 earlier lines" in page
    assert "line 1." not in page
    assert page.leads_to(url(execution, "execution_log"))
    first = see(as_(world.olga), url(execution, "execution_log"))
    assert "line 1." in first
    assert "Page 1 of 7, 301 in all" in first
    assert see(as_(world.eve), url(execution, "execution_log")).status == 404


def test_an_alarm_is_answered_for_by_ops_or_a_dba_who_says_what_is_done(world: World) -> None:
    rollback_in(world, Status.EXECUTED)
    execution = Execution.objects.get(purpose="real")
    assert alarms.check_reappeared(world.production) == 1
    assert "Only ops or a senior DBA can answer for an alarm." in look(world, execution, "alice")
    assert look(world, execution, "dora").leads_to(url(execution, "execution_answer"))
    form = see(as_(world.dora), url(execution, "execution_answer"))
    assert "is applied again on wallet-service-production" in form
    empty = send(as_(world.dora), url(execution, "execution_answer"), reason=" ")
    assert empty.status == 409
    assert "Say what is done about it." in empty
    page = send(as_(world.dora), url(execution, "execution_answer"), reason="The pipeline is stopped.")
    assert "Dora answered for the alarm: “The pipeline is stopped.”" in page
    assert "V3 is applied on wallet-service-production again" in page, "it is still so"
    assert see(as_(world.dora), url(execution, "execution_answer")).status == 409


def test_what_no_worker_took_ends_at_once(world: World) -> None:
    execution = factories.start(world, rollback_in(world, Status.APPROVED))
    page = send(as_(world.olga), url(execution, "execution_cancel"), reason="Wrong window.")
    assert "Cancelled by Olga before a worker took it." in page
    assert "the approvals still count. 1 of 3 attempts are made." in page


@pytest.mark.parametrize("name", ["alice", "dora"])
def test_nobody_but_ops_cancels_an_execution_and_attempts_are_on_record(name: str, world: World) -> None:
    execution = running(world)
    client = as_(world.people[name])
    assert see(client, url(execution, "execution_cancel")).status == 409
    assert send(client, url(execution, "execution_cancel"), reason="I want to.").status == 403
    assert AuditEvent.objects.latest("seq").action == "execution.cancel_requested.denied"
    assert not attempts.cancel_requested(execution.pk)


def test_a_rehearsal_is_never_mistaken_for_the_real_thing(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    execution = factories.rehearse(world, rollback)
    page = look(world, execution, "alice")
    assert "The rollback of V3 worked on a clone of wallet-service-production" in page
    assert "wallet-service-production itself was only read" in page
    assert "Recycle" not in page


def test_foreign_engineers_see_none_of_it(world: World) -> None:
    execution = running(world)
    for name in ("execution_detail", "execution_live"):
        assert see(as_(world.eve), url(execution, name)).status == 404


def test_a_thousand_steps_take_as_many_queries_as_one(world: World, queries_of: Any) -> None:
    execution = running(world)
    client = as_(world.olga)
    few = queries_of(client, url(execution))
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution=execution, position=n, item_position=1, kind="X", says="x", sql="SELECT 1")
        for n in range(2, 1001)
    )
    assert queries_of(client, url(execution)) == few
    assert queries_of(client, url(execution, "execution_live")) == few


def test_a_withdrawn_rollback_can_not_start(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    rollbacks.withdraw(rollback, actor=world.alice, reason="Solved.")
    client = as_(world.olga, confirmed=True)
    page = send(client, start_url(rollback), digest=rollback.request_digest)
    assert page.status == 409
    assert f"{rollback.label} is cancelled now, so this can't be done." in page


def test_who_starts_what_a_colleague_started_already_reads_who_was_faster(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    second = factories.person("otto", *world.olga.groups.all())
    client = as_(second, confirmed=True)
    reviewed = see(client, reverse("rollback_detail", args=[rollback.pk]))
    address = next(each for each in reviewed.links if each.startswith(f"/rollbacks/{rollback.pk}/start/"))
    form = Page(client.get(address)).fields
    factories.start(world, rollback)
    for page in (Page(client.post(address, form)), Page(client.get(address))):
        assert page.status == 409
        assert "Nothing was started: Olga was faster." in page
        assert "Run it on" not in page
    assert Execution.objects.filter(rollback_target__rollback=rollback, purpose="real").count() == 1


def test_an_alarm_stands_on_dashboard_target_and_rollback_until_it_is_answered_for(
    world: World,
) -> None:
    rollback = rollback_in(world, Status.EXECUTED)
    execution = Execution.objects.get(purpose="real")
    assert alarms.check_reappeared(world.production) == 1
    long_ago = timezone.now() - timedelta(days=30)
    Execution.objects.filter(pk=execution.pk).update(reappeared_at=long_ago)
    client = as_(world.dora)
    pages = [
        reverse("dashboard"),
        reverse("target_detail", args=[world.production.name]),
        reverse("rollback_detail", args=[rollback.pk]),
    ]
    words = f"What {rollback.label} took back is applied again on wallet-service-production."
    assert [words in see(client, page) for page in pages] == [True] * 3
    alarms.answer(execution, actor=world.dora, reason="Redone.")
    assert [words in see(client, page) for page in pages] == [False] * 3


def test_pages_that_others_change_listen_for_it(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    client = as_(world.dora)
    assert f'data-stream="{reverse("dashboard_changes")}"' in see(client, reverse("dashboard")).html
    page = see(client, reverse("rollback_detail", args=[rollback.pk]))
    newest = AuditEvent.objects.filter(rollback=rollback.label).latest("seq").seq
    assert f'data-stream="{reverse("rollback_changes", args=[rollback.pk])}?since={newest}"' in page.html
    nobody = see(as_(world.people["nora"]), reverse("dashboard"))
    assert "data-stream" not in nobody.html, "whoever may see nothing is not refused again and again"
