"""Are the stored steps of an execution the very ones that were signed for?

Steps that run alone, and all that continue another execution, are sent as their rows say. The worker is not
the only one who may write those rows. So before anything is sent, each is held against the plan that the
change digest covers, and against the statements that the signatures for continuing bind to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from approvals import halfway
from approvals.models import Execution, ExecutionStep
from executor.errors import ExecutorError

_How = ExecutionStep.How


def require_planned(
    execution: Execution, planned: Sequence[dict[str, Any]], rows: Sequence[ExecutionStep] | None = None
) -> None:
    """Raise ExecutorError unless the rows of the execution, or of the first one that it continues, are those
    of `planned` (`approvals.halfway.planned`): also before anybody concludes from them how it ended.
    `rows`, those of the execution in their order, spare reading them."""
    if execution.continues_id is not None or rows is None:
        rows = list(halfway.chain(execution)[0].steps.order_by("position"))
    if _as_stored(rows) != _as_planned(planned):
        raise ExecutorError(
            "Its stored steps are not those of the plan that was signed: somebody changed them, "
            "or the values of its placeholders."
        )


def require_signed(execution: Execution) -> None:
    """Raise ExecutorError unless an execution that continues another sends what was asked and signed for."""
    if execution.continues is None:
        return
    if problem := halfway.unsigned(execution):
        raise ExecutorError(f"Not started: {problem}")
    assert execution.continuation is not None  # noqa: S101 (else nobody has signed)
    signed, first = execution.continuation.steps, halfway.chain(execution)[0]
    back = execution.course == Execution.Course.TAKE_BACK
    transaction = not back and not halfway.is_committed(execution.continues)
    if signed["transaction"] != transaction or _of_continuing(execution, first) != _as_signed(
        signed["steps"]
    ):
        raise ExecutorError("Not started: the stored steps are not those that were signed for.")


def _as_stored(rows: Sequence[ExecutionStep]) -> list[tuple[object, ...]]:
    return [(row.position, row.item_position, row.how, row.sql, row.statements, row.of_id) for row in rows]


def _as_planned(planned: Sequence[dict[str, Any]]) -> list[tuple[object, ...]]:
    alone = set(halfway.parts_of(planned).alone)
    return [
        (
            place + 1,
            step["item"],
            _How.ALONE if place in alone else _How.TRANSACTIONAL,
            step["statement"]["sql"],
            [],
            None,
        )
        for place, step in enumerate(planned)
    ]


def _of_continuing(execution: Execution, first: Execution) -> list[tuple[object, ...]]:
    rows = execution.steps.select_related("of").order_by("position")
    return [
        (
            row.position,
            row.of.position if row.of is not None and row.of.execution_id == first.pk else None,
            row.how,
            row.sql,
            row.statements,
        )
        for row in rows
    ]


def _as_signed(entries: Sequence[dict[str, Any]]) -> list[tuple[object, ...]]:
    sent = [entry for entry in entries if entry["statements"]]
    return [
        (
            number,
            entry["of"],
            entry["how"],
            ";\n".join(entry["statements"]),
            entry["statements"] if entry["how"] == _How.ALONE else [],
        )
        for number, entry in enumerate(sent, start=1)
    ]
