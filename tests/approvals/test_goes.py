"""What data goes, in short phrases: as it was counted, and by the text alone never less than that."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import gates, goes, rollbacks
from approvals.models import Evidence, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in

pytestmark = pytest.mark.integration


def phrases(rollback: RollbackRequest) -> list[str]:
    return goes.phrases(rollback, gates.latest_evidence(again(rollback), Evidence.Kind.FACTS))


def table(rows: int | None, *, exact: bool = True) -> dict[str, Any]:
    facts = {"relation": "transactions", "rows": rows, "exact": exact, "bytes": 8192}
    return factories.FACTS | {"tables": [facts]}


def of_script(world: World, sql: str) -> RollbackRequest:
    factories.write_script(world, "3", sql=sql)
    return rollbacks.create(world.production, [world.migration("3")], actor=world.alice)


def entry(name: str, count: int | None, **more: Any) -> dict[str, Any]:
    relation = ["public", name.partition(".")[0]]
    plain = {"kind": "rows", "whole": False, "exact": True, "places": ["V3, line 1"], "unknown": None}
    return plain | {"name": name, "relation": relation, "count": count} | more


@pytest.mark.parametrize(
    ("rows", "exact", "words"),
    [
        (120_000, True, ["transactions: 120,000 rows"]),
        (1_500, False, ["transactions: about 1,500 rows"]),
        (None, False, ["transactions: an unknown number of rows"]),
        (0, False, ["transactions: about 0 rows"]),
        (0, True, []),
    ],
)
def test_a_table_that_goes_is_told_with_its_rows(
    rows: int | None, exact: bool, words: list[str], world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT, "critical")
    factories.read_facts(rollback, table(rows, exact=exact))
    assert phrases(rollback) == words


def test_a_columns_values_are_counted(world: World) -> None:
    rollback = of_script(world, "ALTER TABLE wallets DROP COLUMN amount;\n")
    for values, words in [
        ([{"column": "wallets.amount", "values": 49_000, "exact": True}], ["wallets.amount: 49,000 values"]),
        ([], ["wallets.amount: an unknown number of values"]),
        ([{"column": "wallets.amount", "values": 0, "exact": True}], []),
    ]:
        factories.read_facts(rollback, factories.FACTS | {"values": values})
        assert phrases(rollback) == words


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM wallets;\nDELETE FROM wallets;\n", ["wallets: an unknown number of rows"]),
        ("DELETE FROM wallets WHERE id = 1;\n", ["wallets: an unknown number of rows"]),
        ("UPDATE wallets SET amount = 0 WHERE id = 1;\n", ["wallets: an unknown number of rows"]),
        ("SELECT clean_up();\n", ["V3, line 1: an unknown number of rows"]),
    ],
)
def test_what_nobody_has_counted_is_told_as_unknown_and_once(
    world: World, sql: str, words: list[str]
) -> None:
    assert phrases(of_script(world, sql)) == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([entry("wallets", 12)], ["wallets: 12 rows"]),
        ([entry("wallets", 12, exact=False)], ["wallets: about 12 rows"]),
        ([entry("wallets.note", 3, kind="values")], ["wallets.note: 3 values"]),
        ([entry("wallets", 9, whole=True), entry("wallets.note", 3, kind="values")], ["wallets: 9 rows"]),
        ([entry("wallets", 9, kind="heard")], []),
        ([entry("", None, kind="unknown")], ["V3, line 1: an unknown number of rows"]),
        ([], []),
    ],
)
def test_what_a_worker_counted_is_told(world: World, found: list[dict[str, Any]], words: list[str]) -> None:
    rollback = of_script(world, "DELETE FROM wallets WHERE id = 1;\n")
    factories.read_facts(rollback, factories.FACTS | {"goes": found})
    assert phrases(rollback) == words
