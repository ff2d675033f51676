"""Values that a migration computed (ALTER TYPE … USING) are computed back where the expression leaves no
choice, on rows; where it leaves one, that is said."""

from __future__ import annotations

import psycopg
import pytest

from executor.completeness import Fate, completeness
from executor.schema.inverse import Options
from executor.schema.loss import measure
from executor.schema.prove import derive
from executor.schema.shadow import Shadow

TYPES = "CREATE TYPE size AS ENUM ('small', 'large'); CREATE TYPE shade AS ENUM ('Dark', 'Light', 'None');"
YES = "CASE c WHEN true THEN 'Light' ELSE 'Dark' END::shade"
BY_FUNCTION = """CREATE FUNCTION shaded(b bool) RETURNS shade LANGUAGE sql AS
    $$ SELECT CASE WHEN b = TRUE THEN 'Light'::shade ELSE 'Dark'::shade END $$;
    ALTER TABLE t ALTER c TYPE shade USING shaded(c); DROP FUNCTION shaded"""


def using(kind: str, expression: str) -> str:
    return f"ALTER TABLE t ALTER c TYPE {kind} USING {expression}"


EXACT = [
    ("boolean NOT NULL", "(true), (false)", using("shade", YES)),
    ("boolean NOT NULL", "(true), (false)", BY_FUNCTION),
    ("boolean", "(true), (false), (NULL)", using("int", "CASE c WHEN true THEN 2 WHEN false THEN 1 END")),
    ("boolean", "(true), (false), (NULL)", using("text", "CASE WHEN c THEN 'Y' WHEN NOT c THEN 'N' END")),
    ("size", "('small'), ('large'), (NULL)", using("boolean", "c = 'large'")),
    ("size", "('small'), ('large'), (NULL)", using("boolean", "NOT (c <> 'large')")),
    ("int", "(0), (1700000000), (-1), (NULL)", using("timestamptz", "to_timestamp(c)")),
    ("bigint", "(1700000000123), (NULL)", using("timestamptz", "to_timestamp(c / 1000.0)")),
    ("bigint", "(1700000000123)", using("timestamptz", "to_timestamp(c::double precision / 1000)")),
    ("bigint", "(1700000000)", using("timestamp", "to_timestamp(c) AT TIME ZONE 'UTC'")),
    ("timestamptz", "('2026-03-29 01:30:00.123456+00')", using("numeric", "extract(epoch FROM c)")),
    ("timestamp", "('2026-03-29 01:30:00.123456')", using("numeric", "extract(epoch FROM c)")),
    ("timestamp", "('2026-03-29 02:30'), (NULL)", using("timestamptz", "c AT TIME ZONE 'UTC'")),
    ("int", "(1), (250), (NULL)", using("bigint", "c * 100")),
    ("int", "(1), (250), (NULL)", using("bigint", "7 + c")),
    ("int", "(1), (250), (NULL)", using("numeric(12, 2)", "c / 100.0")),
    ("text", "('a'), (''), (NULL)", using("text[]", "ARRAY[c]")),
    ("text", "('a,b'), (''), (NULL)", using("text[]", "string_to_array(c, ',')")),
    ("text", "('a\"b'), (NULL)", using("jsonb", "to_jsonb(c)")),
    ("text", "('né'), (''), (NULL)", using("bytea", "convert_to(c, 'UTF8')")),
    ("bytea", "('\\xc3a9'), (NULL)", using("text", "convert_from(c, 'UTF8')")),
    ("bytea", "('\\xc3a9'), (NULL)", using("text", "encode(c, 'hex')")),
    ("int NOT NULL", "(5)", using("bigint", "coalesce(c, 0)")),
]


@pytest.mark.parametrize("options", [Options.exact(), Options()], ids=["exact", "cheap"])
def test_every_value_of_before_comes_back(shadow: Shadow, options: Options) -> None:
    tables, forward = TYPES, ""
    for number, (kind, rows, change) in enumerate(EXACT):
        tables += f"CREATE TABLE t{number} (id int GENERATED ALWAYS AS IDENTITY, gone int, c {kind});"
        tables += f"INSERT INTO t{number} (c) VALUES {rows};"
        forward += f"{change.replace('TABLE t', f'TABLE t{number}')}; ALTER TABLE t{number} DROP COLUMN gone;"
    shadow.apply(tables)
    shadow.connection.execute("SET timezone = 'Asia/Kathmandu'")
    before = [values(shadow, f"t{number}") for number in range(len(EXACT))]
    inverse = derive(forward, shadow, options)
    assert inverse.gaps == ()
    assert {each.change for each in inverse.from_backup} == {"DROP COLUMN"}
    assert [str(loss) for loss in measure(shadow.connection, inverse.goes) if loss.count != 0] == []
    shadow.connection.execute("SET timezone = 'America/Lima'")
    for step in inverse.steps:
        shadow.connection.execute(step.sql.encode())
    shadow.connection.execute("SET timezone = 'Asia/Kathmandu'")
    for number, case in enumerate(EXACT):
        assert values(shadow, f"t{number}") == before[number], case


def values(shadow: Shadow, table: str = "t") -> list[str | None]:
    found = shadow.connection.execute(f"SELECT c::text FROM {table} ORDER BY id").fetchall()
    return [value for (value,) in found]


@pytest.mark.parametrize(
    ("kind", "forward", "later", "back", "stops", "why"),
    [
        # A fallback takes in what nobody names: what is named comes back.
        (
            "smallint",
            using("shade", "CASE c WHEN 0 THEN 'Dark' WHEN 1 THEN 'Light' ELSE 'Dark' END::shade"),
            "('Light'), ('Dark')",
            ["1", "0"],
            0,
            "all that the migration does not name became 'Dark'",
        ),
        # A value that came with the type has none of before.
        ("boolean NOT NULL", using("shade", YES), "('None')", None, 1, ""),
        ("boolean", using("shade", YES), "('Dark')", ["false"], 0, "rows without a value got one"),
        ("smallint", using("boolean", "c <> 0"), "(true), (false)", ["1", "0"], 0, "became true"),
        ("text", using("bytea", "decode(c, 'escape')"), "('a')", ["a"], 0, "other spellings"),
        # Fractions that came later are rounded, and counted.
        ("int", using("timestamptz", "to_timestamp(c)"), "('1970-01-01 00:00:01.4+00')", ["1"], 1, ""),
        ("int", using("bigint", "c * 100"), "(150)", ["1"], 1, ""),
        (
            "timestamptz",
            using("int", "extract(epoch FROM c)::int"),
            "(0)",
            ["1970-01-01 00:00:00+00"],
            0,
            "no fraction",
        ),
    ],
    ids=["fallback", "new value", "null", "truth", "bytes", "moment", "times", "epoch"],
)
def test_what_leaves_a_choice_is_said(
    shadow: Shadow, kind: str, forward: str, later: str, back: list[str] | None, stops: int, why: str
) -> None:
    shadow.apply(f"{TYPES} CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, c {kind})")
    inverse = derive(forward, shadow)
    assert [why in each.why for each in inverse.from_backup] == ([True] if why else [])
    shadow.apply(f"INSERT INTO t (c) VALUES {later}")
    (loss,) = measure(shadow.connection, inverse.goes)
    if back is None:
        assert (loss.count, loss.stops) == (None, stops)
        assert "no value of before: None" in loss.unknown
        with pytest.raises(psycopg.DataError, match="no value of before: None"):
            shadow.apply(inverse.script)
        return
    assert loss.count == stops
    shadow.apply(inverse.script)
    assert values(shadow) == back


@pytest.mark.parametrize(
    ("kind", "forward"),
    [
        ("text", using("varchar(9)", "lower(c)")),
        ("size", using("int", "CASE c WHEN 'small' THEN 1 WHEN 'large' THEN 1 END")),
        ("shade", using("boolean", "c = 'Light'")),
        ("bigint", using("timestamptz", "to_timestamp(c / 1000)")),
        ("bigint", using("timestamp", "to_timestamp(c)")),
        ("int", using("text", "c || 'x'")),
        ("int", using("bigint", "c * id")),
        ("int", using("bigint", "c") + "; " + using("int", "c * 2") + "; " + using("bigint", "c * 2")),
    ],
)
def test_where_nobody_can_tell_the_backup_is_named(shadow: Shadow, kind: str, forward: str) -> None:
    shadow.apply(f"{TYPES} CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, c {kind})")
    inverse = derive(forward, shadow)
    (gone,) = inverse.from_backup
    assert gone.change == "ALTER TYPE"
    assert "Casts only" in inverse.script


def test_a_refusal_names_the_value_that_does_not_fit_whatever_comes_after_it(shadow: Shadow) -> None:
    shadow.apply(f"{TYPES} CREATE TABLE t (id int, c size); CREATE VIEW v AS SELECT c FROM t")
    shadow.apply("INSERT INTO t VALUES (1, 'small')")
    forward = f"DROP VIEW v; {using('int', '0')}; CREATE VIEW v AS SELECT c FROM t"
    inverse = derive(forward, shadow)
    assert any('invalid input value for enum size: "0"' in gap for gap in inverse.gaps)


def test_the_same_type_with_other_values_is_named_too(shadow: Shadow) -> None:
    shadow.apply("CREATE TABLE t (id int, c bigint)")
    inverse = derive(using("bigint", "c * 100"), shadow)
    (gone,) = inverse.from_backup
    assert "were computed by an expression" in gone.why


def test_completeness_believes_what_rows_show(shadow: Shadow) -> None:
    shadow.apply(
        f"{TYPES} CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, c boolean NOT NULL)"
    )
    forward = using("shade", YES)
    with shadow.copied() as copy:
        script = derive(forward, copy).script
    with shadow.copied() as copy:
        assert completeness(forward, script, copy).complete
    with shadow.copied() as copy:
        found = completeness(forward, "ALTER TABLE t ALTER c TYPE boolean USING c = 'Dark'", copy)
    (effect,) = [each for each in found.findings if each.key.startswith("ALTER TYPE")]
    assert (effect.fate, effect.measured) == (Fate.NOT_UNDONE, True)
    assert "have other values than before in c" in effect.reason
