"""The risk is the highest of what is undone and what undoing it does, with the live facts in sight."""

from __future__ import annotations

import pytest

from approvals.analysis import Facts, Plan, Rating, Risk, analyze, automatic_checks, plan_script, rate


def rating(script: str, forward: str = "", **facts: object) -> Rating:
    known = Facts(
        rows=facts.get("rows", {}),  # type: ignore[arg-type]
        values=facts.get("values", {}),  # type: ignore[arg-type]
        exact=frozenset(facts.get("exact", ())),  # type: ignore[call-overload]
    )
    return rate([analyze(forward, name="V1")] if forward else [], plan_script(script), known)


@pytest.mark.parametrize(
    ("script", "risk"),
    [
        ("DROP INDEX i", Risk.MINIMAL),
        ("COMMENT ON TABLE t IS NULL", Risk.MINIMAL),
        ("DROP VIEW v CASCADE", Risk.LOW),
        ("ALTER TABLE t DROP CONSTRAINT k", Risk.LOW),
        ("INSERT INTO t VALUES (1)", Risk.LOW),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p NOT VALID", Risk.MEDIUM),
        ("DELETE FROM t WHERE code = 'x'", Risk.MEDIUM),
        ("ALTER TABLE a RENAME TO b", Risk.MEDIUM),
        ("SELECT app.cleanup()", Risk.MEDIUM),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p", Risk.HIGH),
        ("ALTER TABLE t ALTER a SET NOT NULL", Risk.HIGH),
        ("ALTER TABLE t ADD CHECK (a > 0)", Risk.HIGH),
        ("ALTER TABLE t ADD UNIQUE (a)", Risk.HIGH),
        ("CREATE UNIQUE INDEX ON t (a)", Risk.HIGH),
        ("DELETE FROM t WHERE at > '2025-01-01'", Risk.HIGH),
        ("UPDATE t SET a = 1", Risk.HIGH),
        ("DO $$ BEGIN EXECUTE x; END $$", Risk.HIGH),
        ("DROP TABLE t", Risk.CRITICAL),
        ("ALTER TABLE t DROP COLUMN a", Risk.CRITICAL),
        ("DROP SCHEMA s CASCADE", Risk.CRITICAL),
        ("DROP TYPE m CASCADE", Risk.CRITICAL),
        ("TRUNCATE t", Risk.CRITICAL),
        ("DELETE FROM t", Risk.CRITICAL),
        ("SET session_replication_role = replica; DROP VIEW v", Risk.CRITICAL),
        ("DO $$ BEGIN DROP TABLE t; END $$", Risk.CRITICAL),
        ("EXPLAIN SELECT 1", Risk.CRITICAL),
    ],
)
def test_a_script_is_as_risky_as_its_worst_statement(script: str, risk: Risk) -> None:
    assert rating(script).risk == risk
    assert rating(f"DROP INDEX other; {script}; DROP INDEX another").risk == risk


@pytest.mark.parametrize(
    ("forward", "risk"),
    [
        ("CREATE INDEX i ON t (a)", Risk.LOW),
        ("CREATE TABLE t (a int)", Risk.HIGH),
        ("DELETE FROM t WHERE a = 1", Risk.CRITICAL),
        ("CREATE INDEX i ON t (a); UPDATE t SET a = 1", Risk.HIGH),
        ("SELECT FROM WHERE", Risk.CRITICAL),
    ],
)
def test_what_is_undone_is_rated_by_the_matrix(forward: str, risk: Risk) -> None:
    assert rating("DROP VIEW v", forward).risk == risk


def test_reasons_come_highest_first_and_each_once() -> None:
    found = rating("DROP TABLE t; DROP INDEX i", "CREATE TABLE t (a int); CREATE TABLE u (a int)").reasons

    assert [reason.risk for reason in found] == sorted((reason.risk for reason in found), reverse=True)
    assert found[0].subject == "t"
    assert "Undoes 2 × CREATE TABLE. The matrix says: Forward fix; data loss: YES (if populated)." in [
        reason.text for reason in found
    ]
    assert len(found) == len(set(found))


class TestLiveFacts:
    def test_a_counted_empty_table_is_high(self) -> None:
        assert rating("DROP TABLE t", rows={"t": 0}, exact=["t"]).risk == Risk.HIGH

    def test_an_estimate_of_nothing_is_not_enough(self) -> None:
        assert rating("DROP TABLE t", rows={"t": 0}).risk == Risk.CRITICAL

    def test_a_number_of_rows_is_said(self) -> None:
        (reason,) = rating("DROP TABLE t", rows={"t": 12000}, exact=["t"]).reasons
        assert reason.text == "It goes with 12,000 rows."
        (reason,) = rating("DROP TABLE t", rows={"t": 12000}).reasons
        assert reason.text == "It goes with about 12,000 rows."

    def test_a_column_without_values_is_high(self) -> None:
        script = 'ALTER TABLE t DROP COLUMN "A"'

        assert rating(script, values={'t."A"': 0}, exact=['t."A"']).risk == Risk.HIGH
        assert rating(script, rows={"t": 0}, exact=["t"]).risk == Risk.HIGH
        assert rating(script, rows={"t": 5}, values={'t."A"': 1}, exact=['t."A"']).risk == Risk.CRITICAL

    def test_one_populated_table_among_empty_ones_is_critical(self) -> None:
        assert rating("DROP TABLE a, b", rows={"a": 0, "b": 1}, exact=["a", "b"]).risk == Risk.CRITICAL

    def test_another_schema_is_another_table(self) -> None:
        assert rating("DROP TABLE app.t", rows={"t": 0}, exact=["t"]).risk == Risk.CRITICAL

    def test_an_empty_table_does_not_hide_what_else_a_statement_does(self) -> None:
        script = "ALTER TABLE t DROP COLUMN a, ADD CHECK (b > 0)"

        subjects = [reason.text for reason in rating(script, rows={"t": 0}, exact=["t"]).reasons]
        assert any("ADD CHECK" in text for text in subjects)

    def test_every_empty_thing_is_counted_again(self) -> None:
        plan = plan_script("DROP TABLE a; ALTER TABLE b DROP COLUMN c; DROP TABLE d")
        facts = Facts(rows={"a": 0, "d": 3}, values={"b.c": 0}, exact=frozenset({"a", "b.c", "d"}))

        column = "SELECT FROM b WHERE c IS NOT NULL"
        assert [(check.name, check.sql) for check in automatic_checks(plan, facts)] == [
            ("a is still empty", "SELECT count(*) FROM (SELECT FROM a LIMIT 1) AS found"),
            ("b.c is still empty", f"SELECT count(*) FROM ({column} LIMIT 1) AS found"),
        ]


class TestWhatTheScriptMadeItself:
    """An object that the script has made holds nobody's data, as long as its name means that object."""

    @pytest.mark.parametrize(
        "script",
        [
            "CREATE TABLE tmp AS SELECT * FROM t; DROP TABLE tmp",
            "CREATE TABLE tmp (a int, b int); ALTER TABLE tmp DROP COLUMN a",
            "CREATE TEMP TABLE tmp (a int); TRUNCATE tmp; DROP TABLE tmp",
            "CREATE TABLE tmp AS SELECT * FROM t; ALTER TABLE tmp ADD CHECK (a > 0)",
        ],
    )
    def test_is_no_loss(self, script: str) -> None:
        assert rating(script).risk == Risk.LOW
        assert plan_script(script).destroys == ()

    @pytest.mark.parametrize(
        "script",
        [
            "CREATE TABLE IF NOT EXISTS t (a int); DROP TABLE t",
            "DROP TABLE t; CREATE TABLE t (a int)",
            "CREATE TABLE t (a int); DROP TABLE t; DROP TABLE t",
            "CREATE TABLE t (a int); DROP TABLE t; ALTER TABLE users RENAME TO t; DROP TABLE t",
            "CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; ALTER TABLE v RENAME TO t; DROP TABLE t",
            "CREATE TABLE t (a int); SET search_path = other; DROP TABLE t",
            "CREATE TABLE t (a int); DO $$ BEGIN EXECUTE x; END $$; DROP TABLE t",
            "CREATE TABLE t (a int); DROP TABLE app.t",
            "CREATE TABLE u (a int); DROP TABLE u, t",
        ],
    )
    def test_does_not_hide_what_others_made(self, script: str) -> None:
        assert rating(script).risk == Risk.CRITICAL


@pytest.mark.parametrize(
    "call",
    [
        "SELECT wipe()",
        "SELECT wipe() FROM t",
        "INSERT INTO t SELECT wipe()",
        "DO $$ BEGIN PERFORM wipe(); END $$",
        "DO $$ DECLARE x int; BEGIN x := wipe(); END $$",
    ],
)
def test_code_that_the_script_makes_and_calls_is_critical(call: str) -> None:
    made = "CREATE FUNCTION app.wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM users; SELECT 1'"

    assert rating(f"{made}; {call}").risk == Risk.CRITICAL
    assert rating(f"{made}").risk == Risk.LOW


def test_a_refused_script_is_critical() -> None:
    reasons = rate([], plan_script("DROP VIEW v; COMMIT;"), Facts()).reasons

    assert reasons[0].risk == Risk.CRITICAL
    assert reasons[0].text.startswith("It is refused: COMMIT without BEGIN.")


def test_nothing_at_all_is_minimal() -> None:
    assert rate([], Plan(), Facts()) == Rating(Risk.MINIMAL, ())
