"""Proofs and generations as people ask for them and as a worker's answer is kept; what a declaration does."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from approvals import chains, decisions, gates, generations, jobs, proofs, rollbacks, scripts
from approvals.errors import Denied, Refused
from approvals.models import (
    AuditEvent,
    Check,
    Generation,
    Job,
    Migration,
    MigrationRevision,
    Proof,
    RollbackScript,
)
from tests.approvals import factories
from tests.approvals.factories import CHECK, UNDO, World, again, examined

pytestmark = pytest.mark.integration

LEFT = {"created index wallets_by_user": "Harmless, and dropping it takes long."}


def effect(key: str, fate: str = "not undone") -> dict[str, Any]:
    return {
        "key": key,
        "text": key,
        "fate": fate,
        "steps": [],
        "reason": "",
        "line": 1,
        "measured": True,
    }


def gate(rollback: Any, key: str) -> gates.Gate:
    return next(each for each in gates.gates(again(rollback)) if each.key == key)


def written(world: World, **declared: Any) -> RollbackScript:
    """A revision of V3's script that nobody has examined yet."""
    sql = UNDO["3"] + "-- once more\n"
    return scripts.add_script(world.migration("3"), sql=sql, checks=[CHECK["3"]], actor=world.bob, **declared)


def test_a_script_is_examined_as_soon_as_it_is_written(world: World) -> None:
    script = written(world)
    proof = proofs.newest_of([script.pk])[script.pk]
    assert (proof.job.kind, proof.job.asked_by, proof.is_open, proof.target) == (
        Job.Kind.PROVE,
        world.bob,
        True,
        world.targets["critical"],
    )
    assert proofs.ask(script, actor=world.alice) == proof  # it is under way
    assert proofs.latest_of([script.pk]) == {}


def test_who_only_reads_or_does_not_see_it_asks_for_no_proof(world: World) -> None:
    script = written(world)
    for name, why in (("aud", "change nothing"), ("eve", "do not see")):
        if name in world.people:
            with pytest.raises(Denied, match=why):
                proofs.ask(script, actor=world.people[name])


def test_an_answer_is_given_once_and_never_changes(world: World) -> None:
    proof = examined(written(world))
    assert proof.verdict == Proof.Verdict.EXACT
    assert proof.holds
    said = AuditEvent.objects.latest("seq")
    assert said.action == "proof.answered"
    with pytest.raises(Refused, match="answered before"):
        proofs.record(proof, completeness={}, proved={}, chain=chains.Chain((), (), ""))
    for statement, why in (
        ("UPDATE approvals_proof SET holds = true, verdict = 'exact' WHERE id = %s", "never changes again"),
        ("DELETE FROM approvals_proof WHERE id = %s", "permission denied"),
    ):
        with (
            pytest.raises(DatabaseError, match=why),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, [proof.pk])


def test_what_a_proof_is_about_never_changes_even_before_the_answer(world: World) -> None:
    proof = proofs.newest_of([written(world).pk])
    (asked,) = proof.values()
    other = world.migration("5").scripts.order_by("-number")[0]
    with pytest.raises(DatabaseError, match="script_id of a row of approvals_proof never changes"):
        Proof.objects.filter(pk=asked.pk).update(script=other)


def test_without_a_proof_nothing_is_submitted_and_the_gate_says_how_far_it_is(world: World) -> None:
    script = written(world)
    rollback = factories.draft(world)
    assert gate(rollback, "completeness").detail == "V3: the script is being examined (waiting for a worker)."
    proof = proofs.newest_of([script.pk])[script.pk]
    proofs.enter(proof, "Run the way back")
    assert "(run the way back)" in gate(rollback, "proof").detail
    jobs.finish(Job.objects.get(pk=proof.job_id), failed=True, sentence="The scratch server is gone.")
    assert "could not examine the script: The scratch server is gone." in gate(rollback, "proof").detail
    examined(script)
    assert gate(rollback, "completeness").holds
    assert gate(rollback, "proof").detail == "V3: exact."


def test_what_is_not_undone_blocks_until_it_is_declared_with_a_reason(world: World) -> None:
    (key,) = LEFT
    examined(written(world), effects=[effect(key), effect("created view v", "undone")])
    rollback = factories.draft(world)
    found = gate(rollback, "completeness")
    assert (found.holds, found.detail) == (False, f"V3: not undone: {key}")
    declared = written(world, left=LEFT)
    examined(declared, effects=[effect(key)], verdict=Proof.Verdict.AS_DECLARED)
    rollback = factories.draft(world)
    assert gate(rollback, "completeness").holds
    assert gate(rollback, "proof").detail == "V3: exact as declared."
    assert LEFT[key] in decisions.acknowledgement(again(rollback))


def test_an_effect_is_left_for_a_reason_only(world: World) -> None:
    with pytest.raises(Refused, match="Say why “created view v” stays"):
        written(world, left={"created view v": "  "})


@pytest.mark.parametrize("verdict", [Proof.Verdict.DIFFERS, Proof.Verdict.ERROR, Proof.Verdict.NOT_PROVABLE])
def test_what_does_not_hold_is_not_approved_on_production(world: World, verdict: Proof.Verdict) -> None:
    examined(written(world), verdict=verdict, reason="Here is why.")
    found = gate(factories.draft(world), "proof")
    assert (found.holds, found.detail) == (False, f"V3: {verdict.label}. Here is why.")


def test_what_can_t_be_proven_may_go_with_the_author_s_reason_and_nothing_else_may(world: World) -> None:
    why = "The first files belong to another service."
    examined(written(world, unproven=why), verdict=Proof.Verdict.NOT_PROVABLE)
    rollback = factories.draft(world)
    assert gate(rollback, "proof").holds
    assert why in decisions.acknowledgement(again(rollback))
    script = scripts.add_script(
        world.migration("3"), sql=UNDO["3"] + "--\n", checks=[CHECK["3"]], actor=world.bob, unproven=why
    )
    examined(script, verdict=Proof.Verdict.DIFFERS)
    assert not gate(factories.draft(world), "proof").holds


def test_a_proof_of_another_text_of_the_migration_counts_for_nothing(world: World) -> None:
    script = written(world)
    applied = world.migration("3").revisions.order_by("-number")[0]
    other = MigrationRevision.objects.create(
        migration=applied.migration,
        number=applied.number + 1,
        path=applied.path,
        sql="SELECT 1;",
        sha256="0" * 64,
        checksum=applied.checksum + 1,
    )
    examined(script, revision=other)
    rollback = factories.draft(world)
    assert "being examined" in gate(rollback, "completeness").detail  # asked for with the request
    examined(script, revision=applied)
    assert gate(rollback, "completeness").holds


BEHIND = (
    "V3: the script was proven behind other files, or other values, than those that lead up to it on "
    "wallet-service-production now. Have the facts read again: that asks for another proof."
)


def another_text(migration: Migration, sql: str, *, checksum: int | None = None) -> MigrationRevision:
    last = migration.revisions.order_by("-number")[0]
    return MigrationRevision.objects.create(
        migration=migration,
        number=last.number + 1,
        path=last.path,
        sql=sql,
        sha256=hashlib.sha256(sql.encode()).hexdigest(),
        checksum=last.checksum if checksum is None else checksum,
    )


def test_a_proof_behind_other_files_counts_for_nothing_though_script_and_migration_are_the_same(
    world: World,
) -> None:
    script = written(world)
    bound = examined(script)
    rollback = factories.draft(world)
    assert gate(rollback, "proof").holds
    # Flyway's checksum does not see the ends of lines; the proof sees every byte.
    text = world.migration("2").revisions.order_by("-number")[0].sql
    another_text(world.migration("2"), text.replace("\n", "\r\n"))
    for key in ("completeness", "proof"):
        found = gate(rollback, key)
        assert (found.holds, found.detail) == (False, BEHIND)
    rollbacks.read_facts_again(again(rollback), actor=world.alice)
    assert "is being examined" in gate(rollback, "proof").detail
    second = examined(script)
    assert gate(rollback, "completeness").holds
    assert bound.chain_sha256 != second.chain_sha256


def test_files_above_and_values_that_no_file_uses_do_not_matter(world: World) -> None:
    examined(written(world))
    rollback = factories.draft(world)
    another_text(world.migration("4"), "SELECT 4;", checksum=4)
    world.production.placeholders = {"nobody": "uses it"}
    world.production.save()
    assert gate(rollback, "proof").holds


def test_the_values_of_a_file_below_bind_too(world: World) -> None:
    last = world.migration("2").revisions.order_by("-number")[0]
    another_text(world.migration("2"), f"{last.sql}-- ${{tier}}\n")
    world.production.placeholders = {"tier": "gold"}
    world.production.save()
    script = written(world)
    proof = examined(script, target=world.production)
    assert proof.placeholders == ["tier"]
    rollback = factories.draft(world)
    assert gate(rollback, "proof").holds
    world.production.placeholders = {"tier": "silver"}
    world.production.save()
    assert gate(rollback, "proof").detail == BEHIND


def test_a_proof_that_holds_names_what_was_replayed_whatever_the_code_says(world: World) -> None:
    proof = proofs.newest_of([written(world).pk]).popitem()[1]
    with pytest.raises(DatabaseError, match="proof_holds_for_a_chain"):
        Proof.objects.filter(pk=proof.pk).update(verdict="exact", holds=True, at=timezone.now())


def test_work_whose_worker_is_not_heard_any_more_ends_at_once(world: World, settings: Any) -> None:
    script = written(world)
    rollback = factories.draft(world)
    proof = proofs.newest_of([script.pk])[script.pk]
    assert jobs.claim(proof.job_id, worker="killed@test") is not None
    jobs.heartbeat(proof.job_id)
    assert jobs.end_silent() == 0
    late = timezone.now() - timedelta(seconds=settings.WORKER_SILENCE_SECONDS + 1)
    Job.objects.filter(pk=proof.job_id).update(heartbeat_at=late)
    assert "the worker ended while it examined the script" in gate(rollback, "proof").detail
    assert jobs.end_silent() == 1
    assert "The worker ended while it was at it. Ask again." in gate(rollback, "proof").detail
    assert proofs.ask(script, actor=world.alice).pk != proof.pk


def test_declarations_are_part_of_the_change_and_scripts_without_keep_their_digests(world: World) -> None:
    plain = factories.draft(world).change_digest
    examined(written(world, left=LEFT))
    left = factories.draft(world).change_digest
    examined(written(world, left={**LEFT, "x": "y"}))
    more = factories.draft(world).change_digest
    assert len({plain, left, more}) == 3


# Generations

ANSWER: dict[str, Any] = {
    "script": "DROP INDEX public.wallets_by_user;\n",
    "origin": "by running",
    "because": "",
    "verdict": "exact",
    "gaps": [],
    "choices": [],
    "goes": [],
}
DRAFT = Check("It is gone", "SELECT to_regclass('wallets_by_user') IS NULL", "true")


def test_a_generated_script_is_stored_with_who_chose_as_author_and_is_examined(world: World) -> None:
    asked = generations.ask(
        world.migration("3"), options={"index": "concurrently"}, target=world.production, actor=world.alice
    )
    assert asked.options["column_order"] == "by size"
    said = generations.record(asked, answer=ANSWER, checks=[DRAFT])
    found = generations.latest_of(world.migration("3"))
    assert found is not None
    script = found.script
    assert script is not None
    assert said == f"Stored as r{script.number}; its proof is under way."
    assert (script.origin, script.options["index"], script.check_list()) == (
        RollbackScript.Origin.GENERATED,
        "concurrently",
        [DRAFT],
    )
    assert world.alice in script.authors.all()
    assert proofs.newest_of([script.pk])[script.pk].is_open
    with pytest.raises(DatabaseError, match="never changes again"):
        Generation.objects.filter(pk=asked.pk).update(answer={})


def test_what_stays_by_choice_is_declared_with_the_script_and_acknowledged_by_who_approves(
    world: World,
) -> None:
    left = {"changed labels of type mood": "Chosen when it was generated: 'grim' stays."}
    asked = generations.ask(
        world.migration("3"), options={"enum_value": "leave"}, target=world.production, actor=world.alice
    )
    generations.record(asked, answer=ANSWER | {"left": left}, checks=[DRAFT])
    script = world.migration("3").scripts.order_by("-number")[0]
    assert script.left == left
    examined(script, effects=[effect("changed labels of type mood")], verdict=Proof.Verdict.AS_DECLARED)
    rollback = factories.draft(world)
    assert gate(rollback, "completeness").holds
    assert left["changed labels of type mood"] in decisions.acknowledgement(again(rollback))


def test_what_is_counted_is_held_against_the_count_before_and_the_history(world: World) -> None:
    loss = {"kind": "rows", "relation": ["public", "wallets"], "column": None, "becomes": None,
            "condition": None, "count": 10, "exact": True}  # fmt: skip
    key = generations.what_of(loss)
    first = generations.ask(world.migration("3"), options={}, target=world.production, actor=world.alice)
    assert generations.counted_before(first) == {}
    ran_at = generations.ran_at(first)
    assert ran_at is not None
    assert ran_at.tzinfo is None
    said = {
        "losses": [loss, loss | {"relation": ["public", "big"], "exact": False}],
        "counted_at": "2026-01-01",
    }
    generations.record(first, answer=ANSWER | said, checks=[DRAFT])
    jobs.finish(Job.objects.get(pk=first.job_id))
    second = generations.ask(world.migration("3"), options={}, target=world.production, actor=world.alice)
    assert generations.counted_before(second) == {key: {"count": 10, "at": "2026-01-01"}}
    jobs.finish(Job.objects.get(pk=second.job_id))
    elsewhere = generations.ask(world.migration("3"), options={}, target=None, actor=world.alice)
    assert generations.counted_before(elsewhere) == {}


def test_choosing_is_authorship_even_where_the_script_comes_out_the_same(world: World) -> None:
    for actor in (world.alice, world.bob):
        asked = generations.ask(world.migration("3"), options={}, target=None, actor=actor)
        generations.record(asked, answer=ANSWER, checks=[DRAFT])
        script = world.migration("3").scripts.order_by("-number")[0]
        jobs.finish(Job.objects.get(pk=asked.job_id))
        assert actor in script.authors.all()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"index": "sideways"}, "index is one of plain, concurrently"),
        ({"colour": "red"}, "Unknown choice: colour"),
        ({"purge_after": "tomorrow"}, "no date"),
        ({"fill": [{"column": ["wallets"], "value": "0"}]}, "names schema, table and column"),
    ],
)
def test_a_choice_that_is_none_is_refused(world: World, options: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        generations.ask(world.migration("3"), options=options, target=None, actor=world.alice)


def test_only_engineers_of_the_team_generate_one_at_a_time_and_only_versioned_files(world: World) -> None:
    with pytest.raises(Denied):
        generations.ask(world.migration("3"), options={}, target=None, actor=world.dora)
    generations.ask(world.migration("3"), options={}, target=None, actor=world.alice)
    with pytest.raises(Refused, match="is being generated"):
        generations.ask(world.migration("3"), options={}, target=None, actor=world.alice)


# The files that lead up to a migration


def test_a_chain_is_what_is_applied_in_flyway_s_order_with_the_target_s_values(world: World) -> None:
    newest = world.migration("3").revisions.order_by("-number")[0]
    chain = chains.chain_of(newest, world.production)
    assert [file.name for file in chain.files] == [
        "V1__create_users.sql",
        "V2__create_wallets.sql",
        "V3__index_wallets.sql",
    ]
    Migration.objects.filter(pk=world.migration("2").pk).update(removed_at="2026-01-01T00:00:00Z")
    assert (
        len(chains.chain_of(newest, world.production).files) == 3
    )  # it is applied there, whatever was imported
    assert len(chains.chain_of(newest, None).files) == 2
