"""Read a schema as data: catalog queries over a warm connection, also inside an open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from executor.schema.catalog import dependents, operators, programs, relations, remote, types
from executor.schema.catalog.query import Query
from executor.schema.objects import Address, Object, Ref, Snapshot

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

FAMILIES = (types, relations, dependents, programs, operators, remote)
CATALOGS = (
    "SELECT relname::text, oid::bigint FROM pg_class"
    " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
)
COMMENTS = (
    "SELECT classoid::bigint, objoid::bigint, objsubid, description FROM pg_description"
    " WHERE objoid >= 16384 OR classoid = 'pg_namespace'::regclass"
)
LABELS = (
    "SELECT classoid::bigint, objoid::bigint, objsubid, provider, label FROM pg_seclabel ORDER BY provider"
)
DEPENDENCIES = (
    "SELECT classid::bigint, objid::bigint, objsubid, refclassid::bigint, refobjid::bigint,"
    " refobjsubid, deptype::text FROM pg_depend WHERE objid >= 16384 AND deptype <> 'e'"
)
POSITIONS = (
    "WITH s AS MATERIALIZED (SELECT seqrelid FROM pg_sequence)"
    " SELECT n.nspname, c.relname, CASE WHEN has_sequence_privilege(c.oid, 'SELECT,USAGE')"
    " THEN pg_sequence_last_value(c.oid) END"
    " FROM s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname !~ '^pg_'"
)
# Of these most databases have none of their own (what is made after initdb has an OID from 16384 on). Each
# query costs its planning, whether it finds something or not, and that is most of what a snapshot costs.
RARE = frozenset(
    (
        *("pg_am", "pg_cast", "pg_collation", "pg_conversion", "pg_default_acl", "pg_event_trigger"),
        *("pg_foreign_data_wrapper", "pg_foreign_server", "pg_opclass", "pg_operator", "pg_opfamily"),
        *("pg_policy", "pg_publication", "pg_publication_namespace", "pg_publication_rel"),
        *("pg_statistic_ext", "pg_subscription", "pg_transform", "pg_trigger", "pg_ts_config", "pg_ts_dict"),
        *("pg_ts_parser", "pg_ts_template", "pg_user_mapping"),
    )
)
# As pg_dump sets them: definitions come out qualified, and constants in them read the same everywhere.
RENDERING = {
    "search_path": "",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "quote_all_identifiers": "off",
}


def snapshot(connection: Connection) -> Snapshot:
    """The schema of the connection's database as the current transaction sees it. Members of extensions are
    left out; roles, databases and settings of the server are no part of a schema. Raises psycopg.Error."""
    version = connection.info.server_version
    with _rendering(connection):
        return read(connection, version)


def read(connection: Connection, version: int) -> Snapshot:
    """The snapshot, under settings that the caller has made."""
    superuser = connection.info.parameter_status("is_superuser") == "on"
    wanted = [query for query in queries(version // 10000) if superuser or not query.superuser]
    empty = _empty(connection, {query.catalog for query in wanted} & RARE)
    wanted = [query for query in wanted if query.catalog not in empty]
    # One round trip for all of them: each alone would wait for the server some forty times.
    with connection.pipeline():
        catalogs = connection.execute(CATALOGS)
        found = [(query, connection.execute(query.sql)) for query in wanted]
        comments, labels = connection.execute(COMMENTS), connection.execute(LABELS)
        dependencies, positions = connection.execute(DEPENDENCIES), connection.execute(POSITIONS)
    numbers: dict[str, int] = dict(catalogs.fetchall())
    objects: dict[Ref, Object] = {}
    for query, cursor in found:
        _collect(cursor, query, numbers[query.catalog], objects)
    _describe(objects, comments.fetchall(), labels.fetchall())
    last = {Ref("sequence", (schema, name)): value for schema, name, value in positions.fetchall()}
    return Snapshot(version, objects, tuple(dependencies.fetchall()), last)


def _empty(connection: Connection, catalogs: Iterable[str]) -> set[str]:
    """Which of these catalogs hold nothing but what came with the server."""
    names = sorted(catalogs)
    asked = ", ".join(f"EXISTS (SELECT FROM pg_catalog.{name} WHERE oid >= 16384)" for name in names)
    row = connection.execute(f"SELECT {asked}").fetchone() or ()
    return {name for name, used in zip(names, row, strict=True) if not used}


def queries(major: int) -> list[Query]:
    """All catalog queries for a server of this major version."""
    return [query for family in FAMILIES for query in family.queries(major) if query.since <= major]


@contextmanager
def _rendering(connection: Connection) -> Iterator[None]:
    names = list(RENDERING)
    before = connection.execute(
        "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    ).fetchone()
    assert before is not None  # noqa: S101 (a SELECT without FROM has one row)
    _set(connection, list(RENDERING.values()))
    try:
        yield
    finally:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            _set(connection, list(before))


def _set(connection: Connection, values: list[str]) -> None:
    calls = ", ".join(f"set_config('{name}', %s, false)" for name in RENDERING)
    connection.execute(f"SELECT {calls}", values)


def _collect(cursor: Cursor, query: Query, catalog: int, into: dict[Ref, Object]) -> None:
    result = cursor.pgresult
    assert result is not None  # noqa: S101 (every query is a SELECT)
    start = 2 + query.parts
    names = [(result.fname(number) or b"").decode() for number in range(start, result.nfields)]
    for row in cursor.fetchall():
        kind = query.kind
        attributes = dict(zip(names, row[start:], strict=True))
        if kind == "view" and attributes["form"] == "m":
            kind = "materialized view"
        ref = Ref(kind, row[2:start])
        into[ref] = Object(ref, (catalog, row[0], row[1]), attributes)


def _describe(
    objects: dict[Ref, Object], comments: Iterable[tuple[Any, ...]], labels: Iterable[tuple[Any, ...]]
) -> None:
    """Add comments and security labels."""
    by_address: dict[Address, Object] = {thing.address: thing for thing in objects.values()}
    for *address, text in comments:
        thing = by_address.get(tuple(address))
        if thing is not None:
            thing.attributes["comment"] = text
    for *address, provider, label in labels:
        thing = by_address.get(tuple(address))
        if thing is not None:
            thing.attributes.setdefault("security_labels", []).append([provider, label])
