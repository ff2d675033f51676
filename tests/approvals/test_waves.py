"""What a run over many targets does next, for every way in which its targets can stand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.waves import Next, Stand, State, Why, decide

W, O, D, F, U = Stand.WAITING, Stand.OPEN, Stand.DONE, Stand.FAILED, Stand.UNSURE  # noqa: E741
FINAL = (D, F, Stand.MISSED)
STANDS = st.lists(st.sampled_from(Stand), min_size=1, max_size=30)
SIZES = st.integers(1, 12)


def next_of(
    *stands: Stand, state: State = State.RUNNING, wave_size: int = 2, stop_after: int = 1, accepted: int = 0
) -> Next:
    """With waves of two, stopping at the first failure, unless said otherwise."""
    return decide(state, stands, wave_size=wave_size, stop_after=stop_after, accepted=accepted)


@pytest.mark.parametrize(
    ("stands", "expected"),
    [
        ((W, W, W, W), Next(State.RUNNING, (0,))),
        ((O, W, W, W), Next(State.RUNNING)),
        ((D, W, W, W), Next(State.RUNNING, (1, 2))),
        ((D, D, O, W), Next(State.RUNNING)),
        ((D, D, D, W), Next(State.RUNNING, (3,))),
        ((D, D, D, D), Next(State.FINISHED, why=Why.ALL_FINAL)),
        ((F, W, W, W), Next(State.STOPPED, why=Why.CANARY)),
        ((D, F, O, W), Next(State.STOPPED, why=Why.FAILURES)),
        ((D, F, D, F), Next(State.FINISHED, why=Why.ALL_FINAL)),
        ((D, U, O, W), Next(State.HELD, why=Why.UNSURE)),
        ((D, D, D, U), Next(State.HELD, why=Why.UNSURE)),
    ],
)
def test_the_canary_first_then_waves_and_no_wave_before_the_last_one_is_final(
    stands: Sequence[Stand], expected: Next
) -> None:
    assert next_of(*stands) == expected


def test_after_as_many_failures_as_were_to_stop_it_and_those_somebody_accepted_do_not_count() -> None:
    assert next_of(D, F, W, W, stop_after=2) == Next(State.RUNNING, (2, 3))
    assert next_of(D, F, F, W, stop_after=2) == Next(State.STOPPED, why=Why.FAILURES)
    assert next_of(D, F, F, W, stop_after=2, accepted=2) == Next(State.RUNNING, (3,))
    assert next_of(D, F, F, F, W, stop_after=1, accepted=2).state is State.STOPPED
    # Whoever goes on in spite of a canary that failed does not go on with the others.
    assert next_of(F, W, W, accepted=1) == Next(State.STOPPED, why=Why.CANARY)


def test_what_waits_for_its_window_is_passed_over_and_what_missed_it_is_over() -> None:
    missed = Stand.MISSED
    assert decide(State.RUNNING, [D, W, W, W], wave_size=2, stop_after=1, closed={1}).start == (2, 3)
    resting = decide(State.RUNNING, [D, W, missed], wave_size=2, stop_after=1, closed={1})
    assert resting == Next(State.RUNNING), "until its window opens"
    assert decide(State.RUNNING, [W, W], wave_size=1, stop_after=1, closed={0}) == Next(State.RUNNING)
    assert next_of(D, missed, missed, W) == Next(State.RUNNING, (3,)), "no failure"
    assert next_of(D, missed, D) == Next(State.FINISHED, why=Why.ALL_FINAL)
    assert next_of(missed, W) == Next(State.STOPPED, why=Why.CANARY)


@given(STANDS, st.sampled_from(State), SIZES, SIZES, st.integers(0, 5))
def test_whatever_stands_how_nothing_starts_that_may_not(
    stands: list[Stand], state: State, wave_size: int, stop_after: int, accepted: int
) -> None:
    found = decide(state, stands, wave_size=wave_size, stop_after=stop_after, accepted=accepted)
    assert all(stands[place] is W for place in found.start)
    assert len(set(found.start)) == len(found.start) <= wave_size
    if found.start:
        assert state is found.state is State.RUNNING
        assert not {O, U} & set(stands)
        assert stands.count(F) - accepted < stop_after
        assert found.start == (0,) or stands[0] is D
    if found.state is State.FINISHED and state is not State.FINISHED:
        assert set(stands) <= set(FINAL)
    if state in (State.CANCELLED, State.FINISHED):
        assert found == Next(state)
    # Asked again, with what began no longer waiting, it begins nothing twice.
    now = [O if place in found.start else stand for place, stand in enumerate(stands)]
    assert not set(found.start) & set(
        decide(found.state, now, wave_size=wave_size, stop_after=stop_after, accepted=accepted).start
    )


@given(
    st.integers(1, 30), SIZES, SIZES, st.integers(0, 30), st.randoms(use_true_random=False), st.integers(1, 8)
)
def test_a_run_always_comes_to_its_end_or_waits_for_a_person(
    targets: int, wave_size: int, stop_after: int, failing: int, chance: random.Random, workers: int
) -> None:
    """Every target runs at most once, never more begin after the limit was reached, and a stopped run that
    somebody goes on with ends."""
    fails = set(chance.sample(range(targets), min(failing, targets)))
    stands, state, accepted, begun = [W] * targets, State.RUNNING, 0, []
    for _turn in range(4 * targets + 4):
        found = decide(state, stands, wave_size=wave_size, stop_after=stop_after, accepted=accepted)
        state = found.state
        begun += found.start
        for place in found.start:
            stands[place] = O
        if state is State.FINISHED:
            break
        if state is State.STOPPED and not stands.count(O):
            if found.why is Why.CANARY or stands[0] is F:
                break
            state, accepted = State.RUNNING, stands.count(F)
            continue
        for place in [p for p, stand in enumerate(stands) if stand is O][:workers]:
            stands[place] = F if place in fails else D
    assert len(begun) == len(set(begun))
    if 0 in fails:
        assert begun == [0]
    else:
        assert state is State.FINISHED
        assert sorted(begun) == list(range(targets))
