"""Publications and subscriptions, foreign servers and user mappings, default privileges."""

from __future__ import annotations

from executor.schema.catalog.query import Query, not_of_extension


def queries(version: int) -> list[Query]:
    """The queries for a server of this version (18 for PostgreSQL 18)."""
    return [
        _publications(version),
        _publication_tables(version),
        _publication_schemas(),
        _subscriptions(),
        *_foreign(),
        _default_privileges(),
    ]


def _publications(version: int) -> Query:
    generated = "p.pubgencols::text" if version >= 18 else "'n'"
    return Query(
        "publication",
        "pg_publication",
        1,
        f"""
        SELECT p.oid, 0, p.pubname, p.puballtables AS all_tables,
               concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update'
                 END,
                 CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END) AS
                   publish,
               p.pubviaroot AS via_root, {generated} AS generated_columns,
                 pg_get_userbyid(p.pubowner)::text AS owner
          FROM pg_publication p
        """,
    )


def _publication_tables(version: int) -> Query:
    more = (
        """pg_get_expr(r.prqual, r.prrelid) AS row_filter,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
             WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)) AS columns"""
        if version >= 15
        else "NULL::text AS row_filter, NULL::text AS columns"
    )
    return Query(
        "publication table",
        "pg_publication_rel",
        3,
        f"""
        SELECT r.oid, 0, p.pubname, n.nspname, c.relname, {more}
          FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid =
            r.prrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
        """,
    )


def _publication_schemas() -> Query:
    return Query(
        "publication schema",
        "pg_publication_namespace",
        2,
        """
        SELECT s.oid, 0, p.pubname, n.nspname FROM pg_publication_namespace s
          JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid
        """,
        since=15,
    )


def _subscriptions() -> Query:
    return Query(
        "subscription",
        "pg_subscription",
        1,
        """
        SELECT s.oid, 0, s.subname, s.subconninfo AS connection, s.subpublications AS publications,
               s.subslotname::text AS slot, s.subbinary AS is_binary, s.subsynccommit AS synchronous_commit,
               pg_get_userbyid(s.subowner)::text AS owner
          FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname =
            current_database())
        """,
        superuser=True,
    )


def _foreign() -> list[Query]:
    def options(column: str) -> str:
        return (
            f"(SELECT ' OPTIONS (' || string_agg(format('%I %L', option_name, option_value), ', ') || ')'"
            f" FROM pg_options_to_table({column}))"
        )

    return [
        Query(
            "foreign-data wrapper",
            "pg_foreign_data_wrapper",
            1,
            f"""
            SELECT f.oid, 0, f.fdwname, format('CREATE FOREIGN DATA WRAPPER %I%s%s%s', f.fdwname,
                     CASE WHEN f.fdwhandler <> 0 THEN ' HANDLER ' || f.fdwhandler::regproc END,
                     CASE WHEN f.fdwvalidator <> 0 THEN ' VALIDATOR ' || f.fdwvalidator::regproc END,
                     {options("f.fdwoptions")}) AS definition, pg_get_userbyid(f.fdwowner)::text AS owner,
                   coalesce(f.fdwacl, acldefault('F', f.fdwowner))::text[] AS grants
              FROM pg_foreign_data_wrapper f WHERE {not_of_extension("pg_foreign_data_wrapper", "f.oid")}
            """,
        ),
        Query(
            "server",
            "pg_foreign_server",
            1,
            f"""
            SELECT s.oid, 0, s.srvname, format('CREATE SERVER %I%s%s FOREIGN DATA WRAPPER %I%s', s.srvname,
                     ' TYPE ' || quote_literal(s.srvtype), ' VERSION ' || quote_literal(s.srvversion),
                       f.fdwname,
                     {options("s.srvoptions")}) AS definition, pg_get_userbyid(s.srvowner)::text AS owner,
                   coalesce(s.srvacl, acldefault('S', s.srvowner))::text[] AS grants
              FROM pg_foreign_server s JOIN pg_foreign_data_wrapper f ON f.oid = s.srvfdw
             WHERE {not_of_extension("pg_foreign_server", "s.oid")}
            """,
        ),
        Query(
            "user mapping",
            "pg_user_mapping",
            2,
            f"""
            SELECT u.oid, 0, s.srvname, CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE
              quote_ident(pg_get_userbyid(u.umuser)) END,
                   format('CREATE USER MAPPING FOR %s SERVER %I%s',
                     CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.umuser)) END,
                       s.srvname,
                     {options("u.umoptions")}) AS definition
              FROM pg_user_mapping u JOIN pg_foreign_server s ON s.oid = u.umserver
            """,
            superuser=True,
        ),
    ]


def _default_privileges() -> Query:
    return Query(
        "default privileges",
        "pg_default_acl",
        3,
        """
        SELECT d.oid, 0, pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''), d.defaclobjtype::text,
               d.defaclacl::text[] AS acl,
               CASE WHEN d.defaclnamespace = 0 THEN
                 acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END,
                   d.defaclrole)::text[]
               ELSE '{}' END AS base
          FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
        """,
    )
