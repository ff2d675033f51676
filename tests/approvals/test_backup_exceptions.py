"""The exception instead of a backup: above the limit only, three outsiders, one change; never green."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import (
    attempts,
    audit,
    backup_exceptions,
    backups,
    break_glass,
    checklist,
    dbroles,
    executions,
    exports,
    fleets,
    gates,
    preflights,
    rollbacks,
)
from approvals.actions import available_actions
from approvals.errors import Conflict, Denied, Refused
from approvals.known import Known
from approvals.models import (
    Backup,
    BackupException,
    BreakGlass,
    ChecklistEntry,
    Evidence,
    Execution,
    ExecutionStatus,
    Grade,
    Role,
    RollbackRequest,
    Status,
    User,
)
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in
from tests.approvals.test_break_glass import forced, missing, never_rehearsed
from tests.approvals.test_invariants import refused
from tests.servers import OWNER_ROLE

pytestmark = pytest.mark.integration

Connect = Callable[..., psycopg.Connection[Any]]
WHY = "The tables hold 900.0 GB, above the 50.0 GB. No physical backup of its server is on record."
HOUR = timedelta(hours=1)


def beyond_reach(world: World, rollback: RollbackRequest, sentence: str = WHY) -> Execution:
    """A worker was to rehearse it, and could not take the backup for the size of the target."""
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backups.record(backups.begin(execution), Backup.State.REFUSED, sentence, above_limit=True)
    return factories.end(execution, ExecutionStatus.NO_EFFECT)


def asked(
    world: World, rollback: RollbackRequest, actor: User | None = None, **fields: Any
) -> BackupException:
    given = {"reason": "Payments are down.", "digest": again(rollback).request_digest}
    return backup_exceptions.ask(again(rollback), actor=actor or world.olga, **(given | fields))


def signed(exception: BackupException, *people: User) -> BackupException:
    for person in people:
        label = exception.rollback.label
        exception = backup_exceptions.sign(
            exception, actor=person, confirmed_at=timezone.now(), label=label.lower()
        )
    return exception


def granted(world: World, rollback: RollbackRequest) -> BackupException:
    return signed(asked(world, rollback), world.dora, world.lea, world.dan)


def lesser(execution: Execution, sentence: str = "By exception. What could be had.") -> Backup:
    """The worker takes what can be had, as `executor.taking` does."""
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backup = backups.begin(execution)
    change = execution.change_digest
    leave = backup_exceptions.in_force(execution.rollback_target.rollback_id, change)
    assert leave is not None
    backups.begin_by_exception(backup, leave)
    return backups.record(backup, Backup.State.VERIFIED, sentence, grade=Grade.NONE, sha256="ab" * 32)


def test_three_people_let_it_run_without_the_backup_and_it_is_never_shown_as_one_that_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    assert missing(rollback) >= {"backup", "checklist"}
    exception = signed(asked(world, rollback), world.dora, world.dan)
    assert exception.missing == [Role.PLATFORM_LEAD]
    assert missing(rollback) >= {"backup"}, "two of three are not enough"
    assert not again(rollback).excepted
    exception = signed(exception, world.lea)
    assert exception.granted_at is not None
    assert forced(rollback) == {"backup"}
    assert missing(rollback) == {"approvals"}, "it stands in for nobody's signature"
    (gate,) = [gate for gate in gates.gates(again(rollback)) if gate.key == "backup"]
    assert gate.detail == f"By exception: Olga asked, Dora, Dan, Lea signed it. {WHY}"
    assert gate.until == exception.expires_at
    (point,) = [p for p in checklist.points(again(rollback)) if p.point == ChecklistEntry.Point.BACKUP]
    assert point.spared
    assert "exception signed by Dora, Dan, Lea, because “Payments are down.”" in point.found

    rollback = factories.approved(world, rollback)
    execution = factories.claimed(factories.start(world, rollback))
    assert attempts.preflight(execution) == []
    backup = lesser(execution)
    assert (backup.worth, backup.word) == (Grade.NONE, "by exception")
    taken = Evidence.objects.filter(kind=Evidence.Kind.BACKUP).latest("id")
    assert not taken.holds
    assert [each.pk for each in backup_exceptions.behind(execution)] == [exception.pk]
    assert factories.body("backup.by_exception")["facts"]["backup_exception"] == exception.pk
    assert factories.body("execution.requested")["excepted"] == "yes"
    found = preflights.record(again(rollback), [], [], execution=execution)
    points = Evidence.objects.filter(kind="preflight").latest("id").data["points"]
    assert found == preflights.Found(True, "Go: nothing stands in the way; 1 point is worth knowing.")
    assert [(p["key"], p["verdict"]) for p in points] == [("backup", "look")]
    # The worker asks again, and by then it is over.
    monkeypatch.setattr(Known, "now", property(lambda _known: exception.expires_at))
    assert not preflights.record(again(rollback), [], [], execution=execution).go
    report = "".join(exports.rollbacks_as_csv(None, None, rollback.pk))
    assert "no backup: asked olga, signed dora (senior_dba), dan (senior_dba), lea (platform_lead)" in report
    assert again(rollback).excepted, "the mark stays"
    assert not again(rollback).forced, "break-glass is another thing"
    assert audit.verify().holds


def test_below_the_limit_there_is_none(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Refused, match="Below a target's limit a verified dump always can"):
        asked(world, rollback)
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    factories.back_up(execution, Backup.State.FAILED)
    factories.end(execution, ExecutionStatus.NO_EFFECT)
    with pytest.raises(Refused, match="No worker found that this backup can't be had"):
        asked(world, rollback)
    beyond_reach(world, rollback)
    exception = granted(world, rollback)
    assert forced(rollback) == {"backup"}
    # What fails for another reason is no matter of size, and what could be had is had.
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    factories.back_up(execution, Backup.State.FAILED)
    assert missing(rollback) >= {"backup"}
    factories.end(execution, ExecutionStatus.NO_EFFECT)
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    factories.back_up(execution)
    assert "backup" not in missing(rollback) | forced(rollback)
    assert exception.in_force(again(rollback), timezone.now())


def test_a_preflight_that_finds_the_target_too_large_opens_it_too_and_goes_with_break_glass(
    world: World,
) -> None:
    rollback = never_rehearsed(world)
    digest = again(rollback).request_digest
    glass = break_glass.ask(
        again(rollback),
        skips=[BreakGlass.Skip.REHEARSAL],
        reason="No staging.",
        digest=digest,
        actor=world.bob,
    )
    break_glass.confirm(glass, actor=world.dora, confirmed_at=timezone.now())
    go = {"key": "backup", "title": "B", "verdict": "go", "says": "A full dump.", "who": []}
    stop = go | {"key": "above_limit", "verdict": "stop", "says": WHY}
    preflights.record(again(rollback), [stop], [])
    assert [each.kind for each in Known(again(rollback)).beyond_reach] == ["preflight"]
    preflights.record(again(rollback), [go], [])
    with pytest.raises(Refused, match="No worker found"):
        asked(world, rollback)
    preflights.record(again(rollback), [go, stop | {"key": "archive"}], [])
    granted(world, rollback)
    assert forced(rollback) == {"rehearsal", "backup"}
    detail = {gate.key: gate.detail for gate in gates.gates(again(rollback))}
    assert detail["rehearsal"].startswith("Forced: Bob asked, Dora confirmed it.")
    assert detail["backup"].startswith("By exception: Olga asked, Dora, Lea, Dan signed it.")
    now = again(rollback)
    assert (now.forced, now.excepted) == (True, True)


def test_over_a_fleet_it_counts_on_each_target_that_a_worker_finds_too_large(world: World) -> None:
    """The canary has its backup; another target, or the next one of a run that has begun, can't have one."""
    shards = factories.shards(world, 3, environment="production")
    rollback = factories.approved(world, factories.submitted(world, factories.fleet(world, shards)))
    second = rollback.rollback_targets.get(position=2)
    stop = {"key": "above_limit", "title": "B", "verdict": "stop", "says": WHY, "who": []}
    preflights.record(again(rollback), [stop], [], rollback_target=second)
    run = factories.started_run(world, rollback)
    assert again(rollback).status == Status.EXECUTING
    (found,) = Known(again(rollback)).beyond_reach
    assert found.target == second.target
    assert "backup_exception" in available_actions(again(rollback), world.olga)
    exception = granted(world, rollback)
    assert exception.evidence == found
    assert forced(rollback) == set(), "the canary's own backup holds"
    leave = backup_exceptions.in_force(rollback.pk, again(rollback).change_digest)
    assert leave == exception
    fleets.cancel(run, actor=world.olga, reason="Enough.")


def test_any_edit_ends_it_even_where_the_change_is_the_same_again(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    exception = granted(world, rollback)
    now = again(rollback)
    rollbacks.edit(now, actor=world.alice, revision=now.revision, reason="Still down.")
    assert backup_exceptions.in_force(rollback.pk, exception.change_digest) is None
    rollbacks.submit(again(rollback), actor=world.alice)
    assert again(rollback).change_digest == exception.change_digest
    assert backup_exceptions.in_force(rollback.pk, exception.change_digest) is None
    assert missing(rollback) >= {"backup"}
    waiting = asked(world, rollback)
    now = again(rollback)
    rollbacks.edit(now, actor=world.alice, revision=now.revision, reason="It goes on.")
    rollbacks.submit(again(rollback), actor=world.alice)
    with pytest.raises(Refused, match="was changed since somebody asked"):
        signed(waiting, world.dora)
    assert "backup" not in forced(rollback)


def test_who_asks_and_who_signs(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    for name in ("eve", "dora", "lea", "axel", "adam", "nora"):
        with pytest.raises(Denied):
            asked(world, rollback, world.people[name])
    for fields, error, says in (
        ({"reason": " "}, Refused, "Say why it can't wait"),
        ({"digest": "0" * 64}, Conflict, "."),
    ):
        with pytest.raises(error, match=says):
            asked(world, rollback, **fields)
    exception = asked(world, rollback, world.ada)  # an engineer of the team who is a senior DBA as well
    with pytest.raises(Refused, match="waits for signatures"):
        asked(world, rollback)
    for name in ("ada", "olga", "eve", "axel", "adam", "nora", "ida"):
        with pytest.raises(Denied):
            signed(exception, world.people[name])
    for name in ("alice", "bob"):  # the requester and the author, with the role that it takes
        world.people[name].groups.add(factories.Group.objects.get(name=Role.SENIOR_DBA))
        with pytest.raises(Denied, match="others have to sign it"):
            signed(exception, world.again(name))
    for given, says in (
        ({"confirmed_at": None}, "Confirm your password"),
        ({"confirmed_at": timezone.now() - timedelta(minutes=6)}, "Confirm your password"),
        ({"label": ""}, f"Type {rollback.label}"),
        ({"label": "RB-0"}, f"Type {rollback.label}"),
    ):
        fields = {"confirmed_at": timezone.now(), "label": rollback.label} | given
        with pytest.raises(Refused, match=says):
            backup_exceptions.sign(exception, actor=world.dora, **fields)
    exception = signed(exception, world.dora)
    with pytest.raises(Denied, match="You have signed it"):
        signed(exception, world.dora)
    exception = signed(exception, world.lea)
    # Another lead: one is enough, a DBA is missing.
    world.eve.groups.set([factories.Group.objects.get(name=Role.PLATFORM_LEAD)])
    with pytest.raises(Denied):
        signed(exception, world.again("eve"))
    backup_exceptions.dismiss(exception, actor=world.dora)
    with pytest.raises(Refused, match="waits for no signature any more"):
        signed(exception, world.dan)
    assert not again(rollback).excepted
    said = factories.body("backup_exception.signed")["facts"]
    assert (said["as"], said["granted"]) == ("platform_lead", False)


def test_a_setting_switches_it_off_and_none_makes_it_last_longer_than_three_days(
    world: World, settings: Any
) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    settings.BACKUP_EXCEPTION_HOURS = 0
    with pytest.raises(Refused, match="switched off"):
        asked(world, rollback)
    settings.BACKUP_EXCEPTION_HOURS = 9_999
    exception = asked(world, rollback)
    assert exception.expires_at - exception.proposed_at == 72 * HOUR


def test_a_verified_backup_is_never_removed_for_a_lesser_one(world: World, settings: Any) -> None:
    """What was taken by exception counts as no backup anywhere: the older one stays the newest."""
    rollback = rollback_in(world, Status.IN_REVIEW)
    first = Backup.objects.filter(state=Backup.State.VERIFIED).latest("id")
    Backup.objects.filter(pk=first.pk).update(path="a")
    beyond_reach(world, rollback)
    granted(world, rollback)
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    lesser(execution)
    rollbacks.withdraw(again(rollback), actor=world.alice, reason="Enough.")
    settings.BACKUP_KEEP_DAYS = -1
    assert first not in backups.to_remove()


SIGN = """INSERT INTO approvals_exceptionsignature (exception_id, person_id, role, signed_at, proved_at)
          VALUES (%(id)s, %(who)s, %(role)s, now(), now() - %(ago)s::interval)"""
CHANGE = "UPDATE approvals_backupexception SET {} WHERE id = %(id)s"


@pytest.mark.parametrize("role", [OWNER_ROLE, dbroles.WEB])
def test_the_database_holds_who_and_what_and_that_it_never_changes(
    role: str, committed_world: World, connect_as: Connect
) -> None:
    world, someone = committed_world, connect_as(role)
    dba = factories.Group.objects.get(name=Role.SENIOR_DBA)
    for name in ("alice", "bob", "olga"):
        world.people[name].groups.add(dba)
    rollback = rollback_in(world, Status.IN_REVIEW)
    held = Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.BACKUP).latest("id")
    beyond_reach(world, rollback)
    exception = asked(world, rollback, world.again("olga"))

    def may_not_sign(constraint: str, who: str, as_: str = "senior_dba", ago: str = "1 minute") -> None:
        values = {"id": exception.pk, "who": world.people[who].pk, "role": as_, "ago": ago}
        refused(someone, constraint, SIGN, values)

    for who in ("olga", "alice", "bob"):
        may_not_sign("exception_signed_by_outsiders", who)
    for who, as_ in (("lea", "senior_dba"), ("dora", "platform_lead"), ("ida", "senior_dba")):
        may_not_sign("exception_takes_a_role", who, as_)
    may_not_sign("exception_signed_by_two_dbas_and_a_lead", "eve", "engineer")
    may_not_sign("exception_signed_with_fresh_proof", "dora", ago="6 minutes")
    for column, constraint in (
        ("reason = 'Another.'", "exception_is_fixed"),
        ("expires_at = expires_at + interval '1 hour'", "exception_is_fixed"),
        ("granted_at = now()", "exception_takes_three"),
    ):
        refused(someone, constraint, CHANGE.format(column), {"id": exception.pk})
    mark = "UPDATE approvals_rollbackrequest SET excepted = {} WHERE id = %(id)s"
    refused(someone, "excepted_is_marked_for_good", mark.format("true"), {"id": rollback.pk})
    insert = """INSERT INTO approvals_backupexception (rollback_id, change_digest, evidence_id, reason,
                                                       proposed_by_id, proposed_at, expires_at)
                VALUES (%(id)s, %(digest)s, %(evidence)s, %(reason)s, %(who)s, now(),
                        now() + %(long)s::interval)"""
    good = {"id": rollback.pk, "digest": rollback.change_digest, "evidence": exception.evidence_id}
    good |= {"reason": "So.", "who": world.olga.pk, "long": "4 hours"}
    for bad, constraint in (
        ({"evidence": held.pk}, "exception_where_no_backup_can_be_had"),
        ({"digest": "0" * 64}, "exception_of_present_change"),
        ({"id": rollback_in(world, Status.DRAFT).pk}, "exception_of_present_change"),
        ({"who": world.dora.pk}, "exception_takes_a_role"),
        ({"long": "73 hours"}, "exception_is_over_within_three_days"),
        ({"reason": ""}, "exception_has_a_reason"),
    ):
        refused(someone, constraint, insert, good | bad)
    exception = signed(exception, world.dora)
    may_not_sign("exception_signed_once_by_each", "dora")
    exception = signed(exception, world.lea, world.dan)
    assert again(rollback).excepted
    may_not_sign("exception_waits_for_signatures", "ada")
    refused(someone, "excepted_is_marked_for_good", mark.format("false"), {"id": rollback.pk})
    refused(someone, "exception_is_fixed", CHANGE.format("granted_at = NULL"), {"id": exception.pk})
    for table in ("backupexception", "exceptionsignature"):
        refused(someone, "", f"DELETE FROM approvals_{table} WHERE true OR %(id)s", {"id": True})
    refused(someone, "", "UPDATE approvals_exceptionsignature SET role = 'ops' WHERE %(id)s", {"id": True})


def test_the_database_takes_no_lesser_backup_but_in_the_name_of_an_exception_in_force(world: World) -> None:
    """The worker's own table: whatever its code believes."""
    rollback = rollback_in(world, Status.IN_REVIEW)
    beyond_reach(world, rollback)
    waiting = asked(world, rollback)
    execution = factories.claimed(executions.ask_for_rehearsal(again(rollback), actor=world.alice))
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backup = backups.begin(execution)
    with pytest.raises(IntegrityError, match="no exception is in force"):
        backups.begin_by_exception(backup, waiting)
    signed(waiting, world.dora, world.lea, world.dan)
    backups.begin_by_exception(backup, waiting)
    assert backup.word == "being taken"
    for change in ({"exception": None}, {"grade": Grade.FULL}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Backup.objects.filter(pk=backup.pk).update(**change)
