"""Whether what is partly done may be gone on with now: asked again, whatever people have signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from approvals import attempts, continuable, continuing, halfway, history, policy, signed
from approvals.errors import Conflict, Refused
from approvals.known import Known
from approvals.models import Continuation, Execution, ExecutionStatus, User
from tests.approvals import factories
from tests.approvals.factories import World, body
from tests.approvals.test_stored import half_way, signed_to_go_on
from tests.approvals.views.visits import as_, see

HOUR = timedelta(hours=1)


@pytest.fixture
def asked(world: World) -> Continuation:
    """Going on with the first of two steps, asked for and signed by two."""
    return signed_to_go_on(world, half_way(world))


def started(world: World, asked: Continuation) -> Execution:
    return continuing.start(asked, actor=world.olga, confirmed_at=timezone.now())


def deployments_thaw(asked: Continuation, patch: pytest.MonkeyPatch) -> None:
    until = asked.execution.rollback_target.rollback.frozen_until
    assert until is not None
    patch.setattr(Known, "now", until + HOUR)


def the_history_moves(asked: Continuation, patch: pytest.MonkeyPatch) -> None:
    rows = history.rows_of(asked.execution.target)
    factories.sync(asked.execution.target, [row._replace(checksum=7) for row in rows])


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (deployments_thaw, "Deployments frozen, the file's fate settled: Missing: a freeze that is not over"),
        (the_history_moves, "The history is as it was pinned: The history changed: the row of V3"),
    ],
)
def test_what_changed_since_people_signed_stops_going_on(
    happens: Callable[[Continuation, pytest.MonkeyPatch], None],
    said: str,
    world: World,
    asked: Continuation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happens(asked, monkeypatch)
    with pytest.raises(Refused, match=said):
        started(world, asked)
    assert not Execution.objects.filter(continues=asked.execution).exists()


def test_signatures_for_going_on_count_as_long_as_an_approval_does(world: World, asked: Continuation) -> None:
    period = policy.execution_period(policy.rule_for(asked.execution.rollback_target.rollback))
    last = max(each.at for each in asked.approvals.all())
    assert continuable.expires(asked) == last + period
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "execution_period", lambda rule: timedelta(0))
        with pytest.raises(Refused, match="The time to carry this out is over"):
            started(world, asked)
    made = started(world, asked)
    assert continuable.takes_backup(made, policy.rule_for(made.rollback_target.rollback))


def test_the_way_back_asks_for_history_and_freezes_and_needs_no_signature_of_the_rollback(
    world: World, asked: Continuation
) -> None:
    execution = asked.execution
    assert [gate.key for gate in continuable.conditions(execution, "take_back")] == ["history", "freeze"]
    assert continuable.conditions(execution, "by_hand") == []
    User.objects.filter(username="dora").update(is_active=False)
    missing = {gate.key for gate in continuable.missing(execution, "go_on")}
    assert "approvals" in missing
    assert continuable.missing(execution, "take_back") == []
    back = Execution(
        rollback_target=execution.rollback_target, purpose="real", course="take_back", continues=execution
    )
    back.change_digest, back.request_digest = execution.change_digest, execution.request_digest
    assert signed.unapproved(back) == ""
    back.course = "go_on"
    assert "no longer counts" in signed.unapproved(back)


def test_behind_the_commit_it_is_asked_whether_a_deployment_brought_the_migration_back(
    world: World, asked: Continuation
) -> None:
    execution = asked.execution
    execution.marks[halfway.COMMITTED] = timezone.now().isoformat()
    execution.save(update_fields=["marks"])
    assert {gate.key for gate in continuable.missing(execution, "go_on")} == {"history"}
    factories.apply(world, world.production, "12")
    assert continuable.missing(execution, "go_on") == []


def without_effect(execution: Execution) -> Execution:
    """A worker takes it, and nothing comes of it."""
    factories.end(factories.claimed(execution), ExecutionStatus.NO_EFFECT)
    return Execution.objects.get(pk=execution.pk)


def test_signatures_stand_for_three_attempts_while_none_has_had_an_effect(
    world: World, asked: Continuation
) -> None:
    half, olga = asked.execution, as_(world.olga, confirmed=True)
    for number in (1, 2):
        made = without_effect(started(world, asked))
        asked.refresh_from_db()
        assert continuing.open_one(half) == asked
        assert body("execution.go_on")["facts"]["attempt"] == number
        page = see(olga, reverse("execution_detail", args=[made.pk]))
        assert f"the signatures still count. {number} of 3 attempts are made." in page
        assert "as partly done as it was before" in page
        assert "before this attempt" not in page, "who knows, behind a commit"
        page = see(olga, reverse("execution_detail", args=[half.pk]))
        assert f"{number} attempt" in page
        assert "Ask anew: Go on on" in page, "or else two buttons said the same"
    last = without_effect(started(world, asked))
    asked.refresh_from_db()
    assert (continuing.open_one(half), asked.carried_out) == (None, last)
    assert "the signatures are used up" in see(olga, reverse("execution_detail", args=[last.pk]))
    with pytest.raises(Refused, match="not asked for any more"):
        started(world, asked)
    assert [each.continuation for each in half.continued_by.all()] == [asked] * 3


@pytest.mark.parametrize("status", [ExecutionStatus.ROLLED_BACK, ExecutionStatus.PARTIAL])
def test_an_attempt_that_had_an_effect_uses_its_signatures_up(
    world: World, asked: Continuation, status: ExecutionStatus
) -> None:
    made = factories.claimed(started(world, asked))
    factories.run(made)
    factories.end(made, status)
    asked.refresh_from_db()
    assert asked.carried_out == made
    assert continuing.open_one(asked.execution) is None


def test_what_stands_again_is_asked_all_over(world: World, asked: Continuation) -> None:
    User.objects.filter(username="dora").update(is_active=False)
    with pytest.raises(Refused, match="Signatures are missing"):
        started(world, asked)
    User.objects.filter(username="dora").update(is_active=True)
    first = started(world, asked)
    User.objects.filter(username="dora").update(is_active=False)
    assert attempts.claim(first.pk, worker="w") is None
    first.refresh_from_db()
    assert (first.status, first.continuation) == (ExecutionStatus.NO_EFFECT, asked)
    with pytest.raises(Refused, match="Signatures are missing"):
        started(world, asked)
    User.objects.filter(username="dora").update(is_active=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "execution_period", lambda rule: timedelta(0))
        with pytest.raises(Refused, match="The time to carry this out is over"):
            started(world, asked)
    attempts.step_settled(  # the target was looked at again, and stands differently
        asked.execution, 1, state="pending", found="It was dropped by hand."
    )
    asked.execution.steps.filter(position=1).update(leftover=[])
    with pytest.raises(Conflict, match="It stands differently by now"):
        started(world, asked)


def refused(match: str, do: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=match), transaction.atomic():
        do()


def test_the_database_holds_how_often_what_was_signed_for_is_tried(world: World, asked: Continuation) -> None:
    mine = Continuation.objects.filter(pk=asked.pk)
    made = started(world, asked)
    refused("what was asked for does not change", lambda: mine.update(carried_out=None))
    refused("does not change", lambda: Execution.objects.filter(pk=made.pk).update(continuation=None))
    without_effect(made)
    refused("another execution carries this out", lambda: mine.update(carried_out=asked.execution))
    again = Execution(**{name: getattr(made, name) for name in SAME})
    again.course = "take_back"
    refused("was signed by 0", lambda: again.save(force_insert=True))
    again.course, again.continuation = "go_on", None
    refused("nobody asked for this", lambda: again.save(force_insert=True))
    again.continuation, again.status = asked, ExecutionStatus.ROLLED_BACK
    again.save(force_insert=True)
    more = Execution(**{name: getattr(made, name) for name in SAME})
    refused("the signatures for it are used up", lambda: more.save(force_insert=True))
    mine.update(carried_out=again)
    refused("what was asked for does not change", lambda: mine.update(carried_out=None))


SAME = (
    *("rollback_target", "target", "purpose", "change_digest", "request_digest", "requested_by"),
    *("continues", "course", "continuation"),
)
DETACH = "ALTER TABLE wallets DETACH PARTITION old_wallets CONCURRENTLY"
FINALIZE = "ALTER TABLE public.wallets DETACH PARTITION public.old_wallets FINALIZE"
ATTACH = "ALTER TABLE public.wallets ATTACH PARTITION public.old_wallets DEFAULT"
DROP = "DROP INDEX CONCURRENTLY wallets_by_user"
DROP_REST = "DROP INDEX CONCURRENTLY IF EXISTS public.wallets_by_user"
BUILD = "CREATE INDEX CONCURRENTLY wallets_by_user ON public.wallets USING btree (user_id)"


@pytest.mark.parametrize(
    ("statement", "rest", "undo", "goes_on"),
    [(DETACH, FINALIZE, ATTACH, FINALIZE), (DROP, DROP_REST, BUILD, DROP)],
    ids=["detached", "dropped"],
)
def test_what_is_half_detached_or_half_dropped_goes_on_to_its_end_and_comes_back_from_there(
    statement: str, rest: str, undo: str, goes_on: str, world: World
) -> None:
    factories.write_script(world, "3", sql=f"{statement};\n{factories.UNDO['3']}")
    approved = factories.approved(world, factories.submitted(world, factories.draft(world)))
    execution = factories.claimed(factories.start(world, approved))
    attempts.step_claimed(execution, 1, before={}, undo=[undo])
    attempts.step_settled(execution, 1, state="failed", found="It is half done.", leftover=[rest])
    attempts.record_outcome(execution, ExecutionStatus.PARTIAL, "Partly done.")
    execution.refresh_from_db()
    on, back = (halfway.offer(execution, course) for course in ("go_on", "take_back"))
    assert on.entries[0]["statements"] == [goes_on]
    assert [entry["statements"] for entry in back.entries] == [[rest, undo]]
