"""Ask checks before and after a script in one transaction, and roll all of it back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from approvals.models import Check, Stage
from executor.checks import as_query, read_only
from executor.connect import Connection, Endpoint, SocketCut, connect, execute_one, identity, set_local
from executor.ending import Stop
from executor.errors import ExecutorError, plain
from executor.history import HistoryChanged, treat
from executor.spec import CheckSpec, ItemSpec, RunSpec, StepSpec
from executor.transaction import Transaction, settings_of

# A script can switch the server's limits off, not ours.
DEADLINE_S = 300.0
# What stands before a check's own text in the query that is sent.
PREFIX = as_query(CheckSpec(None, "", "", "", "before commit")).index("\n") + 1

Json = dict[str, Any]


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
                answer["type"] = _type_of(self.connection, check.sql)
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


def _type_of(connection: Connection, check: str) -> str:
    """The type of the value before it becomes text; described by the server, without a row being made."""
    query = f"{'SELECT ('.ljust(PREFIX - 1)}\n{check}\n) LIMIT 0"
    with connection.cursor() as cursor:
        with connection.pipeline():
            cursor.execute(query)
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
