"""A scratch database that migrations are applied to: forward, back, and copies for attempts that leave a
mess."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from approvals.analysis.parser import Source, SqlError, parse
from executor.schema import tenant
from executor.schema.reading import without_server

Connection = psycopg.Connection[tuple[Any, ...]]
_MISSING_ROLE = re.compile(r'role "([^"]+)" does not exist')
_OF_ROLE = re.compile(r'(?:must be able to SET ROLE|permission denied to set role) "([^"]+)"')
NOT_IN_A_TRANSACTION = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.UnsafeNewEnumValueUsage)
MOST_ROLES = 20
MAY_OWN = "waqiti_owners"
"""Roles that files name are its members, where the shadow is not a superuser's."""
WITH_CONTROL_PATH = 180000
"""The first server that can look for extensions elsewhere."""
_PATH = "$system:" + str(Path(__file__).parent / "standins").replace(" ", "\\ ")


entered: ContextVar[set[str] | None] = ContextVar("entered", default=None)
"""Gets the names of the databases that shadows connect to, for whoever bounds their time and size."""


class Shadow:
    """One database of its own, on a server that holds nothing else. `server` is a libpq connection string
    of a login that may create databases and roles; `role` is the tenant that owns the database and runs what
    runs there (see `tenant`; '' for the login itself). Methods raise psycopg.Error where the server
    refuses."""

    def __init__(self, server: str, *, template: str = "template0", name: str = "", role: str = "") -> None:
        self.server, self.role = server, role
        self.name = name or f"shadow_{secrets.token_hex(6)}"
        self.made_roles: list[str] = []
        if role:
            self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}"), self.name, template, role)
            self._admin(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC"), self.name)
        else:
            self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), self.name, template)
        self.connection = self._connect()
        if template == "template0" and not self._superuser:
            self._let_roles_own()

    @classmethod
    def kept(cls, server: str, name: str, *, role: str = "") -> Shadow | None:
        """The shadow that was made under that name before; None where there is none. One that somebody else
        owns is dropped: it is of a time before there were tenants."""
        with psycopg.connect(server, autocommit=True) as admin:
            row = admin.execute(
                "SELECT pg_get_userbyid(datdba)::text = coalesce(nullif(%s, ''), current_user)"
                " FROM pg_database WHERE datname = %s",
                [role, name],
            ).fetchone()
            if row is not None and not row[0]:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            if row is None or not row[0]:
                return None
        found = cls.__new__(cls)
        found.server, found.role, found.name, found.made_roles = server, role, name, []
        found.connection = found._connect()
        return found

    def close(self) -> None:
        """Leave the database as it is."""
        self.connection.close()

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Extensions in it that are only stand-ins: the same signatures, and nothing behind them."""
        rows = self.connection.execute(
            "SELECT extname::text FROM pg_extension"
            " WHERE obj_description(oid, 'pg_extension') LIKE 'stand-in for %' ORDER BY 1"
        )
        return tuple(name for (name,) in rows)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that something in it belongs to or is granted to, beside our own and the server's."""
        rows = self.connection.execute(
            "SELECT DISTINCT r.rolname::text FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid"
            " WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname <> current_user AND r.oid >= 16384"
            " AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"
        )
        return tuple(name for (name,) in rows if name != MAY_OWN)

    @property
    def dsn(self) -> str:
        """A libpq connection string."""
        return tenant.dsn(self.server, self.role, self.name)

    def copy(self) -> Shadow:
        """A copy of the database as it stands."""
        self.connection.close()
        try:
            return Shadow(self.server, template=self.name, role=self.role)
        finally:
            self.connection = self._connect()

    @contextmanager
    def copied(self) -> Iterator[Shadow]:
        """A copy that is dropped at the end."""
        made = self.copy()
        try:
            yield made
        finally:
            made.drop()

    def drop(self) -> None:
        """Drop the database."""
        self.connection.close()
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), self.name)

    def apply(self, text: str) -> None:
        """Run a file as a migration tool does: in one transaction, or where the server refuses that statement
        by statement. Roles that it names and nobody made are made (see `made_roles`). Statements that reach
        beyond the database, such as ALTER SYSTEM, are left out: others use the server too."""
        text = without_server(text)[0]
        for _ in range(MOST_ROLES):
            try:
                self._apply(text)
                return
            except (psycopg.errors.UndefinedObject, psycopg.errors.InsufficientPrivilege) as error:
                if not self.make_missing_role(error):
                    raise
            finally:
                self.settle()

    @property
    def _superuser(self) -> bool:
        return self.connection.info.parameter_status("is_superuser") == "on"

    def _let_roles_own(self) -> None:
        """Roles that files name may own what is in `public`, as they may where the files really ran: a
        superuser gives anything to anybody, but we are none."""
        with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            self._admin(sql.SQL("CREATE ROLE {}"), MAY_OWN)
        grant = sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}")
        self.connection.execute(grant.format(sql.Identifier(MAY_OWN)))

    def make_missing_role(self, error: psycopg.Error) -> bool:
        """Make the role that the server missed, or make our tenant a member of it where it is there already;
        False where the error is another one."""
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return self._lend_role(error)
        missing = _MISSING_ROLE.search(str(error))
        if missing is None or not isinstance(error, psycopg.errors.UndefinedObject):
            return False
        self._admin(sql.SQL("CREATE ROLE {}"), missing[1])
        if not self._superuser:
            # Who makes a role may administer it, but give it nothing before being its member (16 and later).
            self._admin(sql.SQL("GRANT {} TO CURRENT_USER"), missing[1])
            self._admin(sql.SQL("GRANT {} TO {}"), MAY_OWN, missing[1])
        if self.role:
            self._admin(sql.SQL("GRANT {} TO {}"), missing[1], self.role)
        self.made_roles.append(missing[1])
        return True

    def _lend_role(self, error: psycopg.Error) -> bool:
        """Another service's files may name the same role, and have made it."""
        named = _OF_ROLE.search(str(error))
        if named is None or not self.role or not tenant.may_be_lent(named[1]):
            return False
        try:
            self._admin(sql.SQL("GRANT {} TO {}"), named[1], self.role)
        except psycopg.Error:
            return False
        return True

    def _apply(self, text: str) -> None:
        try:
            self.connection.execute(text)
        except NOT_IN_A_TRANSACTION as refused:
            self.settle()
            source = Source(text)
            try:
                pieces = parse(source)
            except SqlError:
                raise refused from None
            for piece in pieces:
                self.connection.execute(source.slice(piece.start, piece.end))

    def settle(self) -> None:
        """No open transaction and no settings left of what ran. (DISCARD ALL would also forget the snapshot's
        prepared statements.)"""
        if self.connection.closed:
            self.connection = self._connect()
            return
        if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")
        for command in ("RESET ALL", "RESET SESSION AUTHORIZATION", "CLOSE ALL", "DISCARD TEMP"):
            self.connection.execute(command)

    def _connect(self) -> Connection:
        names = entered.get()
        if names is not None:
            names.add(self.name)
        connection = psycopg.connect(self.dsn, autocommit=True)
        superuser = connection.info.parameter_status("is_superuser") == "on"
        if connection.info.server_version < WITH_CONTROL_PATH or not superuser:
            return connection  # an ordinary role has the path as a setting of its own, if at all
        connection.close()
        return psycopg.connect(self.dsn, autocommit=True, options=f"-c extension_control_path={_PATH}")

    def _admin(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as admin:
            admin.execute(statement.format(*(sql.Identifier(name) for name in names)))
