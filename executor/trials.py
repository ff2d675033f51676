"""Try checks on a copy of a target: before and after the script, in a transaction that is rolled back."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from approvals import analysis, history, trials
from approvals.flyway.treatment import Treatment
from approvals.models import Backup, Check, Job, RollbackItem, Stage, Target, Trial
from executor import backup, credentials
from executor.checks import as_query, read_only
from executor.clone import drop_clone, make_clone
from executor.connect import Connection, Endpoint, SocketCut, connect, execute_one, identity, set_local
from executor.ending import Stop
from executor.errors import BackupFailed, ExecutorError, plain
from executor.history import HistoryChanged, read_history, treat
from executor.marker import SCHEMA
from executor.restore import run_tool
from executor.spec import CheckSpec, HistoryPin, ItemSpec, Limits, RunSpec, StepSpec
from executor.transaction import Transaction, settings_of

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
# A script can switch the server's limits off, not ours.
DEADLINE_S = 300.0
LOCK_WAIT_MS = 5_000
PREFIX = as_query(CheckSpec(None, "", "", "", "before commit")).index("\n") + 1

Json = dict[str, Any]


def job(job: Job) -> str:
    """Try the checks of the job's trial. Returns the sentence that was recorded."""
    _sweep()
    trial = trials.take(job)
    with _copy(trial) as (clone, tried_on):
        trials.enter(trial, "Asking the checks before and after the script")
        seen = attempt(clone, run_spec(trial), trial.check_list, trial.position, trial.sql)
    return trials.record(trial, tried_on=tried_on, **seen)


def clone_name(trial: Trial) -> str:
    """The database in which this trial takes place."""
    return f"waqiti_rehearsal_{trial.pk.hex}"


def _sweep() -> None:
    """Drop the copies of trials whose worker was killed."""
    for trial in trials.abandoned():
        try:
            drop_clone(_server(_target_of(trial), "clone"), clone_name(trial))
        except ExecutorError as error:
            log.warning("the copy of an abandoned trial is still there: %s", error)


def _target_of(trial: Trial) -> Target:
    return trial.rollback.rollback_targets.select_related("target__rehearsal_target").get().target


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
        tried_on = _from_backup(trial, target, server) or _from_structure(trial, target, server)
        yield _server(target, "executor").on(name), tried_on
    finally:
        drop_clone(server, name)


def _make(dump: Path, target: Target, server: Endpoint, trial: Trial) -> Endpoint:
    return make_clone(
        dump,
        server,
        clone_name(trial),
        owner_role=target.owner_role,
        history_schema=target.history_schema,
        history_table=target.history_table,
    )


def _from_backup(trial: Trial, target: Target, server: Endpoint) -> str:
    """Restore the newest verified backup; empty where there is none that fits."""
    found = (
        Backup.objects.filter(target=target, state=Backup.State.VERIFIED, bytes__lte=LARGEST_DUMP)
        .order_by("-created_at")
        .first()
    )
    if found is None:
        return ""
    trials.enter(trial, f"Restoring the backup of {found.created_at:%Y-%m-%d %H:%M} UTC as a copy")
    try:
        backup.rehash(Path(found.path), found.sha256)
        clone = _make(Path(found.path), target, server, trial)
    except BackupFailed as error:  # gone or changed: it is no backup any more, the structure will do
        log.warning("%s", error)
        return ""
    if not _same_history(clone, target):
        drop_clone(server, clone_name(trial))
        return ""
    return f"on a copy with the rows of the backup of {found.created_at:%Y-%m-%d %H:%M} UTC"


def _same_history(clone: Endpoint, target: Target) -> bool:
    """Are the same migrations applied there as were last read from the target?"""
    with contextlib.closing(connect(clone)) as connection:
        there = read_history(connection, target.history_schema, target.history_table)
    return [history.pin_of(row) for row in there] == [history.pin_of(row) for row in history.rows_of(target)]


def _from_structure(trial: Trial, target: Target, server: Endpoint) -> str:
    """Dump the target's structure and its history, and make a copy of that."""
    trials.enter(trial, f"Reading the structure of {target}")
    source = credentials.endpoint(target, "backup")
    with tempfile.TemporaryDirectory(dir=credentials.backup_directory(), prefix="trial-") as directory:
        dump = Path(directory) / "structure.dump"
        arguments = [
            "--format=custom",
            "--schema-only",
            f"--lock-wait-timeout={LOCK_WAIT_MS}",
            f"--exclude-schema={SCHEMA}",
            f"--file={dump}",
        ]
        run_tool("pg_dump", source, arguments, while_running=lambda: None)
        trials.enter(trial, "Making a copy of the structure")
        clone = _make(dump, target, server, trial)
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
    pins = rollback.rollback_targets.get().pins
    rows = list(rollback.items.select_related("migration", "script").order_by("position"))
    items: list[ItemSpec] = []
    replica = False
    for item, pin in zip(rows, pins, strict=True):
        text = trial.sql if item.position == trial.position else item.script.sql if item.script else ""
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


def attempt(endpoint: Endpoint, spec: RunSpec, checks: Sequence[Check], position: int, text: str) -> Json:
    """Run the scripts down to `position` with the checks around the last one, and roll everything back.

    Returns `results`, `script_error` and `notes` as `trials.record` takes them. `text` is the script that is
    tried, for the place of an error in it. Raises ConnectFailed, psycopg.Error where the connection is lost,
    ExecutorError where a script above it fails.
    """
    with contextlib.closing(connect(endpoint)) as connection, SocketCut(connection) as cut:
        deadline = threading.Timer(DEADLINE_S, cut)
        deadline.start()
        try:
            transaction = Transaction(connection, spec, identity(connection))
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            set_local(connection, settings_of(spec, transaction.who.version))
            return _Attempt(transaction, spec, checks, position, text).run()
        finally:
            deadline.cancel()
            if not connection.closed:
                connection.execute("ROLLBACK")


class _Attempt:
    """One trial inside its transaction."""

    def __init__(
        self, transaction: Transaction, spec: RunSpec, checks: Sequence[Check], position: int, text: str
    ) -> None:
        self.transaction = transaction
        self.connection = transaction.connection
        self.spec = spec
        self.checks = checks
        self.position = position
        self.text = text
        self.notes: list[str] = []

    def run(self) -> Json:
        for item in self.spec.items:
            if item.position < self.position:
                self._above(item)
        before = {check.name: self._ask(check) for check in self.checks}
        error = self._script()
        results = [
            {
                "name": check.name,
                "stage": check.stage,
                "sql": check.sql,
                "expected": check.expected,
                "before": before[check.name],
                "after": None,
                "passed": False,
            }
            for check in self.checks
        ]
        if error is None:
            self._after(results)
        return {"results": results, "script_error": error, "notes": self.notes}

    def _above(self, item: ItemSpec) -> None:
        """A script that runs before the one that is tried."""
        try:
            self._run(item)
        except (psycopg.Error, Stop) as problem:
            if self.connection.closed:
                raise
            why = problem.sentence if isinstance(problem, Stop) else plain(problem)
            raise ExecutorError(
                f"The script of {item.version}, which has to run too, failed: {why}"
            ) from None

    def _script(self) -> Json | None:
        """Run the script that is tried; where it ended with an error, which one and where."""
        item = next(item for item in self.spec.items if item.position == self.position)
        try:
            self._run(item)
        except psycopg.Error as problem:
            if self.connection.closed:
                raise
            return self._where(item, problem)
        except Stop as stop:
            step = next((step for step in item.steps if step.position == stop.failed_step), item.steps[0])
            return {"line": step.line, "column": 1, "sqlstate": "", "message": stop.sentence}
        return None

    def _run(self, item: ItemSpec) -> None:
        self.step: StepSpec | None = None
        self.transaction.become_script()
        for self.step in item.steps:
            self.transaction.step(self.step)
        self.step = None
        self.transaction.force_constraints()
        self.transaction.regain()

    def _where(self, item: ItemSpec, problem: psycopg.Error) -> Json:
        """The place of an error in the script's text; of one without a place, where its statement begins."""
        step = self.step or item.steps[-1]
        begins = _statement_begins(self.text, step)
        line, column = _place(self.text, begins + _offset(problem))
        message = plain(problem) if self.step else f"a deferred constraint: {plain(problem)}"
        return {"line": line, "column": column, "sqlstate": problem.sqlstate or "", "message": message}

    def _after(self, results: list[Json]) -> None:
        """Checks before commit right behind the script; those after it when the history was treated too."""
        late = [each for each in results if each["stage"] != Stage.BEFORE_COMMIT]
        for check, result in zip(self.checks, results, strict=True):
            if result not in late:
                self._answer(check, result)
        if not late:
            return
        self._finish()
        for check, result in zip(self.checks, results, strict=True):
            if result in late:
                self._answer(check, result)

    def _finish(self) -> None:
        """What comes between this script and the end of the request, as far as it can run by now."""
        for item in self.spec.items:
            if item.position > self.position:
                if not item.steps:
                    self.notes.append(f"{item.version} has no script that can run yet, so it was left out.")
                else:
                    self._above(item)
        try:
            treat(self.connection, self.spec)
        except HistoryChanged as changed:
            self.notes.append(f"The history was left as it is: {changed}")

    def _answer(self, check: Check, result: Json) -> None:
        result["after"] = answer = self._ask(check)
        result["passed"] = not answer["error"] and answer["value"] == check.expected

    def _ask(self, check: Check) -> Json:
        """Ask one check, read only; its value as text, its type, or what is wrong and where."""
        query = as_query(CheckSpec(self.position, check.name, check.sql, check.expected, "before commit"))
        answer: Json = {"value": None, "type": "", "error": "", "sqlstate": "", "line": 0, "column": 0}
        started = time.perf_counter()
        with read_only(self.connection, self.spec):
            try:
                answer["type"] = _type_of(self.connection, query)
                said = execute_one(self.connection, query)
                answer["value"] = said.value
                if said.value is None:
                    answer["error"] = "no row, or NULL"
            except psycopg.Error as problem:
                if self.connection.closed:
                    raise
                line, column = _place(check.sql, max(_offset(problem) - PREFIX, 0))
                answer |= {
                    "error": plain(problem),
                    "sqlstate": problem.sqlstate or "",
                    "line": line,
                    "column": column,
                }
        return answer | {"ms": round((time.perf_counter() - started) * 1000)}


def _type_of(connection: Connection, query: str) -> str:
    """The type of the value before it becomes text; described by the server, without a row being made."""
    inner = query.removesuffix("::text")
    with connection.cursor() as cursor:
        with connection.pipeline():
            cursor.execute(f"{inner} LIMIT 0")
        result = cursor.pgresult
        assert result is not None  # noqa: S101 (a SELECT always has a result)
        oid, modifier = result.ftype(0), result.fmod(0)
    row = connection.execute("SELECT format_type(%s, %s)", [oid, modifier]).fetchone()
    return str(row[0]) if row else ""


def _offset(problem: psycopg.Error) -> int:
    """Where in the statement that was sent the server found the error, counting characters from 0."""
    position = problem.diag.statement_position
    return int(position) - 1 if position else 0


def _place(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character of a text, from 1."""
    before = text[: min(offset, len(text))]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _statement_begins(text: str, step: StepSpec) -> int:
    """Where a step's statement stands in the text of its script, counting characters from 0."""
    lines = text.split("\n")
    from_line = sum(len(line) + 1 for line in lines[: step.line - 1])
    found = text.find(step.sql, from_line)
    return found if found >= 0 else from_line
