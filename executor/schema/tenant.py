"""A role of its own for the shadows of one service: what runs in them reaches neither the shadows of another
service nor the login that makes them all."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

OLDEST = 160000
"""Before it, whoever may make roles may do anything to all of them."""
_BOUNDS = ("temp_file_limit", "extension_control_path")
"""Settings of the login that its tenants get: only a superuser sets them, or who was given the right."""
_AS_SUPERUSERS_DO = ("createrole_self_grant", "set, inherit")
"""Roles that a file makes may own things at once, as where a superuser runs it."""
_OURS = re.compile(r"(shadow|waqiti|pg)_")


def ensure(server: str, name: str) -> str:
    """Make sure that the role `name` is there, with the password and the bounds that belong to it, and return
    its name. '' where `server` is no login that may do so: a superuser's, one without a password, or without
    the right to set `temp_file_limit` for others; its shadows are its own then. Raises psycopg.Error."""
    with psycopg.connect(server, autocommit=True) as admin:
        named = conninfo_to_dict(server).get("password")
        if admin.info.server_version < OLDEST or not named or not _may(admin):
            return ""
        role = sql.Identifier(name)
        if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(role))
        # Not inherited by being its maker; without it nobody could end its sessions or drop its databases.
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE").format(role))
        # Whatever ran as it may have changed both.
        admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(role))
        password = sql.Literal(password_of(server, name))
        admin.execute(sql.SQL("ALTER ROLE {} LOGIN CREATEROLE PASSWORD {}").format(role, password))
        for setting, value in [*_bounds(admin), _AS_SUPERUSERS_DO]:
            command = sql.SQL("ALTER ROLE {} SET {} = {}")
            admin.execute(command.format(role, sql.Identifier(setting), sql.Literal(value)))
    return name


def dsn(server: str, role: str, database: str) -> str:
    """A libpq string of the role, which `ensure` has made, for one of its databases; of the login itself
    where the role is ''."""
    if not role:
        return make_conninfo(server, dbname=database)
    return make_conninfo(server, dbname=database, user=role, password=password_of(server, role))


def may_be_lent(role: str) -> bool:
    """Whether a role that a file names may be given to a tenant: any but those that hold this together."""
    return not _OURS.match(role)


def _may(admin: psycopg.Connection[tuple[Any, ...]]) -> bool:
    row = admin.execute(
        "SELECT rolcreaterole AND NOT rolsuper AND has_parameter_privilege('temp_file_limit', 'SET')"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    return bool(row and row[0])


def _bounds(admin: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """The settings that the login was given and may pass on."""
    rows = admin.execute(
        """SELECT split_part(each, '=', 1), substr(each, strpos(each, '=') + 1)
             FROM pg_db_role_setting, unnest(setconfig) AS each
            WHERE setrole = current_user::regrole AND setdatabase = 0 AND split_part(each, '=', 1) = ANY(%s)
              AND has_parameter_privilege(split_part(each, '=', 1), 'SET')""",
        [list(_BOUNDS)],
    )
    return [(name, value) for name, value in rows]


def password_of(server: str, role: str) -> str:
    """What only somebody with the password of the login can work out."""
    key = str(conninfo_to_dict(server).get("password", ""))
    return hmac.new(key.encode(), f"role {role}".encode(), hashlib.sha256).hexdigest()
