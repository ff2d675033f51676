"""A scratch database that chains are applied to: forward, back, and a copy for attempts that may leave a mess."""

from __future__ import annotations

import re
import secrets
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from approvals.analysis.parser import Source, parse

Connection = psycopg.Connection[tuple[Any, ...]]
_MISSING_ROLE = re.compile(r'role "([^"]+)" does not exist')


class Shadow:
    """One database. Every method raises psycopg.Error where the server refuses."""

    def __init__(self, server: str, *, template: str = "template0", name: str | None = None) -> None:
        self.server = server
        self.name = name or f"shadow_{secrets.token_hex(5)}"
        self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), self.name, template)
        self.connection = self._connect()

    @property
    def dsn(self) -> str:
        """A libpq connection string."""
        return make_conninfo(self.server, dbname=self.name)

    def _connect(self) -> Connection:
        return psycopg.connect(self.dsn, autocommit=True)

    def _admin(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as admin:
            admin.execute(statement.format(*(sql.Identifier(name) for name in names)))

    def copy(self) -> Shadow:
        """A copy of the database as it stands."""
        self.connection.close()
        made = Shadow(self.server, template=self.name)
        self.connection = self._connect()
        return made

    def drop(self) -> None:
        """Drop the database."""
        self.connection.close()
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), self.name)

    def apply(self, text: str) -> None:
        """Run a file as a migration tool does: in one transaction, or, where the server refuses that,
        statement by statement. Roles that it names and nobody made are made."""
        for _ in range(10):
            try:
                self._apply(text)
                return
            except psycopg.errors.UndefinedObject as error:
                missing = _MISSING_ROLE.search(str(error))
                if missing is None:
                    raise
                self._admin(sql.SQL("CREATE ROLE {}"), missing[1])
            finally:
                self._settle()

    def _apply(self, text: str) -> None:
        try:
            self.connection.execute(text)  # type: ignore[call-overload]
        except (psycopg.errors.ActiveSqlTransaction, psycopg.errors.UnsafeNewEnumValueUsage):
            self._settle()
            source = Source(text)
            for piece in parse(source):
                statement = source.slice(piece.start, piece.end)
                self.connection.execute(statement)  # type: ignore[call-overload]

    def _settle(self) -> None:
        if self.connection.closed:
            self.connection = self._connect()
            return
        if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")
        for command in ("RESET ALL", "RESET SESSION AUTHORIZATION", "CLOSE ALL", "DISCARD TEMP"):
            self.connection.execute(command)  # DISCARD ALL would forget what the snapshot has prepared
