"""Which step of a script belongs to which statement of the migration: by the names of what both touch.

It says what belongs together for a reader, not that anything is undone completely: only a proof can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from approvals.analysis.subjects import Act, Subject, subjects


@dataclass
class Pair:
    """One forward statement by its place from 0: `steps` stand beside it, `also` are steps that take it back
    together with another statement, beside which they stand."""

    forward: int
    steps: list[int] = field(default_factory=list)
    also: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Pairing:
    """Every forward statement in order, and the steps that belong to none of them. Each step stands once."""

    pairs: tuple[Pair, ...]
    alone: tuple[int, ...]


def pair(forward: Sequence[str], back: Sequence[str]) -> Pairing:
    """Pair the statements of a migration with the steps of a script, both as SQL, in their order."""
    pairs = [Pair(number) for number in range(len(forward))]
    ahead = [subjects(sql) for sql in forward]
    alone = []
    for step, behind in enumerate(subjects(sql) for sql in back):
        same = [number for number, each in enumerate(ahead) if _undoes(each, behind)]
        covered = [number for number, each in enumerate(ahead) if _covers(each, behind)]
        beside = _place(pairs, same or covered)
        if beside is None:
            alone.append(step)
            continue
        pairs[beside].steps.append(step)
        for number in dict.fromkeys([*same, *covered]):
            if number != beside:
                pairs[number].also.append(step)
    return Pairing(tuple(pairs), tuple(alone))


def _place(pairs: Sequence[Pair], fitting: Sequence[int]) -> int | None:
    """Beside which statement a step stands: the first that has none yet, else the first."""
    free = [number for number in fitting if not pairs[number].steps]
    return next(iter(free or fitting), None)


def _undoes(ahead: frozenset[Subject], behind: frozenset[Subject]) -> bool:
    """Whether both name one object, and the step does the opposite or changes it."""
    return any(
        x.what == y.what
        and _same(x.on, y.on)
        and (x.part == y.part or (x.what == "constraint" and "" in (x.part, y.part)))
        and (x.act is not y.act or Act.CHANGES is x.act)
        for x in ahead
        for y in behind
    )


def _covers(ahead: frozenset[Subject], behind: frozenset[Subject]) -> bool:
    """Whether the step drops the table (or schema) that everything of the statement is in."""
    gone = [each.on for each in behind if each.act is Act.DROPS and each.what == "relation"]
    schemas = [each.on for each in behind if each.act is Act.DROPS and each.what == "schema"]
    return bool(ahead) and all(
        any(_same(name, table) for name in (x.on, x.under) for table in gone)
        or any(x.on.startswith(f"{schema}.") for schema in schemas)
        for x in ahead
    )


def _same(one: str, other: str) -> bool:
    """Equal names, where one of them may be without its schema."""
    if "." in one and "." in other:
        return one == other
    return one != "" and one.rpartition(".")[2] == other.rpartition(".")[2]
