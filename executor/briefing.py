"""From the portal's records to what the executor runs: an execution becomes a RunSpec."""

from __future__ import annotations

import uuid
from typing import Any

from approvals import analysis
from approvals.flyway.treatment import Treatment
from approvals.models import Execution, RollbackItem, RollbackRequest, RollbackTarget, Stage
from executor.spec import CheckSpec, HistoryPin, ItemSpec, Limits, RunSpec, StepSpec


def run_spec(execution: Execution, *, on_clone: bool = False) -> RunSpec:
    """What this execution runs, from the stored plans that its digest covers.

    On a clone the server is another one by design, so its identity is not compared.
    """
    rollback = execution.rollback_target.rollback
    target = execution.target
    rows = list(rollback.items.select_related("migration", "script").order_by("position"))
    items, first = [], 1
    for item, pin in zip(rows, execution.rollback_target.pins, strict=True):
        items.append(_item(item, pin, first, rollback))
        first += len(items[-1].steps)
    return RunSpec(
        execution_id=execution.pk,
        request_digest=execution.request_digest or execution.change_digest,
        script_digest=execution.change_digest,
        items=tuple(items),
        locks=_locks(rows),
        search_path=target.search_path,
        owner_role=target.owner_role or None,
        history_schema=target.history_schema,
        history_table=target.history_table,
        history_treatment=Treatment(rollback.history_treatment),
        replica_role=any(item.script is not None and item.script.plan.get("replica_role") for item in rows),
        limits=_limits(rollback),
        marker=target.has_marker or on_clone,
        expected_system_identifier=None if on_clone else target.system_identifier or None,
        database_oid=None if on_clone else target.database_oid,
    )


def _item(item: RollbackItem, pin: dict[str, Any], first: int, rollback: RollbackRequest) -> ItemSpec:
    assert item.script is not None  # noqa: S101 (the gate holds back requests without a script)
    steps = tuple(
        StepSpec(
            position=first + offset,
            item=item.position,
            sql=step["statement"]["sql"],
            kind=step["statement"]["kind"],
            tags=tuple(step["statement"]["tags"]),
            line=step["statement"]["line"],
            says=step["statement"]["says"],
        )
        for offset, step in enumerate(item.script.plan["steps"])
    )
    automatic = [check for check in rollback.automatic_checks if check["item"] == item.position]
    checks = [
        CheckSpec(item.position, check["name"], check["sql"], check["expected"], "before script")
        for check in automatic
    ]
    checks += [
        CheckSpec(item.position, check.name, check.sql, check.expected, _stage(check.stage))
        for check in item.script.check_list()
    ]
    return ItemSpec(item.position, item.migration.version, steps, tuple(checks), HistoryPin(**pin))


def _stage(stage: str) -> Any:
    return Stage(stage).value


def _locks(items: list[RollbackItem]) -> tuple[tuple[str, str], ...]:
    """The strongest mode on each relation over all items."""
    strongest: dict[str, analysis.LockMode] = {}
    for item in items:
        if item.script is None:
            continue
        for relation, mode in analysis.plan_script(item.script.sql).relations.items():
            strongest[relation] = max(strongest.get(relation, mode), mode, key=lambda each: each.strength)
    return tuple((relation, strongest[relation].value) for relation in sorted(strongest))


def outline(rollback_target: RollbackTarget) -> RunSpec:
    """What a run would lock, where and within which limits, before there is any execution: to look by, not to
    run. Of its statements it has the kinds."""
    rollback, target = rollback_target.rollback, rollback_target.target
    rows = list(rollback.items.select_related("migration", "script").order_by("position"))
    items = []
    for item, pin in zip(rows, rollback_target.pins, strict=True):
        steps = item.script.plan.get("steps", []) if item.script else []
        kinds = tuple(StepSpec(0, item.position, "", step["statement"]["kind"], (), 0, "") for step in steps)
        items.append(ItemSpec(item.position, item.migration.version, kinds, (), HistoryPin(**pin)))
    return RunSpec(
        execution_id=uuid.uuid4(),
        request_digest=rollback.request_digest,
        script_digest=rollback.change_digest,
        items=tuple(items),
        locks=_locks(rows),
        search_path=target.search_path,
        owner_role=target.owner_role or None,
        limits=_limits(rollback),
        expected_system_identifier=target.system_identifier or None,
        database_oid=target.database_oid,
    )


def _limits(rollback: RollbackRequest) -> Limits:
    """The defaults, changed where the request says so (session options are part of the change digest)."""
    known = {name: value for name, value in rollback.session_options.items() if name in Limits.__slots__}
    return Limits(**known)
