"""Refuse a specification that could not be run safely, before anything is sent to the target."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.analysis.alone import why_not_alone
from approvals.analysis.parser import Source, SqlError, parse
from executor.checks import as_query
from executor.errors import SpecInvalid
from executor.spec import CheckSpec, LoneStep, RunSpec, StepSpec


def validate(spec: RunSpec) -> None:
    """Raise SpecInvalid with everything that is wrong with `spec`."""
    wrong = list(_problems(spec))
    if wrong:
        raise SpecInvalid(" ".join(wrong))


def _problems(spec: RunSpec) -> Iterator[str]:
    if not spec.items and (spec.transaction or not spec.alone):
        yield "There is no migration to roll back."
    if [item.position for item in spec.items] != list(range(1, len(spec.items) + 1)):
        yield "The items are not numbered from 1 in their order."
    order = [lone.position for lone in spec.before] + [step.position for step in spec.steps]
    order += [lone.position for lone in spec.after]
    if order != list(range(1, len(order) + 1)):
        yield "The steps are not numbered from 1 in their order."
    if spec.alone and not spec.marker:
        yield "Steps that run alone need the marker: without it nobody could tell whether one had begun."
    for lone in spec.alone:
        yield from _lone_problems(lone)
    for item in spec.items:
        if item.pin.version != item.version:
            yield f"Item {item.position} rolls back {item.version}, its history row is {item.pin.version}'s."
        if any(step.item != item.position for step in item.steps):
            yield f"Item {item.position} holds a step of another item."
    for step in spec.steps:
        yield from _step_problems(step)
    for check in spec.checks:
        yield from _check_problems(check)


def _lone_problems(step: LoneStep) -> Iterator[str]:
    if why := why_not_alone(step.sql):
        yield f"Step {step.position} can't run alone: {why}"
    if not step.statements:
        yield f"Step {step.position} has no statement."
    for statement in step.statements:
        try:
            pieces = parse(Source(statement))
        except SqlError as error:
            yield f"Step {step.position} can't be read: {error.message}."
            continue
        if len(pieces) != 1 or pieces[0].which == "transaction_stmt":
            yield f"Step {step.position} is not exactly one statement at a time."


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
