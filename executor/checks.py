"""Evaluate checks: read only, in a savepoint of their own, and passed only by exactly the expected value."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import psycopg

from executor.connect import Connection, execute_one, set_local
from executor.errors import plain
from executor.spec import CheckResult, CheckSpec, RunSpec, Stage
from executor.transaction import settings_of

# Characters. What is expected is never as long, so nothing passes for being cut.
LONGEST_VALUE = 10_000


def of_stage(checks: tuple[CheckSpec, ...], stage: Stage) -> list[CheckSpec]:
    """The checks that belong to a stage, in their order."""
    return [check for check in checks if check.stage == stage]


def as_query(check: CheckSpec) -> str:
    """The statement that is sent: one value as text, of which only the beginning comes back. Line breaks keep
    a comment from swallowing the rest."""
    return f"SELECT pg_catalog.left((\n{check.sql}\n)::text, {LONGEST_VALUE})"


def evaluate(connection: Connection, spec: RunSpec, check: CheckSpec) -> CheckResult:
    """Evaluate one check in the open transaction, which is afterwards as it was.

    Settings (search_path with pg_temp last) are the transaction's own; the role is the service's owner, since
    the login role reads none of its tables. Raises psycopg.Error only where the connection is lost or the
    transaction was not usable to begin with.
    """
    started = time.perf_counter()
    value: str | None = None
    with read_only(connection, spec):
        try:
            answer = execute_one(connection, as_query(check))
            value = answer.value
            error = "" if answer.rows == 1 else f"{answer.rows} rows instead of one value"
        except psycopg.Error as problem:
            if connection.closed:
                raise
            error = f"{plain(problem)} ({problem.sqlstate})"
    milliseconds = (time.perf_counter() - started) * 1000
    if value is None and not error:
        error = "no row, or NULL"
    return CheckResult(check, not error and value == check.expected, value, milliseconds, error)


@contextlib.contextmanager
def read_only(connection: Connection, spec: RunSpec) -> Iterator[None]:
    """A savepoint in which a write fails with 25006; whatever was set inside is undone with it."""
    connection.execute("SAVEPOINT waqiti_check; SET TRANSACTION READ ONLY")
    settings = {"statement_timeout": f"{spec.limits.check_timeout_ms}ms"}
    if spec.owner_role is not None:
        settings["role"] = spec.owner_role
    set_local(connection, settings)
    yield
    connection.execute("ROLLBACK TO SAVEPOINT waqiti_check; RELEASE SAVEPOINT waqiti_check")


def failed(result: CheckResult) -> str:
    """One sentence about a check that did not pass."""
    check = result.check
    said = f"it failed: {result.error}" if result.error else f"the answer was “{result.actual}”"
    return f"The check “{check.name}” ({check.stage}) expected “{check.expected}”, but {said}."


def after(connection: Connection, spec: RunSpec, wanted: Sequence[CheckSpec]) -> Iterator[CheckResult]:
    """Evaluate checks that come after COMMIT, each in a read-only transaction of its own, on a connection
    that is in no transaction. Raises psycopg.Error where the connection is lost."""
    for check in wanted:
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        set_local(connection, settings_of(spec, connection.info.server_version))
        result = evaluate(connection, spec, check)
        connection.execute("ROLLBACK")
        yield result
