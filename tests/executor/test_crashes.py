"""kill -9 of the worker at every point of the protocol: the outcome is true, and nothing is half done."""

from __future__ import annotations

from executor.resolve import Attempt, Verdict, resolve
from executor.run import run
from executor.spec import Outcome, RunSpec
from tests.executor.crashes import Fate, Nursery, Order
from tests.executor.target import DROP_STATUS, STATUS_IS_GONE, Recording, Target, check, spec

STAND_AGAIN = (
    "ALTER TABLE users ADD COLUMN status text DEFAULT 'active'",
    """INSERT INTO flyway_schema_history
       VALUES (3, '3', 'status', 'SQL', 'V3__status.sql', -333, 'flyway', DEFAULT, 5, true)""",
)


def attempt() -> RunSpec:
    """A rollback as usual: a step, a check before commit and one after it."""
    return spec(DROP_STATUS, checks=[check(*STATUS_IS_GONE), check("SELECT 1", "1", stage="after commit")])


def happened(target: Target, tried: RunSpec) -> bool:
    """Did the rollback take place? All of it or none: schema, history row and marker say the same."""
    gone = target.value(*STATUS_IS_GONE[:1]) == 0
    row_gone = target.versions() == ["1", "2"]
    marked = target.marker_of(tried) == "claim"
    assert gone == row_gone == marked, (gone, row_gone, marked)
    return gone


def settled(target: Target, tried: RunSpec, fate: Fate, where: str) -> bool:
    """Ask the resolver, hold its word against the target, let a late worker come, and leave all as it was.
    Returns whether it had committed."""
    verdict = resolve(target.executor, Attempt.of(tried, None)).verdict
    truth = happened(target, tried)
    assert verdict is (Verdict.COMMITTED if truth else Verdict.NOT_COMMITTED), where
    if fate.outcome is not None:
        assert (fate.outcome == Outcome.SUCCEEDED.value) is truth, where
    late = run(tried, target.executor, Recording())
    assert late.outcome in (Outcome.NO_EFFECT, Outcome.UNRESOLVED), where
    assert happened(target, tried) is truth, where
    if truth:
        target.do(*STAND_AGAIN)
    return truth


def test_killed_at_any_point_it_is_all_or_nothing_and_the_resolver_knows_which(target: Target) -> None:
    with Nursery() as nursery:
        whole = attempt()
        lived = nursery.attempt(Order(whole, target.executor))
        assert lived.outcome == Outcome.SUCCEEDED.value
        assert settled(target, whole, lived, "it lived")
        points = lived.points
        truths = {}
        for number, name in enumerate(points):
            if not name.startswith(
                "before"
            ):  # the same as before the next one; benchmarks.crash_matrix has all
                continue
            tried = attempt()
            fate = nursery.attempt(Order(tried, target.executor, at=number))
            assert fate.outcome is None, f"it should have died: {name}"
            truths[number] = settled(target, tried, fate, name)
    commit = next(at for at, name in enumerate(points) if name == "the target answered: COMMIT")
    assert truths == {number: number > commit for number in truths}  # not before COMMIT, always behind it
    assert len(truths) > 40
