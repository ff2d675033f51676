"""What a run over many targets does next: the one decision, from how each target stands. Plain data in, plain
data out; whoever calls it holds the run locked and carries the answer out."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass


class Stand(enum.StrEnum):
    """How one target of a run stands."""

    WAITING = "waiting"  # nothing has begun there, or what ended without effect may be tried again
    OPEN = "open"  # queued, with a worker, or waiting for a restart
    DONE = "done"  # committed and verified
    FAILED = (
        "failed"  # it has ended otherwise: no effect, rolled back, taken back, a check after commit failed
    )
    MISSED = "missed"  # its window was over before it could begin: it does not begin any more
    UNSURE = "unsure"  # unresolved, or partly done: a person has to see to it


class State(enum.StrEnum):
    """Where a run stands. Nothing starts in any but the first."""

    RUNNING = "running"
    HELD = "held"  # by a person, or because a target is unsure
    STOPPED = "stopped"  # as many failures as were to stop it
    CANCELLED = "cancelled"
    FINISHED = "finished"


class Why(enum.StrEnum):
    """What made a run leave its state."""

    NOTHING = ""
    UNSURE = "unsure"
    CANARY = "canary"
    FAILURES = "failures"
    ALL_FINAL = "all final"


ENDED = (State.CANCELLED, State.FINISHED)
GOES_ON = (State.RUNNING, State.HELD, State.STOPPED)


@dataclass(frozen=True)
class Next:
    """The state that a run takes now and why, and the places of the targets that begin, in order."""

    state: State
    start: tuple[int, ...] = ()
    why: Why = Why.NOTHING


def decide(
    state: State,
    stands: Sequence[Stand],
    *,
    wave_size: int,
    stop_after: int,
    accepted: int = 0,
    closed: Collection[int] = (),
) -> Next:
    """What a run does next. `stands` is in the order of the run, the canary first; `wave_size` targets begin
    together, once all that began before are final; `stop_after` failures stop it, not counting the first
    `accepted`, in spite of which somebody went on. The places in `closed` wait for their windows: they begin
    in a later wave, and a run in which nothing else is left rests until then.

    Until the canary is done nothing else begins, whoever goes on. Asked twice it says the same twice: what
    began is no longer waiting.
    """
    if state in ENDED:
        return Next(state)
    unsure, under_way = Stand.UNSURE in stands, Stand.OPEN in stands
    if not (unsure or under_way or Stand.WAITING in stands):
        return Next(State.FINISHED, why=Why.ALL_FINAL)
    if state is not State.RUNNING:
        return Next(state)
    if unsure:
        return Next(State.HELD, why=Why.UNSURE)
    if stands[0] in (Stand.FAILED, Stand.MISSED):
        return Next(State.STOPPED, why=Why.CANARY)
    if stands.count(Stand.FAILED) - accepted >= stop_after:
        return Next(State.STOPPED, why=Why.FAILURES)
    if under_way:
        return Next(state)
    waiting = [place for place, stand in enumerate(stands) if stand is Stand.WAITING and place not in closed]
    if stands[0] is Stand.WAITING:
        return Next(state, tuple(waiting[:1]) if waiting[:1] == [0] else ())
    return Next(state, tuple(waiting[:wave_size]))
