"""Conformance of the SQL parser: the facts that the analysis relies on, and its guards."""

from __future__ import annotations

import pytest

from approvals.analysis import parser
from approvals.analysis.parser import Piece, Source, SqlError, parse, parse_body, pb, salvage, walk


def slices(sql: str) -> list[str]:
    source = Source(sql)
    return [source.slice(piece.start, piece.end) for piece in parse(source)]


def error(sql: str) -> tuple[int, int, str]:
    source = Source(sql)
    with pytest.raises(SqlError) as caught:
        parse(source)
    problem = source.problem(caught.value)
    return problem.line, problem.column, problem.code


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        (" ;; SELECT 1 ;;\n;SELECT 2", ["SELECT 1 ", "SELECT 2"]),
        ("-- ü\nSELECT 'ä€😀';\n/* ü /* nested */ */ SELECT 2", ["SELECT 'ä€😀'", "SELECT 2"]),
        ("SELECT 1 -- the end", ["SELECT 1"]),
        ("SELECT 1 /* the end */\n", ["SELECT 1"]),
        ("WITH a AS (SELECT 1) TABLE a;", ["WITH a AS (SELECT 1) TABLE a"]),
        ("SELECT ';', $$;$$, $x$ $$; $x$; SELECT 2", ["SELECT ';', $$;$$, $x$ $$; $x$", "SELECT 2"]),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"],
        ),
        ("", []),
        ("-- nothing", []),
    ],
)  # fmt: skip
def test_statements_are_cut_where_postgresql_cuts_them(sql: str, expected: list[str]) -> None:
    assert slices(sql) == expected


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT FROM FROM", (1, 13, "syntax")),
        ("SELECT 'ü' FORM t", (1, 17, "syntax")),
        ("SELECT 1;\n\tSELECT '€€€' 😀 FROM", (2, 21, "syntax")),
        ("SELECT 'open", (1, 8, "syntax")),
        ("SELECT 1; /* open", (1, 11, "syntax")),
        ("SELECT (1", (1, 10, "syntax")),
        ("\ufeffSELECT\n FROM FROM", (2, 7, "syntax")),
        ("SELECT 1\n;SELECT\0 2", (2, 8, "nul")),
        ("ü\n  \ud800", (2, 3, "encoding")),
    ],
)
def test_errors_have_line_and_column_in_characters(sql: str, place: tuple[int, int, str]) -> None:
    assert error(sql) == place


def test_columns_count_characters_and_lines_end_at_line_feeds() -> None:
    source = Source("ab\r\nü€ x\n")

    assert [source.place(at) for at in (0, 3, 4, 9, 12)] == [(1, 1), (1, 4), (2, 1), (2, 3), (3, 1)]
    assert source.place(10_000) == (3, 1)


def test_only_the_first_mark_is_a_mark() -> None:
    assert slices("\ufeffSELECT 1") == ["SELECT 1"]
    assert Source("\ufeffSELECT 1").had_mark
    assert error("SELECT 1;\ufeffSELECT 2")[2] == "syntax"


class TestWhatWouldOverflowTheStack:
    """libpg_query ends the process when an expression nests too deep; such texts never reach it."""

    def test_long_chains_that_people_write_are_read(self) -> None:
        assert len(slices("SELECT '' " + "|| 'x' " * 2_000)) == 1

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT 1" + " + 1" * 200_000,
            "SELECT 1" + "+1" * 50_000,
            "SELECT 1" + "::int" * 50_000,
            "SELECT 1" + " UNION SELECT 1" * 50_000,
            "SELECT 1 FROM a" + " JOIN a USING (x)" * 50_000,
            "SELECT " + "(" * 9 + "1" + (" + 1" * 3_000 + ")") * 9,
            "SELECT x" + " ISNULL" * 100_000,
        ],
        ids=lambda sql: sql[:24],
    )
    def test_longer_ones_are_refused(self, sql: str) -> None:
        assert error(sql) == (1, 1, "depth")

    @pytest.mark.parametrize("opening", ["(", "NOT ", "- ", "f(", "(SELECT ", "ARRAY[", "CASE WHEN "])
    def test_deep_nesting_is_refused_by_the_grammar_or_here(self, opening: str) -> None:
        assert error("SELECT " + opening * 30_000 + "1")[2] in ("depth", "syntax")

    def test_many_rows_are_no_depth(self) -> None:
        assert len(slices("INSERT INTO t VALUES " + ", ".join(["(1, 'x', now())"] * 20_000))) == 1

    def test_a_long_text_of_short_statements_is_no_depth(self) -> None:
        assert len(slices("SELECT 1 + 1;\n" * 5_000)) == 5_000


def test_what_can_be_read_of_a_broken_text_is_read() -> None:
    source = Source("SELECT 'ü';\nSELECT 'ü' FORM t;\nSELECT 2;\nSELECT , 3;\nSELECT 4")
    pieces, errors = salvage(source)

    read = [source.slice(piece.start, piece.end) for piece in pieces]
    assert read == [
        "SELECT 'ü'",
        "SELECT 2",
        "SELECT 4",
    ]
    assert [source.place(each.offset) for each in errors] == [(2, 17), (4, 8)]


def test_no_more_errors_than_anybody_reads() -> None:
    assert len(salvage(Source("SELECT FROM FROM;\n" * 100))[1]) == parser.MAX_ERRORS


@pytest.mark.parametrize("chain", ["||a", " AND a", " UNION SELECT 1", "::int", "[1]"])
def test_salvaging_does_not_read_what_would_end_the_process(chain: str) -> None:
    pieces, (error,) = salvage(Source("SELECT 1;\nSELECT a" + chain * 60_000 + ";\nSELECT 2;"))
    assert (len(pieces), error.code) == (2, "depth")


def test_a_body_of_plpgsql_is_read() -> None:
    tree = parse_body("DO $$ BEGIN COMMIT; EXECUTE 'x'; DELETE FROM t; END $$")

    text = str(tree)
    assert "PLpgSQL_stmt_commit" in text
    assert "PLpgSQL_stmt_dynexecute" in text
    assert "{'query': 'DELETE FROM t', 'parseMode': 0}" in text


def test_a_broken_body_is_an_error() -> None:
    with pytest.raises(SqlError, match=r'PL/pgSQL: syntax error at or near "nonsense"\.'):
        parse_body("DO $$\nBEGIN\nnonsense;\nEND $$")


def test_a_body_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SqlError):
        parse_body("DO $$ BEGIN " + "IF true THEN " * 3_000 + "NULL;" + " END IF;" * 3_000 + " END $$")


def test_the_grammar_itself_tells_which_words_need_quotes() -> None:
    words = parser.keywords()

    assert {"select", "user", "order", "table", "values", "position"} <= words
    assert not {"name", "type", "action", "abort", "users"} & words


def test_walking_meets_every_node_parents_first() -> None:
    (piece,) = parse(Source("SELECT a FROM t WHERE b = (SELECT c FROM u)"))
    tables = [node.relname for node in walk(piece.node) if isinstance(node, pb.RangeVar)]

    assert tables == ["t", "u"]
    assert next(walk(piece.node)) is piece.node


class TestFieldsOfTheTree:
    """Fields whose loss would change a rating silently: a new grammar has to break here."""

    def one(self, sql: str) -> Piece:
        (piece,) = parse(Source(sql))
        return piece

    def test_drop(self) -> None:
        node = self.one("DROP INDEX CONCURRENTLY IF EXISTS a.b CASCADE").node
        assert (node.concurrent, node.missing_ok) == (True, True)
        assert (node.remove_type, node.behavior) == (pb.OBJECT_INDEX, pb.DROP_CASCADE)

    def test_alter_table(self) -> None:
        piece = self.one("ALTER TABLE a.t ADD CONSTRAINT k FOREIGN KEY (x) REFERENCES p NOT VALID")
        command = piece.node.cmds[0].alter_table_cmd
        key = getattr(command, "def").constraint
        assert (piece.which, command.subtype) == ("alter_table_stmt", pb.AT_AddConstraint)
        assert (key.contype, key.skip_validation, key.pktable.relname) == (pb.CONSTR_FOREIGN, True, "p")

    def test_transaction(self) -> None:
        node = self.one("COMMIT AND CHAIN").node
        assert (node.kind, node.chain) == (pb.TRANS_STMT_COMMIT, True)

    def test_delete(self) -> None:
        node = self.one("DELETE FROM h USING u WHERE version = '1' RETURNING *").node
        assert node.HasField("returning_clause")
        assert len(node.using_clause) == 1
        assert node.where_clause.a_expr.lexpr.column_ref.fields[0].string.sval == "version"

    def test_settings(self) -> None:
        assert self.one("SET LOCAL ROLE boss").node.name == "role"
        assert self.one("SET LOCAL ROLE boss").node.is_local
        assert self.one("RESET ALL").node.kind == pb.VAR_RESET_ALL
        assert self.one("SET TRANSACTION READ ONLY").node.kind == pb.VAR_SET_MULTI

    def test_copy(self) -> None:
        node = self.one("COPY t FROM PROGRAM 'ls'").node
        assert (node.is_from, node.is_program, node.filename) == (True, True, "ls")

    def test_do(self) -> None:
        (argument,) = self.one("DO 'x'").node.args
        assert (argument.def_elem.defname, argument.def_elem.arg.string.sval) == ("as", "x")
        assert argument.def_elem.location == 3
