"""Rows are made for tables whatever their columns are of, and whatever is computed from these."""

from __future__ import annotations

from executor.schema.filling import fill
from executor.schema.shadow import Shadow
from executor.schema.snapshot import snapshot

QUEUE = """
    CREATE TYPE state AS ENUM ('CREATED', 'RUNNING');
    CREATE FUNCTION state_of(text) RETURNS state LANGUAGE sql IMMUTABLE AS
        $$ SELECT CASE $1 WHEN 'CREATED' THEN 'CREATED'::state WHEN 'RUNNING' THEN 'RUNNING'::state END $$;
    CREATE FUNCTION moment(text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
        $$ SELECT CASE WHEN $1 ~ '^[0-9-]+T[0-9:]+Z$' THEN $1::timestamptz END $$;
    CREATE FUNCTION span(text) RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT $1::interval $$;
    CREATE FUNCTION words(text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS
        $$ SELECT to_tsvector('simple', $1) $$;
    CREATE TABLE runs (
        key varchar(20) PRIMARY KEY,
        value jsonb NOT NULL,
        deleted bool NOT NULL GENERATED ALWAYS AS (CAST(value ->> 'deleted' AS bool)) STORED,
        id varchar(10) NOT NULL UNIQUE GENERATED ALWAYS AS (value ->> 'id') STORED,
        revision int NOT NULL GENERATED ALWAYS AS ((value -> 'of' ->> 'revision')::int) STORED,
        state state NOT NULL GENERATED ALWAYS AS (state_of(value #>> '{state, current}')) STORED,
        lasted bigint NOT NULL GENERATED ALWAYS AS
            (extract(epoch FROM span(value #>> '{state, "duration"}'))) STORED,
        began timestamptz NOT NULL GENERATED ALWAYS AS (moment(value ->> 'began')) STORED,
        found tsvector GENERATED ALWAYS AS (words(value ->> 'id') || words(value ->> 'name')) STORED
    )
"""


def test_a_document_has_the_keys_that_other_columns_are_computed_from(shadow: Shadow) -> None:
    shadow.apply(QUEUE)
    found = fill(shadow.connection, snapshot(shadow.connection))
    assert found.empty == {}
    rows = shadow.connection.execute(
        "SELECT deleted, id, revision, state::text, lasted, found IS NOT NULL FROM runs ORDER BY id"
    ).fetchall()
    assert rows == [(True, str(n), n, "CREATED", n, True) for n in (1, 2, 3)]


KINDS = """smallint numeric(9,2) real money boolean date time timetz timestamp timestamptz interval json
    jsonb uuid bytea inet cidr macaddr macaddr8 char(3) varchar(5) text name tsvector bit(3) varbit int4range
    int8range numrange daterange tsrange tstzrange int4multirange nummultirange datemultirange tstzmultirange
    point box lseg circle polygon path line pg_lsn pair mood whole"""


def test_there_is_a_value_for_columns_of_all_kinds(shadow: Shadow) -> None:
    columns = ", ".join(f"c{number} {kind} NOT NULL" for number, kind in enumerate(KINDS.split()))
    shadow.apply(
        f"""CREATE TYPE mood AS ENUM ('well'); CREATE DOMAIN whole AS int;
            CREATE TYPE pair AS (l int, r text[]);
            CREATE TABLE t ({columns}, above numrange CHECK (upper(above) > 0),
                apart tstzrange NOT NULL, EXCLUDE USING gist (apart WITH &&))"""
    )
    assert fill(shadow.connection, snapshot(shadow.connection)).empty == {}
