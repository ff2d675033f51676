"""The transaction believes the server's answers and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from executor.connect import connect, execute_one, identity
from executor.ending import Stop
from executor.spec import Outcome, RunSpec
from executor.transaction import Transaction
from tests.executor.target import DROP_STATUS, Target, spec, step


@contextlib.contextmanager
def begun(target: Target, run: RunSpec) -> Iterator[Transaction]:
    """A transaction that has claimed and locked."""
    with contextlib.closing(connect(target.executor)) as connection:
        transaction = Transaction(connection, run, identity(connection))
        transaction.begin()
        yield transaction


def test_the_server_itself_refuses_several_statements_in_one_message(target: Target) -> None:
    with contextlib.closing(connect(target.executor)) as connection:
        with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
            execute_one(connection, "SELECT 1; SELECT 2")
        assert execute_one(connection, "SELECT 'x'").value == "x"


@pytest.mark.parametrize(
    ("text", "tag", "rows"),
    [
        ("SELECT 1 UNION SELECT 2", "SELECT", 2),
        ("CREATE TEMP TABLE t AS SELECT 1", "SELECT", 1),
        ("CREATE TEMP TABLE t (id int)", "CREATE TABLE", None),
        ("SET work_mem = '4MB'", "SET", None),
        ("DO $$ BEGIN END $$", "DO", None),
    ],
)
def test_command_tags_lose_their_counts(target: Target, text: str, tag: str, rows: int | None) -> None:
    with contextlib.closing(connect(target.executor)) as connection:
        answer = execute_one(connection, text)
        assert (answer.tag, answer.rows) == (tag, rows)


def test_inserted_updated_and_deleted_rows_are_counted(target: Target) -> None:
    with target.superuser() as connection:
        assert execute_one(connection, "INSERT INTO users VALUES (900, 'a'), (901, 'b')").rows == 2
        assert execute_one(connection, "UPDATE users SET status = 'x' WHERE id >= 900").rows == 2
        assert execute_one(connection, "DELETE FROM users WHERE id = 900").rows == 1


def test_a_statement_that_commits_is_partial_and_one_that_rolls_back_is_rolled_back(target: Target) -> None:
    """Both are refused before they get here; should one slip through, it is never a success."""
    for text, outcome in (("COMMIT", Outcome.PARTIAL), ("ROLLBACK", Outcome.ROLLED_BACK)):
        with begun(target, spec(DROP_STATUS)) as transaction:
            with pytest.raises(Stop) as stop:
                transaction.step(step(text, "ALTER TABLE"))
            assert stop.value.outcome is outcome


def test_commit_in_a_failed_transaction_is_not_a_success(target: Target) -> None:
    """The server answers ROLLBACK, without any error."""
    with begun(target, spec(DROP_STATUS)) as transaction:
        with pytest.raises(psycopg.Error):
            transaction.step(step("SELECT 1/0", "SELECT"))
        with pytest.raises(Stop) as stop:
            transaction.commit()
        assert stop.value.outcome is Outcome.ROLLED_BACK
        assert "ROLLBACK" in stop.value.sentence


def test_leaving_the_block_of_a_begun_transaction_commits_nothing(target: Target) -> None:
    run = spec(DROP_STATUS)
    with begun(target, run) as transaction:
        transaction.step(step(*DROP_STATUS))
    assert target.marker_of(run) is None
    assert target.value("SELECT count(status) FROM users") == 100
