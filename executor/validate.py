"""Refuse a specification that could not be run safely, before anything is sent to the target."""

from __future__ import annotations

from collections.abc import Iterator

from executor.errors import SpecInvalid
from executor.spec import RunSpec

ENDING_TAGS = frozenset(
    {"BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "PREPARE TRANSACTION", "SAVEPOINT", "RELEASE"}
)
"""Command tags of statements that would begin, end or split the transaction."""


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
        if not step.tags:
            yield f"Step {step.position} does not say which answer is right."
        if ending := ENDING_TAGS.intersection(step.tags):
            yield f"Step {step.position} (line {step.line}) would end the transaction ({min(ending)})."
        if not step.sql.strip():
            yield f"Step {step.position} is empty."
    texts = [step.sql for step in spec.steps] + [check.sql for check in spec.checks]
    if any("\0" in text for text in texts):
        yield "A statement holds a NUL byte, at which drivers stop reading."
