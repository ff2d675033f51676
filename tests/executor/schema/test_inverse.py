"""Each case: the migration runs, its way back is derived, and pg_dump says whether all is as before."""

from __future__ import annotations

import psycopg
import pytest

from executor.schema.dump import dump
from executor.schema.inverse import Inverse, Options, undo
from executor.schema.inverse.options import NEUTRAL
from executor.schema.prove import derive, judge
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot
from tests.executor.schema.cases import CASES, EXACT, ORDER, Case

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@by_name
def test_leads_back_exactly(case: Case, shadow: Shadow) -> None:
    inverse = _undone(case, shadow, Options.exact(), case.verdict)
    for line in case.has:
        assert line in inverse.script
    for text in case.has_not:
        assert text not in inverse.script
    for loss in case.loses:
        assert loss in map(str, inverse.losses)
    assert inverse.retried == 0


@by_name
def test_leads_back_the_cheap_way(case: Case, shadow: Shadow) -> None:
    _undone(case, shadow, Options(), case.cheap or case.verdict)


@by_name
def test_leads_back_on_an_older_server_too(case: Case, older_shadow: Shadow) -> None:
    _undone(case, older_shadow, Options.exact(), case.verdict)


def _undone(case: Case, shadow: Shadow, options: Options, verdict: str) -> Inverse:
    shadow.apply(case.prior)
    before = dump(shadow.dsn)
    inverse = derive(case.forward, shadow, options)
    assert inverse.gaps == ()
    proof = judge(before, inverse.script, case.forward, shadow)
    assert (proof.verdict, proof.message, proof.difference if verdict == EXACT else "") == (verdict, None, "")
    assert inverse.verdict == verdict
    assert proof.forward_again
    return inverse


def test_rows_survive_a_rebuilt_table(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, b int);
           INSERT INTO t (a, b) VALUES ('x', 1), ('y', 2)"""
    )
    inverse = derive("ALTER TABLE t DROP COLUMN a", shadow, Options.exact())
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT id, a, b FROM t ORDER BY id").fetchall() == [
        (1, None, 1),
        (2, None, 2),
    ]
    shadow.apply("INSERT INTO t (b) VALUES (3)")
    assert shadow.connection.execute("SELECT max(id) FROM t").fetchone() == (3,)
    assert inverse.losses == ()


MOVED = {
    "a partitioned table that was made a plain one": (
        "SELECT tableoid::regclass::text, id, x FROM t ORDER BY id",
        [("t1", 1, "a"), ("t2", 2, "b")],
    ),
    "a partitioned table with another key, whose partitions have the names of former ones": (
        "SELECT tableoid::regclass::text, id, x FROM t ORDER BY id",
        [("t1", 7, "a"), ("t21", 8, "b")],
    ),
    "a table whose rows are a column elsewhere that lost a middle column": (
        "SELECT id, was::text FROM u ORDER BY id",
        [(1, "(1,,2)"), (2, None), (3, "(,,)")],
    ),
    "a composite type that lost one attribute and won another": ("SELECT x::text FROM u", [("(,2)",)]),
    "a composite type with a renamed attribute": ("SELECT x::text FROM u", [("(1,2)",)]),
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("server", ["shadow", "older_shadow"])
def test_rows_that_are_moved_keep_their_values(
    name: str, server: str, request: pytest.FixtureRequest
) -> None:
    made: Shadow = request.getfixturevalue(server)
    case = next(case for case in CASES if case.name == name)
    made.apply(case.prior)
    made.apply(derive(case.forward, made, Options.exact()).script)
    query, rows = MOVED[name]
    assert made.connection.execute(query).fetchall() == rows


@pytest.mark.parametrize("server", ["shadow", "older_shadow"])
@pytest.mark.parametrize(
    ("prior", "forward", "why"),
    [
        (
            """CREATE TABLE t (id int NOT NULL) PARTITION BY LIST (id);
               CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); INSERT INTO t VALUES (1)""",
            """ALTER TABLE t DETACH PARTITION t1; CREATE TABLE n (id int NOT NULL);
               INSERT INTO n SELECT * FROM t1; DROP TABLE t; ALTER TABLE n RENAME TO t""",
            "table public.t1 stands on its own now, and whether its rows are also in public.t can't be told",
        ),
        (
            "CREATE TYPE c AS (a text, b text); CREATE TABLE u (x c[])",
            "ALTER TYPE c DROP ATTRIBUTE a, ADD ATTRIBUTE z text",
            "column public.u.x is an array of public.c, whose fields have other places",
        ),
    ],
    ids=["a partition that stands on its own", "an array of rows"],
)
def test_what_would_be_guessed_is_refused_with_words(
    prior: str, forward: str, why: str, server: str, request: pytest.FixtureRequest
) -> None:
    made: Shadow = request.getfixturevalue(server)
    made.apply(prior)
    inverse = derive(forward, made, Options.exact())
    assert why in inverse.gaps[0]


def test_a_row_that_fits_no_former_partition_stops_the_script(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TABLE t (id int NOT NULL) PARTITION BY LIST (id);
           CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); INSERT INTO t VALUES (1)"""
    )
    forward = "CREATE TABLE n AS SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t"
    script = derive(forward, shadow, Options.exact()).script
    shadow.apply("INSERT INTO t VALUES (2)")
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        shadow.apply(script)
    assert shadow.connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_an_array_of_rows_keeps_its_table_from_being_written_anew(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int, b text, c int); CREATE TABLE u (was t[])")
    inverse = derive("ALTER TABLE t DROP COLUMN b", shadow, Options.exact())
    assert inverse.verdict == ORDER
    assert inverse.notes == ("public.t can't be written anew: column public.u.was is made of its rows.",)


def test_a_column_that_cannot_be_null_asks_for_a_value(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int, a text NOT NULL); INSERT INTO t VALUES (1, 'x')")
    inverse = derive("ALTER TABLE t DROP COLUMN a", shadow, Options(fill={("public", "t", "a"): "'unknown'"}))
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT id, a FROM t").fetchall() == [(1, "unknown")]
    assert inverse.verdict == EXACT


def test_a_range_that_comes_back_is_empty(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TABLE t (id int, a int4range NOT NULL, b daterange NOT NULL, c tstzmultirange NOT NULL,
               EXCLUDE USING gist (b WITH &&)); INSERT INTO t VALUES (1, '[1,2]', '[2026-01-01,]', '{}'),
           (2, '[1,2]', 'empty', '{}')"""
    )
    forward = "ALTER TABLE t DROP COLUMN a; ALTER TABLE t DROP COLUMN b; ALTER TABLE t DROP COLUMN c"
    inverse = derive(forward, shadow, Options(fill_default=NEUTRAL))
    assert (inverse.gaps, inverse.verdict) == ((), EXACT)


@pytest.mark.parametrize("order", ["append", "rebuild"])
def test_rows_that_must_differ_get_a_short_value_each(order: str, shadow: Shadow) -> None:
    kinds = ("varchar(3)", "char(4)", "text", "int", "numeric(6, 2)", "date", "timestamptz")
    columns = [f"{name} {kind} NOT NULL UNIQUE" for name, kind in zip("abcdefg", kinds, strict=True)]
    shadow.apply(f"CREATE TABLE t ({', '.join(columns)}, h int)")
    before = snapshot(shadow.connection)
    drops = "".join(f"ALTER TABLE t DROP COLUMN {name};" for name in "abcdefg")
    shadow.apply(f"{drops} INSERT INTO t SELECT * FROM generate_series(1, 300)")
    inverse = undo(shadow.connection, before, None, Options(column_order=order, fill_default=NEUTRAL))
    assert inverse.gaps == ()
    shadow.apply(inverse.script)
    counts = ", ".join(f"count(DISTINCT {name})" for name in "abcdefg")
    assert shadow.connection.execute(f"SELECT {counts} FROM t").fetchone() == (300,) * 7


@pytest.mark.parametrize(
    ("value", "got"), [("'unknown'", "unknown"), ("'n' || id", "n1"), ("ctid::text", "(0,1)")]
)
def test_triggers_of_a_table_do_not_hear_of_values_that_rows_get(
    value: str, got: str, shadow: Shadow
) -> None:
    shadow.apply(
        """CREATE TABLE t (id int, a text NOT NULL); INSERT INTO t VALUES (1, 'x');
           CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$heard$$; END';
           CREATE TRIGGER heard BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
           CREATE TRIGGER heard_too AFTER UPDATE ON t EXECUTE FUNCTION f()"""
    )
    options = Options(column_order="append", fill={("public", "t", "a"): value})
    inverse = derive("ALTER TABLE t DROP COLUMN a", shadow, options)
    assert (inverse.gaps, inverse.verdict) == ((), EXACT)
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT id, a FROM t").fetchall() == [(1, got)]


def test_a_foreign_key_has_no_neutral_value_and_takes_a_query(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TABLE owners (id int PRIMARY KEY, house text); INSERT INTO owners VALUES (7, 'x'), (8, 'y');
           CREATE TABLE t (id int, house text, owner int NOT NULL REFERENCES owners);
           INSERT INTO t VALUES (1, 'x', 7), (2, 'y', 8)"""
    )
    before, dumped = snapshot(shadow.connection), dump(shadow.dsn)
    shadow.apply("ALTER TABLE t DROP COLUMN owner")
    asked = undo(shadow.connection, before, None, Options(fill_default=NEUTRAL))
    assert [(choice.subject, choice.taken) for choice in asked.choices] == [("public.t.owner", "ask")]
    assert "refers to a row of public.owners" in asked.choices[0].about
    assert asked.gaps[0].startswith("column public.t.owner comes back NOT NULL")
    assert "no value was chosen" in asked.gaps[0]
    assert any("contains null values" in gap for gap in asked.gaps)
    value = "(SELECT o.id FROM owners o WHERE o.house = t.house)"
    for order in ("append", "rebuild"):
        fill = Options(column_order=order, fill={("public", "t", "owner"): value})
        inverse = undo(shadow.connection, before, None, fill)
        assert (inverse.gaps, inverse.verdict) == ((), EXACT)
        with shadow.copied() as copy:
            copy.apply(inverse.script)
            assert copy.connection.execute("SELECT id, owner FROM t ORDER BY id").fetchall() == [
                (1, 7),
                (2, 8),
            ]
            assert dump(copy.dsn) == dumped


def test_a_table_stays_where_its_rows_could_not_be_copied(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int NOT NULL, b text); INSERT INTO t VALUES (1, 'x')")
    inverse = derive("ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN c int", shadow, Options.exact())
    assert "column public.t.a comes back NOT NULL" in inverse.gaps[0]
    assert 'null value in column "a"' in inverse.gaps[1]
    assert "DROP TABLE" not in inverse.script
    assert inverse.gaps[2:] == ("not written anew: table public.t, and what hangs on it stays",)


def test_without_a_value_the_missing_one_is_a_gap_and_no_script_that_fails(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int, a text NOT NULL); INSERT INTO t VALUES (1, 'x')")
    inverse = derive("ALTER TABLE t DROP COLUMN a", shadow, Options())
    assert any("not given back: column public.t.a" in gap for gap in inverse.gaps)
    assert [(choice.subject, choice.taken) for choice in inverse.choices] == [("public.t.a", "ask")]
    shadow.apply(inverse.script)


@pytest.mark.parametrize(
    "column", ["a text NOT NULL UNIQUE", "a text NOT NULL DEFAULT '' UNIQUE", "a uuid NOT NULL UNIQUE"]
)
def test_rows_that_must_differ_get_a_value_of_their_own(column: str, shadow: Shadow) -> None:
    shadow.apply(
        f"CREATE TABLE t ({column}); INSERT INTO t SELECT gen_random_uuid() FROM generate_series(1, 3)"
    )
    for options in (Options(fill_default=NEUTRAL), Options.exact(fill_default=NEUTRAL)):
        inverse = derive("ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN b int", shadow, options)
        assert (inverse.gaps, inverse.verdict) == ((), EXACT)
        shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT count(DISTINCT a) FROM t").fetchone() == (3,)


def test_an_enum_value_may_be_left(shadow: Shadow) -> None:
    shadow.apply("CREATE TYPE e AS ENUM ('a')")
    inverse = derive("ALTER TYPE e ADD VALUE 'b'", shadow, Options(enum_value="leave"))
    assert inverse.script == ""
    assert [choice.taken for choice in inverse.choices] == ["leave"]


def test_an_index_may_be_made_concurrently_outside(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int); CREATE INDEX i ON t (a)")
    inverse = derive("DROP INDEX i", shadow, Options(index="concurrently"))
    assert "CREATE INDEX CONCURRENTLY i ON public.t USING btree (a);" in inverse.script
    assert [step.outside for step in inverse.steps] == [True]
    shadow.apply(inverse.script)


def test_deriving_leaves_the_shadow_as_it_was(shadow: Shadow) -> None:
    before = snapshot(shadow.connection)
    shadow.apply("CREATE TABLE t (a int)")
    assert undo(shadow.connection, before).verdict == EXACT
    assert shadow.connection.execute("SELECT to_regclass('t')::text").fetchone() == ("t",)


def test_statements_beyond_the_database_are_never_run_on_the_scratch_server(shadow: Shadow) -> None:
    shadow.apply(
        "ALTER SYSTEM SET work_mem = '77MB'; CREATE TABLE t (a int); ALTER ROLE postgres SET jit = off"
    )
    settings = "SELECT count(*) FROM pg_file_settings WHERE setting = '77MB'"
    assert shadow.connection.execute(settings).fetchone() == (0,)
    roles = "SELECT count(*) FROM pg_db_role_setting WHERE 'jit=off' = ANY (setconfig)"
    assert shadow.connection.execute(roles).fetchone() == (0,)
    assert snapshot(shadow.connection).columns("public", "t")


def test_order_is_told(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int, b int)")
    inverse = derive("ALTER TABLE t DROP COLUMN a", shadow)
    assert inverse.verdict == ORDER
    assert [choice.subject for choice in inverse.choices] == ["public.t"]


def test_kept_data_come_back_behind_the_migration(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    before = dump(shadow.dsn)
    forward = """ALTER TABLE t ADD COLUMN b text;
                 CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t); CREATE VIEW v AS SELECT id FROM u"""
    inverse = derive(forward, shadow, Options(keep_data=True, archive_label="v2"))
    shadow.apply("UPDATE t SET b = 'kept' WHERE id = 2; INSERT INTO u VALUES (7, 1)")
    shadow.apply(inverse.script)
    assert dump(shadow.dsn, leave_out=("rollback_archive",)) == before
    assert inverse.losses == ()
    shadow.apply(forward)
    shadow.apply(inverse.restore)
    assert shadow.connection.execute("SELECT id, b FROM t ORDER BY id").fetchall() == [(1, None), (2, "kept")]
    assert shadow.connection.execute("SELECT id, t FROM u").fetchall() == [(7, 1)]


@pytest.mark.parametrize("kind", ["text", "uuid"])
def test_rows_without_a_value_get_the_chosen_one_where_their_table_is_written_anew(
    shadow: Shadow, kind: str
) -> None:
    shadow.apply("CREATE TABLE t (a int, place varchar(9) NOT NULL, b int); INSERT INTO t VALUES (1, 'x', 2)")
    before, schema = snapshot(shadow.connection), dump(shadow.dsn)
    forward = f"ALTER TABLE t DROP COLUMN a, DROP COLUMN place, ADD COLUMN place {kind}"
    shadow.apply(forward)
    assert "23502" in undo(shadow.connection, before, None, Options.exact()).gaps[1]
    options = Options.exact(fill={("public", "t", "place"): "'here'"})
    inverse = undo(shadow.connection, before, None, options, forward=forward)
    proof = judge(schema, inverse.script, forward, shadow)
    assert (inverse.gaps, proof.verdict, proof.forward_again) == ((), "exact", True)
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT place, b FROM t").fetchall() == [("here", 2)]
