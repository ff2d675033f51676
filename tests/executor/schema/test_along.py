"""What goes along with rows that a way back deletes is named and counted, however far keys lead; and so is
who hears of it."""

from __future__ import annotations

import pytest

from executor.schema.dump import EXACT, dump, verdict
from executor.schema.loss import measure
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

FAMILY = """
    CREATE TABLE top (id int PRIMARY KEY, up int REFERENCES top ON DELETE CASCADE, n int);
    CREATE TABLE low (id int PRIMARY KEY, top int REFERENCES top ON DELETE CASCADE, n int UNIQUE);
    CREATE TABLE leaf (id int PRIMARY KEY, low int REFERENCES low ON DELETE SET NULL, at int DEFAULT 0);
    CREATE TABLE late (low int DEFAULT 1 REFERENCES low ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE part (id int, low int DEFAULT 1 REFERENCES low ON DELETE SET DEFAULT) PARTITION BY LIST (id);
    CREATE TABLE part_1 PARTITION OF part DEFAULT;
    CREATE TABLE log (what text);
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN NEW.at := OLD.at + 1; RETURN NEW; END $$;
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO log VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
    CREATE TRIGGER touched BEFORE UPDATE ON leaf FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER off BEFORE UPDATE ON leaf FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE leaf DISABLE TRIGGER off;
    CREATE TRIGGER told AFTER INSERT OR DELETE ON top FOR EACH ROW EXECUTE FUNCTION tell();
    CREATE TRIGGER each_time AFTER UPDATE ON leaf EXECUTE FUNCTION tell();
    CREATE RULE said AS ON DELETE TO low DO ALSO NOTIFY low;
    INSERT INTO top VALUES (1, 1); INSERT INTO low VALUES (1, 1);
"""
FORWARD = "INSERT INTO top VALUES (7, NULL); ALTER TABLE top ADD more int"
SINCE = """
    INSERT INTO top VALUES (8, 7), (9, 8), (2, 1);
    INSERT INTO low VALUES (7, 7), (9, 9), (2, 1);
    INSERT INTO leaf VALUES (1, 7), (2, 9), (3, 7), (4, 1);
    INSERT INTO late VALUES (7), (1);
    INSERT INTO part VALUES (1, 9), (2, 1);
"""
COUNTED = {
    ("rows", "top", "", ""): 1 + 2,
    ("rows", "low", "", ""): 2,
    ("values", "leaf", "low", ""): 3,
    ("rows", "late", "", ""): 1,
    ("values", "part", "low", ""): 1,
    ("heard", "top", "", "trigger told of public.top"): 3,
    ("heard", "low", "", "rule said of public.low"): 2,
    ("heard", "leaf", "", "trigger touched of public.leaf"): 3,
    ("heard", "top", "", "trigger each_time of public.leaf"): 1,
}


def test_all_that_goes_along_is_counted(shadow: Shadow) -> None:
    shadow.apply(FAMILY)
    dumped = dump(shadow.dsn)
    inverse = derive(FORWARD, shadow)
    shadow.apply(SINCE)
    found: dict[tuple[str, str, str, str], int] = {}
    for loss in measure(shadow.connection, inverse.goes):
        if not loss.nothing:
            key = (loss.lost.kind, loss.lost.relation[1], loss.lost.column, loss.lost.becomes)
            found[key] = found.get(key, 0) + (loss.count or 0)
    assert found == COUNTED
    shadow.apply(inverse.script)
    assert verdict(dumped, dump(shadow.dsn)).word == EXACT
    stays = {"top": [1, 2], "low": [1, 2], "leaf": [1, 2, 3, 4], "part": [1, 2]}
    for table, ids in stays.items():
        rows = shadow.connection.execute(f"SELECT id FROM {table} ORDER BY 1").fetchall()
        assert [number for (number,) in rows] == ids
    touched = shadow.connection.execute("SELECT id FROM leaf WHERE at > 0 ORDER BY 1").fetchall()
    assert touched == [(1,), (2,), (3,)]  # as was said


def test_what_nobody_referred_to_takes_nothing_along(shadow: Shadow) -> None:
    shadow.apply(FAMILY.replace("CREATE TRIGGER told", "CREATE TRIGGER told_x").replace("OR DELETE", ""))
    inverse = derive(FORWARD, shadow)
    losses = [loss for loss in measure(shadow.connection, inverse.goes) if not loss.nothing]
    rows = "rows of table public.top where id = 7: 1 rows"
    listener = "trigger each_time of public.leaf"
    assert [str(loss) for loss in losses] == [rows, f"what {listener} does that hears of {rows}"]


CIRCLE = """CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int);
    ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE;
    ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a ON DELETE CASCADE;"""


def test_a_circle_of_tables_announces_no_less_than_goes(shadow: Shadow) -> None:
    shadow.apply(CIRCLE)
    inverse = derive("INSERT INTO a VALUES (1, NULL)", shadow)
    shadow.apply("""INSERT INTO b VALUES (1, 1); INSERT INTO a VALUES (2, 1);
        INSERT INTO b VALUES (2, 2); INSERT INTO a VALUES (3, 2); INSERT INTO b VALUES (3, 3)""")
    counted = {"a": 0, "b": 0}
    for loss in measure(shadow.connection, inverse.goes):
        counted[loss.lost.relation[1]] = max(counted[loss.lost.relation[1]], loss.count or 0)
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT FROM a UNION ALL SELECT FROM b").fetchall() == []
    assert counted == {"a": 3, "b": 3}


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_keys_of_before_count_where_rows_go_last(shadow: Shadow, action: str) -> None:
    """A row that can't go before the rest goes behind it, when the key that the migration dropped is back."""
    shadow.apply(f"""CREATE TABLE a (id int PRIMARY KEY);
        CREATE TABLE b (id int, a int CONSTRAINT k REFERENCES a ON DELETE {action});""")
    forward = """ALTER TABLE b DROP CONSTRAINT k; INSERT INTO a VALUES (7);
        CREATE TABLE c (a int REFERENCES a); INSERT INTO c VALUES (7)"""
    inverse = derive(forward, shadow)
    shadow.apply("INSERT INTO b VALUES (1, 7)")
    counted = {loss.lost.relation[1] for loss in measure(shadow.connection, inverse.goes) if loss.count}
    assert counted == {"a", "b", "c"}
    shadow.apply(inverse.script)
    left = shadow.connection.execute("SELECT id, a FROM b").fetchall()
    assert left == ([] if action == "CASCADE" else [(1, None)])


def test_a_check_that_waits_for_the_end_stops_nothing(shadow: Shadow) -> None:
    shadow.apply("""CREATE TABLE a (id int PRIMARY KEY);
        CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED);""")
    dumped = dump(shadow.dsn)
    inverse = derive("INSERT INTO a VALUES (7); ALTER TABLE a ADD more int", shadow)
    assert inverse.gaps == ()
    shadow.apply(inverse.script)
    assert verdict(dumped, dump(shadow.dsn)).word == EXACT
    assert shadow.connection.execute("SELECT FROM a").fetchall() == []


def test_where_too_many_ways_lead_each_table_is_named_once(shadow: Shadow) -> None:
    """Of ten tables of which each refers to all before, by rows that go along."""
    for number in range(10):
        keys = "".join(f", c{to} int REFERENCES t{to} ON DELETE CASCADE" for to in range(number))
        shadow.apply(f"CREATE TABLE t{number} (id int PRIMARY KEY{keys})")
    inverse = derive("INSERT INTO t0 VALUES (1)", shadow)
    shadow.apply("INSERT INTO t1 VALUES (5, 1), (6, NULL)")
    counted = {str(loss.lost.relation[1]): loss.count for loss in measure(shadow.connection, inverse.goes)}
    assert counted == {"t0": 1, "t1": 2, **{f"t{number}": 0 for number in range(2, 10)}}
