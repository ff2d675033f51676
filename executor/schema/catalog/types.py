"""Schemas, extensions, types (enum, composite, domain, range) and collations, conversions."""

from __future__ import annotations

from executor.schema.catalog.query import USER_SCHEMA, Query, not_of_extension


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [_schemas(), _extensions(), _types(), _domain_constraints(), _collations(version), _conversions()]


def _schemas() -> Query:
    return Query(
        "schema",
        "pg_namespace",
        1,
        f"""
        SELECT n.oid, 0, n.nspname, pg_get_userbyid(n.nspowner)::text AS owner,
               coalesce(n.nspacl, acldefault('n', n.nspowner))::text[] AS grants
          FROM pg_namespace n WHERE {USER_SCHEMA} AND {not_of_extension("pg_namespace", "n.oid")}
        """,
    )


def _extensions() -> Query:
    return Query(
        "extension",
        "pg_extension",
        1,
        """
        SELECT e.oid, 0, e.extname, n.nspname::text AS schema, e.extversion AS version
          FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384
        """,
    )


def _types() -> Query:
    return Query(
        "type",
        "pg_type",
        2,
        f"""
        SELECT t.oid, 0, n.nspname, t.typname, t.typtype::text AS form,
               CASE WHEN t.typtype = 'e' THEN
                 ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY
                   e.enumsortorder) END AS labels,
               CASE WHEN t.typtype = 'e' THEN
                 ARRAY(SELECT e.oid FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END
                   AS label_oids,
               CASE WHEN t.typtype = 'c' THEN
                 ARRAY(SELECT concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                              CASE WHEN a.attcollation <> u.typcollation THEN
                                (SELECT format('COLLATE %I.%I', cn.nspname, o.collname) FROM pg_collation o
                                   JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid =
                                     a.attcollation) END)
                         FROM pg_attribute a JOIN pg_type u ON u.oid = a.atttypid
                        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY
                          a.attnum) END AS attributes,
               CASE WHEN t.typtype = 'c' THEN
                 ARRAY(SELECT a.attnum::integer FROM pg_attribute a WHERE a.attrelid = t.typrelid
                          AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) END AS attribute_numbers,
               CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base,
               CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN
                 (SELECT format('%I.%I', cn.nspname, o.collname) FROM pg_collation o
                    JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = t.typcollation) END AS
                      collation,
               CASE WHEN t.typtype = 'd' THEN t.typnotnull END AS not_null,
               CASE WHEN t.typtype = 'd' THEN t.typdefault END AS default,
               CASE WHEN t.typtype = 'r' THEN
                 concat_ws(', ', 'SUBTYPE = ' || format_type(r.rngsubtype, NULL),
                   (SELECT format('SUBTYPE_OPCLASS = %I.%I', cn.nspname, o.opcname) FROM pg_opclass o
                      JOIN pg_namespace cn ON cn.oid = o.opcnamespace WHERE o.oid = r.rngsubopc AND NOT
                        o.opcdefault),
                   (SELECT format('COLLATION = %I.%I', cn.nspname, o.collname) FROM pg_collation o
                      JOIN pg_namespace cn ON cn.oid = o.collnamespace
                      JOIN pg_type st ON st.oid = r.rngsubtype AND st.typcollation <> o.oid WHERE o.oid =
                        r.rngcollation),
                   CASE WHEN r.rngcanonical <> 0 THEN 'CANONICAL = ' || r.rngcanonical::regproc END,
                   CASE WHEN r.rngsubdiff <> 0 THEN 'SUBTYPE_DIFF = ' || r.rngsubdiff::regproc END,
                   'MULTIRANGE_TYPE_NAME = ' || (SELECT format('%I.%I', mn.nspname, m.typname) FROM pg_type m
                      JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid)) END
                        AS range,
               CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typlen, t.typalign,
                 t.typstorage) END AS base_type,
               t.typisdefined AS defined,
               pg_get_userbyid(t.typowner)::text AS owner,
               coalesce(t.typacl, acldefault('T', t.typowner))::text[] AS grants
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
          LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_range r ON r.rngtypid = t.oid
          LEFT JOIN pg_type b ON b.oid = t.typbasetype
         WHERE t.typtype IN ('b', 'c', 'd', 'e', 'r', 'p') AND (t.typrelid = 0 OR c.relkind = 'c')
           AND NOT EXISTS (SELECT FROM pg_type el WHERE el.typarray = t.oid)
           AND {USER_SCHEMA} AND {not_of_extension("pg_type", "t.oid")}
        """,
    )


def _domain_constraints() -> Query:
    return Query(
        "domain constraint",
        "pg_constraint",
        3,
        f"""
        SELECT k.oid, 0, n.nspname, t.typname, k.conname, pg_get_constraintdef(k.oid) AS definition,
               k.contype::text AS type
          FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid =
            t.typnamespace
         WHERE k.contype IN ('c', 'n') AND {USER_SCHEMA} AND {not_of_extension("pg_type", "t.oid")}
        """,
    )


def _collations(version: int) -> Query:
    locale = "colllocale" if version >= 17 else "colliculocale" if version >= 15 else "NULL::text"
    rules = "o.collicurules" if version >= 16 else "NULL::text"
    return Query(
        "collation",
        "pg_collation",
        2,
        f"""
        SELECT o.oid, 0, n.nspname, o.collname,
               format('CREATE COLLATION %I.%I (%s)', n.nspname, o.collname, concat_ws(', ',
                 'provider = ' || CASE o.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE
                   'libc' END,
                 CASE WHEN NOT o.collisdeterministic THEN 'deterministic = false' END,
                 'locale = ' || quote_literal({locale}),
                 'rules = ' || quote_literal({rules}),
                 CASE WHEN o.collprovider = 'c' THEN 'lc_collate = ' || quote_literal(o.collcollate) END,
                 CASE WHEN o.collprovider = 'c' THEN 'lc_ctype = ' || quote_literal(o.collctype) END)) AS
                   definition,
               pg_get_userbyid(o.collowner)::text AS owner
          FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
         WHERE {USER_SCHEMA} AND {not_of_extension("pg_collation", "o.oid")}
        """,
    )


def _conversions() -> Query:
    return Query(
        "conversion",
        "pg_conversion",
        2,
        f"""
        SELECT o.oid, 0, n.nspname, o.conname,
               format('CREATE %sCONVERSION %I.%I FOR %L TO %L FROM %s', CASE WHEN o.condefault THEN
                 'DEFAULT ' END,
                 n.nspname, o.conname, pg_encoding_to_char(o.conforencoding),
                   pg_encoding_to_char(o.contoencoding),
                 o.conproc) AS definition, pg_get_userbyid(o.conowner)::text AS owner
          FROM pg_conversion o JOIN pg_namespace n ON n.oid = o.connamespace
         WHERE {USER_SCHEMA} AND {not_of_extension("pg_conversion", "o.oid")}
        """,
    )
