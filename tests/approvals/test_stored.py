"""What is sent is what was signed for, whatever the rows of an execution's steps say by then."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import IntegrityError
from django.utils import timezone
from psycopg.types.json import Jsonb

from approvals import attempts, continuing, halfway
from approvals.models import Continuation, Execution, ExecutionStatus, Role
from executor import briefing
from executor.errors import ExecutorError
from tests.approvals import factories
from tests.approvals.factories import UNDO, World, draft, write_script
from tests.approvals.test_filling import with_values

pytestmark = pytest.mark.integration

MAKE = "CREATE INDEX CONCURRENTLY by_amount ON wallets (amount);\n"


def half_way(world: World) -> Execution:
    """Claimed by a worker: a step that runs alone, and one in the transaction."""
    write_script(world, "3", sql=MAKE + UNDO["3"])
    return factories.claimed(
        factories.start(world, factories.approved(world, factories.submitted(world, draft(world))))
    )


@pytest.fixture
def execution(committed_world: World) -> Execution:
    return half_way(committed_world)


def change_behind(
    superuser: psycopg.Connection[Any], execution: Execution, position: int, change: dict[str, Any]
) -> None:
    """What only a superuser can, who takes the trigger away first."""
    superuser.execute("ALTER TABLE approvals_executionstep DISABLE TRIGGER step_write")
    for column, value in change.items():
        superuser.execute(
            f"UPDATE approvals_executionstep SET {column} = %s WHERE execution_id = %s AND position = %s",
            [Jsonb(value) if isinstance(value, list) else value, execution.pk, position],
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
    position: int, change: dict[str, Any], execution: Execution, superuser: psycopg.Connection[Any]
) -> None:
    with pytest.raises(IntegrityError, match="what a step sends does not change"):
        execution.steps.filter(position=position).update(**change)
    change_behind(superuser, execution, position, change)
    with pytest.raises(ExecutorError, match="not those of the plan that was signed"):
        briefing.signed_spec(execution)


def test_nobody_concludes_how_it_ended_from_a_plan_with_other_values(world: World) -> None:
    with_values(world)
    write_script(world, "3", sql=MAKE.replace("wallets", "${schema}.wallets") + UNDO["3"])
    approved = factories.approved(world, factories.submitted(world, draft(world)))
    execution = factories.claimed(factories.start(world, approved))
    assert len(briefing.run_spec(execution).alone) == 1
    world.production.placeholders = {"schema": "audit"}
    world.production.save()
    with pytest.raises(ExecutorError, match="values of its placeholders"):
        briefing.run_spec(Execution.objects.get(pk=execution.pk))


CLEAR = "DROP INDEX CONCURRENTLY IF EXISTS public.by_amount"


def signed_to_go_on(world: World, execution: Execution) -> Continuation:
    """Its first step failed half-way; asked for and signed."""
    attempts.step_claimed(execution, 1, before={}, undo=[CLEAR])
    attempts.step_settled(execution, 1, state="failed", found="It is there and invalid.", leftover=[CLEAR])
    attempts.record_outcome(execution, ExecutionStatus.PARTIAL, "Partly done.")
    execution.refresh_from_db()
    digest = halfway.digest_of(execution, "go_on", halfway.offer(execution, "go_on").steps)
    now = timezone.now()
    asked = continuing.ask(
        execution, course="go_on", digest=digest, reason="Now.", actor=world.olga, confirmed_at=now
    )
    for dba in (world.dora, world.dan)[: len(halfway.missing_roles(asked))]:
        continuing.sign(asked, actor=dba, role=Role.SENIOR_DBA, digest=digest, confirmed_at=timezone.now())
    return asked


def gone_on(world: World, execution: Execution) -> Execution:
    """The same, started and claimed by a worker."""
    asked = signed_to_go_on(world, execution)
    return factories.claimed(continuing.start(asked, actor=world.olga, confirmed_at=timezone.now()))


@pytest.mark.parametrize(
    ("of", "change"),
    [
        ("", {}),
        ("later", {"statements": ["DROP TABLE wallets"]}),
        ("later", {"sql": "DROP TABLE wallets"}),
        ("later", {"of_id": None}),
        ("first", {"sql": "CREATE INDEX CONCURRENTLY by_amount ON users (name)"}),
    ],
)
def test_what_continues_another_sends_what_was_signed_for(
    of: str,
    change: dict[str, Any],
    committed_world: World,
    execution: Execution,
    superuser: psycopg.Connection[Any],
) -> None:
    made = gone_on(committed_world, execution)
    if not of:
        spec = briefing.signed_spec(made)
        assert [each.statements for each in spec.alone] == [(CLEAR, MAKE.strip().removesuffix(";"))]
        assert (len(spec.steps), spec.transaction) == (1, True)
        return
    change_behind(superuser, made if of == "later" else execution, 1, change)
    with pytest.raises(ExecutorError, match="not those"):
        briefing.signed_spec(made)
