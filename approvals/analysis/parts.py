"""How a rollback's steps follow each other: steps that run alone, one transaction, steps that run alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from approvals.analysis.alone import why_not_alone
from approvals.analysis.model import StepKind

# What such statements do ends with the transaction, or with their answer.
HARMLESS = frozenset({"SESSION SETTING", "QUERY"})


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan as it matters here: `kind` as in StepKind, `change` the matrix's row."""

    kind: str
    change: str
    sql: str
    what: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Positions of steps, from 0, in the order in which they run. Without a `block` the transaction has no
    statement of the script; it then comes last. `problems` are sentences: such a plan does not run."""

    before: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def alone(self) -> tuple[int, ...]:
        """The steps that run alone."""
        return self.before + self.after


def parts(steps: Sequence[Planned]) -> Parts:
    """Cut the steps into what runs before, in and after the transaction."""
    outside = [number for number, step in enumerate(steps) if step.kind != StepKind.TRANSACTIONAL]
    if not outside:
        return Parts(block=tuple(range(len(steps))))
    acting = [
        number
        for number, step in enumerate(steps)
        if step.kind == StepKind.TRANSACTIONAL and step.change not in HARMLESS
    ]
    problems = [problem for number in outside if (problem := _problem(number, steps[number]))]
    if not acting:
        first = last = len(steps)
    else:
        first, last = acting[0], acting[-1]
        between = next((number for number in outside if first < number < last), None)
        if between is not None:
            problems.append(
                f"Step {between + 1} ({steps[between].what}) refuses a transaction and stands between "
                "statements of one, which makes two transactions. Roll the migrations back one by one."
            )
        while first > 0 and first - 1 not in outside:
            first -= 1
        while last + 1 < len(steps) and last + 1 not in outside:
            last += 1
    lost = [n for n in range(len(steps)) if n not in outside and not first <= n <= last]
    problems += [
        f"Step {number + 1} ({steps[number].what}) stands alone outside the transaction. Leave it out, "
        "or put it inside."
        for number in lost
    ]
    return Parts(
        before=tuple(number for number in outside if number < first),
        block=tuple(number for number in range(first, min(last + 1, len(steps))) if number not in outside),
        after=tuple(number for number in outside if number > last),
        problems=tuple(problems),
    )


def _problem(number: int, step: Planned) -> str:
    if step.kind == StepKind.MANUAL:
        return f"Step {number + 1} ({step.what}) reaches beyond this database: a person does it, by hand."
    why = why_not_alone(step.sql)
    return f"Step {number + 1} ({step.what}): {why}" if why else ""
