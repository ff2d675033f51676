"""A chain of migrations on a shadow database that is kept from proof to proof and replayed only as far as
needed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from approvals.analysis.parser import Source, SqlError, parse
from executor.schema import tenant
from executor.schema.reading import without_server
from executor.schema.shadow import Shadow

MARK, SEAL = "waqiti_rollback", "seal"


@dataclass(frozen=True, slots=True)
class File:
    """One migration file: its name and its text, placeholders filled in."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return sha256(self.sql)


def sha256(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class DoesNotReplay(Exception):
    """A file of the chain does not apply on the scratch server; the message says which, where and why."""

    def __init__(self, file: File, error: psycopg.Error, shadow: Shadow) -> None:
        line, column = where(shadow, file.sql, error)
        reason = error.diag.message_primary or str(error).strip()
        super().__init__(f"{file.name}, line {line}, column {column}: {error.sqlstate} {reason}")
        self.file, self.line, self.column, self.sqlstate = file, line, column, error.sqlstate


def place(text: str, error: psycopg.Error) -> tuple[int, int]:
    """Line and column of a server's error, as far as it says; else the text's beginning."""
    position = error.diag.statement_position
    if position is None:
        return 1, 1
    source = Source(text)
    return source.place(source.byte_offset(int(position) - 1))


def where(shadow: Shadow, text: str, error: psycopg.Error) -> tuple[int, int]:
    """Where in a file the error is that it met on a shadow, which stands as before: where the server does not
    say, its statements are tried one by one, and taken back."""
    if error.diag.statement_position is not None:
        return place(text, error)
    source, start = Source(text), (1, 1)
    try:
        pieces = parse(source)
        shadow.connection.execute("BEGIN")
        for piece in pieces:
            start = source.place(piece.start)
            shadow.connection.execute(source.slice(piece.start, piece.end).encode())
    except (SqlError, psycopg.Error):
        return start
    finally:
        shadow.settle()
    return 1, 1


class Replay:
    """The shadow of one service on one scratch server, under a name that only depends on the service."""

    def __init__(self, server: str, service: str) -> None:
        self.server = server
        self.name = f"shadow_of_{hashlib.sha256(service.encode()).hexdigest()[:16]}"
        self.replayed = 0
        self._role: str | None = None

    @property
    def role(self) -> str:
        """The tenant that runs the files; '' where the login does so itself."""
        if self._role is None:
            self._role = tenant.ensure(self.server, self.name)
        return self._role

    def kept(self) -> Shadow | None:
        """The shadow as it was left; None where there is none."""
        return Shadow.kept(self.server, self.name, role=self.role)

    def behind(self, files: Sequence[File]) -> Shadow:
        """The shadow with exactly these files applied; `replayed` counts those that had to be. Statements
        that reach beyond the database are left out. Raises DoesNotReplay and psycopg.Error."""
        shadow = self.kept()
        applied = self._applied(shadow) if shadow is not None else []
        if shadow is not None and applied != [file.digest for file in files][: len(applied)]:
            shadow.drop()
            shadow = None
        if shadow is None:
            shadow, applied = Shadow(self.server, name=self.name, role=self.role), []
        try:
            self.replayed = 0
            for file in files[len(applied) :]:
                self.apply(shadow, file, applied)
        except BaseException:
            shadow.close()
            raise
        return shadow

    def apply(self, shadow: Shadow, file: File, applied: list[str]) -> None:
        """Apply one more file and note that. Raises DoesNotReplay; the shadow is as it was then, unless the
        file has statements that refuse a transaction."""
        try:
            shadow.apply(without_server(file.sql)[0])
        except psycopg.Error as error:
            self.note(shadow, applied)
            raise DoesNotReplay(file, error, shadow) from error
        applied.append(file.digest)
        self.replayed += 1
        self.note(shadow, applied)

    def note(self, shadow: Shadow, applied: Sequence[str]) -> None:
        """Write on the database what was applied to it, sealed: what runs in other shadows owns this one too,
        and may write on it."""
        text = json.dumps({MARK: list(applied), SEAL: self._seal(shadow, applied)})
        command = sql.SQL("COMMENT ON DATABASE {} IS {}")
        shadow.connection.execute(command.format(sql.Identifier(shadow.name), sql.Literal(text)))

    def forget(self) -> None:
        """Drop the shadow: nobody knows any more what is in it."""
        shadow = self.kept()
        if shadow is not None:
            shadow.drop()

    def _applied(self, shadow: Shadow) -> list[str]:
        row = shadow.connection.execute(
            "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
            " WHERE datname = %s",
            [self.name],
        ).fetchone()
        try:
            said = json.loads(row[0] if row else "")
            applied = [str(digest) for digest in said[MARK]]
            sealed = hmac.compare_digest(str(said[SEAL]), self._seal(shadow, applied))
        except (TypeError, ValueError, KeyError):
            return ["unknown"]
        return applied if sealed else ["unknown"]

    def _seal(self, shadow: Shadow, applied: Sequence[str]) -> str:
        """What only somebody with the password of the login can write, for this very database."""
        row = shadow.connection.execute(
            "SELECT oid::text FROM pg_catalog.pg_database WHERE datname = %s", [self.name]
        ).fetchone()
        key = str(conninfo_to_dict(self.server).get("password", ""))
        text = json.dumps([row and row[0], *applied])
        return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
