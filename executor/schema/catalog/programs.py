"""Functions, procedures and aggregates, event triggers, languages, casts, transforms."""

from __future__ import annotations

from executor.schema.catalog.query import USER_SCHEMA, Query, not_of_extension

_OWN = f"{USER_SCHEMA} AND {not_of_extension('pg_proc', 'p.oid')}"


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [_functions(), _aggregates(), _event_triggers(), _languages(), _casts(), _transforms()]


def _functions() -> Query:
    return Query(
        "function",
        "pg_proc",
        3,
        f"""
        SELECT p.oid, 0, n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
               p.prokind::text AS form, pg_get_functiondef(p.oid) AS definition,
               pg_get_function_result(p.oid) AS result, pg_get_function_arguments(p.oid) AS arguments,
               p.pronargdefaults AS defaults, p.proargnames AS argument_names, p.proargmodes::text[] AS
                 argument_modes,
               p.prosqlbody IS NOT NULL AS bound,
               pg_get_userbyid(p.proowner)::text AS owner,
               coalesce(p.proacl, acldefault('f', p.proowner))::text[] AS grants
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prokind IN ('f', 'p', 'w') AND {_OWN}
           AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid
                            AND i.deptype = 'i')
        """,
    )


def _aggregates() -> Query:
    return Query(
        "aggregate",
        "pg_proc",
        3,
        f"""
        SELECT p.oid, 0, n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
               format('CREATE AGGREGATE %s.%s(%s) (%s)', quote_ident(n.nspname), quote_ident(p.proname),
                 CASE WHEN pg_get_function_arguments(p.oid) = '' THEN '*' ELSE
                   pg_get_function_arguments(p.oid) END,
                 concat_ws(', ',
                   'SFUNC = ' || a.aggtransfn::oid::regproc, 'STYPE = ' || format_type(a.aggtranstype, NULL),
                   CASE WHEN a.aggtransspace <> 0 THEN 'SSPACE = ' || a.aggtransspace END,
                   'INITCOND = ' || quote_literal(a.agginitval),
                   CASE WHEN a.aggfinalfn <> 0 THEN 'FINALFUNC = ' || a.aggfinalfn END,
                   CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
                   CASE WHEN a.aggfinalfn <> 0 THEN 'FINALFUNC_MODIFY = ' ||
                        CASE a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE
                          'READ_WRITE' END END,
                   CASE WHEN a.aggcombinefn <> 0 THEN 'COMBINEFUNC = ' || a.aggcombinefn END,
                   CASE WHEN a.aggserialfn <> 0 THEN 'SERIALFUNC = ' || a.aggserialfn END,
                   CASE WHEN a.aggdeserialfn <> 0 THEN 'DESERIALFUNC = ' || a.aggdeserialfn END,
                   CASE WHEN a.aggmtransfn <> 0 THEN 'MSFUNC = ' || a.aggmtransfn END,
                   CASE WHEN a.aggmtransfn <> 0 THEN 'MINVFUNC = ' || a.aggminvtransfn END,
                   CASE WHEN a.aggmtransfn <> 0 THEN 'MSTYPE = ' || format_type(a.aggmtranstype, NULL) END,
                   CASE WHEN a.aggmtransspace <> 0 THEN 'MSSPACE = ' || a.aggmtransspace END,
                   'MINITCOND = ' || quote_literal(a.aggminitval),
                   CASE WHEN a.aggmfinalfn <> 0 THEN 'MFINALFUNC = ' || a.aggmfinalfn END,
                   CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
                   CASE WHEN a.aggsortop <> 0 THEN
                     (SELECT format('SORTOP = OPERATOR(%I.%s)', sn.nspname, so.oprname) FROM pg_operator so
                        JOIN pg_namespace sn ON sn.oid = so.oprnamespace WHERE so.oid = a.aggsortop) END,
                   CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END,
                   CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED'
                     END
                 )) AS definition,
               pg_get_userbyid(p.proowner)::text AS owner,
               coalesce(p.proacl, acldefault('f', p.proowner))::text[] AS grants
          FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid JOIN pg_namespace n ON n.oid =
            p.pronamespace
         WHERE {_OWN}
        """,
    )


def _event_triggers() -> Query:
    return Query(
        "event trigger",
        "pg_event_trigger",
        1,
        f"""
        SELECT e.oid, 0, e.evtname,
               format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION %s()', e.evtname, e.evtevent,
                 ' WHEN TAG IN (' || (SELECT string_agg(quote_literal(t), ', ') FROM unnest(e.evttags) t)
                   || ')',
                 e.evtfoid::regproc) AS definition,
               e.evtenabled::text AS enabled, pg_get_userbyid(e.evtowner)::text AS owner
          FROM pg_event_trigger e WHERE {not_of_extension("pg_event_trigger", "e.oid")}
        """,
    )


def _languages() -> Query:
    return Query(
        "language",
        "pg_language",
        1,
        f"""
        SELECT l.oid, 0, l.lanname,
               format('CREATE %sPROCEDURAL LANGUAGE %I HANDLER %s%s%s', CASE WHEN l.lanpltrusted THEN
                 'TRUSTED ' END,
                 l.lanname, l.lanplcallfoid::regproc,
                 CASE WHEN l.laninline <> 0 THEN ' INLINE ' || l.laninline::regproc END,
                 CASE WHEN l.lanvalidator <> 0 THEN ' VALIDATOR ' || l.lanvalidator::regproc END) AS
                   definition,
               pg_get_userbyid(l.lanowner)::text AS owner,
               coalesce(l.lanacl, acldefault('l', l.lanowner))::text[] AS grants
          FROM pg_language l WHERE l.lanispl AND {not_of_extension("pg_language", "l.oid")}
        """,
    )


def _casts() -> Query:
    return Query(
        "cast",
        "pg_cast",
        2,
        f"""
        SELECT k.oid, 0, format_type(k.castsource, NULL), format_type(k.casttarget, NULL),
               format('CREATE CAST (%s AS %s) %s%s', format_type(k.castsource, NULL),
                 format_type(k.casttarget, NULL),
                 CASE k.castmethod WHEN 'b' THEN 'WITHOUT FUNCTION' WHEN 'i' THEN 'WITH INOUT'
                      ELSE 'WITH FUNCTION ' || k.castfunc::regprocedure END,
                 CASE k.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' END) AS
                   definition
          FROM pg_cast k WHERE k.oid >= 16384 AND {not_of_extension("pg_cast", "k.oid")}
           AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_cast'::regclass AND i.objid = k.oid
                            AND i.deptype = 'i')
        """,
    )


def _transforms() -> Query:
    return Query(
        "transform",
        "pg_transform",
        2,
        f"""
        SELECT t.oid, 0, format_type(t.trftype, NULL), l.lanname,
               format('CREATE TRANSFORM FOR %s LANGUAGE %I (%s)', format_type(t.trftype, NULL), l.lanname,
                 concat_ws(', ', CASE WHEN t.trffromsql <> 0 THEN 'FROM SQL WITH FUNCTION ' ||
                   t.trffromsql::regprocedure END,
                   CASE WHEN t.trftosql <> 0 THEN 'TO SQL WITH FUNCTION ' || t.trftosql::regprocedure END))
                     AS definition
          FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
         WHERE {not_of_extension("pg_transform", "t.oid")}
        """,
    )
