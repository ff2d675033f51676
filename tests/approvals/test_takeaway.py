"""What was approved, as files for Flyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from approvals import catalog, proofs, scripts, takeaway
from approvals.analysis import plan_script
from approvals.errors import Refused
from approvals.flyway.names import Kind, parse_name
from approvals.flyway.versions import Version
from approvals.models import RollbackRequest, RollbackScript, Status
from tests.approvals import factories
from tests.approvals.factories import UNDO, World, approved, draft, rollback_in, submitted

pytestmark = pytest.mark.integration


def test_an_undo_file_is_named_after_its_migration_and_holds_the_approved_steps(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    ((name, text),) = takeaway.undo_files(rollback).items()
    assert name == "U3__index_wallets.sql"
    read = parse_name(name)
    assert (read.kind, read.version) == (Kind.UNDO, Version.parse("3"))
    script = rollback.items.get().script
    assert script is not None
    assert text.splitlines()[-1] == UNDO["3"].strip()
    assert script.sha256 in text
    assert rollback.change_digest in text
    assert plan_script(text).statements[0].sql == script.plan["steps"][0]["statement"]["sql"]


def test_what_the_executor_does_itself_is_left_to_flyway(world: World) -> None:
    factories.write_script(
        world,
        "3",
        sql="BEGIN;\nSET session_replication_role = 'replica';\nDROP INDEX wallets_by_user;\n"
        "SET session_replication_role = 'origin';\n"
        "DELETE FROM flyway_schema_history WHERE version = '3';\nCOMMIT;\n",
    )
    rollback = approved(world, submitted(world, draft(world)))
    ((_name, text),) = takeaway.undo_files(rollback).items()
    assert text.splitlines()[-3:] == [
        "SET LOCAL session_replication_role = replica;",
        "DROP INDEX wallets_by_user;",
        "SET LOCAL session_replication_role = origin;",
    ]
    assert "DELETE" not in text
    assert "BEGIN" not in text


def test_what_looks_like_a_placeholder_stays_as_it_was_approved(world: World) -> None:
    script, _created = scripts.store(
        world.migration("3"),
        sql="COMMENT ON TABLE wallets IS '${x}';\nDROP INDEX wallets_by_user;\n",
        checks=[factories.CHECK["3"]],
        origin=RollbackScript.Origin.GENERATED,  # from a database, where nothing is left to fill
        authors=[world.bob],
    )
    proofs.ask(script, actor=world.bob)
    factories.examined(script)
    rollback = approved(world, submitted(world, draft(world)))
    files = takeaway.undo_files(rollback)
    assert files["U3__index_wallets.sql.conf"] == "placeholderReplacement=false\n"


def with_script(world: World, sql: str) -> RollbackRequest:
    """An approved rollback of V3 by this script."""
    script, _created = scripts.store(
        world.migration("3"),
        sql=sql,
        checks=[factories.CHECK["3"]],
        origin=RollbackScript.Origin.WRITTEN,
        authors=[world.bob],
    )
    proofs.ask(script, actor=world.bob)
    factories.examined(script)
    return approved(world, submitted(world, draft(world)))


def test_steps_that_refuse_a_transaction_are_in_no_file(world: World) -> None:
    rollback = with_script(world, "DROP INDEX CONCURRENTLY wallets_by_user;\n")
    for made in (takeaway.undo_files, takeaway.forward_file):
        with pytest.raises(Refused, match="V3 has steps that refuse a transaction"):
            made(rollback)


def test_what_reads_otherwise_on_other_targets_is_in_no_file(world: World) -> None:
    """It was approved with the values of one target, and a release goes to all of them."""
    world.service.placeholders = world.production.service.placeholders = {"why": "too slow"}
    world.service.save()
    rollback = with_script(world, "COMMENT ON TABLE wallets IS '${why}';\nDROP INDEX wallets_by_user;\n")
    (text,) = takeaway.undo_files(rollback).values()
    assert "IS 'too slow';" in text
    world.staging.placeholders = {"why": "tried first"}
    world.staging.save()
    for made in (takeaway.undo_files, takeaway.forward_file):
        with pytest.raises(Refused, match="V3 reads otherwise with the values of other targets"):
            made(rollback)


def test_names_are_written_as_the_project_writes_them(world: World, tmp_path: Path) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    settings = 'sqlMigrationPrefix = "M"\nundoSqlMigrationPrefix = "B_"\nsqlMigrationSuffixes = [".ddl"]\n'
    (tmp_path / "flyway.toml").write_text(f"[flyway]\n{settings}")
    catalog.import_directory(world.service, tmp_path, actor=None)
    assert list(takeaway.undo_files(rollback)) == ["B_3__index_wallets.ddl"]
    ((name, _text),) = takeaway.forward_file(rollback).items()
    assert (name[0], name.rpartition(".")[2]) == ("M", "ddl")


@pytest.mark.parametrize("status", [Status.DRAFT, Status.IN_REVIEW])
def test_what_is_not_approved_is_not_handed_out(world: World, status: Status) -> None:
    rollback = rollback_in(world, status)
    for made in (takeaway.undo_files, takeaway.forward_file):
        with pytest.raises(Refused, match="is not approved: its scripts may still change"):
            made(rollback)


def test_going_forward_is_one_migration_with_the_next_version(world: World) -> None:
    rollback = approved(world, submitted(world, draft(world, "4", "3", where=world.high)))
    ((name, text),) = takeaway.forward_file(rollback).items()
    assert name == "V6__Take_back_V4_and_V3.sql"
    read = parse_name(name)
    assert (read.kind, read.version) == (Kind.VERSIONED, Version.parse("6"))
    assert text.index("ADD CONSTRAINT wallets_user") < text.index("DROP INDEX wallets_by_user")
    assert not plan_script(text).problems


def test_a_version_can_be_given_if_it_is_free(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    assert list(takeaway.forward_file(rollback, version="3.1")) == ["V3.1__Take_back_V3.sql"]
    with pytest.raises(Refused, match=r"Version 5\.0 is taken"):
        takeaway.forward_file(rollback, version="5.0")
    with pytest.raises(Refused, match="'latest' is not a version"):
        takeaway.forward_file(rollback, version="latest")


@pytest.mark.parametrize(
    ("known", "then"),
    [
        ([], "1"),
        (["6"], "7"),
        (["2", "10"], "11"),
        (["009"], "010"),
        (["1.9"], "1.10"),
        (["2025.11.22.001"], "2025.11.22.002"),
        (["20251122120000"], "20251122120001"),
    ],
)
def test_the_next_version_is_written_as_the_last_one(known: list[str], then: str) -> None:
    assert takeaway.next_version([Version.parse(text) for text in known]) == then


def test_a_comment_does_not_swallow_the_end_of_its_statement() -> None:
    assert takeaway._ended("DROP TABLE a") == "DROP TABLE a;"
    assert takeaway._ended("DROP TABLE a -- it is empty") == "DROP TABLE a -- it is empty\n;"
