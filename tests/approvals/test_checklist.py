"""The five points before a rollback: filled by the system where it can know, by a person where it can't."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import checklist, rollbacks
from approvals.errors import Denied, Refused
from approvals.models import ChecklistEntry, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, body, rollback_in, trail

pytestmark = pytest.mark.integration

POINT = ChecklistEntry.Point
DEPENDENCIES, STAKEHOLDERS = POINT.DEPENDENCIES, POINT.STAKEHOLDERS


def found(world: World, data: dict[str, Any] | None = None) -> dict[str, str]:
    """What the system found, by point, for a draft with these facts."""
    rollback = rollback_in(world, Status.DRAFT)
    if data is not None:
        factories.read_facts(rollback, data)
    return {point.point: point.found for point in checklist.points(again(rollback))}


def test_the_system_fills_what_it_can_know(world: World) -> None:
    points = checklist.points(rollback_in(world, Status.APPROVED))
    assert [(point.point.value, point.by_person, point.done, point.found) for point in points] == [
        ("backup", False, True, "Backup verified."),
        ("schema_version", False, True, "Schema version 3."),
        (
            "tables",
            False,
            True,
            "wallets (50,000 rows, 8.0\xa0MB); transactions (120,000 rows, 24.0\xa0MB)",
        ),
        ("dependencies", True, True, "No view, key or function depends on it."),
        ("stakeholders", True, True, ""),
    ]
    assert points[-1].entry is not None
    assert (points[-1].entry.confirmed_by, points[-1].label) == (world.alice, "Stakeholders are notified")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"rows": 1, "exact": True, "bytes": 8192}, "users (1 row, 8.0\xa0KB)"),
        ({"rows": 0, "exact": True, "bytes": 0}, "users (0 rows, 0\xa0bytes)"),
        ({"rows": 1_234_567, "exact": False, "bytes": 2**30}, "users (≈ 1,234,567 rows, 1.0\xa0GB)"),
        ({"rows": None, "exact": False, "bytes": 8192}, "users (rows not counted)"),
        ({"rows": 5, "exact": True, "bytes": None}, "users (rows not counted)"),
    ],
)
def test_a_table_is_told_with_its_rows_and_size(table: dict[str, Any], says: str, world: World) -> None:
    assert found(world, {"tables": [{"relation": "users", **table}]})["tables"] == says


def test_no_table_and_dependents_are_told_too(world: World) -> None:
    told = found(
        world, {"tables": [], "dependents": ["view totals", "function f()"], "schema_version": "9.1"}
    )
    assert told["tables"] == "No table with rows is touched."
    assert told["dependencies"] == "Found on the target: view totals, function f()."
    assert told["schema_version"] == "Schema version 9.1."


def test_without_facts_the_system_knows_nothing(world: World) -> None:
    bare = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert [point.found for point in checklist.points(bare)] == ["", "", "", "", ""]
    assert not any(point.done for point in checklist.points(bare))
    factories.read_facts(bare, holds=False)
    assert not any(point.done for point in checklist.points(again(bare)))


def test_staging_needs_no_backup(world: World) -> None:
    points = checklist.points(rollback_in(world, Status.DRAFT, "staging"))
    assert (points[0].done, points[0].found) == (True, "The policy asks for none here.")
    assert [point.spared for point in points] == [True, False, False, False, False]


# What a person vouches for


def test_the_requester_vouches_for_what_only_people_know(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    checklist.confirm(rollback, DEPENDENCIES, note=" Read the code. ", actor=world.alice)
    entry = rollback.checklist.get()
    assert (entry.point, entry.note, entry.confirmed_by) == ("dependencies", "Read the code.", world.alice)
    facts = body("rollback.checklist_confirmed")["facts"]
    assert (facts["point"], len(facts["note_sha256"])) == ("dependencies", 64)


def test_a_confirmation_can_be_given_better_words(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT)
    checklist.confirm(rollback, STAKEHOLDERS, note="Mailed.", actor=world.alice)
    before = rollback.checklist.get().confirmed_at
    checklist.confirm(rollback, STAKEHOLDERS, note="Called.", actor=world.alice)
    entry = rollback.checklist.get()
    assert (entry.note, entry.confirmed_at > before) == ("Called.", True)


def test_a_confirmation_is_for_one_change(world: World) -> None:
    rollback = rollback_in(world, Status.APPROVED)
    script = factories.write_script(world, "3", sql="DROP INDEX IF EXISTS wallets_by_user;\n")
    edited = rollbacks.edit(rollback, actor=world.alice, revision=1, scripts=[script])
    assert [point.done for point in checklist.points(edited) if point.by_person] == [False, False]
    factories.confirm_checklist(world, edited)
    assert [point.done for point in checklist.points(edited) if point.by_person] == [True, True]


@pytest.mark.parametrize("name", ["bob", "eve", "dora", "olga", "axel", "adam", "nora"])
@pytest.mark.parametrize("status", [Status.DRAFT, Status.EXECUTED])
def test_nobody_else_vouches(status: Status, name: str, world: World) -> None:
    rollback = rollback_in(world, status)
    count = rollback.checklist.count()
    with pytest.raises(Denied, match="Only Alice, who asked for this rollback, can do this"):
        checklist.confirm(rollback, STAKEHOLDERS, note="x", actor=world.people[name])
    assert rollback.checklist.count() == count
    assert trail()[-1] == "rollback.checklist_confirmed.denied"


@pytest.mark.parametrize("point", [POINT.BACKUP, POINT.SCHEMA_VERSION, POINT.TABLES])
def test_nobody_vouches_for_what_the_system_knows(point: ChecklistEntry.Point, world: World) -> None:
    with pytest.raises(Refused, match="The system fills this point itself"):
        checklist.confirm(rollback_in(world, Status.DRAFT), point, note="Trust me.", actor=world.alice)


def test_a_confirmation_says_how(world: World) -> None:
    with pytest.raises(Refused, match="Write what you made sure of, and how"):
        checklist.confirm(rollback_in(world, Status.DRAFT), STAKEHOLDERS, note=" ", actor=world.alice)


@pytest.mark.parametrize("status", [Status.EXECUTING, Status.EXECUTED, Status.REJECTED, Status.CANCELLED])
def test_what_is_over_is_not_confirmed(status: Status, world: World) -> None:
    rollback = rollback_in(world, status)
    with pytest.raises(Refused, match="so this can't be done"):
        checklist.confirm(rollback, STAKEHOLDERS, note="Late.", actor=world.alice)
