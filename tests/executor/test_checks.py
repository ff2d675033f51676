"""A check passes only by exactly the expected value, and never changes anything."""

from __future__ import annotations

import pytest

from executor.spec import Outcome
from tests.executor.target import DROP_STATUS, Recording, Target, check, spec


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT count(*) FROM users", "100"),
        ("SELECT true", "true"),
        ("SELECT 1 = 2", "false"),
        ("SELECT ''", ""),
        ("SELECT 'Zürich – “quoted” %s'", "Zürich – “quoted” %s"),
        ("SELECT max(balance) FROM wallets -- a comment at the end", "2000.00"),
        ("WITH w AS (SELECT 1 AS n) SELECT n FROM w", "1"),
        ("VALUES ('one')", "one"),
    ],
)
def test_the_expected_value_passes(target: Target, query: str, expected: str) -> None:
    result = target.run(spec(DROP_STATUS, checks=[check(query, expected)]))
    assert result.outcome is Outcome.SUCCEEDED, result.sentence
    assert result.checks[0].actual == expected


@pytest.mark.parametrize(
    ("query", "expected", "words"),
    [
        ("SELECT count(*) FROM users", "99", "the answer was “100”"),
        ("SELECT NULL", "", "NULL"),
        ("SELECT id FROM users WHERE id < 0", "", "no row"),
        ("SELECT id FROM users", "1", "21000"),
        ("SELECT 1, 2", "1", "42601"),
        ("SELECT 1/0", "", "22012"),
        ("SELECT no_such_column FROM users", "", "42703"),
        ("SELECT nextval('counter')", "1", "25006"),
        ("SELECT write()", "1", "25006"),
        ("SELECT pg_sleep(30) IS NULL", "false", "57014"),
        ("SELECT set_config('transaction_read_only', 'off', true)", "off", "25001"),
    ],
)
def test_anything_else_is_not_passed_and_rolled_back(
    target: Target, query: str, expected: str, words: str
) -> None:
    target.do(
        "CREATE SEQUENCE counter",
        "GRANT ALL ON counter TO wallet_owner",
        """CREATE FUNCTION write() RETURNS int LANGUAGE sql AS
           $$ INSERT INTO users VALUES (999, 'x') RETURNING 1 $$""",
    )
    before = target.fingerprint()
    failing = check(query, expected)
    result = target.run(spec(DROP_STATUS, checks=[failing], limits={"check_timeout_ms": 200}))
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.failed_check == failing
    assert words in result.sentence
    assert target.fingerprint() == before


def test_a_check_that_cannot_be_one_is_refused_before_anything_runs(target: Target) -> None:
    for query in ("DELETE FROM users", "SELECT 1; SELECT 2", "SELECT 1)", ""):
        recorder = Recording()
        result = target.run(spec(DROP_STATUS, checks=[check(query, "1")]), recorder)
        assert result.outcome is Outcome.NO_EFFECT, query
        assert recorder.events == []


def test_a_writing_check_changes_nothing_even_if_it_would_pass(target: Target) -> None:
    query = "WITH gone AS (DELETE FROM wallets RETURNING 1) SELECT count(*) FROM gone"
    result = target.run(spec(DROP_STATUS, checks=[check(query, "100")]))
    assert result.outcome is Outcome.ROLLED_BACK
    assert target.value("SELECT count(*) FROM wallets") == 100


def test_a_temporary_table_does_not_shadow_the_one_that_is_checked(target: Target) -> None:
    """The script hides that it deleted nothing; the check still sees the real table."""
    before = target.fingerprint()
    shadow = ("CREATE TEMP TABLE wallets (id int)", "CREATE TABLE")
    path = ("SELECT set_config('search_path', 'pg_temp, public', true)", "SELECT")
    result = target.run(spec(shadow, path, checks=[check("SELECT count(*) FROM wallets", "0")]))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "“100”" in result.sentence
    assert target.fingerprint() == before


def test_row_security_fails_a_check_instead_of_hiding_rows(target: Target) -> None:
    target.do(
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE users FORCE ROW LEVEL SECURITY",
        "CREATE POLICY few ON users USING (id <= 10)",
    )
    result = target.run(spec(("SELECT 1", "SELECT"), checks=[check("SELECT count(*) FROM users", "10")]))
    assert result.outcome is Outcome.ROLLED_BACK
    assert "row-level security" in result.sentence


def test_all_checks_after_commit_are_evaluated_and_all_failures_named(target: Target) -> None:
    after = [
        check("SELECT 1", "2", stage="after commit", name="first"),
        check("SELECT 1", "1", stage="after commit", name="second"),
        check("SELECT 1/0", "1", stage="after commit", name="third"),
    ]
    result = target.run(spec(DROP_STATUS, checks=after))
    assert result.outcome is Outcome.COMMITTED_CHECK_FAILED
    assert [each.passed for each in result.checks] == [False, True, False]
    assert "“first”" in result.sentence
    assert "“third”" in result.sentence
