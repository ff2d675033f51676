"""Kept data leave no trace in the schema, and come back behind the migration, value for value."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from executor.schema.archive import ARCHIVE, GIGABYTE, Room, kept, purgeable, refused
from executor.schema.dump import dump
from executor.schema.inverse import Inverse, Options
from executor.schema.loss import measure
from executor.schema.lost import ROWS, VALUES, Lost
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

DAY = date(2026, 2, 1)
BANK = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, 'y');"


def keeping(**others: Any) -> Options:
    return Options.exact(keep_data=True, archive_label="r1", purge_after=DAY, **others)


def there_and_back(
    shadow: Shadow, prior: str, forward: str, rows: str, question: str, options: Options | None = None
) -> Inverse:
    """Migration, rows, way back, migration again, kept data back: the question has the same answer."""
    shadow.apply(prior)
    before = dump(shadow.dsn)
    inverse = derive(forward, shadow, options or keeping())
    assert inverse.gaps == ()
    shadow.apply(rows)
    answer = shadow.connection.execute(question).fetchall()
    assert answer
    shadow.apply(inverse.script)
    assert dump(shadow.dsn, leave_out=(ARCHIVE,)) == before
    shadow.apply(forward)
    shadow.apply(inverse.restore)
    assert shadow.connection.execute(question).fetchall() == answer
    return inverse


@pytest.mark.parametrize(
    ("prior", "forward", "rows", "question"),
    [
        pytest.param(
            BANK,
            """CREATE TABLE parents (id serial PRIMARY KEY, t int REFERENCES t, word text UNIQUE);
               CREATE TABLE children (id int GENERATED ALWAYS AS IDENTITY, parent int REFERENCES parents);
               CREATE VIEW v AS SELECT word FROM parents; ALTER TABLE parents ADD CHECK (id > 0)""",
            """INSERT INTO parents (t, word) VALUES (1, 'a'), (2, 'b');
               INSERT INTO children (parent) VALUES (2)""",
            """SELECT p.id, t, word, c.id, (SELECT last_value FROM parents_id_seq),
                      (SELECT last_value FROM children_id_seq)
                 FROM parents p LEFT JOIN children c ON parent = p.id ORDER BY 1""",
            id="tables that refer to each other, with serials and identities",
        ),
        pytest.param(
            f"""{BANK} ALTER TABLE t ADD at int DEFAULT 0;
                CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
                    AS $$ BEGIN NEW.at := NEW.at + 1; RETURN NEW; END $$;
                CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();""",
            """ALTER TABLE t ADD b int, ADD c int; CREATE TABLE u (id int PRIMARY KEY, at int);
               CREATE TRIGGER touched BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION touch()""",
            "UPDATE t SET b = 5, c = 6; INSERT INTO u VALUES (1, 7)",
            "SELECT t.id, b, c, t.at, u.id, u.at FROM t, u ORDER BY 1",
            id="under triggers that would hear them come back",
        ),
        pytest.param(
            "",
            """CREATE TYPE mood AS ENUM ('well', 'ill'); CREATE DOMAIN name AS text CHECK (VALUE <> '');
               CREATE TYPE pair AS (a int, m mood);
               CREATE TABLE people (id int, m mood[], n name, p pair)""",
            """INSERT INTO people VALUES (1, '{well,ill}', 'ada', '(1,well)'), (2, NULL, 'bob', NULL)""",
            "SELECT id, m::text, n::text, p::text FROM people ORDER BY 1",
            id="columns of types that go as well",
        ),
        pytest.param(
            "CREATE TABLE log (a int) PARTITION BY LIST (a)",
            "CREATE TABLE log1 PARTITION OF log FOR VALUES IN (1)",
            "INSERT INTO log VALUES (1), (1)",
            "SELECT a, tableoid::regclass::text FROM log",
            id="a partition of a table that stays",
        ),
        pytest.param(
            "",
            """CREATE TABLE log (id int, a int, PRIMARY KEY (id, a)) PARTITION BY LIST (a);
               CREATE TABLE log1 PARTITION OF log FOR VALUES IN (1);
               CREATE TABLE log2 PARTITION OF log FOR VALUES IN (2) PARTITION BY LIST (id);
               CREATE TABLE log27 PARTITION OF log2 FOR VALUES IN (7); CREATE INDEX ON log (a)""",
            "INSERT INTO log VALUES (1, 1), (7, 2)",
            "SELECT id, a, tableoid::regclass::text FROM log ORDER BY 1",
            id="a partitioned table with all below it",
        ),
        pytest.param(
            "",
            """CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
               CREATE TABLE t (id int DEFAULT f(1), g int GENERATED ALWAYS AS (f(id)) STORED,
               CHECK (f(id) > 1));
               CREATE INDEX ON t (f(id)); CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN RETURN new; END'; CREATE TRIGGER tr BEFORE UPDATE ON t
               FOR EACH ROW EXECUTE FUNCTION tr();
               ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (f(id) > 0);
               CREATE PUBLICATION pub FOR TABLE t; CREATE RULE r AS ON DELETE TO t DO ALSO NOTHING;
               CREATE STATISTICS st ON id, f(id) FROM t""",
            "INSERT INTO t VALUES (5)",
            "SELECT id, g FROM t",
            id="functions that defaults, checks, indexes, triggers and policies of the table call",
        ),
        pytest.param(
            BANK,
            """CREATE TYPE mood AS ENUM ('well'); ALTER TABLE t ADD b text, ADD m mood""",
            "UPDATE t SET b = 'kept', m = 'well' WHERE id = 2",
            "SELECT id, a, b, m::text FROM t ORDER BY id",
            id="columns, one of a type that goes as well",
        ),
        pytest.param(
            BANK,
            "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME id TO key; ALTER TABLE u ADD b text",
            "UPDATE u SET b = 'kept' WHERE key = 2",
            "SELECT key, b FROM u ORDER BY key",
            id="a column of a table that gets its name back",
        ),
        pytest.param(
            "CREATE TABLE t (a text NOT NULL, c text); CREATE UNIQUE INDEX ON t (a) INCLUDE (c);"
            "CREATE UNIQUE INDEX ON t (a DESC); INSERT INTO t VALUES ('x'), ('y')",
            "ALTER TABLE t ADD b text",
            "UPDATE t SET b = 'kept' WHERE a = 'y'",
            "SELECT a, b FROM t ORDER BY a",
            id="a column of a table whose rows a unique index finds, where it has no primary key",
        ),
        pytest.param(
            BANK,
            "ALTER TABLE t DROP a; ALTER TABLE t ADD b text",
            "UPDATE t SET b = 'kept' WHERE id = 2",
            "SELECT id, b FROM t ORDER BY id",
            id="a column of a table that is written anew",
        ),
        pytest.param(
            "CREATE TABLE t (id int PRIMARY KEY, a numeric(6, 1))",
            "ALTER TABLE t ALTER a TYPE numeric(8, 3)",
            "INSERT INTO t VALUES (1, 2.125)",
            "SELECT id, a FROM t",
            id="values that the former type rounds",
        ),
    ],
)
def test_data_come_back(shadow: Shadow, prior: str, forward: str, rows: str, question: str) -> None:
    inverse = there_and_back(shadow, prior, forward, rows, question)
    assert (inverse.losses, inverse.notes) == ((), ())


def test_the_same_migration_can_be_kept_twice(shadow: Shadow) -> None:
    forward = "CREATE TABLE u (id serial PRIMARY KEY)"
    for label in ("first", "second"):
        inverse = derive(forward, shadow, Options(keep_data=True, archive_label=label))
        shadow.apply(inverse.script)
    assert [one.name for one in kept(shadow.connection)] == ["u__first", "u__second"]


def test_tables_of_one_name_in_two_schemas_have_two_places(shadow: Shadow) -> None:
    forward = "CREATE SCHEMA s; CREATE TABLE u (a int); CREATE TABLE s.u (a int); CREATE TABLE s__u (a int)"
    inverse = derive(forward, shadow, keeping())
    shadow.apply(inverse.script)
    assert len(kept(shadow.connection)) == 3


def test_the_archive_says_what_it_holds_and_until_when(shadow: Shadow) -> None:
    inverse = derive("CREATE TYPE e AS ENUM ('x'); CREATE TABLE u (a e)", shadow, keeping())
    shadow.apply(inverse.script)
    held = kept(shadow.connection)
    assert [(one.kind, one.was, one.rollback, one.purge_after) for one in held] == [
        ("TABLE", "public.u", "r1", DAY),
        ("TYPE", "public.e", "r1", DAY),
    ]
    assert purgeable(held, DAY) == ()
    for one in purgeable(held, date(2026, 2, 2)):
        shadow.apply(one.purge_sql)
    assert kept(shadow.connection) == ()


def test_values_without_a_key_are_lost_and_that_is_said(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int)")
    inverse = derive("ALTER TABLE t ADD b int", shadow, keeping())
    assert inverse.losses == (Lost(VALUES, ("public", "t"), "b"),)
    assert inverse.notes == (
        "column public.t.b is not kept: no primary key finds its rows, and no unique key without NULL",
    )


def test_a_key_that_came_with_the_migration_finds_no_row_behind_the_next_one(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int UNIQUE); INSERT INTO t VALUES (1)")
    inverse = derive("ALTER TABLE t ADD id serial PRIMARY KEY, ADD b int", shadow, keeping())
    assert {lost.column for lost in inverse.losses} == {"id", "b"}
    assert len(inverse.notes) == 2


def test_what_inherits_is_not_moved_and_that_is_said(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int)")
    inverse = derive("CREATE TABLE u () INHERITS (t)", shadow, keeping())
    assert inverse.losses == (Lost(ROWS, ("public", "u")),)
    assert inverse.notes == ("table public.u is not kept: it inherits, or others inherit from it",)


@pytest.mark.parametrize(
    ("room", "why"),
    [
        (Room(limit=100), "the limit is 100"),
        (Room(free_disk=GIGABYTE), "stay in reserve"),
        (Room(free_disk=9 * GIGABYTE, free_wal=1), "of WAL"),
        (Room(), None),
        (Room(free_disk=9 * GIGABYTE), None),
    ],
)
def test_copying_is_refused_where_there_is_no_room(shadow: Shadow, room: Room, why: str | None) -> None:
    shadow.apply(BANK)
    forward = "ALTER TABLE t ADD b text; CREATE TABLE u (a int)"
    first = derive(forward, shadow, Options())
    shadow.apply("UPDATE t SET b = repeat('x', 30)")
    no = refused(measure(shadow.connection, first.goes), room)
    column = Lost(VALUES, ("public", "t"), "b")
    assert list(no) == ([column] if why else [])
    if why:
        assert why in no[column]
        shadow.apply(first.script)
        again = derive(forward, shadow, keeping(not_kept=no))
        assert again.losses == (column,)
        assert why in again.notes[0]
