"""Rows are made for tables whose columns are computed from a document."""

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
