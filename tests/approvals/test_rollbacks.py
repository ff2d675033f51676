"""Asking for a rollback, changing it, sending it to its approvers, withdrawing it; and what time does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from approvals import history, policy, rollbacks
from approvals.analysis import Risk
from approvals.errors import Conflict, Denied, Refused
from approvals.models import Approval, Evidence, Job, RollbackRequest, Status, Team
from tests.approvals import factories
from tests.approvals.factories import World, again, body, rollback_in, trail

pytestmark = pytest.mark.integration


# Asking


def test_an_engineer_of_the_team_asks(world: World) -> None:
    rollback = rollbacks.create(
        world.production, [world.migration("3")], actor=world.alice, reason="It hangs."
    )
    assert (rollback.status, rollback.requester, rollback.service) == ("draft", world.alice, world.service)
    item = rollback.items.get()
    assert (item.position, item.migration.version, item.revision.number) == (1, "3", 1)
    assert item.script == world.migration("3").scripts.get()
    row = world.production.history.get(version="3")
    assert factories.target_of(rollback).pins == [
        {
            "installed_rank": 3,
            "version": "3",
            "type": "SQL",
            "script": "V3__index_wallets.sql",
            "checksum": row.checksum,
            "success": True,
        }
    ]
    assert len(rollback.change_digest) == 64
    assert Risk(rollback.risk) <= Risk.MEDIUM
    event = body("rollback.created")
    assert event["rollback"] == rollback.label
    assert event["facts"] == {"versions": ["V3"], "change": rollback.change_digest}


def test_asking_asks_the_worker_for_the_facts(world: World) -> None:
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    job = Job.objects.latest("id")
    assert (job.kind, job.subject, job.digest) == ("facts", str(rollback.pk), rollback.change_digest)


@pytest.mark.parametrize("name", ["eve", "dora", "dan", "lea", "olga", "axel", "adam", "ida", "nora"])
def test_nobody_else_asks_and_the_attempt_is_on_record(name: str, world: World) -> None:
    before = RollbackRequest.objects.count()
    with pytest.raises(Denied, match="Only an engineer of the team that owns wallet-service can ask"):
        rollbacks.create(world.production, [world.migration("3")], actor=world.people[name])
    assert RollbackRequest.objects.count() == before
    event = body("rollback.created.denied")
    assert (event["actor"], event["target"]) == (name, "wallet-service-production")


def test_seeing_a_service_is_not_owning_it(world: World) -> None:
    world.eve.groups.add(world.axel.groups.get())
    with pytest.raises(Denied):
        rollbacks.create(world.production, [world.migration("3")], actor=world.again("eve"))


def test_several_migrations_go_newest_first_however_they_were_named(world: World) -> None:
    chosen = [world.migration(version) for version in ("3", "5", "4")]
    rollback = rollbacks.create(world.critical, chosen, actor=world.alice)
    items = rollback.items.order_by("position").values_list("position", "migration__version")
    assert list(items) == [(1, "5"), (2, "4"), (3, "3")]
    assert [pin["version"] for pin in factories.target_of(rollback).pins] == ["5", "4", "3"]


def test_what_stands_on_it_has_to_go_along(world: World) -> None:
    with pytest.raises(
        Refused, match=r"Newer migrations are applied above: V5, V4\. Take them along, newest first"
    ):
        rollbacks.create(world.critical, [world.migration("3")], actor=world.alice)
    with pytest.raises(Refused, match="applied above: V4"):
        rollbacks.create(world.critical, [world.migration("3"), world.migration("5")], actor=world.alice)


def test_what_is_not_applied_cannot_go(world: World) -> None:
    with pytest.raises(Refused, match="V4 is not applied on wallet-service-production"):
        rollbacks.create(world.production, [world.migration("4")], actor=world.alice)


def test_nothing_is_no_request(world: World) -> None:
    with pytest.raises(Refused, match="Choose at least one migration"):
        rollbacks.create(world.production, [], actor=world.alice)


def test_the_newest_script_is_taken_and_a_migration_without_one_is_critical(world: World) -> None:
    newest = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert rollback.items.get().script == newest
    factories.apply(world, world.production, "12")
    bare = rollbacks.create(world.production, [world.migration("2")], actor=world.alice)
    assert bare.items.get().script is None
    assert Risk(bare.risk) == Risk.CRITICAL


def test_an_incident_of_another_service_does_not_fit(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    Team.objects.get(name="ledger").members.add(world.alice)
    foreign = factories.incidents.open_incident(
        world.foreign, title="a", reason="b", impact="c", actor=world.alice
    )
    with pytest.raises(Refused, match=f"{foreign.label} belongs to another service"):
        rollbacks.edit(rollback, actor=world.alice, revision=1, incident=foreign)


def test_only_what_a_requester_fills_in_can_be_given(world: World) -> None:
    for name in ("status", "risk", "request_digest", "requester", "session_options"):
        with pytest.raises(TypeError, match=f"not fields of a request: {name}"):
            rollbacks.create(world.production, [world.migration("3")], actor=world.alice, **{name: "x"})


# Changing


EDITABLE = {"draft", "in_review", "approved", "changes_requested", "expired", "failed"}


@pytest.mark.parametrize("status", Status)
def test_where_a_request_can_be_changed_it_is_a_draft_again_without_approvals(
    status: Status, world: World
) -> None:
    rollback = rollback_in(world, status)
    if status not in EDITABLE:
        with pytest.raises(Refused, match=f"is {status.label.lower()} now, so this can't be done"):
            rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Better words.")
        assert again(rollback).reason != "Better words."
        return
    rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Better words.")
    now = again(rollback)
    assert (now.status, now.reason, now.revision) == ("draft", "Better words.", 2)
    assert (now.request_digest, now.policy_version, now.ended_at) == ("", None, None)
    assert (now.submitted_at, now.approved_at, now.expires_at) == (None, None, None)
    assert not rollback.approvals.filter(decision="approve", voided_at=None).exists()


def test_the_event_of_an_edit_counts_the_approvals_that_it_voided(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED, "high")
    rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Better words.")
    facts = body("rollback.edited")["facts"]
    assert (facts["voided"], facts["fields"]) == (2, ["reason"])
    assert set(rollback.approvals.values_list("void_reason", flat=True)) == {"edited"}


@pytest.mark.parametrize("name", ["bob", "eve", "ada", "dora", "lea", "olga", "axel", "adam", "ida", "nora"])
@pytest.mark.parametrize("status", [Status.DRAFT, Status.APPROVED, Status.CANCELLED])
def test_nobody_but_the_requester_changes_it(status: Status, name: str, world: World) -> None:
    rollback = rollback_in(world, status)
    with pytest.raises(Denied, match="Only Alice, who asked for this rollback, can do this"):
        rollbacks.edit(rollback, actor=world.people[name], revision=1, reason="Mine now.")
    assert (again(rollback).reason, again(rollback).status) == (rollback.reason, status)
    assert trail()[-1] == "rollback.edited.denied"


def test_of_two_edits_the_second_is_told_of_the_first(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    rollbacks.edit(rollback, actor=world.alice, revision=1, reason="First.")
    with pytest.raises(Conflict, match=f"Somebody edited {rollback.label} meanwhile"):
        rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Second.")
    assert again(rollback).reason == "First."


def test_migrations_can_be_added_after_a_rehearsal(world: World) -> None:
    factories.apply(world, world.production, "1234")
    rollback = factories.draft(world)
    factories.rehearse(world, rollback)
    rollbacks.edit(
        rollback, actor=world.alice, revision=1, migrations=[world.migration("3"), world.migration("4")]
    )
    assert list(rollback.items.values_list("migration__version", flat=True)) == ["4", "3"]
    assert factories.target_of(rollback).executions.count() == 1


def test_a_script_can_be_replaced_by_another_revision(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    before = rollback.change_digest
    script = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    assert again(rollback).items.get().script != script
    rollbacks.edit(rollback, actor=world.alice, revision=1, scripts=[script])
    assert again(rollback).items.get().script == script
    assert again(rollback).change_digest != before
    assert Job.objects.latest("id").digest == again(rollback).change_digest


def test_a_script_of_another_migration_is_refused(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    script = world.migration("4").scripts.get()
    with pytest.raises(Refused, match="V4 is not in this request"):
        rollbacks.edit(rollback, actor=world.alice, revision=1, scripts=[script])
    assert again(rollback).revision == 1


def test_an_edit_of_words_keeps_evidence_and_confirmations(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    jobs = Job.objects.count()
    rollbacks.edit(rollback, actor=world.alice, revision=1, reason="Better words.")
    assert Job.objects.count() == jobs
    rollback = rollbacks.submit(rollback, actor=world.alice)
    assert factories.decide(world, rollback, world.dora).status == Status.APPROVED


# Sending it to its approvers


def test_submitting_fixes_risk_policy_and_digests(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT)
    before = timezone.now()
    rollback = rollbacks.submit(draft, actor=world.alice)
    assert rollback.status == "in_review"
    assert rollback.policy_version == policy.current()
    assert len({rollback.change_digest, rollback.request_digest}) == 2
    assert rollback.submitted_at >= before
    assert rollback.expires_at == rollback.submitted_at + timedelta(hours=72)
    facts = body("rollback.submitted")["facts"]
    assert (facts["request"], facts["policy"]) == (rollback.request_digest, 1)
    assert facts["risk"] == Risk(rollback.risk).name


@pytest.mark.parametrize("name", ["bob", "eve", "dora", "olga", "axel", "adam", "nora"])
def test_a_strangers_submission_is_denied_even_where_much_is_missing(name: str, world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    with pytest.raises(Denied, match="Only Alice"):
        rollbacks.submit(bare, actor=world.people[name])
    assert trail()[-1] == "rollback.submitted.denied"


@pytest.mark.parametrize("status", [status for status in Status if status != Status.DRAFT])
def test_only_a_draft_is_submitted(status: Status, world: World) -> None:
    rollback = rollback_in(world, status)
    with pytest.raises(Refused, match="so this can't be done"):
        rollbacks.submit(rollback, actor=world.alice)


def test_everything_that_is_missing_is_named_at_once(world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    with pytest.raises(Refused) as refused:
        rollbacks.submit(bare, actor=world.alice)
    for sentence in (
        "Name the incident and say why the migration must be undone.",
        "Write why a corrective forward migration will not do.",
        "The worker has not read the target for this change yet.",
        "Missing: who froze deployments and until when, what becomes of the migration file,",
    ):
        assert sentence in str(refused.value)
    assert again(bare).status == "draft"


def test_staging_below_high_needs_nobody(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT, "staging")
    factories.confirm_checklist(world, draft)
    rollback = rollbacks.submit(draft, actor=world.alice)
    assert rollback.status == "approved"
    assert rollback.expires_at == rollback.approved_at + timedelta(hours=24)
    assert not rollback.approvals.exists()


def test_where_nobody_approves_later_the_checklist_has_to_be_done_at_once(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT, "staging")
    with pytest.raises(Refused, match="Pre-rollback checklist: Open"):
        rollbacks.submit(draft, actor=world.alice)


def test_the_history_is_pinned_as_it_is_at_submission(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT)
    rows = history.rows_of(world.production)
    renumbered = [
        factories.history_row(row.installed_rank + 10, world.migration(row.version)) for row in rows
    ]
    factories.sync(world.production, renumbered)
    rollback = rollbacks.submit(draft, actor=world.alice)
    assert [pin["installed_rank"] for pin in factories.target_of(rollback).pins] == [13]


def test_what_was_deployed_since_stands_in_the_way_of_a_draft(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT)
    factories.apply(world, world.production, "1234")
    with pytest.raises(Refused, match="Newer migrations are applied above: V4"):
        rollbacks.submit(draft, actor=world.alice)


def test_placeholders_changed_in_the_meantime_ask_for_new_facts(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT)
    world.service.placeholders = {"schema": "wallet"}
    world.service.save()
    with pytest.raises(Refused, match="The worker has not read the target for this change yet"):
        rollbacks.submit(draft, actor=world.alice)
    rollbacks.read_facts_again(draft, actor=world.alice)
    factories.read_facts(draft)
    assert rollbacks.submit(draft, actor=world.alice).status == "in_review"


# Withdrawing


@pytest.mark.parametrize("status", Status)
def test_a_request_is_withdrawn_until_its_execution_begins(status: Status, world: World) -> None:
    rollback = rollback_in(world, status)
    if status in {"draft", "in_review", "approved", "changes_requested"}:
        rollbacks.withdraw(rollback, actor=world.alice, reason="A forward fix is out.")
        assert again(rollback).status == "cancelled"
        assert again(rollback).ended_at is not None
        assert not rollback.approvals.filter(decision="approve", voided_at=None).exists()
    else:
        with pytest.raises(Refused, match="can't become cancelled"):
            rollbacks.withdraw(rollback, actor=world.alice, reason="A forward fix is out.")
        assert again(rollback).status == status


def test_a_withdrawal_needs_a_reason(world: World) -> None:
    with pytest.raises(Refused, match="Say why you withdraw it"):
        rollbacks.withdraw(rollback_in(world, Status.DRAFT), actor=world.alice, reason=" ")


@pytest.mark.parametrize("name", ["bob", "dora", "olga", "adam"])
def test_nobody_withdraws_somebody_elses_request(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied):
        rollbacks.withdraw(rollback, actor=world.people[name], reason="")
    assert trail()[-1] == "rollback.withdrawn.denied"
    assert again(rollback).status == "in_review"


# Facts


def test_new_facts_rate_a_draft_anew(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT, "critical")
    assert Risk(draft.risk) == Risk.CRITICAL
    empty = [{"relation": "transactions", "rows": 0, "exact": True, "bytes": 8192}]
    factories.read_facts(draft, factories.FACTS | {"tables": empty})
    assert Risk(again(draft).risk) == Risk.HIGH
    checks = again(draft).automatic_checks
    assert [(check["item"], check["stage"]) for check in checks] == [(1, "before script")]
    assert "transactions" in checks[0]["sql"]


def test_new_facts_leave_what_was_submitted_as_it_was(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    empty = [{"relation": "transactions", "rows": 0, "exact": True, "bytes": 8192}]
    factories.read_facts(rollback, factories.FACTS | {"tables": empty})
    now = again(rollback)
    assert (now.risk, now.request_digest) == (rollback.risk, rollback.request_digest)


def test_facts_for_another_change_are_dropped(world: World) -> None:
    draft = rollback_in(world, Status.DRAFT)
    count = draft.evidence.count()
    stale = rollbacks.record_facts(draft, change_digest="0" * 64, holds=True, sentence="x", data={})
    assert stale is None
    assert draft.evidence.count() == count
    assert body("rollback.facts_read")["facts"]["stale"] is True


def test_facts_that_show_another_file_are_read_again_for_it(world: World, tmp_path: Path) -> None:
    """The file was corrected, imported, and Flyway's repair wrote its checksum: now that one is applied."""
    draft = rollback_in(world, Status.DRAFT)
    corrected = {"V3__index_wallets.sql": "CREATE INDEX wallets_by_user ON wallets (user_id, id);\n"}
    factories.import_files(world, tmp_path, factories.FILES | corrected)
    factories.apply(world, world.production, "123")
    factories.read_facts(draft)
    now = again(draft)
    assert now.items.get().revision.number == 2
    assert now.change_digest != draft.change_digest
    assert Job.objects.latest("id").digest == now.change_digest


@pytest.mark.parametrize("name", ["alice", "bob", "dora", "lea", "olga", "adam"])
def test_whoever_sees_a_rollback_may_ask_for_its_facts(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    job = rollbacks.read_facts_again(rollback, actor=world.people[name])
    assert (job.kind, job.asked_by, job.digest) == ("facts", world.people[name], rollback.change_digest)


@pytest.mark.parametrize("name", ["eve", "ida", "nora"])
def test_whoever_does_not_see_it_may_not(name: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied, match="You do not see this rollback"):
        rollbacks.read_facts_again(rollback, actor=world.people[name])
    assert trail()[-1] == "rollback.facts_requested.denied"


def test_an_auditor_changes_nothing_not_even_the_facts(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    with pytest.raises(Denied, match="Auditors read everything and change nothing"):
        rollbacks.read_facts_again(rollback, actor=world.axel)
    assert trail()[-1] == "rollback.facts_requested.denied"


# Time


def test_what_waits_too_long_expires_and_loses_its_approvals(world: World) -> None:
    review = factories.decide(world, rollback_in(world, Status.IN_REVIEW, "high"), world.dora)
    approved = rollback_in(world, Status.APPROVED)
    draft = rollback_in(world, Status.DRAFT)
    assert rollbacks.expire_due(timezone.now() + timedelta(hours=23)) == 0
    soon = timezone.now() + timedelta(hours=25)
    approved_there = RollbackRequest.objects.filter(status=Status.APPROVED).count()
    assert rollbacks.expire_due(soon) == approved_there
    assert (again(approved).status, again(review).status) == ("expired", "in_review")
    rollbacks.expire_due(timezone.now() + timedelta(hours=73))
    assert (again(review).status, again(draft).status) == ("expired", "draft")
    assert not Approval.objects.filter(decision="approve", voided_at=None).exists()
    assert rollbacks.expire_due(timezone.now() + timedelta(hours=73)) == 0
    event = body("rollback.expired")
    assert (event["actor"], event["facts"]["was"]) == ("portal", "in_review")


def test_an_expired_request_lives_again_as_a_draft_with_all_its_attempts(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    RollbackRequest.objects.filter(pk=rollback.pk).update(attempts=2)
    rollbacks.expire_due(timezone.now() + timedelta(days=30))
    rollbacks.edit(rollback, actor=world.alice, revision=1)
    assert rollbacks.submit(rollback, actor=world.alice).attempts == 0


def test_the_evidence_of_a_rollback_is_newest_first(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    kinds = list(rollback.evidence.values_list("kind", flat=True))
    assert kinds == [Evidence.Kind.REHEARSAL, Evidence.Kind.BACKUP, Evidence.Kind.FACTS]
