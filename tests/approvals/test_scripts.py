"""Rollback scripts: revisions that never change, with their plan, checks and everybody who wrote on them."""

from __future__ import annotations

import pytest

from approvals import scripts
from approvals.errors import Denied, Refused
from approvals.models import Check, RollbackScript
from tests.approvals import factories
from tests.approvals.factories import World, body, trail, write_script

pytestmark = pytest.mark.integration

SQL = "DROP INDEX IF EXISTS wallets_by_user;\n"


def test_an_engineer_of_the_team_writes_the_next_revision(world: World) -> None:
    script = write_script(world, "3", sql=SQL, actor=world.alice)
    assert (script.number, script.origin, script.sql) == (2, "written", SQL)
    assert script.sha256 == scripts.sha256(SQL)
    assert script.check_list() == [factories.CHECK["3"]]
    assert [step["statement"]["sql"] for step in script.plan["steps"]] == [SQL.strip().rstrip(";")]
    assert script.readable
    event = body("script.added")
    assert event["actor"] == "alice"
    assert event["facts"] == {
        "migration": "wallet-service V3",
        "script": 2,
        "sha256": script.sha256,
        "created": True,
    }


@pytest.mark.parametrize("name", ["eve", "dora", "lea", "olga", "axel", "adam", "ida", "nora"])
def test_nobody_else_writes(name: str, world: World) -> None:
    with pytest.raises(
        Denied, match="Only an engineer of the team that owns the service can write its scripts"
    ):
        write_script(world, "3", sql=SQL, actor=world.people[name])
    assert world.migration("3").scripts.count() == 1
    assert trail()[-1] == "script.added.denied"


def test_whoever_wrote_before_stays_an_author(world: World) -> None:
    write_script(world, "3", sql=SQL, actor=world.alice)
    script = write_script(world, "3", sql=SQL + "-- better\n", actor=world.ada)
    assert {author.username for author in script.authors.all()} == {"bob", "alice", "ada"}


def test_the_same_again_is_the_same_revision_and_no_authorship(world: World) -> None:
    first = world.migration("3").scripts.get()
    again = write_script(world, "3", actor=world.alice)
    assert again == first
    assert {author.username for author in again.authors.all()} == {"bob"}
    assert body("script.added")["facts"]["created"] is False


def test_another_check_alone_is_another_revision(world: World) -> None:
    check = Check("Nothing left", "SELECT count(*) FROM pg_class WHERE relname = 'wallets_by_user'", "0")
    script = write_script(world, "3", checks=[factories.CHECK["3"], check], actor=world.alice)
    assert script.number == 2
    assert {author.username for author in script.authors.all()} == {"bob", "alice"}


def test_line_ends_of_windows_change_nothing(world: World) -> None:
    script = write_script(world, "3", sql=factories.UNDO["3"].replace("\n", "\r\n"))
    assert script.number == 1


def test_what_the_analysis_refuses_is_stored_with_its_problems(world: World) -> None:
    script = write_script(world, "3", sql="DROP INDEX wallets_by_user;\nCOMMIT;\nDROP TABLE users;\n")
    assert not script.readable
    problem = script.plan["problems"][0]
    assert (problem["line"], problem["column"]) == (2, 1)


def test_a_nul_byte_is_shown_and_never_run(world: World) -> None:
    script = write_script(world, "3", sql="DROP INDEX a;\0DROP TABLE users;\n")
    assert not script.readable
    assert "\N{SYMBOL FOR NULL}" in script.sql
    assert scripts.sha256(script.sql) != script.sha256


def test_a_script_of_more_than_a_million_characters_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="The script is longer than a million characters"):
        write_script(world, "3", sql="-" * 1_000_001)


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (Check(" ", "SELECT 1", "1"), "Every check needs a name"),
        (Check("a", "SELECT 1", "1", "some day"), "Check “a”: unknown stage some day"),
        (Check("a", "DELETE FROM users", "1"), "Check “a”, line 1, column 1: "),
        (Check("a", "SELECT 1; SELECT 2", "1"), "Check “a”, line 1, column "),
        (Check("a", "SELECT 1, 2", "1"), "Check “a”, line 1, column "),
        (Check("a", "SELEC 1", "1"), "Check “a”, line 1, column 1: "),
        (Check("a", "", "1"), "Check “a”, line 1, column 1: "),
        (Check("a\0", "SELECT 1", "1"), "NUL"),
        (Check("a", "SELECT 1", "1\0"), "NUL"),
        (Check("a", "SELECT '\0'", "1"), "Check “a”, line 1, column "),
    ],
)
def test_a_check_is_one_select_of_one_scalar(check: Check, why: str, world: World) -> None:
    with pytest.raises(Refused) as refused:
        write_script(world, "3", checks=[check])
    assert why in str(refused.value)
    assert world.migration("3").scripts.count() == 1


def test_revisions_count_per_migration(world: World) -> None:
    assert write_script(world, "4", sql="SELECT 1;\n").number == 2
    assert write_script(world, "3", sql=SQL).number == 2
    numbers = RollbackScript.objects.filter(migration=world.migration("5")).values_list("number", flat=True)
    assert list(numbers) == [1]
