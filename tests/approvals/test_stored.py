"""What is sent is what was signed for, whatever the rows of an execution's steps say by then."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import Execution
from executor import briefing
from executor.errors import ExecutorError
from tests.approvals import factories
from tests.approvals.factories import UNDO, World, draft, write_script

pytestmark = pytest.mark.integration

MAKE = "CREATE INDEX CONCURRENTLY by_amount ON wallets (amount);\n"


@pytest.fixture
def execution(world: World) -> Execution:
    """Claimed by a worker: a step that runs alone, and one in the transaction."""
    write_script(world, "3", sql=MAKE + UNDO["3"])
    return factories.claimed(
        factories.start(world, factories.approved(world, factories.submitted(world, draft(world))))
    )


def test_the_rows_of_an_execution_that_nobody_touched_are_sent(execution: Execution) -> None:
    spec = briefing.signed_spec(execution)
    assert [each.statements for each in spec.alone] == [(MAKE.strip().removesuffix(";"),)]
    assert len(spec.steps) == 1


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (1, {"statements": ["DROP TABLE wallets"]}),
        (1, {"sql": "CREATE INDEX CONCURRENTLY by_amount ON users (name)"}),
        (2, {"how": "alone"}),
        (2, {"position": 3}),
        (2, {"item_position": 2}),
    ],
)
def test_nothing_is_sent_where_somebody_changed_a_row(
    position: int, change: dict[str, Any], execution: Execution
) -> None:
    execution.steps.filter(position=position).update(**change)
    with pytest.raises(ExecutorError, match="not those of the plan that was signed"):
        briefing.signed_spec(execution)
