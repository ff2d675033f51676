"""Placeholders of scripts: filled with the target's values where it is planned, rated, hashed and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from approvals import catalog, chains, digests, filling, gates, goes, scripts, takeaway
from approvals.errors import Refused
from approvals.models import Check, RollbackScript, Status
from executor import briefing
from executor.errors import ExecutorError
from tests.approvals import factories
from tests.approvals.factories import FILES, World, again, draft, write_files, write_script
from tests.approvals.views.visits import as_, see

pytestmark = pytest.mark.integration

GOOD = "/* ${note} */\nDROP INDEX\n  ${Schema}.wallets_by_user;\n"


def with_values(world: World, **values: str) -> None:
    """The values of the service; the target says another schema."""
    world.service.placeholders = {"SCHEMA": "elsewhere", "note": "two\nlines"} | values
    world.service.save()
    world.production.placeholders = {"schema": "public"}
    world.production.save()
    world.production.service.placeholders = world.service.placeholders


def gate(rollback: Any, key: str) -> gates.Gate:
    return next(each for each in gates.gates(again(rollback)) if each.key == key)


def test_what_runs_is_hashed_rated_and_taken_along_with_the_target_s_values(world: World) -> None:
    with_values(world)
    write_script(world, "3", sql="DROP INDEX public.wallets_by_user;\n")
    plain = draft(world)
    script = write_script(world, "3", sql=GOOD)
    assert script.sql == GOOD, "stored as it was written"
    assert script.placeholders == ["note", "schema"]
    rollback = draft(world)
    item = again(rollback).items.get()
    (step,) = filling.plan_of(item)["steps"]
    assert step["statement"]["sql"].startswith("DROP INDEX\n  public.wallets_by_user")
    assert step["statement"]["line"] == 2, "places are those of the text that people see"
    assert again(rollback).risk == plain.risk
    assert goes.phrases(rollback, None) == []
    rollback = factories.approved(world, factories.submitted(world, rollback))
    with pytest.raises(Refused, match="reads otherwise with the values of other targets"):
        takeaway.undo_files(again(rollback))
    world.service.targets.update(placeholders=world.production.placeholders)
    (text,) = takeaway.undo_files(again(rollback)).values()
    assert "public.wallets_by_user" in text
    execution = factories.claimed(factories.start(world, rollback))
    spec = briefing.signed_spec(execution)
    assert [each.sql for each in spec.items[0].steps] == [step["statement"]["sql"]]
    assert spec.locks == briefing.run_spec(execution).locks
    assert "public" in spec.locks[0][0]


def test_a_value_that_changes_voids_what_was_signed(world: World) -> None:
    with_values(world)
    write_script(world, "3", sql=GOOD)
    rollback = factories.approved(world, factories.submitted(world, draft(world)))
    execution = factories.claimed(factories.start(world, rollback))
    before = digests.change_digest(rollback)
    world.production.placeholders = {"schema": "audit"}
    world.production.save()
    assert digests.change_digest(again(rollback)) != before
    with pytest.raises(ExecutorError, match="no longer what was asked for"):
        briefing.signed_spec(execution)


def test_a_proof_counts_for_the_values_with_which_it_was_made(world: World) -> None:
    with_values(world)
    script = write_script(world, "3", sql=GOOD)
    assert gate(draft(world), "proof").holds
    world.production.placeholders = {"schema": "audit"}
    world.production.save()
    rollback = draft(world)
    for key in ("proof", "completeness"):
        assert "is being examined" in gate(rollback, key).detail, "asked for with the request"
    factories.examined(script, target=world.production)
    assert gate(rollback, "proof").holds
    world.production.placeholders = {"schema": "lost"}
    world.production.save()
    assert "other values of its placeholders" in gate(rollback, "proof").detail
    world.production.placeholders = {"schema": "public"}
    world.production.save()
    assert gate(rollback, "proof").holds, "these were proven before, and other targets may have others"


@pytest.mark.parametrize(
    ("sql", "line", "column", "says"),
    [
        ("DROP INDEX wallets_by_user;\n-- ${nobody}\n", 2, 4, "no value for the placeholder ${nobody}"),
        (
            "SELECT 1;\nSELECT '${flyway:timestamp}';",
            2,
            9,
            "no value for the placeholder ${flyway:timestamp}",
        ),
        ("DROP INDEX ${schema", 1, 12, "${ without a closing }"),
        ("DROP INDEX ${schema}.wallets_by_user;\nDROP TABEL ${schema}.x;", 2, 6, "Syntax error"),
    ],
)
def test_what_cannot_be_filled_or_read_is_refused_where_it_stands(
    sql: str, line: int, column: int, says: str, world: World
) -> None:
    with_values(world)
    script = write_script(world, "3", sql=sql)
    (problem, *_more) = script.plan["problems"]
    assert (problem["line"], problem["column"]) == (line, column)
    assert says in problem["message"]
    rollback = draft(world)
    assert not gate(rollback, "script").holds
    assert f"line {line}, column {column}" in gate(rollback, "script").detail


def test_the_editor_reads_the_text_with_the_same_values(world: World) -> None:
    with_values(world)
    address = f"/migrations/{world.migration('3').pk}/script/"
    part = as_(world.bob).post(f"{address}plan/", {"sql": "SELECT 1;\nDROP INDEX ${nobody}.x;"})
    assert "no value for the placeholder ${nobody}" in part.content.decode()
    part = as_(world.bob).post(f"{address}plan/", {"sql": GOOD})
    assert "no value" not in part.content.decode()
    assert "elsewhere.wallets_by_user" in part.content.decode(), "the service's own, where no target is meant"
    script = write_script(world, "3", sql=GOOD)
    page = see(as_(world.bob), f"/migrations/{script.migration_id}/")
    assert "elsewhere.wallets_by_user" in page


def test_settings_beside_the_files_count_below_service_and_target(world: World, tmp_path: Path) -> None:
    conf = "flyway.placeholders.Owner=ops\nflyway.placeholders.schema=lost\nflyway.placeholderPrefix=@[\n"
    write_files(tmp_path, FILES | {"flyway.conf": f"{conf}flyway.placeholderSuffix=]\n"})
    catalog.import_directory(world.service, tmp_path, actor=None)
    with_values(world)
    values = filling.on_target(world.production)
    assert values.fill("@[owner] @[SCHEMA] ${schema} @[flyway:table]").text == (
        "ops public ${schema} flyway_schema_history"
    )
    (tmp_path / "flyway.conf").write_text("flyway.placeholderReplacement=false\n")
    catalog.import_directory(world.service, tmp_path, actor=None)
    assert filling.on_target(world.production).fill("${schema}").text == "${schema}"


def test_a_generated_script_and_whoever_edits_it_keep_what_looks_like_placeholders(world: World) -> None:
    sql = "COMMENT ON TABLE wallets IS 'since ${then}';\nDROP INDEX wallets_by_user;\n"
    generated, _created = scripts.store(
        world.migration("3"),
        sql=sql,
        checks=[Check("x", "SELECT true", "true")],
        origin=RollbackScript.Origin.GENERATED,
        authors=[],
    )
    assert (generated.placeholders, generated.plan["problems"]) == ([], [])
    edited = write_script(world, "3", sql=f"{sql}-- and a note\n")
    assert (edited.placeholders, edited.plan["problems"]) == ([], [])
    other = write_script(world, "3", sql=f"{sql}-- ${{other}}\n")
    assert (other.placeholders, other.plan["problems"][0]["line"]) == (["other"], 1), (
        "all are filled, or none"
    )


def test_an_undo_file_that_says_so_is_taken_as_it_stands(world: World, tmp_path: Path) -> None:
    files = FILES | {
        "U2__x.sql": "DROP TABLE wallets; -- ${x}\n",
        "U2__x.sql.conf": "placeholderReplacement=false\n",
    }
    write_files(tmp_path, files)
    run = catalog.import_directory(world.service, tmp_path, actor=None)
    script = world.migration("2").scripts.get()
    assert (script.placeholders, script.plan["problems"], run.problems) == ([], [], [])


def test_scripts_without_placeholders_need_no_values(world: World) -> None:
    rollback = factories.rollback_in(world, Status.APPROVED)
    item = rollback.items.get()
    assert item.script is not None
    assert filling.plan_of(item) is item.script.plan
    assert filling.sql_of(item) == item.script.sql


def test_a_file_whose_own_settings_say_so_is_replayed_as_it_stands(world: World, tmp_path: Path) -> None:
    with_values(world)
    text = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT '${note}'$$;\n"
    bound = set()
    for verbatim in (False, True):
        conf = {"V6__f.sql.conf": "placeholderReplacement=false\n"} if verbatim else {}
        write_files(tmp_path / str(verbatim), FILES | {"V6__f.sql": text} | conf)
        catalog.import_directory(world.service, tmp_path / str(verbatim), actor=None)
        revision = chains.newest_revision(world.service.migrations.get(version="6"))
        chain = chains.chain_of(revision, world.production)
        assert chain.files[-1].sql == (text if verbatim else text.replace("${note}", "two\nlines"))
        bound.add(chain.sha256)
    assert len(bound) == 2, "a proof of the one counts for nothing with the other"
