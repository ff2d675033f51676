"""Run actions as they are planned, in the shadow's open transaction: the script is what has run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from executor.schema.inverse.action import Action, Statement, statements
from executor.schema.inverse.heard import resting
from executor.schema.objects import Ref

Connection = psycopg.Connection[tuple[Any, ...]]

OF_DATA = ("22", "23")
"""Classes of SQLSTATE: a value does not fit. Another wording would cut it, or lose it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that the server refused."""

    action: Action
    sql: str
    sqlstate: str
    message: str

    def __str__(self) -> str:
        return f"{self.sqlstate} {self.message} in: {self.sql}".lstrip()


def _not_yet(action: Action) -> Failure:
    """What still holds rows that could not be copied stays."""
    return Failure(action, action.statements[0].sql, "", f"the rows of {action.ref} were not copied")


@dataclass(slots=True)
class Run:
    """What has run, in its order; `retried` counts actions that needed another go; `of_values` is what was
    refused for the values of rows, which says more than what the same action meets later."""

    connection: Connection
    done: list[Action] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    retried: int = 0
    of_values: dict[tuple[str, Ref], Failure] = field(default_factory=dict)

    @property
    def refusals(self) -> list[Failure]:
        """Why the last actions failed."""
        return [self.of_values.get(failure.action.key, failure) for failure in self.failed]

    def run(self, actions: Iterable[Action]) -> None:
        """Run each action under a savepoint. What fails is tried again behind the rest, as long as that
        helps."""
        waiting = list(actions)
        self.failed = []
        while waiting:
            failures = []
            read: set[Ref] = set()
            for action in waiting:
                failure = self._try(action) if not action.removes & read else _not_yet(action)
                if failure is not None:
                    failures.append(failure)
                    read |= action.reads
            for failure in failures:
                if failure.sqlstate[:2] in OF_DATA:
                    self.of_values.setdefault(failure.action.key, failure)
            again = [failure.action for failure in failures]
            if len(again) == len(waiting):
                self.failed = failures
                return
            self.retried += len(again)
            waiting = again

    def delete(self, action: Action, rows: int) -> str:
        """Run a DELETE that must find so many rows; otherwise nothing happens and the answer says why."""
        self.connection.execute("SAVEPOINT rows")
        try:
            found = self.connection.execute(action.statements[0].sql).rowcount
            refusal = "" if found == rows else f"{found} of {rows} rows are found again by their keys"
        except psycopg.Error as error:
            refusal = f"they can't be taken away: {error.diag.message_primary or error}"
        if refusal:
            self.connection.execute("ROLLBACK TO SAVEPOINT rows")
        else:
            self.done.append(action)
        self.connection.execute("RELEASE SAVEPOINT rows")
        return refusal

    def possible(self, sql: str) -> bool:
        """Whether the server runs a statement; what it does is taken back."""
        self.connection.execute("SAVEPOINT possible")
        ran = self._execute(Statement(sql))
        self.connection.execute("ROLLBACK TO SAVEPOINT possible")
        self.connection.execute("RELEASE SAVEPOINT possible")
        return not isinstance(ran, psycopg.Error)

    def _try(self, action: Action) -> Failure | None:
        made: list[Statement] = []
        self.connection.execute("SAVEPOINT action")
        for statement in action.statements:
            ran = self._one(statement)
            if isinstance(ran, psycopg.Error):
                self.connection.execute("ROLLBACK TO SAVEPOINT action")
                message = ran.diag.message_primary or str(ran)
                return Failure(action, statement.sql, ran.sqlstate or "", message)
            made += ran
        self.connection.execute("RELEASE SAVEPOINT action")
        action.statements = tuple(made)
        self.done.append(action)
        return None

    def _one(self, statement: Statement) -> Sequence[Statement] | psycopg.Error:
        if not statement.alternatives:
            return self._execute(statement)
        error: psycopg.Error | None = None
        for sql in (statement.sql, *statement.alternatives):
            self.connection.execute("SAVEPOINT way")
            ran = self._execute(statement.instead(sql))
            if not isinstance(ran, psycopg.Error):
                self.connection.execute("RELEASE SAVEPOINT way")
                return ran
            self.connection.execute("ROLLBACK TO SAVEPOINT way")
            if (ran.sqlstate or "")[:2] in OF_DATA:
                error = ran  # what says most
                break
            error = error or ran
        assert error is not None  # noqa: S101 (there is at least one way)
        return error

    def _execute(self, statement: Statement) -> Sequence[Statement] | psycopg.Error:
        """Run a statement, and what must stand around it. Returns all that ran."""
        made: Sequence[Statement] = [statement]
        if statement.table and statement.sql.startswith("UPDATE "):
            off, on = resting(self.connection, statement.table)
            made = [*statements(*off), statement, *statements(*on)]
        try:
            for each in made:
                text = each.sql.replace(" CONCURRENTLY ", " ", 1) if each.outside else each.sql
                self.connection.execute(text)
        except psycopg.Error as error:
            return error
        return made
