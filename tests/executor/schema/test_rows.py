"""INSERTs of the migration become DELETEs by key; what else it did to rows is said, not guessed."""

from __future__ import annotations

import pytest

from executor.schema.inverse import Inverse
from executor.schema.loss import measure
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

PRIOR = """
    CREATE TYPE colour AS ENUM ('red', 'blue');
    CREATE TABLE kinds (code text PRIMARY KEY, label text, rank int UNIQUE);
    CREATE TABLE rates (day date, bank uuid, rate numeric, PRIMARY KEY (day, bank));
    CREATE TABLE tints (tint colour PRIMARY KEY, note text);
    CREATE TABLE seen (n int);
    CREATE TABLE uses (id int PRIMARY KEY, kind text REFERENCES kinds ON DELETE CASCADE);
    CREATE TABLE likes (id int PRIMARY KEY, kind text REFERENCES kinds ON DELETE SET NULL);
    CREATE TABLE banks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, note text);
    INSERT INTO kinds VALUES ('old', 'x', 1);
    INSERT INTO banks (name, note) VALUES ('n', 'q'), ('m', 'r'), ('o', 'r');
"""
DAY = "'2025-11-22'::date"
BY_NAME = "(SELECT id FROM public.banks WHERE name = "
NAMED = "b.name IN ('n', 'm')"
KEY = "(bank, day)"
BANK = "'00000000-0000-0000-0000-000000000001'"


def derived(shadow: Shadow, forward: str) -> Inverse:
    shadow.apply(PRIOR)
    return derive(forward, shadow)


def rows(shadow: Shadow, table: str) -> list[tuple[object, ...]]:
    return shadow.connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.mark.parametrize(
    ("forward", "delete"),
    [
        ("INSERT INTO kinds (code) VALUES ('new')", "DELETE FROM public.kinds WHERE code = 'new';"),
        (
            "INSERT INTO kinds VALUES ('a', NULL, 5), ('b''c', 'y', 6)",
            "DELETE FROM public.kinds WHERE code IN ('a', 'b''c');",
        ),
        (
            "INSERT INTO public.kinds (label, rank, code) VALUES ('q', -7, lower('N'))",
            "DELETE FROM public.kinds WHERE rank = -7;",
        ),
        (
            f"INSERT INTO rates VALUES ({DAY}, {BANK}, 1.5)",
            f"DELETE FROM public.rates WHERE (bank, day) IN (({BANK}::uuid, {DAY}));",
        ),
        (
            "INSERT INTO tints VALUES ('red', now())",
            "DELETE FROM public.tints WHERE tint = 'red'::public.colour;",
        ),
        (
            "INSERT INTO kinds (code, rank) SELECT 'new', 7 UNION ALL SELECT 'newer', 8",
            "DELETE FROM public.kinds WHERE code IN ('new', 'newer');",
        ),
        (
            "INSERT INTO kinds SELECT v.c, 'x' || v.n, v.n FROM (VALUES (7, 'new'), (8, 'it''s')) v (n, c)",
            "DELETE FROM public.kinds WHERE code IN ('new', 'it''s');",
        ),
        (
            f"INSERT INTO rates SELECT {DAY}, id, 1 FROM banks b JOIN kinds k ON k.code = 'old' AND {NAMED}",
            f"DELETE FROM public.rates WHERE {KEY} IN (({BY_NAME}'n'), {DAY}), ({BY_NAME}'m'), {DAY}));",
        ),
        (
            f"INSERT INTO rates SELECT {DAY}, {BY_NAME}'n'), rank FROM kinds WHERE rank = 1",
            f"DELETE FROM public.rates WHERE (bank, day) IN (({BY_NAME}'n'), {DAY}));",
        ),
        (
            "INSERT INTO kinds (code) VALUES ('new') ON CONFLICT (code) DO NOTHING",
            None,
        ),
    ],
)
def test_what_was_inserted_is_deleted_by_its_key(shadow: Shadow, forward: str, delete: str | None) -> None:
    shadow.apply(PRIOR)
    tables = ("kinds", "rates", "tints")
    before = [rows(shadow, table) for table in tables]
    inverse = derive(forward, shadow)
    if delete is None:
        assert (inverse.script, len(inverse.from_backup)) == ("", 1)
        return
    assert delete in inverse.script
    assert inverse.from_backup == ()
    shadow.apply(inverse.script)
    assert [rows(shadow, table) for table in tables] == before
    shadow.apply(forward)


TWICE = """
    INSERT INTO seen VALUES (7), (7);
    INSERT INTO notes (kind, text) VALUES ((SELECT code FROM kinds WHERE rank = 1), 'hello')
"""


def test_a_row_goes_only_while_what_it_was_made_of_is_the_only_one_of_its_kind(shadow: Shadow) -> None:
    inverse = derived(shadow, "INSERT INTO kinds SELECT name FROM banks WHERE note = 'q'")
    assert inverse.from_backup == ()
    with shadow.copied() as copy:
        copy.apply(inverse.script)
        assert rows(copy, "kinds") == [("old", "x", 1)]
    shadow.apply("INSERT INTO banks (name, note) VALUES ('p', 'q')")
    shadow.apply(inverse.script)
    assert [code for code, *_ in rows(shadow, "kinds")] == ["n", "old"]


def test_rows_without_a_key_go_where_no_others_have_their_values(shadow: Shadow) -> None:
    shadow.apply(PRIOR + "CREATE TABLE notes (id serial PRIMARY KEY, kind text, text text)")
    inverse = derive(TWICE, shadow)
    assert inverse.from_backup == ()
    assert "kind = (SELECT code FROM public.kinds WHERE rank = 1)" in inverse.script
    assert [loss.count for loss in measure(shadow.connection, inverse.goes)] == [1, 2]
    shadow.apply("INSERT INTO seen VALUES (7)")  # somebody's, on the target
    assert [loss.count for loss in measure(shadow.connection, inverse.goes)] == [1, 0]
    shadow.apply(inverse.script)
    assert rows(shadow, "seen") == [(7,), (7,), (7,)]
    assert rows(shadow, "notes") == []


def test_a_row_goes_that_a_new_table_refers_to(shadow: Shadow) -> None:
    forward = """CREATE TABLE facts (kind text PRIMARY KEY REFERENCES kinds);
                 INSERT INTO kinds VALUES ('p'); INSERT INTO facts VALUES ('p')"""
    inverse = derived(shadow, forward)
    assert (inverse.from_backup, inverse.verdict) == ((), "exact")
    shadow.apply(inverse.script)
    assert rows(shadow, "kinds") == [("old", "x", 1)]


def test_a_key_comes_back_once_the_rows_are_gone_that_had_to_wait(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE days (place text, start time); CREATE UNIQUE INDEX days_place ON days (place)")
    forward = """DROP INDEX days_place; CREATE UNIQUE INDEX days_start ON days (place, start);
                 INSERT INTO days VALUES ('IWI', '08:25'), ('IWI', '09:25');
                 CREATE TABLE of_days (place text, start time, FOREIGN KEY (place, start)
                     REFERENCES days (place, start));
                 INSERT INTO of_days VALUES ('IWI', '08:25')"""
    inverse = derive(forward, shadow)
    assert (inverse.gaps, inverse.from_backup, inverse.verdict) == ((), (), "exact")
    shadow.apply(inverse.script)
    assert rows(shadow, "days") == []
    shadow.apply(forward)


def test_children_are_deleted_before_their_parents(shadow: Shadow) -> None:
    inverse = derived(shadow, "INSERT INTO kinds VALUES ('p'); INSERT INTO uses VALUES (1, 'p')")
    assert [step.ref.name for step in inverse.steps] == ["uses", "kinds"]


def test_rows_that_a_delete_takes_along_are_announced_and_counted(shadow: Shadow) -> None:
    inverse = derived(shadow, "INSERT INTO kinds VALUES ('p')")
    shadow.apply("INSERT INTO uses VALUES (1, 'p'), (2, 'old'); INSERT INTO likes VALUES (1, 'p'), (2, 'p')")
    counts = [(loss.lost.relation[1], loss.count) for loss in measure(shadow.connection, inverse.goes)]
    assert sorted(counts) == [("kinds", 1), ("likes", 2), ("uses", 1)]


@pytest.mark.parametrize(
    ("forward", "change", "why"),
    [
        ("UPDATE kinds SET label = 'y'", "UPDATE DATA", "the former values of label are overwritten"),
        ("DELETE FROM kinds", "DELETE DATA", "the rows are gone"),
        ("TRUNCATE seen", "TRUNCATE", "the rows are gone"),
        ("INSERT INTO seen DEFAULT VALUES", "INSERT DATA", "its rows come from a query or from defaults"),
        (
            "INSERT INTO seen SELECT n FROM generate_series(1, 2) n",
            "INSERT DATA",
            "its rows come from a query",
        ),
        ("INSERT INTO kinds SELECT name FROM banks", "INSERT DATA", "its rows come from a query"),
        ("INSERT INTO kinds SELECT name FROM banks WHERE note > 'q'", "INSERT DATA", "come from a query"),
        ("INSERT INTO kinds SELECT name FROM banks WHERE note = 'r'", "INSERT DATA", "0 of 1 rows"),
        (
            "INSERT INTO kinds SELECT note FROM banks WHERE name = 'n' AND id::text > ''",
            "INSERT DATA",
            "its rows come from a query",
        ),
        (
            "INSERT INTO kinds SELECT note FROM banks b LEFT JOIN seen ON true WHERE name = 'n'",
            "INSERT DATA",
            "its rows come from a query",
        ),
        (
            "INSERT INTO kinds SELECT (SELECT note WHERE b.id IS NOT NULL) FROM banks b WHERE name = 'n'",
            "INSERT DATA",
            "the file does not give values",
        ),
        (
            "INSERT INTO kinds SELECT 'z' WHERE NOT EXISTS (SELECT FROM kinds WHERE code = 'z')",
            "INSERT DATA",
            "it adds what is not there",
        ),
        ("INSERT INTO seen VALUES (1 + 1)", "INSERT DATA", "the file does not give values by which the rows"),
        ("INSERT INTO kinds VALUES (md5('x'))", "INSERT DATA", "the file does not give values"),
        ("INSERT INTO seen VALUES (1), (1); DELETE FROM seen WHERE ctid = '(0,1)'", "INSERT DATA", "0 of 2"),
        ("INSERT INTO kinds VALUES ('z') ON CONFLICT DO NOTHING", "INSERT DATA", "ON CONFLICT DO NOTHING"),
        (
            "INSERT INTO kinds VALUES ('old') ON CONFLICT (code) DO UPDATE SET label = 'z'",
            "INSERT DATA",
            "ON CONFLICT DO UPDATE",
        ),
        (
            "MERGE INTO kinds USING seen ON rank = n WHEN MATCHED THEN DELETE",
            "MERGE DATA",
            "which rows it added or changed",
        ),
        (
            "WITH gone AS (DELETE FROM kinds RETURNING *) SELECT * FROM gone",
            "DELETE DATA",
            "the rows are gone",
        ),
        ("DO $$ BEGIN INSERT INTO kinds VALUES ('z'); END $$", "INSERT DATA", "whether code ran it"),
        (
            "INSERT INTO kinds VALUES ('z'); UPDATE kinds SET code = 'y' WHERE code = 'z'",
            "INSERT DATA",
            "or writes other ones later on",
        ),
        ("INSERT INTO kinds VALUES ('z'); ALTER TABLE kinds RENAME TO sorts", "INSERT DATA", "is renamed"),
        ("DROP TABLE uses", "DROP TABLE", "comes back without its rows"),
        ("ALTER TABLE kinds DROP COLUMN label", "DROP COLUMN", "label comes back without its values"),
        ("ALTER TABLE rates ALTER rate TYPE numeric(9, 1)", "ALTER TYPE", "may have been changed"),
    ],
)
def test_what_only_a_backup_gives_back_is_named(shadow: Shadow, forward: str, change: str, why: str) -> None:
    inverse = derived(shadow, forward)
    told = [(each.change, each.why) for each in inverse.from_backup if each.change == change]
    assert len(told) == 1
    assert why in told[0][1]
    assert inverse.gaps == ()


@pytest.mark.parametrize(
    "forward",
    [
        "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT 1; UPDATE t SET a = 2; DELETE FROM t",
        "ALTER TABLE kinds ADD COLUMN tag text; UPDATE kinds SET tag = label",
        "ALTER TABLE kinds ADD COLUMN tag text; ALTER TABLE kinds ALTER rank TYPE bigint",
        "CREATE TABLE t AS SELECT * FROM kinds",
        "ALTER TABLE kinds RENAME TO sorts",
    ],
)
def test_what_goes_with_the_schema_needs_no_backup(shadow: Shadow, forward: str) -> None:
    inverse = derived(shadow, forward)
    assert (inverse.from_backup, inverse.verdict) == ((), "exact")


def test_a_place_in_the_file_is_told(shadow: Shadow) -> None:
    inverse = derived(shadow, "SELECT 1;\n  DELETE FROM kinds;")
    assert str(inverse.from_backup[0]) == (
        "line 2: DELETE DATA on public.kinds: the rows are gone. Restore from backup."
    )


def test_sql_that_is_put_together_is_noted(shadow: Shadow) -> None:
    inverse = derived(shadow, "DO $$ BEGIN EXECUTE 'UPDATE ' || 'kinds SET label = 1'; END $$")
    assert "put together while it runs" in inverse.notes[0]


def test_what_goes_by_way_of_a_view_is_said(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE VIEW v AS SELECT * FROM t")
    forward = """INSERT INTO v VALUES (1, 2); CREATE VIEW w AS SELECT id FROM t; DELETE FROM w WHERE id = 3;
        CREATE TABLE u (id int); CREATE VIEW x AS SELECT id FROM u; INSERT INTO x VALUES (5)"""
    told = [(each.relation, each.change) for each in derive(forward, shadow).from_backup]
    assert told == [("public.v", "INSERT DATA"), ("public.w", "DELETE DATA")]


def test_rows_of_tables_that_inherit_stay_whatever_their_keys(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE below () INHERITS (t)")
    inverse = derive("INSERT INTO t VALUES (7)", shadow)
    shadow.apply("INSERT INTO below VALUES (7)")
    assert [loss.count for loss in measure(shadow.connection, inverse.goes)] == [1]
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT tableoid::regclass::text FROM t").fetchall() == [("below",)]


LATER = [
    ("ALTER TABLE t DROP code", "DELETE FROM public.t WHERE id = 7"),
    ("ALTER TABLE t RENAME id TO nr", "DELETE FROM public.t WHERE nr = 7"),
    (
        "ALTER TABLE t RENAME id TO q; ALTER TABLE t RENAME code TO id; ALTER TABLE t RENAME q TO code",
        "DELETE FROM public.t WHERE code = 7",
    ),
    ("UPDATE t SET id = CASE id WHEN 7 THEN 9 ELSE id END", ""),
    ("DO $$ BEGIN UPDATE t SET id = 1 - id; END $$", ""),
    ("ALTER TABLE t ALTER id TYPE bigint USING 8 - id", ""),
    ("ALTER TABLE t DROP id, ADD id int", ""),
    ("UPDATE t SET code = 5 WHERE id = 7", "DELETE FROM public.t WHERE id = 7"),
]


@pytest.mark.parametrize(("later", "sql"), LATER)
def test_a_row_is_found_by_what_the_rest_of_the_file_leaves_of_it(
    shadow: Shadow, later: str, sql: str
) -> None:
    """The key of the row may have another name by then, or be another row's."""
    shadow.apply("CREATE TABLE t (id int PRIMARY KEY, code int); INSERT INTO t VALUES (1, 7), (6, 1)")
    inverse = derive(f"INSERT INTO t (id, code) VALUES (7, 0); {later}", shadow)
    found = [step.sql for step in inverse.steps if step.sql.startswith("DELETE ")]
    if sql:
        assert found == [sql]
    else:
        assert "id" not in "".join(found)
        assert found or "INSERT DATA" in [each.change for each in inverse.from_backup]
