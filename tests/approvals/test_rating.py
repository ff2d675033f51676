"""The risk of a rollback: the worst of its items, with what is known of the live target."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import gates, rating, rollbacks
from approvals.analysis import Risk
from approvals.models import Evidence, RollbackRequest, Status
from tests.approvals import factories
from tests.approvals.factories import World, again, rollback_in

pytestmark = pytest.mark.integration


def rated(rollback: RollbackRequest) -> rating.Rated:
    return rating.rate(rollback, gates.latest_evidence(rollback, Evidence.Kind.FACTS))


def table(rows: int | None, *, exact: bool = True) -> dict[str, Any]:
    facts = {"relation": "transactions", "rows": rows, "exact": exact, "bytes": 8192}
    return factories.FACTS | {"tables": [facts]}


@pytest.mark.parametrize(
    ("on", "risk"), [("production", Risk.MINIMAL), ("high", Risk.HIGH), ("critical", Risk.CRITICAL)]
)
def test_the_rules_rate_the_worlds_migrations(on: str, risk: Risk, world: World) -> None:
    assert rated(rollback_in(world, Status.DRAFT, on)).risk == risk


def test_the_worst_item_decides_and_the_worst_reason_comes_first(world: World) -> None:
    chosen = [world.migration(version) for version in "345"]
    rollback = rollbacks.create(world.critical, chosen, actor=world.alice)
    found = rated(rollback)
    assert found.risk == Risk.CRITICAL
    risks = [Risk[reason["risk"]] for reason in found.reasons]
    assert risks == sorted(risks, reverse=True)
    assert {Risk.MINIMAL, Risk.HIGH, Risk.CRITICAL} <= set(risks)


@pytest.mark.parametrize(
    ("rows", "exact", "risk"),
    [
        (120_000, True, Risk.CRITICAL),
        (1, True, Risk.CRITICAL),
        (0, False, Risk.CRITICAL),
        (None, False, Risk.CRITICAL),
        (0, True, Risk.HIGH),
    ],
)
def test_a_table_that_goes_is_critical_unless_it_was_counted_empty(
    rows: int | None, exact: bool, risk: Risk, world: World
) -> None:
    rollback = rollback_in(world, Status.DRAFT, "critical")
    factories.read_facts(rollback, table(rows, exact=exact))
    found = rated(again(rollback))
    assert found.risk == risk
    assert bool(found.automatic_checks) == (risk == Risk.HIGH)


def test_the_assertion_it_rests_on_is_asked_again_before_the_script(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT, "critical")
    factories.read_facts(rollback, table(0))
    (check,) = rated(again(rollback)).automatic_checks
    assert (check["item"], check["stage"]) == (1, "before script")
    assert set(check) == {"item", "name", "sql", "expected", "stage"}


def test_facts_that_do_not_hold_count_for_nothing(world: World) -> None:
    rollback = rollback_in(world, Status.DRAFT, "critical")
    factories.read_facts(rollback, table(0), holds=False)
    assert rated(again(rollback)).risk == Risk.CRITICAL


def test_an_item_without_a_script_is_critical_and_says_why(world: World) -> None:
    factories.apply(world, world.production, "12")
    rollback = rollbacks.create(world.production, [world.migration("2")], actor=world.alice)
    found = rated(rollback)
    assert (found.risk, found.reasons[0]["subject"]) == (Risk.CRITICAL, "V2")
    assert found.reasons[0]["text"] == "There is no script yet, so nobody knows what it would do."


def test_a_request_without_items_is_critical(world: World) -> None:
    rollback = RollbackRequest.objects.create(service=world.service, requester=world.alice)
    assert rated(rollback).risk == Risk.CRITICAL


def test_what_nobody_can_read_is_critical(world: World) -> None:
    factories.write_script(world, "3", sql="DROP INDEKS x;\n")
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    assert rated(rollback).risk == Risk.CRITICAL


@pytest.mark.parametrize(("count", "risk"), [(7, Risk.HIGH), (None, Risk.HIGH), (0, Risk.MEDIUM)])
def test_rows_that_go_along_by_a_foreign_key_are_more_than_the_named_ones(
    count: int | None, risk: Risk, world: World
) -> None:
    factories.write_script(world, "3", sql="DELETE FROM users WHERE id = 1;\n")
    rollback = rollbacks.create(world.production, [world.migration("3")], actor=world.alice)
    along = {"kind": "rows", "name": "wallets", "relation": ["public", "wallets"], "along": True}
    plain = {"whole": False, "exact": True, "places": [], "unknown": None, "count": count}
    factories.read_facts(rollback, factories.FACTS | {"goes": [along | plain]})
    assert rated(again(rollback)).risk == risk
