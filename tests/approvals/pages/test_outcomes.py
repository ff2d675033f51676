"""Every state of an execution in words: what is certain is never more than what the records say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from approvals.models import (
    BUSY,
    Continuation,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    RollbackRequest,
    RollbackTarget,
    Service,
    Status,
    Target,
)
from approvals.pages import outcomes

S = ExecutionStatus
DUE = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
LATER = DUE.replace(year=2999)
BLOCKER = {
    "pid": 48211,
    "user": "report_ro",
    "application": "finance-report",
    "query_start": None,
    "state": "idle in transaction",
    "relation": "users",
}


def execution(
    status: str,
    *,
    purpose: str = "real",
    rollback: str = Status.EXECUTING,
    marker: bool = True,
    fate: str = "removed",
    attempts: int = 1,
    **fields: object,
) -> Execution:
    """An execution of V5 and V4 on wallet-production, as stored."""
    target = Target(name="wallet-production", service=Service(name="wallet-service"), has_marker=marker)
    request = RollbackRequest(pk=7, status=rollback, file_fate=fate, attempts=attempts)
    pinned = RollbackTarget(rollback=request, target=target, pins=[{"version": "5"}, {"version": "4"}])
    return Execution(
        status=status,
        purpose=purpose,
        target=target,
        rollback_target=pinned,
        sentence="So it ended.",
        worker="prod-2",
        **fields,
    )


def steps(*states: str) -> list[ExecutionStep]:
    return [
        ExecutionStep(position=number, state=state, says=f"Does thing {number}.")
        for number, state in enumerate(states, start=1)
    ]


def told(
    status: str, *states: str, due: datetime | None = None, no_go: bool = False, **fields: object
) -> outcomes.Story:
    found = execution(status, **fields)  # type: ignore[arg-type]
    return outcomes.story(found, steps(*states), post_mortem_due=due, no_go=no_go)  # type: ignore[arg-type]


@pytest.mark.parametrize("purpose", ["real", "rehearsal"])
@pytest.mark.parametrize("status", S)
def test_every_state_says_what_happened_and_what_is_certain(status: S, purpose: str) -> None:
    story = told(status, "done", "pending", purpose=purpose)
    assert story.title
    assert story.happened.endswith(".")
    assert story.certain.endswith(".")
    assert story.tone in {"ok", "run", "warn", "fail", "lost", "idle"}
    if status not in (*BUSY, S.QUEUED):
        assert story.todo, "says what to do now"


@pytest.mark.parametrize("purpose", ["real", "rehearsal"])
def test_no_outcome_of_an_execution_reads_like_another(purpose: str) -> None:
    ended = [status for status in S if status not in (*BUSY, S.QUEUED)]
    states = {told(status, "done", purpose=purpose).state for status in ended}
    titles = {told(status, "done", purpose=purpose).title for status in ended}
    assert (len(states), len(titles)) == ((7, 7) if purpose == "real" else (3, 3))


@pytest.mark.parametrize("status", [S.QUEUED, S.CLAIMED, S.PREFLIGHT, S.BACKUP, S.RUNNING, S.COMMITTING])
def test_nothing_is_called_committed_before_the_target_said_so(status: S) -> None:
    story = told(status, "done")
    assert "undone" not in story.title
    assert story.tone in {"run", "idle"}
    assert not story.certain.startswith("It is committed")


def test_a_step_that_runs_is_named_and_nothing_is_committed() -> None:
    story = told(S.RUNNING, "done", "running", "pending")
    assert story.happened == "Step 2 of 3 runs: Does thing 2."
    assert story.certain.startswith("Nothing is committed.")


def test_who_holds_the_lock_is_named_by_session_and_application() -> None:
    story = told(S.RUNNING, "running", blocker=BLOCKER)
    assert story.happened == "It waits for a lock on users. Session 48211 (finance-report) holds it."
    assert outcomes.blocked_by({"pid": 5}) == "It waits for a lock. Session 5 (unnamed) holds it."


def test_while_the_answer_to_commit_is_awaited_only_all_or_nothing_is_certain() -> None:
    story = told(S.COMMITTING, "done")
    assert story.certain.startswith("Either all of it is committed or none of it.")


def test_success_recycles_the_pools_settles_the_file_and_names_the_post_mortems_time() -> None:
    story = told(S.SUCCEEDED, "done", due=DUE, rollback=Status.EXECUTED)
    assert story.title == "V5, V4 are undone on wallet-production"
    assert story.todo == (
        "Recycle the connection pools of wallet-service: prepared statements fail with 0A000 otherwise.",
        "Keep the file out of the next release of wallet-service, or Flyway applies it again.",
        "Write the post-mortem: it was due Wed 4 Mar 2026, 09:30 UTC and is overdue.",
    )
    story = told(S.SUCCEEDED, "done", due=LATER, pools=[])
    assert [todo for todo in story.todo if "pools" in todo] == []
    assert story.todo[-1] == "Write the post-mortem: it is due Mon 4 Mar 2999, 09:30 UTC."


@pytest.mark.parametrize(
    ("fate", "words"),
    [("replaced", "with the corrected file only"), ("superseded", "until the correcting version")],
)
def test_what_becomes_of_the_file_decides_what_the_next_release_needs(fate: str, words: str) -> None:
    assert words in told(S.SUCCEEDED, fate=fate).todo[1]


def test_a_target_without_the_marker_never_gets_the_full_guarantee() -> None:
    assert "reduced guarantee" in told(S.SUCCEEDED, marker=False).certain
    assert "reduced guarantee" not in told(S.SUCCEEDED).certain


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.COMMITTED_CHECK_FAILED])
def test_a_migration_that_came_back_is_no_success_any_more(status: S) -> None:
    story = told(status, reappeared_at=timezone.now())
    assert (story.tone, story.title) == ("fail", "V5, V4 are applied on wallet-production again")
    assert "The rollback is undone." in story.certain


def test_no_effect_keeps_the_approvals_and_counts_the_attempts() -> None:
    story = told(S.NO_EFFECT, rollback=Status.APPROVED, attempts=2)
    assert story.title == "Nothing changed on wallet-production"
    assert "2 of 3 attempts are made" in story.todo[-1]
    assert "every approval is void" in told(S.NO_EFFECT, rollback=Status.FAILED).todo[-1]


def test_no_effect_because_of_a_no_go_says_so_first() -> None:
    story = told(S.NO_EFFECT, rollback=Status.APPROVED, attempts=1, no_go=True)
    assert story.title == "Nothing changed on wallet-production: the preflight said no-go"
    assert story.todo[0] == "Clear what stood in the way; the preflight below names it."


def test_no_effect_because_of_a_lock_says_whom_to_ask() -> None:
    assert told(S.NO_EFFECT, blocker=BLOCKER).todo[0].startswith("Ask whoever owns that session")


def test_rolled_back_says_that_nothing_changed_and_approvals_are_void() -> None:
    story = told(S.ROLLED_BACK, "done", "failed", rollback=Status.FAILED)
    assert (story.tone, story.state) == ("fail", "Rolled back")
    assert "as they were before" in story.certain
    assert "Every approval is void." in story.todo[1]


def test_unresolved_claims_nothing_and_forbids_what_would_harm() -> None:
    story = told(S.UNRESOLVED, "done")
    assert story.tone == "lost"
    assert story.title.startswith("We do not know yet")
    assert any("do not run the script by hand" in todo for todo in story.todo)


def test_a_failed_check_after_commit_is_never_called_failed_or_rolled_back() -> None:
    story = told(S.COMMITTED_CHECK_FAILED, "done", rollback=Status.EXECUTED)
    assert story.tone == "warn"
    assert story.certain.startswith("It is committed: it neither failed nor was rolled back.")


def partly_done(*states: str, between: int = 0, **fields: object) -> outcomes.Story:
    """Steps that ran alone, the last one in the transaction; of `between` a failure left something."""
    made = steps(*states)
    for step in made[:-1]:
        step.how = "alone"
        step.leftover = ["VACUUM FULL many_3"] if step.position == between else []
    return outcomes.story(execution(S.PARTIAL, **fields), made)  # type: ignore[arg-type]


def test_partial_names_what_is_done_and_forbids_a_second_run() -> None:
    story = partly_done("done", "done", "failed", "done")
    assert story.certain.startswith("Done, and stays done: steps 1–2. Not done: steps 3–4.")
    assert story.certain.endswith("The history counts V5, V4 as applied.")
    assert story.todo[0].startswith("Do not run the script again")
    assert any("go on with the rest, or take back" in todo for todo in story.todo)


def test_what_a_failure_left_of_a_step_is_neither_done_nor_not_done() -> None:
    story = partly_done("done", "failed", "pending", "pending", between=2)
    said = "Done, and stays done: step 1. Begun, and left in between: step 2. Not done: steps 3–4."
    assert story.certain.startswith(said)


def test_what_nobody_knows_has_to_be_looked_at() -> None:
    story = partly_done("done", "unknown", "pending")
    assert "Not known: step 2." in story.certain
    assert any("Look at the step" in todo for todo in story.todo)


def test_a_committed_transaction_counts_as_done() -> None:
    story = partly_done("failed", "done", marks={"committed": "2026-03-04T09:30:00+00:00"})
    assert story.certain.startswith("Done, and stays done: step 2. Not done: step 1.")
    assert story.certain.endswith("no longer counts V5, V4 as applied.")


def test_what_was_taken_back_is_told_as_that() -> None:
    story = told(S.SUCCEEDED, "undone", course="take_back")
    assert story.title == "wallet-production is as it was before the rollback of V5, V4"


def test_what_stays_for_good_is_named_where_the_rest_was_taken_back() -> None:
    value = {"of": 1, "does": "stays", "says": "Adds the value sad to mood", "statements": []}
    signed = Continuation(course="take_back", steps={"steps": [value]})
    story = told(S.SUCCEEDED, "undone", course="take_back", continuation=signed)
    assert story.title.endswith("but for what stays")
    assert "For good stays, since PostgreSQL has no way back from it: Adds the value" in story.certain


def test_what_waits_for_a_restart_names_the_settings() -> None:
    waiting = {"settings": [{"name": "max_connections", "now": "200", "then": "100"}]}
    story = told(S.AWAITING_RESTART, "done", restart=waiting)
    assert "max_connections still has its old value" in story.certain


@pytest.mark.parametrize("status", [S.NO_EFFECT, S.ROLLED_BACK, S.PARTIAL, S.SUCCEEDED])
def test_of_one_of_many_targets_it_never_says_what_becomes_of_the_approvals(status: S) -> None:
    story = told(status, "done", run_id=1, claimed_at=DUE, course="take_back")
    assert "approval" not in " ".join(story.todo)
    assert "rollback counts as failed" not in " ".join(story.todo)


def test_what_was_called_off_before_a_worker_took_it_is_not_begun() -> None:
    story = told(S.NO_EFFECT, "pending", run_id=1)
    assert story.title == "Not begun on wallet-production"
    assert len(story.todo) == 1


@pytest.mark.parametrize("status", [status for status in S if status != S.UNRESOLVED])
def test_a_rehearsal_never_says_that_the_target_changed(status: S) -> None:
    story = told(status, "done", purpose="rehearsal")
    assert "undone on wallet-production" not in story.title
    assert "pools" not in " ".join(story.todo)


@pytest.mark.parametrize(
    ("status", "ago", "silent"),
    [(S.RUNNING, 60, True), (S.RUNNING, 2, False), (S.UNRESOLVED, 60, False), (S.SUCCEEDED, 60, False)],
)
def test_a_worker_that_fell_silent_is_noticed_while_it_should_work(status: S, ago: int, silent: bool) -> None:
    seen = timezone.now() - timedelta(seconds=ago)
    assert bool(outcomes.silence(execution(status, heartbeat_at=seen))) == silent
