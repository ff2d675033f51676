"""Values that a migration brought to another column before it dropped theirs come back with the column, where
the statement leaves no choice; where it leaves one, the column comes back without them, and that is said."""

from __future__ import annotations

import pytest

from executor.completeness import Fate, completeness
from executor.schema.dump import EXACT, MODULO_ORDER, dump, verdict
from executor.schema.inverse import Options
from executor.schema.inverse.options import NEUTRAL
from executor.schema.loss import measure
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

STATES = """CREATE TABLE states (id int PRIMARY KEY, code text NOT NULL UNIQUE, note text);
    INSERT INTO states VALUES (1, 'open', 'x'), (2, 'shut', 'x');"""
BY_CASE = "CASE WHEN old = 1 THEN 'ONE' WHEN old = 2 THEN 'TWO' END"
MOVED = [
    ("text NOT NULL", "('7'), ('a')", "text", "old"),
    ("int", "(7), (NULL)", "bigint", "old"),
    ("int NOT NULL UNIQUE", "(7), (8)", "text", "old::text"),
    ("uuid", "('00000000-0000-0000-0000-000000000001'), (NULL)", "text", "(t.old)::text"),
    ("int NOT NULL", "(1), (2)", "varchar(9) NOT NULL DEFAULT '?'", BY_CASE),
    ("boolean", "(true), (false), (NULL)", "text", "CASE old WHEN true THEN 'Y' WHEN false THEN 'N' END"),
    ("timestamp", "('2026-03-29 02:30'), (NULL)", "timestamptz", "old AT TIME ZONE 'UTC'"),
    ("int NOT NULL REFERENCES states", "(1), (2)", "text", "(SELECT code FROM states s WHERE s.id = old)"),
    (
        "text NOT NULL",
        "('shut'), ('open')",
        "int NOT NULL DEFAULT 1",
        "(SELECT id FROM states WHERE code = t.old)",
    ),
    ("int REFERENCES states", "(1), (NULL)", "text", "s.code FROM states s WHERE t.old = s.id"),
]


def values(shadow: Shadow, table: str = "t") -> list[str | None]:
    found = shadow.connection.execute(f"SELECT old::text FROM {table} ORDER BY id").fetchall()
    return [value for (value,) in found]


@pytest.mark.parametrize("again", ["", "ALTER TABLE t RENAME new TO old;"], ids=["", "renamed"])
@pytest.mark.parametrize("options", [Options.exact(), Options()], ids=["exact", "cheap"])
def test_every_value_comes_back(shadow: Shadow, options: Options, again: str) -> None:
    prior, forward = STATES, ""
    for number, (kind, rows, new, expression) in enumerate(MOVED):
        prior += f"""CREATE TABLE t{number} (id int GENERATED ALWAYS AS IDENTITY, old {kind}, last int);
                     INSERT INTO t{number} (old) VALUES {rows};"""
        change = f"""ALTER TABLE t ADD COLUMN new {new}; UPDATE t SET new = {expression};
                     ALTER TABLE t DROP COLUMN old; {again}"""
        change = change.replace("TABLE t", f"TABLE t{number}").replace("UPDATE t", f"UPDATE t{number}")
        forward += change.replace("t.old", f"t{number}.old")
    shadow.apply(prior)
    before = [values(shadow, f"t{number}") for number in range(len(MOVED))]
    inverse = derive(forward, shadow, options)
    assert (inverse.gaps, inverse.from_backup) == ((), ())
    assert [str(loss) for loss in measure(shadow.connection, inverse.goes) if loss.count != 0] == []
    shadow.apply(inverse.script)
    for number, case in enumerate(MOVED):
        assert values(shadow, f"t{number}") == before[number], case
    shadow.apply(forward)


NOT_MOVED = [
    ("int", "old / 2", ""),
    ("text", "upper(old)", ""),
    ("text", "coalesce(old, last)", ""),
    ("text", "old", "UPDATE t SET new = 'z';"),
    ("text", "old WHERE last = 'p'", ""),
    ("text", "CASE old WHEN '1' THEN 'a' ELSE 'b' END", ""),
    ("text", "s.note FROM states s WHERE t.old = s.code", ""),
    ("text", "old", "ALTER TABLE t ALTER new TYPE int USING 5;"),
    ("text", "o.old FROM t o", ""),
    ("text", "t9.code FROM states WHERE t.old = states.code", ""),
    ("text", "(SELECT code FROM states WHERE code = note)", ""),
    ("int", "(SELECT id FROM states old WHERE old.id = t11.last)", ""),
]


def test_what_leaves_a_choice_comes_back_empty_and_is_named(shadow: Shadow) -> None:
    prior, forward = STATES, ""
    for number, (kind, expression, more) in enumerate(NOT_MOVED):
        prior += f"CREATE TABLE t{number} (id int, old {kind}, last {kind}, code text);"
        prior += f"INSERT INTO t{number} VALUES (1, '1', '2');"
        change = f"""ALTER TABLE t ADD COLUMN new {kind}; UPDATE t SET new = {expression}; {more}
                     ALTER TABLE t DROP COLUMN old;"""
        change = change.replace("TABLE t ", f"TABLE t{number} ").replace("UPDATE t ", f"UPDATE t{number} ")
        forward += change.replace("t.old", f"t{number}.old").replace("FROM t ", f"FROM t{number} ")
    shadow.apply(prior)
    inverse = derive(forward, shadow)
    assert inverse.gaps == ()
    told = {each.relation: each.why for each in inverse.from_backup if each.change == "DROP COLUMN"}
    empty = "old comes back without its values"
    assert told == {f"public.t{number}": empty for number in range(len(NOT_MOVED))}
    shadow.apply(inverse.script)
    assert [values(shadow, f"t{number}") for number in range(len(NOT_MOVED))] == [[None]] * len(NOT_MOVED)


def test_rows_that_it_did_not_name_get_what_was_chosen_for_them(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int, old int NOT NULL); INSERT INTO t VALUES (1, 1), (2, 9)")
    forward = f"ALTER TABLE t ADD new text; UPDATE t SET new = {BY_CASE}; ALTER TABLE t DROP old"
    inverse = derive(forward, shadow, Options.exact(fill_default=NEUTRAL))
    assert [each.change for each in inverse.from_backup] == ["DROP COLUMN"]
    assert inverse.gaps == ()
    shadow.apply(inverse.script)
    assert values(shadow) == ["1", "0"]


def test_a_row_that_was_changed_as_well_leaves_a_doubt(shadow: Shadow) -> None:
    shadow.apply(f"{STATES} CREATE TABLE t (id int, old text NOT NULL); INSERT INTO t VALUES (1, 'shut')")
    forward = """ALTER TABLE t ADD new int; UPDATE t SET new = (SELECT id FROM states WHERE code = old);
                 ALTER TABLE t DROP old; UPDATE states SET code = 'closed' WHERE code = 'shut'"""
    inverse = derive(forward, shadow)
    assert any("the migration changed public.states as well" in each.why for each in inverse.from_backup)
    assert inverse.gaps == ()


def test_what_is_written_since_stops_the_script_or_comes_along(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int, old int); INSERT INTO t VALUES (1, 1), (2, 2)")
    inverse = derive("ALTER TABLE t ADD new text; UPDATE t SET new = old; ALTER TABLE t DROP old", shadow)
    shadow.apply("UPDATE t SET new = '007' WHERE id = 1")
    assert [loss.count for loss in measure(shadow.connection, inverse.goes)] == [1]
    shadow.apply(inverse.script)
    assert values(shadow) == ["7", "2"]


def test_completeness_sees_the_values_back(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int PRIMARY KEY, old int NOT NULL)")
    forward = "ALTER TABLE t ADD new text; UPDATE t SET new = old; ALTER TABLE t DROP old"
    with shadow.copied() as copy:
        inverse = derive(forward, copy)
    found = completeness(forward, inverse.script, shadow)
    assert any(" on table t" in each.key for each in found.findings)
    assert [each for each in found.findings if each.fate is Fate.NOT_UNDONE] == []


TOUCH = """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN NEW.last := OLD.last + 1; RETURN NEW; END $$;"""
LISTENING = f"""{TOUCH}
    CREATE TRIGGER "Touched" BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER always BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER off BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER replica BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE t ENABLE ALWAYS TRIGGER always;
    ALTER TABLE t DISABLE TRIGGER off;
    ALTER TABLE t ENABLE REPLICA TRIGGER replica;
    CREATE RULE told AS ON UPDATE TO t DO ALSO UPDATE heard SET times = times + 1;
    ALTER TABLE t ENABLE ALWAYS RULE told;"""


@pytest.mark.parametrize("form", ["plain", "partitioned"])
def test_nobody_hears_a_lookup_that_comes_back(shadow: Shadow, form: str) -> None:
    """Triggers and rules of the table rest meanwhile, and are as before then: each in its own state."""
    made = "CREATE TABLE t (id int NOT NULL, old int REFERENCES states, last int)"
    if form == "partitioned":
        made += """ PARTITION BY LIST (id); CREATE TABLE below PARTITION OF t DEFAULT"""
    shadow.apply(f"""{STATES} {made}; INSERT INTO t VALUES (1, 1, 0), (2, NULL, 0);
        CREATE TABLE heard (times int); INSERT INTO heard VALUES (0); {LISTENING}""")
    if form == "partitioned":
        shadow.apply("""ALTER TABLE below DISABLE TRIGGER "Touched"; ALTER TABLE below ENABLE TRIGGER off;
            CREATE TRIGGER own AFTER INSERT OR DELETE ON below EXECUTE FUNCTION touch();""")
    dumped = dump(shadow.dsn)
    forward = """ALTER TABLE t ADD COLUMN new text;
        UPDATE t SET new = (SELECT code FROM states s WHERE s.id = old);
        ALTER TABLE t DROP COLUMN old;"""
    inverse = derive(forward, shadow, Options())
    assert inverse.from_backup == ()
    kept = "SELECT id, last, times FROM t, heard ORDER BY id"
    stood = shadow.connection.execute(kept).fetchall()
    shadow.apply(inverse.script)
    assert values(shadow) == ["1", None]
    assert shadow.connection.execute(kept).fetchall() == stood
    assert verdict(dumped, dump(shadow.dsn)).word in (EXACT, MODULO_ORDER)


def test_nobody_hears_values_that_rows_get_for_not_null(shadow: Shadow) -> None:
    """Not even where a check of the new values would wait for the end, and hold up what follows."""
    shadow.apply(f"""{STATES} CREATE TABLE t (id int, last int, state int NOT NULL
            REFERENCES states DEFERRABLE INITIALLY DEFERRED, note text NOT NULL);
        CREATE TABLE heard (times int); INSERT INTO heard VALUES (0); {LISTENING}""")
    dumped = dump(shadow.dsn)
    forward = "ALTER TABLE t ALTER state DROP NOT NULL, ALTER note DROP NOT NULL"
    fill = {("public", "t", "state"): "2", ("public", "t", "note"): "(SELECT min(note) FROM states)"}
    inverse = derive(forward, shadow, Options(fill=fill))
    shadow.apply("INSERT INTO t VALUES (1, 5, NULL, NULL)")
    shadow.apply(inverse.script)
    found = shadow.connection.execute("SELECT state, note, last, times FROM t, heard").fetchall()
    assert found == [(2, "x", 5, 0)]
    assert verdict(dumped, dump(shadow.dsn)).word == EXACT
