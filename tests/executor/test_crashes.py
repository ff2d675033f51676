"""kill -9 of the worker at every point of the protocol: the outcome is true, and nothing is half done."""

from __future__ import annotations

from executor.resolve import Attempt, Verdict, resolve
from executor.run import run
from executor.spec import Outcome, RunSpec
from tests.executor.crashes import Fate, Nursery, Order
from tests.executor.lone_crashes import lone_attempt, settled_alone, stand_again, writing
from tests.executor.target import (
    COLUMN_AND_ROW_AGAIN,
    DROP_STATUS,
    STATUS_IS_GONE,
    Recording,
    Target,
    check,
    spec,
)

ALONE = (  # claimed nowhere, claimed and not begun, done and not on record
    "before the portal is told: claimed",
    "the target answered: SELECT waqiti_rollback.claim",
    "before the portal is told: settled",
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
        target.do(*COLUMN_AND_ROW_AGAIN)
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


def test_killed_around_any_step_that_runs_alone_each_is_what_the_catalog_says(target: Target) -> None:
    """Before and behind its claims in portal and target, before and behind the statement, and within one."""
    wrong, seen = [], set()
    with Nursery() as nursery:

        def kill(**when: float) -> Fate:
            tried = lone_attempt()
            fate = nursery.attempt(Order(tried, target.executor, **when))
            more, found = settled_alone(target, tried, fate)
            wrong.extend(f"{when}: {each}" for each in more)
            seen.add("".join(each.state.value[0] for each in found))
            return fate

        lived = kill()
        assert lived.outcome == Outcome.SUCCEEDED.value
        stand_again(target)
        for number, name in enumerate(lived.points):
            if name.startswith(ALONE):
                assert kill(at=number).outcome is None, f"it should have died: {name}"
                stand_again(target)
        assert {"pppp", "dppp", "ddpp", "dddp", "dddd"} <= seen
        with writing(target):
            assert kill(after_s=0.4).outcome is None
    assert wrong == []
