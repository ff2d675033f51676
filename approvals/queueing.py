"""An execution is queued: its row and its steps, in the caller's transaction."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from . import halfway, jobs
from .errors import Refused
from .models import (
    OPEN,
    Execution,
    ExecutionStatus,
    ExecutionStep,
    FleetRun,
    Job,
    RollbackRequest,
    RollbackTarget,
    User,
)

# An execution in one of these keeps every other one from its target.
HOLDS_TARGET = Q(status__in=OPEN) | Q(status=ExecutionStatus.PARTIAL, settled_at=None)


def queue(rollback_target: RollbackTarget, purpose: Execution.Purpose, actor: User) -> Execution:
    """Queue an execution on this target. Raises Refused where another one holds it."""
    execution = _execution(rollback_target, rollback_target.rollback, purpose, actor)
    _insert([execution], planned_steps(rollback_target.rollback))
    return execution


def queue_wave(run: FleetRun, targets: Sequence[RollbackTarget]) -> None:
    """Queue an execution on each of these targets, with its job. Raises Refused, and queues none, where
    another one holds one of them."""
    rollback, actor = run.rollback, run.started_by
    made = [_execution(each, rollback, Execution.Purpose.REAL, actor, run) for each in targets]
    _insert(made, planned_steps(rollback))
    subjects = [execution.pk for execution in made]
    jobs.ask_all(Job.Kind.EXECUTE, subjects=subjects, actor=actor, digest=rollback.request_digest)


def record_missed(run: FleetRun, targets: Mapping[RollbackTarget, str]) -> None:
    """On these targets nothing begins any more in this run, for the reason given: an execution of each that
    never was anybody's, so that it is on record as every other outcome is."""
    made = [_execution(each, run.rollback, Execution.Purpose.REAL, run.started_by, run) for each in targets]
    now = timezone.now()
    for execution, said in zip(made, targets.values(), strict=True):
        execution.status, execution.missed, execution.wave = ExecutionStatus.NO_EFFECT, True, None
        execution.finished_at, execution.sentence = now, said
    _insert(made, planned_steps(run.rollback))


def _execution(
    rollback_target: RollbackTarget,
    rollback: RollbackRequest,
    purpose: Execution.Purpose,
    actor: User,
    run: FleetRun | None = None,
) -> Execution:
    return Execution(
        rollback_target=rollback_target,
        target=rollback_target.target,
        run=run,
        wave=run.wave if run else None,
        purpose=purpose,
        change_digest=rollback.change_digest,
        request_digest=rollback.request_digest,
        requested_by=actor,
    )


def _insert(executions: Sequence[Execution], steps: Sequence[dict[str, Any]]) -> None:
    try:
        with transaction.atomic():
            Execution.objects.bulk_create(executions)
    except IntegrityError as error:
        if not re.search("one_open_execution_per_target|is not settled", str(error)):
            raise
        found = re.search(r"\(target_id\)=\((\d+)\)", str(error))
        named = [each.target for each in executions if found and each.target_id == int(found[1])]
        target = (named or [each.target for each in executions])[0]
        raise Refused(_("Another execution is open on %(target)s.") % {"target": target}) from error
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution=execution, **step, claim=uuid.uuid4() if _alone(step) else None)
        for execution in executions
        for step in steps
    )


def _alone(step: dict[str, Any]) -> bool:
    """One that runs alone gets the random id under which it will be claimed on the target."""
    return bool(step["how"] == ExecutionStep.How.ALONE)


def planned_steps(rollback: RollbackRequest) -> list[dict[str, Any]]:
    """The steps of all items in the order in which they run, from the plans stored with the scripts."""
    steps = halfway.planned(rollback.items.select_related("script").order_by("position"))
    alone = set(halfway.parts_of(steps).alone)
    return [
        {
            "position": number + 1,
            "item_position": step["item"],
            "kind": step["statement"]["kind"],
            "says": step["statement"]["says"],
            "sql": step["statement"]["sql"],
            "how": ExecutionStep.How.ALONE if number in alone else ExecutionStep.How.TRANSACTIONAL,
        }
        for number, step in enumerate(steps)
    ]
