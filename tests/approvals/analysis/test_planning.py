"""A script becomes a plan: steps, what the executor takes over, and what is refused with line and column."""

from __future__ import annotations

import pytest

from approvals.analysis import LockMode, Plan, StepKind, plan_check, plan_script, split_script
from tests.approvals.analysis.cases.scripts import CHECKS_ALLOWED, CHECKS_REFUSED, REFUSED


def kinds(plan: Plan) -> list[tuple[str, str]]:
    return [(str(step.kind), step.statement.kind) for step in plan.steps]


@pytest.mark.parametrize(("sql", "code", "line", "column"), REFUSED)
def test_what_a_script_may_not_do_is_refused_at_its_place(
    sql: str, code: str, line: int, column: int
) -> None:
    plan = plan_script(sql)

    assert (code, line, column) in [(each.code, each.line, each.column) for each in plan.problems]
    assert not plan.executable_here
    assert f"line {plan.problems[0].line}" in plan.not_here


def test_the_outer_transaction_and_the_history_row_are_taken_over() -> None:
    plan = plan_script(
        "BEGIN;\nDROP VIEW v;\nDELETE FROM app.flyway_schema_history WHERE version = '7';\nCOMMIT;"
    )

    assert plan.problems == ()
    assert kinds(plan) == [("transactional", "DROP VIEW")]
    assert [(each.kind, each.line, each.sql) for each in plan.taken_over] == [
        ("transaction", 1, "BEGIN"),
        ("history", 3, "DELETE FROM app.flyway_schema_history WHERE version = '7'"),
        ("transaction", 4, "COMMIT"),
    ]
    assert plan.versions == ("7",)
    assert plan.executable_here


@pytest.mark.parametrize(
    ("begin", "commit"),
    [("BEGIN", "COMMIT"), ("START TRANSACTION", "END"), ("BEGIN WORK", "COMMIT TRANSACTION")],
)
def test_a_transaction_may_be_written_in_any_way(begin: str, commit: str) -> None:
    plan = plan_script(f"{begin}; DROP VIEW v; {commit};")

    assert (plan.problems, len(plan.taken_over)) == ((), 2)


def test_a_script_needs_no_transaction_of_its_own() -> None:
    assert kinds(plan_script("DROP VIEW v; DROP VIEW w")) == [("transactional", "DROP VIEW")] * 2


def test_settings_and_queries_may_stand_around_the_transaction() -> None:
    plan = plan_script("SET lock_timeout = '1s'; BEGIN; DROP VIEW v; COMMIT; SELECT count(*) FROM t;")

    assert plan.problems == ()
    assert plan.steps[0].statement.notes == ("the executor sets it again before the checks",)


def test_another_history_table_is_known_by_its_name() -> None:
    script = "DROP VIEW v; DELETE FROM app.migrations WHERE version IN ('1', '2')"

    assert plan_script(script, history_table="app.migrations").versions == ("1", "2")
    assert plan_script(script).versions == ()


def test_a_rollback_at_the_end_is_refused_with_advice() -> None:
    (problem,) = plan_script("BEGIN; DROP VIEW v; ROLLBACK;").problems

    assert "template leaves for testing" in problem.message
    assert "Write COMMIT" in problem.message


def test_switches_of_the_replica_role_are_removed_and_shown() -> None:
    plan = plan_script(
        "SET session_replication_role = 'replica'; DROP VIEW v; SET LOCAL session_replication_role TO origin;"
    )

    assert plan.replica_role
    assert kinds(plan) == [("transactional", "DROP VIEW")]
    assert [each.kind for each in plan.taken_over] == ["replica role"] * 2


def test_switching_it_back_alone_asks_for_nothing() -> None:
    assert not plan_script("SET session_replication_role = origin; DROP VIEW v;").replica_role


def test_statements_that_refuse_a_transaction_become_steps_of_their_own() -> None:
    plan = plan_script("DROP INDEX CONCURRENTLY i; VACUUM t; BEGIN; DROP VIEW v; COMMIT;")

    assert kinds(plan) == [
        ("autocommit", "DROP INDEX CONCURRENTLY"),
        ("autocommit", "VACUUM"),
        ("transactional", "DROP VIEW"),
    ]
    assert plan.problems == ()
    assert plan.executable_here


@pytest.mark.parametrize(
    ("script", "places", "proposed"),
    [
        (
            "BEGIN;\n  ALTER SYSTEM SET jit = off;\n  SELECT pg_reload_conf();\nDROP VIEW v;\nCOMMIT;\n",
            [(2, 3)],
            "ALTER SYSTEM SET jit = off;\nSELECT pg_reload_conf();\nBEGIN;\nDROP VIEW v;\nCOMMIT;\n",
        ),
        (
            "BEGIN; DROP INDEX CONCURRENTLY i; DROP VIEW v; /* ö */ VACUUM t; COMMIT;",
            [(1, 8), (1, 56)],
            "DROP INDEX CONCURRENTLY i;\nBEGIN;  DROP VIEW v; /* ö */  COMMIT;\n\nVACUUM t;\n",
        ),
        ("BEGIN; VACUUM t; DROP VIEW v; COMMIT; DROP VIEW u;", [(1, 8), (1, 39)], ""),
        ("BEGIN; DROP VIEW v; COMMIT;", [], ""),
    ],
)
def test_within_begin_and_commit_they_are_refused_at_their_place_and_a_split_is_proposed(
    script: str, places: list[tuple[int, int]], proposed: str
) -> None:
    plan = plan_script(script)

    assert [(problem.line, problem.column) for problem in plan.problems] == places
    assert split_script(script) == proposed
    if proposed:
        assert {problem.code for problem in plan.problems} == {"refuses-transaction"}
        assert sorted(kinds(plan_script(proposed))) == sorted(kinds(plan))


def test_what_reaches_beyond_the_database_is_done_by_a_person() -> None:
    assert kinds(plan_script("DROP DATABASE d")) == [("manual", "DROP DATABASE")]


def test_a_reload_goes_with_the_setting_before_it() -> None:
    plan = plan_script("ALTER SYSTEM SET work_mem = '4MB'; SELECT pg_reload_conf(); DROP VIEW v;")

    assert [step.kind for step in plan.steps] == [
        StepKind.AUTOCOMMIT,
        StepKind.AUTOCOMMIT,
        StepKind.TRANSACTIONAL,
    ]
    assert kinds(plan_script("SELECT pg_reload_conf()")) == [("transactional", "SELECT pg_reload_conf")]


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        ("SELECT setval('s', 1)", "not undone by ROLLBACK"),
        ("SELECT pg_reload_conf()", "not undone by ROLLBACK"),
        ("SELECT pg_switch_wal()", "not undone by ROLLBACK"),
        ("CHECKPOINT", "not undone by ROLLBACK"),
        ("NOTIFY news", "cannot be taken back after COMMIT"),
        ("INSERT INTO t VALUES (nextval('s'))", "not undone by ROLLBACK"),
        ("DO $$ BEGIN PERFORM setval('s', 1); END $$", "not undone by ROLLBACK"),
        ("DO $$ BEGIN EXECUTE x; END $$", "dynamic SQL: what runs is put together while it runs"),
        ("DROP VIEW v CASCADE", "CASCADE: whatever depends on it goes too"),
    ],
)
def test_what_a_reviewer_should_know_is_noted(sql: str, note: str) -> None:
    plan = plan_script(sql)

    assert plan.problems == ()
    assert note in plan.steps[0].statement.notes


def test_locking_tables_oneself_is_allowed() -> None:
    assert plan_script("LOCK TABLE a IN SHARE MODE").relations == {"a": LockMode.SHARE}


def test_standard_conforming_strings_may_be_on() -> None:
    assert plan_script("SET standard_conforming_strings = on; DROP VIEW v").problems == ()


def test_the_relations_of_a_plan_have_their_strongest_lock() -> None:
    plan = plan_script(
        "INSERT INTO b SELECT * FROM a; ALTER TABLE a DROP COLUMN x; CREATE TABLE c AS SELECT * FROM b;"
        "CREATE INDEX ON c (x); ALTER SYSTEM SET work_mem = '4MB';"
    )

    assert plan.relations == {"a": LockMode.ACCESS_EXCLUSIVE, "b": LockMode.ROW_EXCLUSIVE}
    assert list(plan.relations) == sorted(plan.relations)


def test_positions_and_lines_are_those_of_the_script() -> None:
    plan = plan_script("BEGIN;\n  -- ü\n  DROP VIEW v;\n\n  DROP\n  VIEW w;\nCOMMIT;")

    assert [(step.position, step.statement.position) for step in plan.steps] == [(1, 2), (2, 3)]
    assert [(s.line, s.column, s.end_line, s.sql) for s in plan.statements] == [
        (3, 3, 3, "DROP VIEW v"),
        (5, 3, 6, "DROP\n  VIEW w"),
    ]


def test_a_byte_order_mark_is_stripped_and_said() -> None:
    plan = plan_script("\ufeffDROP VIEW v")

    assert plan.problems == ()
    assert plan.notes == ("A byte-order mark was stripped from the start of the text.",)


@pytest.mark.parametrize(("sql", "code"), CHECKS_REFUSED)
def test_a_check_that_is_more_than_one_reading_select_is_refused(sql: str, code: str) -> None:
    assert code in [problem.code for problem in plan_check(sql)]


@pytest.mark.parametrize("sql", CHECKS_ALLOWED)
def test_a_check_is_a_select_of_one_column(sql: str) -> None:
    assert plan_check(sql) == ()
