"""The data plan: what goes is found by reading and in the live catalog, and counted, or said not to be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from approvals.analysis import plan_script
from executor.schema.destroys import Destroys, destroys
from executor.schema.inverse import Options
from executor.schema.loss import Loss, measure
from executor.schema.lost import CHANGED, ROWS, VALUES, Lost, may_change
from executor.schema.prove import derive
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

BANK = """
    CREATE TABLE users (id int PRIMARY KEY, name text);
    CREATE TABLE wallets (id int PRIMARY KEY, owner int REFERENCES users, note text, rate numeric(8, 4));
    INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 10) n;
    INSERT INTO wallets SELECT n, n, CASE WHEN n < 4 THEN 'x' END, n + 0.125 FROM generate_series(1, 10) n;
"""


def destroyed(shadow: Shadow, script: str) -> Destroys:
    return destroys((each.sql for each in plan_script(script).statements), snapshot(shadow.connection))


def counted(shadow: Shadow, script: str) -> list[tuple[int | None, str, int | None]]:
    found = destroyed(shadow, script)
    return [
        (loss.step, str(loss.lost), loss.count)
        for loss in measure(shadow.connection, found.goes)
        if loss.exact
    ]


def of_inverse(shadow: Shadow, forward: str, then: str = "", options: Options | None = None) -> list[Loss]:
    inverse = derive(forward, shadow, options)
    shadow.apply(then)
    return list(measure(shadow.connection, inverse.goes))


def test_rows_and_values_of_a_generated_way_back_are_counted(shadow: Shadow) -> None:
    shadow.apply(BANK)
    losses = of_inverse(
        shadow,
        "ALTER TABLE wallets ADD COLUMN tag text; CREATE TABLE logs (id int)",
        "UPDATE wallets SET tag = 'y' WHERE id > 7; INSERT INTO logs VALUES (1), (2)",
    )
    assert sorted((str(loss.lost), loss.count, loss.exact) for loss in losses) == [
        ("table public.logs with all its rows", 2, True),
        ("the values of column public.wallets.tag", 3, True),
    ]


def test_an_empty_table_loses_nothing(shadow: Shadow) -> None:
    (loss,) = of_inverse(shadow, "CREATE TABLE logs (id int)")
    assert loss.nothing


def test_what_goes_is_named_as_it_stands_before_the_script(shadow: Shadow) -> None:
    shadow.apply(BANK)
    (loss,) = of_inverse(
        shadow, "ALTER TABLE wallets RENAME TO purses; ALTER TABLE purses ADD COLUMN tag text"
    )
    assert (loss.lost, loss.count) == (Lost(VALUES, ("public", "purses"), "tag"), 0)


def test_a_rebuilt_table_loses_only_the_values_of_new_columns(shadow: Shadow) -> None:
    shadow.apply(BANK)
    forward = "ALTER TABLE wallets DROP COLUMN note; ALTER TABLE wallets ADD COLUMN tag text DEFAULT 'z'"
    (loss,) = of_inverse(shadow, forward, "", Options.exact())
    assert (loss.lost, loss.count) == (Lost(VALUES, ("public", "wallets"), "tag"), 10)


def test_values_that_another_type_rounds_are_counted(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a numeric(8, 1)); INSERT INTO t VALUES (1.5), (2)")
    (loss,) = of_inverse(shadow, "ALTER TABLE t ALTER a TYPE numeric(8, 3)", "INSERT INTO t VALUES (3.125)")
    assert (loss.lost.kind, loss.count, loss.stops) == (CHANGED, 1, 0)


def test_values_of_a_type_without_a_cast_back_count_as_changed_where_they_read_differently(
    shadow: Shadow,
) -> None:
    shadow.apply("CREATE TABLE jobs (started time)")
    (loss,) = of_inverse(
        shadow,
        "ALTER TABLE jobs DROP COLUMN started; ALTER TABLE jobs ADD COLUMN started timestamp",
        "INSERT INTO jobs VALUES ('2026-11-22 03:04'), (NULL)",
    )
    assert (loss.lost.kind, loss.count, loss.exact, loss.unknown) == (CHANGED, 1, True, "")


def test_values_that_do_not_fit_stop_the_script_and_are_not_cut(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a character(3)); INSERT INTO t VALUES ('abc')")
    (loss,) = of_inverse(shadow, "ALTER TABLE t ALTER a TYPE text", "INSERT INTO t VALUES ('abcdef'), ('x')")
    assert (loss.count, loss.stops) == (0, 1)


def test_a_value_of_another_kind_is_told_as_what_stops_the_script(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (a int)")
    (loss,) = of_inverse(shadow, "ALTER TABLE t ALTER a TYPE text", "INSERT INTO t VALUES ('x')")
    assert (loss.count, loss.stops) == (None, 1)
    assert "invalid input syntax for type integer" in loss.unknown


def test_what_goes_with_an_attribute_is_counted_in_the_columns_of_the_type(shadow: Shadow) -> None:
    shadow.apply(
        """CREATE TYPE pair AS (l int, r text); CREATE TABLE t (old pair, more pair[], id int PRIMARY KEY);
           INSERT INTO t VALUES ((1, 'x'), NULL, 1), (NULL, ARRAY[(1, 'x')::pair], 2)"""
    )
    forward = "ALTER TYPE pair ADD ATTRIBUTE note text; ALTER TABLE t RENAME old TO new"
    later = "INSERT INTO t VALUES ((1, 'x', 'y'), ARRAY[(1, 'x', 'y')::pair, (1, 'x', NULL)::pair], 3)"
    for options in (Options.exact(), Options(keep_data=True)):
        with shadow.copied() as copy:
            losses = of_inverse(copy, forward, later, options)
            counted = {loss.lost.column: loss.count for loss in losses}
            assert (counted, {loss.lost.kind for loss in losses}) == ({"new": 1, "more": 1}, {VALUES})


def test_rows_that_only_the_running_script_can_tell_are_no_number(shadow: Shadow) -> None:
    shadow.apply(
        "CREATE TABLE places (id int PRIMARY KEY, name text); CREATE TABLE times (place int, day text)"
    )
    forward = """INSERT INTO places VALUES (1, 'IWI');
                 INSERT INTO times VALUES ((SELECT id FROM places WHERE name = 'IWI'), 'MONDAY');
                 INSERT INTO places VALUES (2, 'IWI')"""
    inverse = derive(forward, shadow)
    assert (inverse.from_backup, inverse.gaps) == ((), ())
    known = {str(loss.lost).partition(" where")[0]: loss for loss in measure(shadow.connection, inverse.goes)}
    assert "shows only while the script runs" in known["rows of table public.times"].unknown
    shadow.apply(inverse.script)
    assert shadow.connection.execute("SELECT count(*) FROM times").fetchone() == (0,)


def test_above_the_limit_there_is_an_estimate_that_says_so(shadow: Shadow) -> None:
    shadow.apply(BANK + "ANALYZE")
    goes = [(1, Lost(ROWS, ("public", "wallets"))), (2, Lost(VALUES, ("public", "wallets"), "note"))]
    rows, values = measure(shadow.connection, goes, limit=5)
    assert (rows.count, rows.exact, values.count, values.exact) == (10, False, 3, False)
    assert rows.estimated_at is not None
    assert "≈ 10 rows" in str(rows)


def test_without_statistics_nothing_is_made_up(shadow: Shadow) -> None:
    shadow.apply(
        "CREATE TABLE t (a int) WITH (autovacuum_enabled = off); INSERT INTO t SELECT generate_series(1, 9)"
    )
    (loss,) = measure(shadow.connection, [(1, Lost(ROWS, ("public", "t")))], limit=5)
    assert (loss.count, loss.exact) == (None, False)
    assert "never analysed" in str(loss)


def test_since_when_is_the_migration_or_not_told(shadow: Shadow) -> None:
    shadow.apply(BANK)
    goes = [(1, Lost(ROWS, ("public", "wallets")))]
    moment = datetime(2025, 11, 22, 8, 30, tzinfo=UTC)
    (known,) = measure(shadow.connection, goes, applied_at=moment)
    (unknown,) = measure(shadow.connection, goes)
    assert known.since == moment
    assert "none older than 2025-11-22 08:30" in str(known)
    assert unknown.since is None


def test_since_when_is_told_of_what_came_with_the_migration_alone(shadow: Shadow) -> None:
    shadow.apply(BANK)
    forward = """ALTER TABLE wallets ADD COLUMN tag text DEFAULT 'x';
                 CREATE TABLE logs (id int); INSERT INTO logs VALUES (1)"""
    inverse = derive(forward, shadow, Options())
    ran_at = datetime(2025, 11, 22, 8, 30)  # noqa: DTZ001 (a history has no zone)
    losses = measure(shadow.connection, inverse.goes, applied_at=ran_at, came=inverse.came)
    assert {loss.lost.name: (loss.since, loss.since_unknown) for loss in losses} == {
        "public.wallets.tag": (ran_at, ""),
        "public.logs": (ran_at, ""),
    }
    (older,) = measure(
        shadow.connection, [(1, Lost(ROWS, ("public", "wallets")))], applied_at=ran_at, came=inverse.came
    )
    assert older.since is None
    assert older.since_unknown == "the server records no commit times (track_commit_timestamp is off)"


def test_where_commit_times_are_recorded_they_say_since_when(older_shadow: Shadow) -> None:
    begin = datetime.now(UTC)
    older_shadow.apply(BANK)
    losses = measure(
        older_shadow.connection,
        [(1, Lost(ROWS, ("public", "wallets"))), (2, Lost(VALUES, ("public", "wallets"), "note"))],
        came=(),
    )
    for loss in losses:
        assert loss.since is not None
        assert begin <= loss.since <= datetime.now(UTC)
        assert (loss.since_because, loss.since_unknown) == ("commit times are recorded", "")


def test_rows_that_policies_hide_are_counted_too(shadow: Shadow) -> None:
    shadow.apply(BANK + "ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    assert counted(shadow, "TRUNCATE wallets, users") == [
        (1, "table public.wallets with all its rows", 10),
        (1, "table public.users with all its rows", 10),
    ]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("DROP TABLE users CASCADE", [(1, "table public.users with all its rows", 10)]),
        (
            "TRUNCATE users CASCADE",
            [
                (1, "table public.users with all its rows", 10),
                (1, "table public.wallets with all its rows", 10),
            ],
        ),
        ("SELECT 1; DELETE FROM wallets WHERE id > 8", [(2, "rows of table public.wallets where id > 8", 2)]),
        (
            "UPDATE wallets SET note = 'a' WHERE id < 9",
            [(1, "the values of column public.wallets.note where id < 9", 3)],
        ),
        (
            "ALTER TABLE wallets RENAME TO purses; ALTER TABLE purses DROP COLUMN note",
            [(2, "the values of column public.wallets.note", 3)],
        ),
        ("DROP SCHEMA shop CASCADE", [(1, "table shop.orders with all its rows", 1)]),
        ("DROP TYPE mood CASCADE", [(1, "the values of column public.moods.feels", 1)]),
        ("DROP TABLE parts", [(1, "table public.parts with all its rows", 2)]),
        ("DO $$ BEGIN DROP TABLE moods; END $$", [(1, "table public.moods with all its rows", 1)]),
        ("DROP TABLE IF EXISTS nothing_there CASCADE; DROP VIEW nor_here", []),
        (
            "ALTER TABLE wallets ALTER rate TYPE int USING 0",
            [(1, "the values of column public.wallets.rate", 10)],
        ),
        ("ALTER TABLE wallets ALTER id TYPE bigint USING wallets.id::text::bigint", []),
        (
            "ALTER TABLE wallets ALTER rate TYPE int USING rate::int",
            [(1, "values of column public.wallets.rate that integer can't hold as they are", 10)],
        ),
    ],
)
def test_a_script_of_any_origin_is_read_with_the_live_catalog(
    shadow: Shadow, script: str, found: list[tuple[int, str, int]]
) -> None:
    shadow.apply(
        BANK
        + """CREATE SCHEMA shop; CREATE TABLE shop.orders (id int); INSERT INTO shop.orders VALUES (1);
             CREATE TYPE mood AS ENUM ('well'); CREATE TABLE moods (feels mood);
             INSERT INTO moods VALUES ('well');
             CREATE TABLE parts (a int) PARTITION BY LIST (a);
             CREATE TABLE p1 PARTITION OF parts FOR VALUES IN (1);
             CREATE TABLE p2 PARTITION OF parts FOR VALUES IN (2); INSERT INTO parts VALUES (1), (2)"""
    )
    assert counted(shadow, script) == found


@pytest.mark.parametrize(
    "script",
    [
        "DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'users'; END $$",
        "CALL clean_up()",
        "UPDATE wallets SET note = '' WHERE pg_sleep(0) IS NULL",
        "WITH lost AS (DELETE FROM users RETURNING id) DELETE FROM wallets USING lost WHERE owner = lost.id",
        "MERGE INTO wallets w USING users u ON w.owner = u.id WHEN MATCHED THEN DELETE",
        "DELETE FROM named WHERE id = 1",
        "INSERT INTO users VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
    ],
)
def test_what_can_not_be_read_is_named(shadow: Shadow, script: str) -> None:
    shadow.apply(BANK + "CREATE VIEW named AS SELECT * FROM users WHERE name IS NOT NULL")
    assert [number for number, _ in destroyed(shadow, script).unknown] == [1]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("DELETE FROM users WHERE id > 8", {"users": 2, "wallets": 2, "marks.owner": 2}),
        ("DELETE FROM ONLY users u USING wallets w WHERE w.owner = u.id AND w.note = 'x'", {"users": 3}),
        ("DELETE FROM users AS u WHERE EXISTS (SELECT FROM wallets w WHERE w.owner = u.id)", {"users": 10}),
        ("DELETE FROM users WHERE lower(name) = 'u7'", {"users": 1, "wallets": 1, "marks.owner": 1}),
        ("WITH few AS (SELECT 3 AS id) DELETE FROM users USING few WHERE few.id = users.id", {"users": 1}),
        ("WITH gone AS (DELETE FROM wallets WHERE id < 3 RETURNING *) SELECT FROM gone", {"wallets": 2}),
        ("UPDATE users SET id = id + 100 WHERE id = 1", {"users.id": 1, "codes.owner": 1, "wallets": None}),
        ("ALTER TABLE wallets DROP CONSTRAINT wallets_owner_fkey; DELETE FROM users", {"wallets": None}),
    ],
)
def test_rows_are_counted_wherever_they_are_and_whatever_goes_along(
    shadow: Shadow, script: str, found: dict[str, int | None]
) -> None:
    shadow.apply(
        BANK.replace("REFERENCES users", "REFERENCES users ON DELETE CASCADE")
        + """CREATE TABLE marks (owner int REFERENCES users ON DELETE SET NULL);
             CREATE TABLE codes (owner int REFERENCES users ON UPDATE CASCADE ON DELETE CASCADE);
             INSERT INTO marks SELECT id FROM users; INSERT INTO codes VALUES (1)"""
    )
    losses = measure(shadow.connection, destroyed(shadow, script).goes)
    counts = {loss.lost.name.removeprefix("public."): loss.count for loss in losses if loss.exact}
    assert {name: counts.get(name) for name in found} == {k: v or None for k, v in found.items()}


@pytest.mark.parametrize(
    ("now", "becomes", "maybe"),
    [
        ("integer", "bigint", False),
        ("bigint", "integer", False),
        ("integer", "text", False),
        ("numeric(8,3)", "numeric(8,1)", True),
        ("double precision", "integer", True),
        ("timestamp with time zone", "date", True),
        ("text", "integer", True),
    ],
)
def test_conversions_that_may_change_values(now: str, becomes: str, maybe: bool) -> None:
    assert may_change(now, becomes) is maybe
