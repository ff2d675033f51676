"""Each statement is read as its kind, with risk, hazard, locks and a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from approvals.analysis import HAZARDS, MATRIX, LockMode, Risk, analyze

SHORT = {
    "AX": LockMode.ACCESS_EXCLUSIVE,
    "SRX": LockMode.SHARE_ROW_EXCLUSIVE,
    "SUX": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "SH": LockMode.SHARE,
    "RX": LockMode.ROW_EXCLUSIVE,
    "RS": LockMode.ROW_SHARE,
    "AS": LockMode.ACCESS_SHARE,
}


class Case(NamedTuple):
    """One block of cases/statements.txt."""

    sql: str
    kind: str
    change: str
    risk: str
    hazard: str
    locks: str = ""
    outside: str = ""
    says: str = ""


def cases() -> list[Case]:
    text = (Path(__file__).parent / "cases" / "statements.txt").read_text()
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            fields = [field.strip() for field in lines[1].split("|")]
            found.append(
                Case(lines[0], *fields, *[""] * (6 - len(fields)), *(line.strip() for line in lines[2:]))
            )
    return found


CASES = cases()
every_case = pytest.mark.parametrize("case", CASES, ids=[case.sql for case in CASES])


@every_case
def test_a_statement_is_read_as_its_kind(case: Case) -> None:
    (read,) = analyze(case.sql).statements

    assert (read.kind, read.change, read.risk.name) == (case.kind, case.change, case.risk)
    assert read.hazard_id == case.hazard
    assert read.transactional == (case.outside != "outside")
    if case.locks:
        written = [lock.rpartition(" ") for lock in case.locks.split(", ")]
        expected = {name: SHORT[mode] for name, _, mode in written if name}
        assert {lock.relation: lock.mode for lock in read.locks} == expected
    if case.says:
        assert read.says == case.says
    assert read.says.endswith(".")
    assert read.sql == case.sql


@every_case
def test_what_is_read_agrees_with_matrix_and_hazards(case: Case) -> None:
    (read,) = analyze(case.sql).statements

    row = next(row for row in MATRIX if row.change == read.change)
    assert (read.risk, read.data_loss, read.action) == (row.risk, row.data_loss, row.action)
    worst = max((each for each in HAZARDS if each.id in read.hazards), key=lambda each: each.risk)
    assert (read.hazard, worst.risk) == (worst.risk, read.hazard)
    assert read.hazard_id in read.hazards


def test_names_are_quoted_as_postgresql_would() -> None:
    (read,) = analyze('DROP TABLE "Order Lines", "select", plain, "a""b", position').statements

    assert [gone.relation for gone in read.destroys] == [
        '"Order Lines"',
        '"select"',
        "plain",
        '"a""b"',
        '"position"',
    ]


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("numeric(12,2)", "numeric(12,2)"),
        ("timestamp(3) with time zone", "timestamp(3) with time zone"),
        ("bigint[]", "bigint[]"),
        ("int8", "int8"),
        ("character varying(5)", "varchar(5)"),
        ("char", "character"),
        ("app.mood", "app.mood"),
        ("interval day to second", "interval"),
        ("double precision", "double precision"),
    ],
)
def test_types_are_shown_as_people_write_them(sql: str, shown: str) -> None:
    (read,) = analyze(f"ALTER TABLE t ADD c {sql}").statements

    assert read.says == f"Adds column c ({shown}) to t."


class TestWhatTheRestOfAFileTells:
    """A statement alone does not say which table a dropped key points to; others in the file may."""

    def locks(self, sql: str) -> dict[str, LockMode]:
        return {lock.relation: lock.mode for lock in analyze(sql).statements[-1].locks}

    def test_a_dropped_foreign_key_locks_the_table_it_points_to(self) -> None:
        assert self.locks(
            "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES p; ALTER TABLE a DROP CONSTRAINT k"
        ) == {"a": LockMode.ACCESS_EXCLUSIVE, "p": LockMode.ACCESS_EXCLUSIVE}

    def test_also_when_only_a_later_statement_gives_it_back(self) -> None:
        given_back = "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES p"
        read = analyze(f"ALTER TABLE a DROP CONSTRAINT k; {given_back}")

        assert [lock.relation for lock in read.statements[0].locks] == ["a", "p"]

    def test_a_key_without_a_name_has_the_name_that_postgresql_gives(self) -> None:
        assert "p" in self.locks(
            "CREATE TABLE a (b int REFERENCES p); ALTER TABLE a DROP CONSTRAINT a_b_fkey"
        )

    def test_a_dropped_column_takes_its_key_along(self) -> None:
        assert "p" in self.locks("ALTER TABLE a ADD b int REFERENCES p; ALTER TABLE a DROP COLUMN b")

    def test_a_dropped_table_takes_its_keys_along(self) -> None:
        locks = self.locks("CREATE TABLE a (b int REFERENCES p, FOREIGN KEY (b) REFERENCES q); DROP TABLE a")

        assert set(locks) == {"a", "p", "q"}

    def test_a_dropped_index_locks_its_table(self) -> None:
        assert self.locks("CREATE INDEX i ON s.t (a); DROP INDEX s.i") == {
            "s.t": LockMode.ACCESS_EXCLUSIVE,
            "s.i": LockMode.ACCESS_EXCLUSIVE,
        }


class TestTextsThatDoNotParse:
    def test_the_error_has_line_and_column_and_the_rest_is_read(self) -> None:
        analysis = analyze("CREATE TABLE a (x int);\n-- ü\nCREATE TABEL b ();\nDROP TABLE c;", name="V1.sql")

        (error,) = analysis.errors
        assert (error.line, error.column) == (3, 8)
        assert error.message == 'Syntax error at or near "TABEL".'
        assert [each.kind for each in analysis.statements] == ["CREATE TABLE", "DROP TABLE"]
        assert (analysis.name, analysis.risk) == ("V1.sql", Risk.CRITICAL)

    def test_mysql_is_recognised_only_as_a_hint(self) -> None:
        assert analyze("CREATE TABLE `a` (id int AUTO_INCREMENT) ENGINE=InnoDB;").dialect == "mysql"
        assert analyze("SELECT 'engine=x', '`'").dialect == ""

    def test_a_nul_is_refused_where_it_stands(self) -> None:
        (error,) = analyze("SELECT 1;\n SEL\0ECT 2").errors

        assert (error.line, error.column, error.code) == (2, 5, "nul")

    def test_a_byte_order_mark_is_stripped_and_said(self) -> None:
        analysis = analyze("\ufeffSELECT 1")

        assert [each.column for each in analysis.statements] == [1]
        assert analysis.notes == ("A byte-order mark was stripped from the start of the text.",)

    @pytest.mark.parametrize("sql", ["", "  \n", "-- nothing\n", "/* nothing */ ;;"])
    def test_nothing_is_said_to_be_nothing(self, sql: str) -> None:
        analysis = analyze(sql)

        assert (analysis.statements, analysis.errors, analysis.risk) == ((), (), None)
        assert analysis.notes == ("No statement in it.",)

    def test_a_cast_in_the_wrong_place_is_no_variable_of_psql(self) -> None:
        (error,) = analyze("CREATE INDEX i ON t (a::date)").errors

        assert error.message == 'Syntax error at or near "::".'

    def test_a_placeholder_is_called_one(self) -> None:
        (error,) = analyze("CREATE TABLE ${schema}.t (a int);").errors

        assert error.message == "${schema} is a Flyway placeholder without a value."
