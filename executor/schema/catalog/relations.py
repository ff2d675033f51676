"""Tables, their columns, defaults, partitions and inheritance; sequences; views."""

from __future__ import annotations

from executor.schema.catalog.query import USER_SCHEMA, Query, not_of_extension

_OWN = f"{USER_SCHEMA} AND {not_of_extension('pg_class', 'c.oid')}"


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [_tables(), _columns(version), _defaults(), _partitions(), _sequences(), _views(), _view_columns()]


def _tables() -> Query:
    return Query(
        "table",
        "pg_class",
        2,
        f"""
        SELECT c.oid, 0, n.nspname, c.relname,
               c.relkind::text AS form, c.relpersistence::text AS persistence,
               (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam)::text AS access_method,
               (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)::text AS tablespace,
               c.reloptions AS options,
               (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid) AS toast_options,
               c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
               c.relreplident::text AS replica_identity,
               (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 WHERE i.indrelid = c.oid AND i.indisreplident AND c.relreplident = 'i')::text AS
                   replica_index,
               pg_get_partkeydef(c.oid) AS partition_key,
               CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
               ARRAY(SELECT ARRAY[pn.nspname, p.relname]::text[] FROM pg_inherits h JOIN pg_class p ON
                 p.oid = h.inhparent
                      JOIN pg_namespace pn ON pn.oid = p.relnamespace
                      WHERE h.inhrelid = c.oid AND NOT c.relispartition ORDER BY h.inhseqno) AS parents,
               (SELECT srvname FROM pg_foreign_server s WHERE s.oid = f.ftserver)::text AS server,
               f.ftoptions AS foreign_options,
               pg_get_userbyid(c.relowner)::text AS owner,
               coalesce(c.relacl, acldefault('r', c.relowner))::text[] AS grants
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
         WHERE c.relkind IN ('r', 'p', 'f') AND {_OWN}
        """,
    )


def _columns(version: int) -> Query:
    if version >= 18:
        not_null = (
            "nn.conname::text AS not_null_name, nn.convalidated AS not_null_valid,"
            " nn.connoinherit AS not_null_only"
        )
        join = (
            "LEFT JOIN pg_constraint nn ON nn.conrelid = a.attrelid AND nn.contype = 'n'"
            " AND nn.conkey[1] = a.attnum"
        )
    else:
        not_null = "NULL::text AS not_null_name, a.attnotnull AS not_null_valid, false AS not_null_only"
        join = ""
    identity = "nullif(a.attidentity::text, '')"
    if version >= 17:  # partitions share the identity of their parent
        identity = f"CASE WHEN NOT c.relispartition THEN {identity} END"
    return Query(
        "column",
        "pg_class",
        3,
        f"""
        SELECT a.attrelid, a.attnum, n.nspname, c.relname, a.attname,
               format_type(a.atttypid, a.atttypmod) AS type,
               CASE WHEN a.attcollation <> t.typcollation THEN
                    (SELECT format('%I.%I', cn.nspname, o.collname) FROM pg_collation o
                       JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = a.attcollation)
               END AS collation,
               a.attnotnull AS not_null, {not_null},
               nullif(a.attgenerated::text, '') AS generated,
               CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS expression,
               {identity} AS identity,
               CASE WHEN a.attidentity <> '' THEN
                    (SELECT ARRAY[qn.nspname::text, q.relname::text, format_type(s.seqtypid, NULL),
                      s.seqstart::text,
                            s.seqincrement::text, s.seqmin::text, s.seqmax::text, s.seqcache::text,
                              s.seqcycle::text,
                            q.relpersistence::text]
                       FROM pg_depend i JOIN pg_sequence s ON s.seqrelid = i.objid JOIN pg_class q ON q.oid
                         = i.objid
                       JOIN pg_namespace qn ON qn.oid = q.relnamespace
                      WHERE i.classid = 'pg_class'::regclass AND i.refclassid = 'pg_class'::regclass
                        AND i.refobjid = a.attrelid AND i.refobjsubid = a.attnum AND i.deptype = 'i')
               END AS identity_sequence,
               CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage,
               t.typstorage::text AS usual_storage,
               nullif(a.attcompression::text, '') AS compression,
               nullif(a.attstattarget, -1) AS statistics_target,
               a.attoptions AS options, a.attfdwoptions AS foreign_options,
               a.attislocal AS local, a.attinhcount > 0 AS inherited,
               c.relkind::text AS form, t.typtype::text AS type_form,
               a.attacl::text[] AS grants
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid =
            c.relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          {join}
         WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {_OWN}
         ORDER BY a.attrelid, a.attnum
        """,
    )


def _defaults() -> Query:
    return Query(
        "default",
        "pg_attrdef",
        3,
        f"""
        SELECT d.oid, 0, n.nspname, c.relname, a.attname, pg_get_expr(d.adbin, d.adrelid) AS expression,
               c.relkind::text AS form
          FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
          JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attgenerated = '' AND {_OWN}
        """,
    )


def _partitions() -> Query:
    return Query(
        "partition",
        "pg_inherits",
        2,
        f"""
        SELECT c.oid, 0, n.nspname, c.relname, ARRAY[pn.nspname, p.relname]::text[] AS parent,
               pg_get_expr(c.relpartbound, c.oid) AS bound
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_inherits h ON h.inhrelid = c.oid JOIN pg_class p ON p.oid = h.inhparent
          JOIN pg_namespace pn ON pn.oid = p.relnamespace
         WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND {_OWN}
        """,
    )


def _sequences() -> Query:
    return Query(
        "sequence",
        "pg_class",
        2,
        f"""
        SELECT c.oid, 0, n.nspname, c.relname, format_type(s.seqtypid, NULL) AS type, s.seqstart AS start,
               s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache,
               s.seqcycle AS cycle, c.relpersistence::text AS persistence,
               (SELECT ARRAY[on_.nspname, o.relname, oa.attname]::text[] FROM pg_depend od
                  JOIN pg_class o ON o.oid = od.refobjid JOIN pg_namespace on_ ON on_.oid = o.relnamespace
                  JOIN pg_attribute oa ON oa.attrelid = o.oid AND oa.attnum = od.refobjsubid
                 WHERE od.classid = 'pg_class'::regclass AND od.objid = c.oid AND od.deptype = 'a'
                   AND od.refclassid = 'pg_class'::regclass) AS owned_by,
               pg_get_userbyid(c.relowner)::text AS owner,
               coalesce(c.relacl, acldefault('s', c.relowner))::text[] AS grants
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid =
            c.oid
         WHERE c.relkind = 'S' AND {_OWN}
           AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid
                            AND i.deptype = 'i')
        """,
    )


def _views() -> Query:
    return Query(
        "view",
        "pg_class",
        2,
        f"""
        SELECT c.oid, 0, n.nspname, c.relname, c.relkind::text AS form, pg_get_viewdef(c.oid) AS definition,
               c.reloptions AS options,
               CASE WHEN c.relkind = 'm' THEN c.relispopulated END AS populated,
               CASE WHEN c.relkind = 'm' THEN (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam)::text
                 END AS access_method,
               (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)::text AS tablespace,
               ARRAY(SELECT concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                 a.attcollation)
                       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS
                         columns,
               pg_get_userbyid(c.relowner)::text AS owner,
               coalesce(c.relacl, acldefault('r', c.relowner))::text[] AS grants
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND {_OWN}
        """,
    )


def _view_columns() -> Query:
    return Query(
        "view column",
        "pg_class",
        3,
        f"""
        SELECT a.attrelid, a.attnum, n.nspname, c.relname, a.attname, c.relkind::text AS form,
               nullif(a.attstattarget, -1) AS statistics_target, a.attacl::text[] AS grants
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid =
            c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND {_OWN}
        """,
    )
