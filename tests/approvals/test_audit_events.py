"""What the events of real work say: who did what to which rollback, readable for good, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from approvals import attempts, audit, backups, checklist, executions, history, incidents, rollbacks
from approvals.errors import Denied
from approvals.models import Approval, AuditEvent, Backup, ChecklistEntry, ExecutionStatus, Status, Team, User
from tests.approvals import factories
from tests.approvals.factories import World, again, body, decide, rollback_in, trail
from tests.servers import OWNER_ROLE

pytestmark = pytest.mark.integration


def test_actor_roles_and_labels_are_text_that_outlives_their_rows(world: World) -> None:
    rollback = factories.draft(world)
    inner = body("rollback.created")
    assert (inner["actor"], inner["actor_name"], inner["roles"]) == ("alice", "Alice", ["engineer"])
    assert (inner["rollback"], inner["target"]) == (rollback.label, "wallet-service-production")
    assert inner["status"] == "draft"


def test_what_the_worker_does_is_done_by_the_portal(world: World) -> None:
    factories.read_facts(rollback_in(world, Status.DRAFT))
    inner = body("rollback.facts_read")
    assert (inner["actor"], inner["actor_name"], inner["roles"]) == ("portal", "Waqiti Rollback", [])


def test_the_filter_columns_say_what_the_body_says(world: World) -> None:
    factories.draft(world)
    for event in AuditEvent.objects.all():
        inner = json.loads(event.body)
        for column in ("at", "action", "actor", "target", "rollback", "incident"):
            assert getattr(event, column) == inner.get(column), (event.seq, column)


def test_one_rollbacks_whole_story_is_found_by_its_label(world: World) -> None:
    rollback = factories.approved(world, factories.submitted(world, factories.draft(world)))
    factories.executed(world, rollback, ExecutionStatus.SUCCEEDED)
    story = AuditEvent.objects.filter(rollback=rollback.label).order_by("seq")
    assert [event.action for event in story] == [
        "rollback.created",
        "rollback.facts_read",
        "rollback.checklist_confirmed",
        "rollback.checklist_confirmed",
        "rehearsal.requested",
        "execution.claimed",
        "execution.backup",
        "backup.started",
        "backup.verified",
        "execution.preflight",
        "execution.running",
        "rehearsal.recorded",
        "execution.succeeded",
        "rollback.submitted",
        "rollback.approved",
        "execution.requested",
        "execution.claimed",
        "execution.preflight",
        "execution.backup",
        "backup.started",
        "backup.verified",
        "execution.running",
        "execution.committing",
        "execution.verifying",
        "execution.succeeded",
    ]
    assert rollback.incident is not None
    opened = AuditEvent.objects.get(incident=rollback.incident.label)
    assert (opened.action, opened.actor) == ("incident.opened", "alice")


def test_an_event_tells_the_status_after_the_change(world: World) -> None:
    stale = rollback_in(world, Status.IN_REVIEW)
    decide(world, stale, world.dora)
    assert body("rollback.approved")["status"] == "approved"
    assert stale.status == "in_review"


def denied_attempt(actor: User) -> None:
    with audit.unit_of_work("team.made", actor=actor) as facts:
        Team.objects.create(name="never")
        facts["secret"] = "not on record"
        raise Denied("You may not make teams.")


def test_a_denied_attempt_is_on_record_although_the_action_was_rolled_back(
    committed_world: World, connect_as: Callable[..., psycopg.Connection[Any]]
) -> None:
    with pytest.raises(Denied):
        denied_attempt(committed_world.axel)
    other = connect_as(OWNER_ROLE)  # another connection sees only what was committed
    row = other.execute("SELECT body FROM approvals_auditevent ORDER BY seq DESC LIMIT 1").fetchone()
    assert row is not None
    last = json.loads(row[0])
    assert (last["action"], last["actor"]) == ("team.made.denied", "axel")
    assert last["facts"] == {"why": "You may not make teams."}
    assert other.execute("SELECT count(*) FROM approvals_team WHERE name = 'never'").fetchone() == (0,)


def test_a_denial_outside_any_domain_function_can_be_recorded(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    audit.record_denial("page.opened", actor=world.eve, why="This is not your service.", rollback=rollback)
    inner = body("page.opened.denied")
    assert (inner["actor"], inner["rollback"]) == ("eve", rollback.label)
    assert inner["facts"] == {"why": "This is not your service."}


def test_no_free_text_is_in_the_chain_only_its_digest(world: World) -> None:
    secret = "postgres://admin:hunter2@db"
    words = {"reason": secret, "forward_fix": secret, "app_version": secret, "frozen_by": secret}
    start = AuditEvent.objects.latest("seq").seq
    rollback = factories.submitted(world, factories.draft(world, **words))
    checklist.confirm(rollback, ChecklistEntry.Point.STAKEHOLDERS, note=secret, actor=world.alice)
    assert rollback.incident is not None
    incidents.add_note(rollback.incident, text=secret, actor=world.alice)
    history.record_sync_failure(world.staging, secret)
    decide(world, rollback, world.dan, Approval.Decision.REQUEST_CHANGES, comment=secret)
    rollbacks.edit(again(rollback), actor=world.alice, revision=1, reason=secret)
    factories.read_facts(rollback, factories.FACTS | {"said": secret})
    rollbacks.submit(rollback, actor=world.alice)
    decide(world, rollback, world.dora, comment=secret)
    execution = factories.claimed(factories.start(world, rollback))
    attempts.enter(execution, ExecutionStatus.BACKUP)
    backup = backups.begin(execution)
    backups.record(backup, Backup.State.FAILED, secret, path=secret)
    attempts.record_rehearsal(execution, holds=True, sentence=secret, data={"said": secret})
    executions.cancel(execution, actor=world.olga, reason=secret)
    attempts.record_outcome(execution, ExecutionStatus.ROLLED_BACK, secret, sqlstate="23503")
    rollbacks.edit(again(rollback), actor=world.alice, revision=2)
    rollbacks.withdraw(rollback, actor=world.alice, reason=secret)

    assert len(trail(after=start)) > 20
    for event in AuditEvent.objects.filter(seq__gt=start):
        assert "hunter2" not in event.body, event.body
    outcome = body("execution.rolled_back")["facts"]
    assert (outcome["sentence_sha256"], outcome["sqlstate"]) == (audit.digest_of(secret), "23503")
    assert body("rollback.withdrawn")["facts"]["reason_sha256"] == audit.digest_of(secret)


def test_a_digest_is_that_of_the_text_as_it_is_stored(world: World) -> None:
    """An auditor who has the text can show that it is the one on record."""
    rollback = rollback_in(world, Status.DRAFT)
    checklist.confirm(rollback, ChecklistEntry.Point.STAKEHOLDERS, note=" Mailed. ", actor=world.alice)
    on_record = body("rollback.checklist_confirmed")["facts"]["note_sha256"]
    assert on_record == audit.digest_of(rollback.checklist.get().note) == audit.digest_of("Mailed.")
    rollback = rollbacks.submit(rollback, actor=world.alice)
    facts = body("rollback.submitted")["facts"]
    for name in ("reason", "forward_fix", "frozen_by", "app_version"):
        assert facts[f"{name}_sha256"] == audit.digest_of(getattr(again(rollback), name))
    assert (facts["urgency"], facts["file_fate"]) == ("urgent", "removed")
    decide(world, rollback, world.dora, Approval.Decision.REJECT, comment=" Too risky.\n")
    comment = rollback.approvals.get().comment
    assert body("rollback.rejected")["facts"]["comment_sha256"] == audit.digest_of(comment)
    assert rollback.incident is not None
    note = incidents.add_note(rollback.incident, text=" Called. ", actor=world.olga)
    assert body("incident.note_added")["facts"]["text_sha256"] == audit.digest_of(note.text)
