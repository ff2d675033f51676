"""What runs before, in and after the one transaction, and what no plan may ask for."""

from __future__ import annotations

import pytest

from approvals.analysis import plan_script
from approvals.analysis.alone import (
    Detached,
    IndexDropped,
    IndexMade,
    Reload,
    Renewed,
    Rewritten,
    Setting,
    ValueAdded,
    read_alone,
    why_not_alone,
)
from approvals.analysis.parts import Parts, Planned, parts


def cut(sql: str) -> Parts:
    """The parts of a script's plan; positions from 0."""
    return parts(
        [
            Planned(step.kind, step.statement.change, step.statement.sql, step.statement.kind)
            for step in plan_script(sql).steps
        ]
    )


def test_a_plan_without_such_steps_is_one_transaction() -> None:
    assert cut("DROP VIEW v; DROP TABLE t;") == Parts(block=(0, 1))


def test_steps_keep_the_scripts_order_around_the_transaction() -> None:
    found = cut("VACUUM t; BEGIN; DROP VIEW v; DROP TABLE u; COMMIT; DROP INDEX CONCURRENTLY i;")
    assert found == Parts(before=(0,), block=(1, 2), after=(3,))


def test_a_plan_of_nothing_else_has_its_transaction_last() -> None:
    assert cut("ALTER SYSTEM SET work_mem = '4MB'; SELECT pg_reload_conf();") == Parts(before=(0, 1))


def test_a_value_that_stands_before_the_transaction_is_there_when_that_uses_it() -> None:
    found = cut("ALTER TYPE mood ADD VALUE 'sad'; BEGIN; DROP VIEW v; COMMIT;")
    assert found == Parts(before=(0,), block=(1,))


def test_a_query_that_would_stand_alone_outside_is_refused() -> None:
    problems = cut("SELECT 1; VACUUM t; DROP VIEW v;").problems
    assert problems == (
        "Step 1 (SELECT) stands alone outside the transaction. Leave it out, or put it inside.",
    )


def test_two_transactions_are_refused() -> None:
    assert "makes two transactions" in cut("DROP VIEW v; VACUUM t; DROP VIEW w;").problems[0]


@pytest.mark.parametrize(
    ("sql", "about"),
    [
        ("ALTER SYSTEM SET max_connections = 200", Setting("max_connections", "200")),
        ("ALTER SYSTEM SET enable_seqscan = off", Setting("enable_seqscan", "off")),
        ('ALTER SYSTEM SET search_path = a, "B c"', Setting("search_path", 'a, "B c"')),
        ("ALTER SYSTEM RESET Work_Mem", Setting("work_mem", None)),
        ("SELECT pg_catalog.pg_reload_conf()", Reload()),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a)", IndexMade("i", "s.t")),
        ("DROP INDEX CONCURRENTLY IF EXISTS s.i", IndexDropped("s.i")),
        ("ALTER TYPE s.mood ADD VALUE IF NOT EXISTS 'sad'", ValueAdded("s.mood", "sad")),
        ("REINDEX INDEX CONCURRENTLY i", Renewed("i")),
        ("VACUUM (ANALYZE) t", Renewed("t", vacuum=True)),
        ("VACUUM (FULL, ANALYZE) s.t", Rewritten("s.t", analyze=True)),
        ("ALTER TABLE s.t DETACH PARTITION p CONCURRENTLY", Detached("s.t", "p")),
    ],
)
def test_what_a_statement_is_about(sql: str, about: object) -> None:
    assert read_alone(sql) == about


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER SYSTEM RESET ALL",
        "CREATE INDEX CONCURRENTLY ON t (a)",
        "CREATE INDEX i ON t (a)",
        "VACUUM",
        "VACUUM FULL",
        "VACUUM FULL t, u",
        "REINDEX DATABASE CONCURRENTLY d",
        "ALTER TABLE t DETACH PARTITION p",
        "SELECT pg_reload_conf(), pg_switch_wal()",
        "VACUUM t; VACUUM u",
        "SELECT (",
    ],
)
def test_what_does_not_run_alone_says_why(sql: str) -> None:
    assert why_not_alone(sql).endswith(".")
