"""The gates: each holding and each missing, with the sentence that people read and who can help."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import gates, rollbacks
from approvals.gates import Gate, Needed
from approvals.known import Known
from approvals.models import (
    Backup,
    Evidence,
    FileFate,
    Role,
    RollbackRequest,
    Status,
    User,
)
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in

pytestmark = pytest.mark.integration

# key → when it must hold, and what it says where everything is as it should be
HOLDING: dict[str, tuple[Needed, str]] = {
    "script": (Needed.SUBMIT, "Every statement was read and may run."),
    "checks": (Needed.SUBMIT, "Every script has at least one check that runs before commit."),
    "completeness": (
        Needed.SUBMIT,
        "Each effect of the migrations is undone by a step, or left on purpose with a reason.",
    ),
    "proof": (Needed.APPROVE, "V3: exact."),
    "reason": (Needed.SUBMIT, "{incident}, with a reason."),
    "forward_fix": (Needed.SUBMIT, "The requester wrote why a forward fix will not do."),
    "facts": (Needed.SUBMIT, "Read the target: 1 table."),
    "history": (
        Needed.APPROVE,
        "The pinned rows are there unchanged, and nothing newer is applied above them.",
    ),
    "file": (
        Needed.SUBMIT,
        "Release team froze deployments until {until} UTC; the file is removed from the release.",
    ),
    "release": (Needed.DEPLOY, "The import of {imported} UTC no longer has the file."),
    "checklist": (Needed.APPROVE, "All five points are filled."),
    "rehearsal": (Needed.APPROVE, "Passed on a clone."),
    "backup": (Needed.APPROVE, "Backup verified."),
    "approvals": (Needed.EXECUTE, "Every signature that the policy asks for was given."),
    "window_ahead": (Needed.APPROVE, "It has no windows, so it is always open."),
    "window": (Needed.EXECUTE, "It has no windows, so it is always open."),
    "transactional": (Needed.EXECUTE, "All of it runs in one transaction."),
}


def gate(rollback: RollbackRequest, key: str) -> Gate:
    return next(gate for gate in gates.gates(again(rollback)) if gate.key == key)


def missing(rollback: RollbackRequest, key: str) -> str:
    """What the gate says is missing; it must say who can help."""
    found = gate(rollback, key)
    assert not found.holds
    assert found.who
    return found.detail


def test_an_approved_rollback_passes_every_gate(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert rollback.incident is not None
    assert rollback.frozen_until is not None
    words = {"incident": rollback.incident.label, "until": f"{rollback.frozen_until:%Y-%m-%d %H:%M}"}
    rollback.service.migrations.filter(items__rollback=rollback).update(removed_at=timezone.now())
    imported = rollback.service.import_runs.latest("at").at
    words["imported"] = f"{imported.day} {imported:%b %Y, %H:%M}"
    found = {each.key: (each.needed, each.detail) for each in gates.gates(rollback)}
    assert found == {key: (needed, said.format(**words)) for key, (needed, said) in HOLDING.items()}
    assert all(each.holds and not each.who for each in gates.gates(rollback))
    assert gates.missing(rollback, Needed.DEPLOY) == []


def test_a_file_that_is_still_there_holds_up_the_next_deployment_and_not_the_rollback(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert "still has V3__index_wallets.sql as it was applied" in missing(rollback, "release")
    assert gates.missing(rollback, Needed.EXECUTE) == []
    assert [each.key for each in gates.missing(rollback, Needed.DEPLOY)] == ["release"]


def test_what_is_missing_comes_first(world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    holds = [each.holds for each in gates.gates(bare)]
    assert holds == sorted(holds)
    assert not holds[0]


def test_what_is_needed_later_is_not_missing_yet(world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    keys = {needed: {each.key for each in gates.missing(bare, needed)} for needed in Needed}
    assert keys[Needed.SUBMIT] == {"reason", "forward_fix", "facts", "file"}
    assert keys[Needed.APPROVE] == keys[Needed.SUBMIT] | {"checklist", "rehearsal", "backup"}
    assert keys[Needed.EXECUTE] == keys[Needed.APPROVE] | {"approvals"}
    assert keys[Needed.DEPLOY] == keys[Needed.EXECUTE] | {"release"}


# Scripts and checks


def test_a_migration_without_a_script(world: World) -> None:
    factories.apply(world, world.production, "12")
    rollback = rollbacks.create(world.production, [world.migration("2")], actor=world.alice)
    assert missing(rollback, "script") == "No rollback script for V2."
    assert missing(rollback, "checks") == "No check before commit for V2."


def test_a_request_without_a_migration(world: World) -> None:
    rollback = RollbackRequest.objects.create(service=world.service, requester=world.alice)
    assert missing(rollback, "script") == "The request names no migration."
    assert missing(rollback, "checks") == "No check before commit for any migration."
    assert missing(rollback, "history") == "The request names no target."


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("DROP INDEX wallets_by_user;\n  COMMIT;\nSELECT 1;\n", "Refused: V3, line 2, column 3: "),
        ("DROP INDEKS wallets_by_user;\n", "Refused: V3, line 1, column 6: "),
        ("", "Refused: V3, line 1, column 1: "),
        ("-- nothing\n", "Refused: V3, line 1, column 1: "),
        ("BEGIN;\nCOMMIT;\n", "Refused: V3, line 1, column 1: "),
    ],
    ids=["leaves the transaction", "does not parse", "empty", "a comment", "an empty transaction"],
)
def test_a_script_that_is_refused(sql: str, where: str, world: World) -> None:
    factories.write_script(world, "3", sql=sql)
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert missing(rollback, "script").startswith(where)


@pytest.mark.parametrize("stage", ["after commit", "after restart", ""])
def test_a_script_without_a_check_before_commit(stage: str, world: World) -> None:
    check = factories.CHECK["3"]
    later = [type(check)(check.name, check.sql, check.expected, stage)] if stage else []
    factories.write_script(world, "3", checks=later)
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert missing(rollback, "checks") == "No check before commit for V3."


def test_steps_that_refuse_a_transaction_run_alone(world: World) -> None:
    factories.write_script(world, "3", sql="DROP INDEX CONCURRENTLY wallets_by_user;\nDROP TABLE wallets;\n")
    rollback = factories.in_review(world)
    gate = next(gate for gate in gates.gates(rollback) if gate.key == "transactional")
    assert gate.holds
    assert gate.detail.startswith("1 of 2 steps runs alone")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("CREATE DATABASE other;", "Step 1 (CREATE DATABASE) reaches beyond this database"),
        ("REINDEX SCHEMA public;", "Step 1 (REINDEX SCHEMA): This version runs REINDEX alone only"),
        ("CREATE INDEX CONCURRENTLY ON wallets (id);", "Give the index a name"),
        ("ALTER SYSTEM RESET ALL;", "takes a superuser"),
    ],
)
def test_what_the_portal_can_not_run_alone_a_person_does(sql: str, why: str, world: World) -> None:
    factories.write_script(world, "3", sql=f"{sql}\nDROP TABLE wallets;\n")
    assert why in missing(factories.in_review(world), "transactional")


def test_without_the_marker_nothing_runs_alone(world: World) -> None:
    factories.write_script(world, "3", sql="VACUUM wallets;\nDROP TABLE wallets;\n")
    type(world.production).objects.filter(pk=world.production.pk).update(has_marker=False)
    rollback = factories.in_review(factories.load_world())
    assert "refuses the marker" in missing(rollback, "transactional")


# What the requester writes


@pytest.mark.parametrize("field", ["reason", "incident"])
def test_without_incident_or_reason(field: str, world: World) -> None:
    empty = {"reason": " ", "incident": None}[field]
    rollbacks.edit(rollback_in(world, Status.DRAFT), actor=world.alice, revision=1, **{field: empty})
    expected = "Name the incident and say why the migration must be undone."
    assert missing(rollback_in(world, Status.DRAFT), "reason") == expected


def test_without_a_word_on_a_forward_fix(world: World) -> None:
    rollbacks.edit(rollback_in(world, Status.DRAFT), actor=world.alice, revision=1, forward_fix="\n")
    expected = "Write why a corrective forward migration will not do."
    assert missing(rollback_in(world, Status.DRAFT), "forward_fix") == expected


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"frozen_by": ""}, "who froze deployments and until when"),
        ({"frozen_until": None}, "who froze deployments and until when"),
        ({"frozen_until": timezone.now() - timedelta(minutes=1)}, "a freeze that is not over yet"),
        ({"file_fate": FileFate.UNDECIDED}, "what becomes of the migration file"),
        ({"app_version": " "}, "the application version that fits the old schema"),
        (
            {"frozen_by": "", "app_version": ""},
            "who froze deployments and until when, the application version that fits the old schema",
        ),
    ],
)
def test_where_the_file_is_not_settled(fields: dict[str, object], what: str, world: World) -> None:
    rollbacks.edit(rollback_in(world, Status.DRAFT), actor=world.alice, revision=1, **fields)
    assert missing(rollback_in(world, Status.DRAFT), "file") == (
        f"Missing: {what}. Without it the next deployment applies the migration again."
    )


# Evidence


def test_facts_that_were_not_read(world: World) -> None:
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert missing(rollback, "facts") == "The worker has not read the target for this change yet."
    factories.read_facts(rollback, holds=False)
    assert missing(rollback, "facts") == "The target does not answer."
    factories.read_facts(rollback)
    assert gate(rollback, "facts").holds


NOT_YET = "These exact bytes have not been rehearsed."


def test_a_rehearsal_that_was_not_passed(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    assert missing(rollback, "rehearsal") == NOT_YET
    factories.rehearse(world, rollback)
    assert gate(rollback, "rehearsal").holds
    factories.rehearse(world, rollback, holds=False)
    assert missing(rollback, "rehearsal") == "A check failed."


def test_a_rehearsal_of_other_bytes_proves_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    script = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    rollbacks.edit(rollback, actor=world.alice, revision=1, scripts=[script])
    assert missing(rollback, "rehearsal") == NOT_YET
    assert missing(rollback, "backup") == "No backup yet; the rehearsal takes one."
    assert missing(rollback, "facts") == "The worker has not read the target for this change yet."


@pytest.mark.parametrize(
    ("on", "age", "says"),
    [
        ("production", timedelta(days=400), ""),
        ("high", timedelta(days=6, hours=23), ""),
        ("high", timedelta(days=7, hours=1), "The rehearsal is older than the 168 hours the policy allows."),
        ("critical", timedelta(hours=23), ""),
        ("critical", timedelta(hours=25), "The rehearsal is older than the 24 hours the policy allows."),
    ],
)
def test_a_rehearsal_has_the_age_that_its_risk_allows(
    on: str, age: timedelta, says: str, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT, on)
    Evidence.objects.create(
        rollback=rollback,
        kind=Evidence.Kind.REHEARSAL,
        change_digest=rollback.change_digest,
        holds=True,
        sentence="Passed on a clone.",
        at=timezone.now() - age,
    )
    found = gate(rollback, "rehearsal")
    assert (found.holds, found.detail) == (not says, says or "Passed on a clone.")


def test_the_newest_evidence_counts(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert gate(rollback, "backup").holds
    execution = factories.claimed(factories.start(world, rollback))
    factories.back_up(execution, Backup.State.FAILED)
    assert missing(rollback, "backup") == "Backup failed."


def test_staging_asks_for_neither_rehearsal_nor_backup(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT, "staging")
    for key in ("rehearsal", "backup"):
        assert (gate(rollback, key).holds, gate(rollback, key).detail) == (
            True,
            "The policy asks for none here.",
        )


def test_an_open_checklist_names_its_points(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    expected = "Open: A verified backup exists; Nothing depends on what goes; Stakeholders are notified."
    assert missing(rollback, "checklist") == expected


# History and approvals


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: factories.apply(w, w.production, "12"), "The history changed: the row of V3 is not there"),
        (lambda w: factories.apply(w, w.production, "1234"), "Newer migrations are applied above: V4."),
        (lambda w: factories.apply(w, w.production, "132"), "The history changed: the row of V3"),
    ],
    ids=["gone", "deployed since", "reordered"],
)
def test_a_history_that_is_not_as_pinned(change: Callable[[World], None], says: str, world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW)
    change(world)
    assert missing(rollback, "history").startswith(says)


def test_missing_signatures_are_named_one_by_one(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    assert missing(rollback, "approvals") == "Missing: 2 × Senior DBA, Platform lead."
    factories.decide(world, rollback, world.dora)
    assert missing(rollback, "approvals") == "Missing: Senior DBA, Platform lead."


def test_the_number_of_queries_does_not_grow_with_the_items(world: World) -> None:
    counts = []
    for versions in ("5", "345"):
        chosen = [world.migration(version) for version in versions]
        rollback = rollbacks.create(world.critical, chosen, actor=world.alice)
        with CaptureQueriesContext(connection) as queries:
            gates.gates(again(rollback))
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Who can supply it, and how old it is


def test_who_can_sign_is_told_by_name_and_role(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    assert gate(rollback, "approvals").who == "Senior DBA: Ada, Dan, Dora; Platform lead: Lea"
    factories.decide(world, rollback, world.dora)
    assert gate(rollback, "approvals").who == "Senior DBA: Ada, Dan; Platform lead: Lea"
    factories.decide(world, rollback, world.lea, role=Role.PLATFORM_LEAD)
    assert gate(rollback, "approvals").who == "Senior DBA: Ada, Dan"


def test_neither_requester_nor_author_nor_anybody_who_left_can_sign(world: World) -> None:
    senior = world.dora.groups.all()
    for name in ("alice", "bob"):  # who asked, and who wrote
        world.people[name].groups.add(*senior)
    User.objects.filter(pk=world.dan.pk).update(is_active=False)
    rollback = rollback_in(world, Status.IN_REVIEW)
    assert gate(rollback, "approvals").who == "Senior DBA: Ada, Dora"
    User.objects.filter(username__in=("ada", "dora")).update(is_active=False)
    assert gate(rollback, "approvals").who == "Senior DBA: nobody who neither asked nor wrote"


def test_of_many_who_can_sign_some_are_named_and_the_others_counted(world: World) -> None:
    for name in ("abel", "abby", "abe"):
        factories.person(name, *world.dora.groups.all())
    found = gate(rollback_in(world, Status.IN_REVIEW), "approvals").who
    assert found == "Senior DBA: Abby, Abe, Abel, Ada and 2 more"


def test_a_gate_says_since_when_and_until_when_its_evidence_counts(world: World) -> None:
    rollback = rollback_in(world, Status.IN_REVIEW, "critical")
    rehearsal = Evidence.objects.filter(rollback=rollback, kind=Evidence.Kind.REHEARSAL).get()
    found = gate(rollback, "rehearsal")
    assert (found.at, found.until) == (rehearsal.at, rehearsal.at + timedelta(hours=24))
    assert gate(rollback_in(world, Status.IN_REVIEW), "rehearsal").until is None, "LOW asks for no age"
    assert gate(rollback, "file").until == rollback.frozen_until
    assert (gate(rollback, "reason").at, gate(rollback, "reason").until) == (None, None)


def test_what_was_read_once_is_not_read_again(world: World) -> None:
    known = Known(rollback_in(world, Status.IN_REVIEW, "critical"))
    first = gates.gates(known.rollback, known)
    with CaptureQueriesContext(connection) as captured:
        assert gates.gates(known.rollback, known) is first
        assert known.evidence(Evidence.Kind.FACTS) is known.evidence(Evidence.Kind.FACTS)
        assert len(known.missing_roles) == 3
        assert known.rule.senior_dbas == 2
    assert len(captured) == 0


def test_the_number_of_queries_depends_on_no_number_of_items(world: World) -> None:
    one = rollback_in(world, Status.IN_REVIEW, "critical")
    three = factories.submitted(world, factories.draft(world, "5", "4", "3", where=world.critical))
    counts = []
    for rollback in (one, three):
        fresh = RollbackRequest.objects.select_related("requester").get(pk=rollback.pk)
        with CaptureQueriesContext(connection) as captured:
            gates.gates(fresh)
        counts.append(len(captured))
    assert counts[0] == counts[1]
