"""From the portal's records to what the executor runs: an execution becomes a RunSpec."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from approvals import analysis, digests, filling, halfway
from approvals.analysis.alone import NotAlone, Reload, Setting, read_alone
from approvals.flyway.treatment import Treatment
from approvals.models import Execution, ExecutionStep, RollbackItem, RollbackRequest, RollbackTarget, Stage
from executor.errors import ExecutorError
from executor.spec import CheckSpec, HistoryPin, ItemSpec, Limits, LoneStep, RunSpec, StepSpec
from executor.stored import require_planned, require_signed


def signed_spec(
    execution: Execution, *, on_clone: bool = False, rows: list[RollbackItem] | None = None
) -> RunSpec:
    """`run_spec` to run now. Raises ExecutorError unless its very statements, with the values of placeholders
    in them, have the digest that was signed or asked for, and the stored steps are these statements. `rows`
    (of `digests.items_of`) spares reading them, where nothing long happened since."""
    rollback = execution.rollback_target.rollback
    rows = digests.items_of(rollback) if rows is None else rows
    if digests.change_digest(rollback, rows) != execution.change_digest:
        raise ExecutorError("Not started: what would run is no longer what was asked for.")
    require_signed(execution)
    return run_spec(execution, on_clone=on_clone, rows=rows)


def run_spec(
    execution: Execution, *, on_clone: bool = False, rows: list[RollbackItem] | None = None
) -> RunSpec:
    """What this execution runs, from the stored plans that its digest covers, and where it continues another,
    from the statements that were signed for. Raises ExecutorError where the stored steps are others.

    On a clone the server is another one by design, so its identity is not compared.
    """
    rollback, target = execution.rollback_target.rollback, execution.target
    rows = digests.items_of(rollback) if rows is None else rows
    planned = halfway.planned(rows)
    steps = _Steps(execution, planned)
    require_planned(execution, planned, steps.rows)
    cut = halfway.parts_of(planned)
    back = execution.course == Execution.Course.TAKE_BACK
    transaction = not back and (execution.continues is None or not halfway.is_committed(execution.continues))
    return RunSpec(
        execution_id=execution.pk,
        request_digest=execution.request_digest or execution.change_digest,
        script_digest=execution.change_digest,
        items=() if back else tuple(_items(rows, execution, steps if transaction else None)),
        locks=_locks(rows),
        search_path=target.search_path,
        owner_role=target.owner_role or None,
        history_schema=target.history_schema,
        history_table=target.history_table,
        history_treatment=Treatment(rollback.history_treatment),
        replica_role=any(filling.plan_of(item).get("replica_role") for item in rows),
        limits=_limits(rollback),
        marker=target.has_marker or on_clone,
        expected_system_identifier=None if on_clone else target.system_identifier or None,
        database_oid=None if on_clone else target.database_oid,
        before=steps.everything_back() if back else steps.alone(cut.before),
        after=() if back else steps.alone(cut.after),
        transaction=transaction,
        parameters=_parameters(planned),
    )


def _parameters(planned: list[dict[str, Any]]) -> tuple[str, ...]:
    """The server's parameters that the plan sets."""
    found = {}
    for step in planned:
        with suppress(NotAlone):
            if isinstance(about := read_alone(step["statement"]["sql"]), Setting):
                found[about.name] = True
    return tuple(found)


class _Steps:
    """The rows of an execution's steps, by the place that each has in the plan."""

    def __init__(self, execution: Execution, planned: list[dict[str, Any]]) -> None:
        self.planned = planned
        self.back = execution.course == Execution.Course.TAKE_BACK
        self.rows = list(execution.steps.select_related("of").order_by("position"))
        self._by_place = {(row.of or row).position: row for row in self.rows}

    def alone(self, places: Iterable[int]) -> tuple[LoneStep, ...]:
        """Those of these places (from 0) that this execution has to run."""
        rows = (self._by_place.get(place + 1) for place in places)
        return tuple(self._lone(row) for row in rows if row is not None)

    def everything_back(self) -> tuple[LoneStep, ...]:
        """What is to be taken back, in the order of the rows; the configuration is read again, not back."""
        return tuple(
            self._lone(row, back=not isinstance(read_alone((row.of or row).sql), Reload)) for row in self.rows
        )

    def _lone(self, row: ExecutionStep, *, back: bool = False) -> LoneStep:
        first = row.of or row
        assert row.claim is not None  # noqa: S101 (whoever plans a step to run alone gives it one)
        return LoneStep(
            position=row.position,
            sql=first.sql,
            statements=tuple(row.statements or [first.sql]),
            claim=row.claim,
            kind=row.kind,
            says=row.says,
            tags=tuple(self.planned[first.position - 1]["statement"]["tags"]),
            back=back,
            before=row.before,
        )

    def of_item(self, item: RollbackItem) -> Iterator[StepSpec]:
        """The steps of an item that run in the transaction."""
        for place, step in enumerate(self.planned, start=1):
            row = self._by_place.get(place)
            if row is None or step["item"] != item.position or row.how != ExecutionStep.How.TRANSACTIONAL:
                continue
            statement = step["statement"]
            yield StepSpec(
                position=row.position,
                item=item.position,
                sql=statement["sql"],
                kind=statement["kind"],
                tags=tuple(statement["tags"]),
                line=statement["line"],
                says=statement["says"],
            )


def _items(rows: list[RollbackItem], execution: Execution, steps: _Steps | None) -> Iterator[ItemSpec]:
    """The items with pins and checks; with their steps as long as the transaction is still to come."""
    rollback = execution.rollback_target.rollback
    for item, pin in zip(rows, execution.rollback_target.pins, strict=True):
        inside = tuple(steps.of_item(item)) if steps else ()
        checks = tuple(_checks(item, rollback))
        yield ItemSpec(item.position, item.migration.version, inside, checks, HistoryPin(**pin))


def _checks(item: RollbackItem, rollback: RollbackRequest) -> Iterator[CheckSpec]:
    assert item.script is not None  # noqa: S101 (the gate holds back requests without a script)
    for check in rollback.automatic_checks:
        if check["item"] == item.position:
            yield CheckSpec(item.position, check["name"], check["sql"], check["expected"], "before script")
    for each in item.script.check_list():
        yield CheckSpec(item.position, each.name, each.sql, each.expected, _stage(each.stage))


def _stage(stage: str) -> Any:
    return Stage(stage).value


def _locks(items: Sequence[RollbackItem]) -> tuple[tuple[str, str], ...]:
    """The strongest mode on each relation over all items."""
    strongest: dict[str, analysis.LockMode] = {}
    for item in items:
        if item.script is None:
            continue
        for relation, mode in analysis.plan_script(filling.sql_of(item)).relations.items():
            strongest[relation] = max(strongest.get(relation, mode), mode, key=lambda each: each.strength)
    return tuple((relation, strongest[relation].value) for relation in sorted(strongest))


def outline(rollback_target: RollbackTarget, rows: Sequence[RollbackItem] | None = None) -> RunSpec:
    """What a run would lock, where and within which limits, before there is any execution: to look by, not to
    run. Of its statements it has the kinds. `rows` (of `digests.items_of`) spares reading them."""
    rollback, target = rollback_target.rollback, rollback_target.target
    rows = digests.items_of(rollback) if rows is None else rows
    items = []
    for item, pin in zip(rows, rollback_target.pins, strict=True):
        steps = filling.plan_of(item).get("steps", [])
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
        history_schema=target.history_schema,
        history_table=target.history_table,
        marker=target.has_marker,
        limits=_limits(rollback),
        expected_system_identifier=target.system_identifier or None,
        database_oid=target.database_oid,
    )


def lone_statements(rows: Sequence[RollbackItem]) -> list[tuple[int, str]]:
    """What of a rollback's items (in their order) runs alone, each with its place in the plan, from 1;
    nothing that could not run."""
    steps = halfway.planned(rows)
    cut = halfway.parts_of(steps)
    return [] if cut.problems else [(n + 1, steps[n]["statement"]["sql"]) for n in sorted(cut.alone)]


def _limits(rollback: RollbackRequest) -> Limits:
    """The defaults, changed where the request says so (session options are part of the change digest)."""
    known = {name: value for name, value in rollback.session_options.items() if name in Limits.__slots__}
    return Limits(**known)
