"""What rows get in a column that comes back NOT NULL and whose former values are gone."""

from __future__ import annotations

from executor.schema.inverse.action import Statement
from executor.schema.inverse.column_sql import column_definition, set_not_null
from executor.schema.inverse.family import Context, relation
from executor.schema.inverse.options import NEUTRAL
from executor.schema.lost import CHANGED, VALUES, Lost
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref
from executor.schema.sql_text import stands_alone

NEUTRAL_VALUES = (
    (("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"), "'empty'"),
    (("int4multi", "int8multi", "nummulti", "datemulti", "tsmulti", "tstzmulti"), "'{}'"),
    (("smallint", "integer", "bigint", "numeric", "real", "double", "oid", "money"), "0"),
    (("boolean",), "false"),
    (("character", "text", "citext", "bytea", "bit", "tsvector"), "''"),
    (("timestamp", "date"), "'1970-01-01'"),
    (("time",), "'00:00'"),
    (("interval",), "'0'"),
    (("jsonb", "json"), "'{}'"),
    (("uuid",), "'00000000-0000-0000-0000-000000000000'"),
    (("inet", "cidr"), "'0.0.0.0'"),
)


_PLACE = "((ctid::text::point)[0] * 2048 + (ctid::text::point)[1])::bigint"
OWN_VALUES = (
    (("character varying(", "character("), f"to_hex({_PLACE})"),
    (("text", "character varying", "citext"), "ctid::text"),
    (("uuid",), "gen_random_uuid()"),
    (("smallint", "integer", "bigint", "numeric"), _PLACE),
    (("date",), f"date '1970-01-01' + {_PLACE}::integer"),
    (("timestamp",), f"timestamp '1970-01-01' + {_PLACE} * interval '1 second'"),
)
"""For rows that must differ: the place of the row (its block, and its item there, of which no page has 2,048)
differs from all others while the script runs. The first that fits counts."""


def _beginning(written: str, known: tuple[tuple[tuple[str, ...], str], ...]) -> str:
    """The value for the first of the known types that the written one is; '' without one."""
    return next((value for beginnings, value in known if written.startswith(beginnings)), "")


def _unique(thing: Object, context: Context, *, alone: bool = False) -> bool:
    """Whether a key or unique index of the schema to come back to has the column (`alone`: and no other)."""
    for ref in context.before.needed_by.get(thing.ref, ()):
        other = context.before.get(ref)
        if other is None or ref.kind not in ("constraint", "index"):
            continue
        key = other["type"] in "pu" if ref.kind == "constraint" else other["is_unique"]
        columns = [need for need in context.before.needs.get(ref, ()) if need.kind == "column"]
        if key and not (alone and len(columns) > 1):
            return True
    return False


def needs_fill(thing: Object, default: Object | None, context: Context) -> bool:
    """Whether rows that exist would have no value for the column, or all the same where they must differ."""
    if not thing["not_null"] or thing["identity"] or thing["generated"]:
        return False
    return default is None or ("(" not in default["expression"] and _unique(thing, context, alone=True))


def fill_value(thing: Object, context: Context) -> str | None:
    """The expression for rows of a column that comes back NOT NULL; None where there is none."""
    schema, table, column = thing.ref.path
    given = context.options.fill.get((schema, table, column))
    if given is not None:
        return given
    return neutral_value(thing, context) if context.options.fill_default == NEUTRAL else None


def referred_to(thing: Object, context: Context) -> str:
    """The table to which a foreign key of the column refers, as SQL; '' without one. No value is neutral
    there: each means a row."""
    keys = (part for part in context.before.parts(*thing.ref.relation) if part.ref.kind == "constraint")
    for key in keys:
        if key["type"] == "f" and key["references"] and thing.ref in context.before.needs.get(key.ref, ()):
            return dotted(key["references"])
    return ""


def neutral_value(thing: Object, context: Context) -> str | None:
    """The zero value of the column's type, or where it must be unique one of each row's own; None where the
    type has none that is known, and for a foreign key."""
    written: str = thing["type"]
    if referred_to(thing, context):
        return None
    if _unique(thing, context) and (own := _beginning(written, OWN_VALUES)):
        return own
    if written.endswith("[]"):
        return "'{}'"
    if value := _beginning(written, NEUTRAL_VALUES):
        return value
    for kind in context.before.of_kind("type"):
        if dotted(kind.ref.path) == written and kind["form"] == "e" and kind["labels"]:
            return literal(kind["labels"][0])
    return None


def moved_from(thing: Object, filling: str | None, context: Context) -> tuple[Ref | None, str | None]:
    """The column in which the migration keeps the values of one that comes back, if that is still in its
    table, and what rows get then; else nothing, and `filling`."""
    computed = context.conversions.get(thing.ref)
    if computed is None or computed.source is None or not computed.back:
        return None, filling
    source = context.now.by_address.get(computed.source)
    if source is None:
        return None, filling
    value = computed.of(quoted(source.name))
    return source, value if filling is None or computed.exact else f"coalesce({value}, {filling})"


def lost_with(column: Object, context: Context) -> Lost:
    """What goes with a column: its values, or where the migration brought those of another column to it, the
    values that don't come back there as they are."""
    for ref, computed in context.conversions.items():
        if computed.source == column.address and computed.back:
            kind = context.before[ref]["type"]
            return Lost(CHANGED, column.ref.relation, column.ref.name, kind, ways=computed.ways)
    return Lost(VALUES, column.ref.relation, column.ref.name)


def filled(thing: Object, default: Object | None, filling: str, table: str) -> list[Statement]:
    """A column with a value for the rows that are there. A default takes no time at all, and no UPDATE where
    that can be; where it must be one, whoever would hear it rests: it does not concern them."""
    name = quoted(thing.ref.name)
    if default is None and stands_alone(filling):
        with_value = column_definition(thing, None, value=filling)
        drop = f"{table} ALTER COLUMN {name} DROP DEFAULT"
        return [Statement(f"{table} ADD COLUMN {with_value}", fills=True), Statement(drop)]
    collation = f" COLLATE {thing['collation']}" if thing["collation"] else ""
    rewrite = f"{table} ALTER COLUMN {name} TYPE {thing['type']}{collation} USING {filling}"
    update = f"UPDATE {relation(thing.ref)} SET {name} = {filling}"
    return [
        Statement(f"{table} ADD COLUMN {column_definition(thing, default, not_null=False)}"),
        Statement(rewrite, (update,), fills=True, table=relation(thing.ref)),
        *([Statement(set_not_null(thing, table))] if thing["not_null"] else []),
    ]
