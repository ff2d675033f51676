"""Refuse a specification that could not be run safely, before anything is sent to the target."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.analysis.parser import Source, SqlError, parse
from executor.checks import as_query
from executor.errors import SpecInvalid
from executor.spec import CheckSpec, RunSpec, StepSpec


def validate(spec: RunSpec) -> None:
    """Raise SpecInvalid with everything that is wrong with `spec`."""
    wrong = list(_problems(spec))
    if wrong:
        raise SpecInvalid(" ".join(wrong))


def _problems(spec: RunSpec) -> Iterator[str]:
    if not spec.items:
        yield "There is no migration to roll back."
    if [item.position for item in spec.items] != list(range(1, len(spec.items) + 1)):
        yield "The items are not numbered from 1 in their order."
    if [step.position for step in spec.steps] != list(range(1, len(spec.steps) + 1)):
        yield "The steps are not numbered from 1 in their order."
    for item in spec.items:
        if item.pin.version != item.version:
            yield f"Item {item.position} rolls back {item.version}, its history row is {item.pin.version}'s."
        if any(step.item != item.position for step in item.steps):
            yield f"Item {item.position} holds a step of another item."
    for step in spec.steps:
        yield from _step_problems(step)
    for check in spec.checks:
        yield from _check_problems(check)


def _step_problems(step: StepSpec) -> Iterator[str]:
    where = f"Step {step.position} (line {step.line})"
    if not step.tags:
        yield f"{where} does not say which answer is right."
    try:
        pieces = parse(Source(step.sql))
    except SqlError as error:
        yield f"{where} can't be read: {error.message}."
        return
    if len(pieces) != 1:
        yield f"{where} is {len(pieces)} statements instead of one."
    if any(piece.which == "transaction_stmt" for piece in pieces):
        yield f"{where} would begin, end or split the transaction."


def _check_problems(check: CheckSpec) -> Iterator[str]:
    try:
        pieces = parse(Source(as_query(check)))
    except SqlError as error:
        yield f"The check “{check.name}” can't be read: {error.message}."
        return
    if [piece.which for piece in pieces] != ["select_stmt"]:
        yield f"The check “{check.name}” is not a single SELECT."
