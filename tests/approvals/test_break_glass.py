"""Break-glass: two people, two gates at most, for one change and some hours; forced, marked, reviewed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from approvals import (
    attempts,
    audit,
    break_glass,
    dbroles,
    exports,
    fleets,
    gates,
    preflights,
    rollbacks,
    windows,
)
from approvals.errors import Conflict, Denied, Refused
from approvals.known import Known
from approvals.models import BreakGlass, Evidence, Role, RollbackRequest, Status, User
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.test_invariants import refused
from tests.approvals.test_windows import freeze, weekly
from tests.servers import OWNER_ROLE

pytestmark = pytest.mark.integration

Connect = Callable[..., psycopg.Connection[Any]]
HOUR = timedelta(hours=1)
WINDOW, REHEARSAL = BreakGlass.Skip.WINDOW, BreakGlass.Skip.REHEARSAL


def closed(world: World) -> None:
    """Production opens on another day than this."""
    windows.confirm(weekly(world), actor=world.olga)


def asked(world: World, rollback: RollbackRequest, actor: User | None = None, **fields: Any) -> BreakGlass:
    given = {"skips": [WINDOW], "reason": "Payments are down.", "digest": again(rollback).request_digest}
    return break_glass.ask(rollback, actor=actor or world.olga, **(given | fields))


def confirmed(glass: BreakGlass, actor: User) -> BreakGlass:
    return break_glass.confirm(glass, actor=actor, confirmed_at=timezone.now())


def forced(rollback: RollbackRequest) -> set[str]:
    return {gate.key for gate in gates.gates(again(rollback)) if gate.forced}


def missing(rollback: RollbackRequest) -> set[str]:
    return {gate.key for gate in gates.missing(again(rollback), gates.Needed.EXECUTE)}


def never_rehearsed(world: World) -> RollbackRequest:
    """In review on production, without the rehearsal and the backup that it would have taken."""
    rollback = factories.draft(world)
    factories.confirm_checklist(world, rollback)
    return rollbacks.submit(rollback, actor=world.alice)


def test_two_people_force_a_closed_window_at_approval_and_at_the_start_and_every_event_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    closed(world)
    glass = asked(world, rollback)
    assert missing(rollback) >= {"window", "window_ahead"}, "nobody has confirmed it"
    confirmed(glass, world.dan)
    assert forced(rollback) == {"window", "window_ahead"}
    assert missing(rollback) == {"approvals"}, "it stands in for nobody's signature"
    (gate,) = [gate for gate in gates.gates(again(rollback)) if gate.key == "window"]
    assert gate.detail.startswith("Forced: Olga asked, Dan confirmed it. It opens")
    assert gate.until == glass.expires_at
    rollback = factories.approved(world, rollback)
    execution = factories.claimed(factories.start(world, rollback))
    assert attempts.preflight(execution) == []
    assert [each.pk for each in break_glass.behind(execution)] == [glass.pk]
    assert {factories.body(f"{name}")["forced"] for name in ("rollback.approved", "execution.requested")} == {
        "yes"
    }
    found = preflights.record(again(rollback), [], [], execution=execution)
    points = Evidence.objects.filter(kind="preflight").latest("id").data["points"]
    assert found.go
    assert [(p["key"], p["verdict"]) for p in points] == [("window_ahead", "look"), ("window", "look")]
    # The worker asks again, and by then it is over.
    later = glass.expires_at
    monkeypatch.setattr(Known, "now", property(lambda _known: later))
    found = preflights.record(again(rollback), [], [], execution=execution)
    assert not found.go
    assert "The target is open now: It opens" in found.sentence
    assert again(rollback).forced, "the mark stays"
    assert audit.verify().holds


def test_a_rehearsal_that_was_skipped_takes_its_backup_along_to_the_execution_and_no_other_gate(
    world: World,
) -> None:
    rollback = never_rehearsed(world)
    assert missing(rollback) == {"rehearsal", "backup", "checklist", "approvals"}
    confirmed(asked(world, rollback, world.bob, skips=[REHEARSAL]), world.dora)
    assert forced(rollback) == {"rehearsal", "backup"}
    assert missing(rollback) == {"approvals"}
    detail = {gate.key: gate.detail for gate in gates.gates(again(rollback))}
    assert "the execution takes and verifies one before it begins, or nothing runs" in detail["backup"]
    rollback = factories.approved(world, rollback)
    execution = factories.claimed(factories.start(world, rollback))
    assert attempts.preflight(execution) == []


@pytest.mark.parametrize("what", ["freeze", "rehearsal", "backup"])
def test_what_came_up_after_it_was_confirmed_is_not_skipped(what: str, world: World) -> None:
    if what == "freeze":
        rollback = rollback_in(world, Status.APPROVED)
        closed(world)
        confirmed(asked(world, rollback), world.dora)
        freeze(world, timezone.now() - HOUR, timezone.now() + HOUR)
        assert missing(rollback) == {"window", "window_ahead"}
        confirmed(asked(world, rollback), world.dan)
        assert missing(rollback) == set()
        return
    rollback = never_rehearsed(world)
    confirmed(asked(world, rollback, skips=[REHEARSAL]), world.dora)
    if what == "rehearsal":
        factories.rehearse(world, rollback, holds=False)
        assert missing(rollback) == {"rehearsal", "approvals"}
    else:
        from approvals import executions
        from approvals.models import Backup

        execution = factories.claimed(executions.ask_for_rehearsal(rollback, actor=world.alice))
        factories.back_up(execution, Backup.State.FAILED)
        assert missing(rollback) == {"backup", "checklist", "approvals"}


def test_any_edit_ends_it_even_where_the_change_is_the_same_again(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    glass = confirmed(asked(world, rollback), world.dora)
    waiting = asked(world, rollback_in(world, Status.IN_REVIEW))
    for each in (rollback, waiting.rollback):
        now = again(each)
        rollbacks.edit(now, actor=world.alice, revision=now.revision, reason="Still down.")
        assert not forced(each)
        rollbacks.submit(again(each), actor=world.alice)
    assert again(rollback).change_digest == glass.change_digest
    assert missing(rollback) >= {"window", "window_ahead"}
    assert again(rollback).forced
    with pytest.raises(Refused, match="was changed since somebody asked"):
        confirmed(waiting, world.dan)
    assert not again(waiting.rollback).forced


def test_nobody_confirms_or_reviews_their_own(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    glass = asked(world, rollback, world.ada)  # an engineer of the team who is a senior DBA as well
    for name in ("ada", "lea", "olga", "alice", "axel", "adam", "nora"):
        with pytest.raises(Denied):
            confirmed(glass, world.people[name])
    for name in ("alice", "bob"):  # the requester and the author, with the role that it takes
        world.people[name].groups.add(factories.Group.objects.get(name=Role.SENIOR_DBA))
        with pytest.raises(Denied, match="somebody else has to confirm"):
            confirmed(glass, world.again(name))
    for proved in (None, timezone.now() - timedelta(minutes=6)):
        with pytest.raises(Refused, match="Confirm your password"):
            break_glass.confirm(glass, actor=world.dora, confirmed_at=proved)
    glass = confirmed(glass, world.dora)
    with pytest.raises(Refused, match="second person any more"):
        confirmed(glass, world.dan)
    for name in ("ada", "dora", "olga", "axel", "adam"):
        with pytest.raises(Denied):
            break_glass.close_review(glass, actor=world.people[name], text="Fine.")
    with pytest.raises(Refused, match="without words"):
        break_glass.close_review(glass, actor=world.lea, text=" ")
    glass = break_glass.close_review(glass, actor=world.lea, text="Right, and the window was too short.")
    with pytest.raises(Refused, match="no review to close"):
        break_glass.close_review(glass, actor=world.dan, text="Again.")
    said = factories.body("break_glass.reviewed")["facts"]
    assert (said["late"], said["review_sha256"]) == (False, audit.digest_of(glass.review))
    assert factories.trail()[-1] == "break_glass.reviewed"


def test_a_setting_switches_it_off_and_none_makes_it_last_longer_than_a_day(
    world: World, settings: Any
) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    settings.BREAK_GLASS_HOURS = 0
    with pytest.raises(Refused, match="switched off"):
        asked(world, rollback)
    settings.BREAK_GLASS_HOURS = 9_999
    glass = asked(world, rollback)
    assert glass.expires_at - glass.proposed_at == 24 * HOUR


def test_only_what_is_in_the_way_of_what_is_in_review_or_approved_can_be_asked_for(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    with pytest.raises(Refused, match="nothing else can be skipped"):
        asked(world, rollback)
    closed(world)
    for fields, says in (
        ({"skips": [REHEARSAL]}, "Choose of what is in the way"),
        ({"skips": []}, "Choose of what is in the way"),
        ({"skips": ["backup"]}, "Choose of what is in the way"),
        ({"reason": " "}, "Say why"),
    ):
        with pytest.raises(Refused, match=says):
            asked(world, rollback, **fields)
    with pytest.raises(Conflict):
        asked(world, rollback, digest="0" * 64)
    glass = asked(world, rollback, world.alice)
    with pytest.raises(Refused, match="waits for a second person"):
        asked(world, rollback)
    break_glass.dismiss(glass, actor=world.dora)
    with pytest.raises(Refused, match="second person any more"):
        confirmed(glass, world.dan)
    for status, on in (
        (Status.DRAFT, "high"),
        (Status.CHANGES_REQUESTED, "high"),
        (Status.REJECTED, "critical"),
    ):
        with pytest.raises(Refused, match="so this can't be done"):
            asked(world, rollback_in(world, status, on))


def test_a_fleet_is_forced_as_a_whole_and_each_target_is_asked_again(world: World) -> None:
    shards = factories.shards(world, 3)
    rollback = factories.approved(world, factories.submitted(world, factories.fleet(world, shards)))
    now = timezone.now()
    for shard in shards:
        windows.propose(
            shard, "freeze", actor=world.lea, begins_at=now - HOUR, ends_at=now + 50 * HOUR, reason="Audit."
        )
    with pytest.raises(Refused, match="The target is open now"):
        factories.started_run(world, rollback)
    confirmed(asked(world, rollback), world.dora)
    run = factories.started_run(world, rollback)
    canary = factories.claimed(run.executions.get())
    assert attempts.preflight(canary) == []
    for shard in shards:
        windows.propose(
            shard, "freeze", actor=world.lea, begins_at=now - HOUR, ends_at=now + HOUR, reason="No, stop."
        )
    assert any("Frozen until" in said for said in attempts.preflight(canary))
    fleets.cancel(run, actor=world.olga, reason="Enough.")


CHANGE = "UPDATE approvals_breakglass SET {} WHERE id = %(id)s"
CONFIRM = CHANGE.format(
    "confirmed_by_id = %(who)s, confirmed_at = now(), proved_at = now() - %(ago)s::interval, "
    "due_at = now() + interval '48 hours'"
)
CLOSE = CHANGE.format("closed_by_id = %(who)s, closed_at = now(), review = %(words)s")


@pytest.mark.parametrize("role", [OWNER_ROLE, dbroles.WEB])
def test_the_database_holds_who_and_what_and_that_it_never_changes(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    closed(world)
    dba = factories.Group.objects.get(name=Role.SENIOR_DBA)
    for name in ("alice", "bob", "olga"):
        world.people[name].groups.add(dba)
    rollback = rollback_in(world, Status.APPROVED)
    glass = asked(world, rollback, world.again("olga"))

    def may_not(
        constraint: str, sql: str, who: str = "dora", ago: str = "1 minute", words: str = "So."
    ) -> None:
        values = {"id": glass.pk, "who": world.people[who].pk, "ago": ago, "words": words}
        refused(someone, constraint, sql, values)

    for who, constraint in (
        ("olga", "break_glass_confirmed_by_another"),
        ("alice", "break_glass_confirmed_by_an_outsider"),
        ("bob", "break_glass_confirmed_by_an_outsider"),
        ("lea", "break_glass_takes_a_role"),
        ("ida", "break_glass_takes_a_role"),
    ):
        may_not(constraint, CONFIRM, who)
    may_not("break_glass_confirmed_by_another", CONFIRM, ago="6 minutes")
    may_not("break_glass_reviewed_by_a_third", CLOSE)
    for column in (
        "skips = '{window,rehearsal}'",
        "reason = 'Another.'",
        "expires_at = now() + interval '9 hours'",
    ):
        may_not("break_glass_is_fixed", CHANGE.format(column))
    mark = "UPDATE approvals_rollbackrequest SET forced = {} WHERE id = %(id)s"
    refused(someone, "forced_is_marked_for_good", mark.format("true"), {"id": rollback.pk})
    insert = """INSERT INTO approvals_breakglass (rollback_id, change_digest, skips, reason, proposed_by_id,
                                                  proposed_at, expires_at, review)
                VALUES (%(id)s, %(digest)s, %(skips)s, 'So.', %(who)s, now(),
                        now() + %(long)s::interval, '')"""
    good = {"id": rollback.pk, "digest": rollback.change_digest, "skips": ["window"], "long": "4 hours"}
    good["who"] = world.olga.pk
    for bad, constraint in (
        ({"skips": ["window", "backup"]}, "break_glass_skips_two_gates_at_most"),
        ({"skips": []}, "break_glass_skips_two_gates_at_most"),
        ({"long": "25 hours"}, "break_glass_is_over_within_a_day"),
        ({"digest": "0" * 64}, "break_glass_of_present_change"),
        ({"id": rollback_in(world, Status.DRAFT).pk}, "break_glass_of_present_change"),
        ({"who": world.dora.pk}, "break_glass_takes_a_role"),
    ):
        refused(someone, constraint, insert, good | bad)
    glass = confirmed(glass, world.dora)
    refused(someone, "forced_is_marked_for_good", mark.format("false"), {"id": rollback.pk})
    may_not("break_glass_is_fixed", CONFIRM, "dan")
    may_not("break_glass_is_fixed", CHANGE.format("due_at = due_at + interval '9 days'"))
    for who in ("olga", "dora"):
        may_not("break_glass_reviewed_by_a_third", CLOSE, who)
    may_not("break_glass_reviewed_by_a_third", CLOSE, "dan", words="")
    may_not("break_glass_takes_a_role", CLOSE, "axel")
    break_glass.close_review(glass, actor=world.dan, text="Right.")
    may_not("break_glass_is_fixed", CLOSE, "lea", words="Wrong.")
    may_not("", "DELETE FROM approvals_breakglass WHERE id = %(id)s")
    refused(connect_as(dbroles.WORKER), "", CHANGE.format("review = ''"), {"id": glass.pk})


def test_the_report_that_auditors_take_away_names_what_was_forced_and_who_reviewed_it(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    closed(world)
    glass = confirmed(asked(world, rollback), world.dora)
    break_glass.close_review(glass, actor=world.dan, text="Right.")
    lines = "".join(exports.rollbacks_as_csv(None, None, rollback.pk)).splitlines()
    (row,) = [line for line in lines if line.startswith(f"{rollback.label},")]
    assert "approved,yes," in row
    assert "window, asked olga, confirmed dora" in row
    assert "reviewed by dan" in row
