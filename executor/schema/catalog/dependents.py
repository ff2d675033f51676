"""What hangs on relations: constraints, indexes, rules, triggers, policies, statistics."""

from __future__ import annotations

from executor.schema.catalog.query import USER_SCHEMA, Query, not_of_extension

_OWN = f"{USER_SCHEMA} AND {not_of_extension('pg_class', 'c.oid')}"


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [_constraints(), _indexes(), _rules(), _triggers(), _policies(), _statistics()]


def _constraints() -> Query:
    """NOT NULL belongs to the column; constraint triggers are triggers; clones on partitions come of
    themselves,
    but for keys, whose names `pg_dump` writes."""
    return Query(
        "constraint",
        "pg_constraint",
        3,
        f"""
        SELECT k.oid, 0, n.nspname, c.relname, k.conname, k.contype::text AS type,
               pg_get_constraintdef(k.oid) AS definition, x.reloptions AS options,
               (SELECT spcname FROM pg_tablespace s WHERE s.oid = x.reltablespace)::text AS tablespace,
               coalesce(i.indisclustered, false) AS clustered,
               CASE WHEN k.confrelid <> 0 THEN
                 (SELECT ARRAY[fn.nspname, f.relname]::text[] FROM pg_class f JOIN pg_namespace fn ON
                   fn.oid = f.relnamespace
                   WHERE f.oid = k.confrelid) END AS references,
               (SELECT ARRAY[pn.nspname, p.relname]::text[] FROM pg_inherits h JOIN pg_class p ON p.oid =
                 h.inhparent
                  JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = k.conindid) AS
                    parent_index,
               c.relkind::text AS form
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid =
            c.relnamespace
          LEFT JOIN pg_class x ON x.oid = k.conindid AND k.contype IN ('p', 'u', 'x')
          LEFT JOIN pg_index i ON i.indexrelid = x.oid
         WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND (k.conparentid = 0 OR k.contype IN ('p', 'u', 'x'))
           AND (k.conislocal OR k.contype <> 'c') AND {_OWN}
        """,
    )


def _indexes() -> Query:
    return Query(
        "index",
        "pg_class",
        2,
        f"""
        SELECT x.oid, 0, n.nspname, x.relname, ARRAY[tn.nspname, c.relname]::text[] AS relation,
               pg_get_indexdef(x.oid) AS definition, i.indisunique AS is_unique, i.indisvalid AS valid,
               i.indisclustered AS clustered,
               (SELECT spcname FROM pg_tablespace s WHERE s.oid = x.reltablespace)::text AS tablespace,
               (SELECT array_agg(ARRAY[a.attnum, a.attstattarget] ORDER BY a.attnum) FROM pg_attribute a
                 WHERE a.attrelid = x.oid AND a.attstattarget >= 0) AS statistics_targets,
               (SELECT ARRAY[pn.nspname, p.relname]::text[] FROM pg_inherits h JOIN pg_class p ON p.oid =
                 h.inhparent
                  JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = x.oid) AS parent_index,
               i.indexprs IS NOT NULL OR i.indpred IS NOT NULL AS computed, c.relkind::text AS form
          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid =
            x.relnamespace
          JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'm') AND {_OWN}
           AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u',
             'x'))
        """,
    )


def _rules() -> Query:
    return Query(
        "rule",
        "pg_rewrite",
        3,
        f"""
        SELECT r.oid, 0, n.nspname, c.relname, r.rulename, pg_get_ruledef(r.oid) AS definition,
               r.ev_enabled::text AS enabled
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid =
            c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {_OWN}
        """,
    )


def _triggers() -> Query:
    return Query(
        "trigger",
        "pg_trigger",
        3,
        f"""
        SELECT t.oid, 0, n.nspname, c.relname, t.tgname, pg_get_triggerdef(t.oid) AS definition,
               t.tgenabled::text AS enabled
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND {_OWN}
        """,
    )


def _policies() -> Query:
    return Query(
        "policy",
        "pg_policy",
        3,
        f"""
        SELECT p.oid, 0, n.nspname, c.relname, p.polname, p.polcmd::text AS command, p.polpermissive AS
          permissive,
               ARRAY(SELECT CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END
                       FROM unnest(p.polroles) r ORDER BY 1) AS roles,
               pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {_OWN}
        """,
    )


def _statistics() -> Query:
    return Query(
        "statistics",
        "pg_statistic_ext",
        2,
        f"""
        SELECT s.oid, 0, n.nspname, s.stxname, pg_get_statisticsobjdef(s.oid) AS definition,
               nullif(s.stxstattarget, -1) AS target, pg_get_userbyid(s.stxowner)::text AS owner
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE {USER_SCHEMA} AND {not_of_extension("pg_statistic_ext", "s.oid")}
        """,
    )
