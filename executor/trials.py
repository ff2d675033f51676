"""Try checks on a copy of a target: before and after the script, in a transaction that is rolled back."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from approvals import analysis, filling, policy, trials
from approvals.clones import is_of_another_history, newest_backup
from approvals.flyway.treatment import Treatment
from approvals.masking import masking_for
from approvals.masks import Masking
from approvals.models import Execution, Job, RollbackItem, Target, Trial
from executor import credentials, vault
from executor.clone import KEPT, PREFIX, clones, copy_kept, drop_clone, make_kept
from executor.connect import Endpoint, connect
from executor.errors import BackupFailed, ExecutorError, plain
from executor.kept import OtherHistory, copy_of, pins_of
from executor.marker import SCHEMA, Setup
from executor.restore import run_tool
from executor.spec import HistoryPin, ItemSpec, Limits, RunSpec, StepSpec
from executor.trying import attempt

log = logging.getLogger(__name__)

# A copy with rows is made of a verified backup up to this size; above it the structure has to do.
LARGEST_DUMP = 1_000_000_000
LIMITS = Limits(
    lock_timeout_ms=5_000,
    statement_timeout_ms=60_000,
    check_timeout_ms=10_000,
    idle_timeout_ms=60_000,
    transaction_timeout_ms=240_000,
)
LOCK_WAIT_MS = 5_000


def job(job: Job) -> str:
    """Try the checks of the job's trial. Returns the sentence that was recorded."""
    trial = trials.take(job)
    trials.abandoned()
    _sweep(_server(_target_of(trial), "clone"))
    with _copy(trial) as (clone, tried_on):
        trials.enter(trial, "Asking the checks before and after the script")
        seen = attempt(clone, run_spec(trial), trial.check_list, trial.position, trial.sql)
    return trials.record(trial, tried_on=tried_on, **seen)


def clone_name(trial: Trial) -> str:
    """The database in which this trial takes place."""
    return f"{PREFIX}{trial.pk.hex}"


def sweep_all() -> None:
    """`_sweep` on every server on which copies are made."""
    for target in Target.objects.filter(rehearses_for__isnull=False).distinct():
        try:
            _sweep(credentials.endpoint(target, "clone"))
        except ExecutorError as error:
            log.warning("copies on the server of %s can't be looked for: %s", target, error)


def _sweep(server: Endpoint) -> None:
    """Drop the copies there whose work is over: of killed workers, and those that could not be dropped."""
    try:
        for prefix in (PREFIX, KEPT):
            for name in clones(server, prefix):
                if _is_over(uuid.UUID(name.removeprefix(prefix))):
                    drop_clone(server, name)
    except (ExecutorError, psycopg.Error) as error:
        log.warning("a copy that nobody needs is still there: %s", plain(error))


def _is_over(key: uuid.UUID) -> bool:
    trial = Trial.objects.select_related("job").filter(pk=key).first()
    if trial is not None:
        return trial.job.finished_at is not None
    return Execution.objects.filter(pk=key, finished_at__isnull=False).exists()


def _target_of(trial: Trial) -> Target:
    return trial.rollback.representative().target


def _server(target: Target, purpose: Any) -> Endpoint:
    """A login on the server where copies of the target are made: never the target itself where there is
    another one for it."""
    return credentials.endpoint(target.rehearsal_target or target, purpose)


@contextlib.contextmanager
def _copy(trial: Trial) -> Iterator[tuple[Endpoint, str]]:
    """A copy of the target for as long as the block lasts: the executor's endpoint, and what it is a copy of.

    From the newest verified backup if its history is the target's, else of the structure as it is now.
    """
    target = _target_of(trial)
    server, name = _server(target, "clone"), clone_name(trial)
    try:
        tried_on = _from_backup(trial, target) or _from_structure(trial, target, server)
        yield _server(target, "executor").on(name), tried_on
    finally:
        drop_clone(server, name)


def _from_backup(trial: Trial, target: Target) -> str:
    """A copy of the masked clone of the newest verified backup; empty where there is none that fits."""
    found = newest_backup(target)
    if found is None or (found.bytes or 0) > LARGEST_DUMP or is_of_another_history(found, pins_of(target)):
        return ""
    rule = policy.rule_for(trial.rollback)
    masking = masking_for(target.service, with_rows=rule.rehearsal_with_rows)
    try:
        copy_of(found, target, masking, clone_name(trial), say=partial(trials.enter, trial))
    except (OtherHistory, BackupFailed) as error:  # the structure will do
        log.warning("%s", error)
        return ""
    taken = f"{found.created_at:%Y-%m-%d %H:%M} UTC"
    if not masking.with_rows:
        return f"on a copy of the structure in the backup of {taken}; the policy lets no rows into it"
    return f"on a copy with the rows of the backup of {taken}, masked"


def _from_structure(trial: Trial, target: Target, server: Endpoint) -> str:
    """Dump the target's structure and its history, and make a copy of that."""
    trials.enter(trial, f"Reading the structure of {target}")
    source, kept = credentials.endpoint(target, "backup"), f"{KEPT}{trial.pk.hex}"
    with vault.workplace() as directory:
        dump = directory / "structure.dump"
        arguments = [
            "--format=custom",
            "--schema-only",
            f"--lock-wait-timeout={LOCK_WAIT_MS}",
            f"--exclude-schema={SCHEMA}",
            f"--file={dump}",
        ]
        run_tool("pg_dump", source, arguments, while_running=lambda: None)
        trials.enter(trial, "Making a copy of the structure")
        setup = Setup(target.owner_role, kept, target.history_schema, target.history_table)
        make_kept(dump, server, kept, setup=setup, masking=Masking(with_rows=False))
    try:
        guests = [_server(target, "executor").user]
        clone = copy_kept(server, kept, clone_name(trial), owner_role=target.owner_role, guests=guests)
    finally:
        drop_clone(server, kept)
    _copy_history(source, clone, target)
    return f"on a copy of the structure of {target} as it is now, without rows"


def _copy_history(source: Endpoint, clone: Endpoint, target: Target) -> None:
    """Flyway's rows, so that scripts and checks find the history that they will find."""
    table = sql.Identifier(target.history_schema, target.history_table)
    with contextlib.closing(connect(source)) as there, contextlib.closing(connect(clone)) as here:
        there.execute("SET default_transaction_read_only = on")
        there.execute("SET lock_timeout = '5s'")
        here.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(target.owner_role)))
        rows = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(table)
        with (
            there.cursor().copy(rows) as reading,
            here.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as writing,
        ):
            for block in reading:
                writing.write(block)


def run_spec(trial: Trial) -> RunSpec:
    """What runs on the copy: the stored scripts of the request, and for the trial's item what was typed."""
    rollback, target = trial.rollback, _target_of(trial)
    pins = rollback.representative().pins
    rows = list(rollback.items.select_related("migration", "script").order_by("position"))
    items: list[ItemSpec] = []
    replica = False
    for item, pin in zip(rows, pins, strict=True):
        typed = item.position == trial.position
        text = filling.text_on(target, trial.sql) if typed else filling.sql_of(item)
        plan = analysis.plan_script(text)
        replica = replica or plan.replica_role
        steps = _steps(plan, item)
        items.append(ItemSpec(item.position, item.migration.version, steps, (), HistoryPin(**pin)))
    return RunSpec(
        execution_id=trial.pk,
        request_digest="",
        script_digest="",
        items=tuple(items),
        search_path=target.search_path,
        owner_role=target.owner_role or None,
        history_schema=target.history_schema,
        history_table=target.history_table,
        history_treatment=Treatment(rollback.history_treatment),
        replica_role=replica,
        limits=LIMITS,
    )


def _steps(plan: analysis.Plan, item: RollbackItem) -> tuple[StepSpec, ...]:
    """The steps of a plan; none of one that can't run, which items below the tried one may have."""
    runs = not plan.problems and all(step.kind is analysis.StepKind.TRANSACTIONAL for step in plan.steps)
    return tuple(
        StepSpec(
            position=step.position,
            item=item.position,
            sql=step.statement.sql,
            kind=step.statement.kind,
            tags=step.statement.tags,
            line=step.statement.line,
            says=step.statement.says,
        )
        for step in (plan.steps if runs else ())
    )
