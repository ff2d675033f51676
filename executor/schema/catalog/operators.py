"""Operators, operator classes and families, access methods, text search objects."""

from __future__ import annotations

from executor.schema.catalog.query import USER_SCHEMA, Query, not_of_extension


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [_operators(), _families(), _classes(), _access_methods(), *_text_search()]


def _operators() -> Query:
    return Query(
        "operator",
        "pg_operator",
        4,
        f"""
        SELECT o.oid, 0, n.nspname, o.oprname, CASE WHEN o.oprleft = 0 THEN 'NONE' ELSE
          format_type(o.oprleft, NULL) END,
               CASE WHEN o.oprright = 0 THEN 'NONE' ELSE format_type(o.oprright, NULL) END,
               format('CREATE OPERATOR %I.%s (%s)', n.nspname, o.oprname, concat_ws(', ',
                 'FUNCTION = ' || o.oprcode,
                 CASE WHEN o.oprleft <> 0 THEN 'LEFTARG = ' || format_type(o.oprleft, NULL) END,
                 CASE WHEN o.oprright <> 0 THEN 'RIGHTARG = ' || format_type(o.oprright, NULL) END,
                 (SELECT format('COMMUTATOR = OPERATOR(%I.%s)', xn.nspname, x.oprname) FROM pg_operator x
                    JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = o.oprcom),
                 (SELECT format('NEGATOR = OPERATOR(%I.%s)', xn.nspname, x.oprname) FROM pg_operator x
                    JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = o.oprnegate),
                 CASE WHEN o.oprcanmerge THEN 'MERGES' END, CASE WHEN o.oprcanhash THEN 'HASHES' END,
                 CASE WHEN o.oprrest <> 0 THEN 'RESTRICT = ' || o.oprrest END,
                 CASE WHEN o.oprjoin <> 0 THEN 'JOIN = ' || o.oprjoin END)) AS definition,
               pg_get_userbyid(o.oprowner)::text AS owner
          FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
         WHERE o.oprcode <> 0 AND {USER_SCHEMA} AND {not_of_extension("pg_operator", "o.oid")}
        """,
    )


_OF_CLASS = "d.refclassid = 'pg_opclass'::regclass AND d.refobjid = o.oid AND d.deptype = 'i'"


def _members(address: str) -> str:
    """The operators and functions that hang on a class or family (`address`: catalog and OID), as SQL
    texts."""
    return f"""
        ARRAY(SELECT format('OPERATOR %s %s(%s,%s)%s', m.amopstrategy, format('%I.%s', xn.nspname, x.oprname),
                     format_type(m.amoplefttype, NULL), format_type(m.amoprighttype, NULL),
                     (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, sf.opfname) FROM pg_opfamily sf
                        JOIN pg_namespace sn ON sn.oid = sf.opfnamespace WHERE sf.oid = m.amopsortfamily))
                FROM pg_depend d JOIN pg_amop m ON m.oid = d.objid JOIN pg_operator x ON x.oid = m.amopopr
                JOIN pg_namespace xn ON xn.oid = x.oprnamespace
               WHERE d.classid = 'pg_amop'::regclass AND {address} ORDER BY m.amopstrategy, m.amoplefttype,
                 m.amoprighttype)
        || ARRAY(SELECT format('FUNCTION %s (%s, %s) %s', m.amprocnum, format_type(m.amproclefttype, NULL),
                     format_type(m.amprocrighttype, NULL), m.amproc::regprocedure)
                FROM pg_depend d JOIN pg_amproc m ON m.oid = d.objid
               WHERE d.classid = 'pg_amproc'::regclass AND {address}
               ORDER BY m.amprocnum, m.amproclefttype, m.amprocrighttype)
    """


def _families() -> Query:
    return Query(
        "operator family",
        "pg_opfamily",
        3,
        f"""
        SELECT f.oid, 0, n.nspname, f.opfname, a.amname,
               format('CREATE OPERATOR FAMILY %I.%I USING %I', n.nspname, f.opfname, a.amname) AS definition,
               {_members("d.refclassid = 'pg_opfamily'::regclass AND d.refobjid = f.oid")} AS members,
               pg_get_userbyid(f.opfowner)::text AS owner
          FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am a ON a.oid = f.opfmethod
         WHERE {USER_SCHEMA} AND {not_of_extension("pg_opfamily", "f.oid")}
        """,
    )


def _classes() -> Query:
    return Query(
        "operator class",
        "pg_opclass",
        3,
        f"""
        SELECT o.oid, 0, n.nspname, o.opcname, a.amname,
               format('CREATE OPERATOR CLASS %I.%I%s FOR TYPE %s USING %I FAMILY %I.%I AS ', n.nspname,
                 o.opcname,
                 CASE WHEN o.opcdefault THEN ' DEFAULT' END, format_type(o.opcintype, NULL), a.amname,
                 fn.nspname, f.opfname)
               || array_to_string(CASE WHEN o.opckeytype <> 0 THEN ARRAY['STORAGE ' ||
                 format_type(o.opckeytype, NULL)]
                    ELSE '{{}}'::text[] END
                  || {_members(_OF_CLASS)}, ', ')
               AS definition, pg_get_userbyid(o.opcowner)::text AS owner
          FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am a ON a.oid = o.opcmethod
          JOIN pg_opfamily f ON f.oid = o.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
         WHERE {USER_SCHEMA} AND {not_of_extension("pg_opclass", "o.oid")}
        """,
    )


def _access_methods() -> Query:
    return Query(
        "access method",
        "pg_am",
        1,
        f"""
        SELECT a.oid, 0, a.amname, format('CREATE ACCESS METHOD %I TYPE %s HANDLER %s', a.amname,
                 CASE a.amtype WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END, a.amhandler) AS definition
          FROM pg_am a WHERE a.oid >= 16384 AND {not_of_extension("pg_am", "a.oid")}
        """,
    )


def _text_search() -> list[Query]:
    def own(catalog: str) -> str:
        return f"{USER_SCHEMA} AND {not_of_extension(catalog, 'o.oid')}"

    return [
        Query(
            "text search parser",
            "pg_ts_parser",
            2,
            f"""
            SELECT o.oid, 0, n.nspname, o.prsname,
                   format('CREATE TEXT
                     SEARCH PARSER %I.%I (START = %s, GETTOKEN = %s, END = %s, LEXTYPES = %s%s)',
                     n.nspname, o.prsname, o.prsstart, o.prstoken, o.prsend, o.prslextype,
                     CASE WHEN o.prsheadline <> 0 THEN ', HEADLINE = ' || o.prsheadline END) AS definition
              FROM pg_ts_parser o JOIN pg_namespace n ON n.oid = o.prsnamespace WHERE {own("pg_ts_parser")}
            """,
        ),
        Query(
            "text search template",
            "pg_ts_template",
            2,
            f"""
            SELECT o.oid, 0, n.nspname, o.tmplname,
                   format('CREATE TEXT SEARCH TEMPLATE %I.%I (%sLEXIZE = %s)', n.nspname, o.tmplname,
                     CASE WHEN o.tmplinit <> 0 THEN 'INIT = ' || o.tmplinit || ', ' END, o.tmpllexize) AS
                       definition
              FROM pg_ts_template o JOIN pg_namespace n ON n.oid = o.tmplnamespace WHERE
                {own("pg_ts_template")}
            """,
        ),
        Query(
            "text search dictionary",
            "pg_ts_dict",
            2,
            f"""
            SELECT o.oid, 0, n.nspname, o.dictname,
                   format('CREATE TEXT SEARCH DICTIONARY %I.%I (TEMPLATE = %I.%I%s)', n.nspname, o.dictname,
                     tn.nspname, t.tmplname, ', ' || o.dictinitoption) AS definition,
                   pg_get_userbyid(o.dictowner)::text AS owner
              FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace
              JOIN pg_ts_template t ON t.oid = o.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace
             WHERE {own("pg_ts_dict")}
            """,
        ),
        Query(
            "text search configuration",
            "pg_ts_config",
            2,
            f"""
            SELECT o.oid, 0, n.nspname, o.cfgname,
                   format('CREATE TEXT SEARCH CONFIGURATION %I.%I (PARSER = %I.%I)', n.nspname, o.cfgname,
                     pn.nspname, p.prsname) AS definition,
                   ARRAY(SELECT format('%I WITH %s', m.alias, string_agg(format('%I.%I', dn.nspname,
                     d.dictname), ', '
                                ORDER BY m.mapseqno))
                           FROM (SELECT (SELECT alias FROM ts_token_type(o.cfgparser) WHERE tokid =
                             c.maptokentype) AS alias,
                                        c.* FROM pg_ts_config_map c WHERE c.mapcfg = o.oid) m
                           JOIN pg_ts_dict d ON d.oid = m.mapdict JOIN pg_namespace dn ON dn.oid =
                             d.dictnamespace
                          GROUP BY m.alias, m.maptokentype ORDER BY m.maptokentype) AS mappings,
                   pg_get_userbyid(o.cfgowner)::text AS owner
              FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace
              JOIN pg_ts_parser p ON p.oid = o.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace
             WHERE {own("pg_ts_config")}
            """,
        ),
    ]
