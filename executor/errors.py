"""What can go wrong between here and a target, each as one sentence a person can act on."""

from __future__ import annotations

import re

import psycopg


class ExecutorError(Exception):
    """The executor could not do what it was asked to do."""


class ConnectFailed(ExecutorError):
    """The server could not be reached, or it refused the login."""


class WrongServer(ExecutorError):
    """Something answered, but not the database that was approved (standby, pooler, other identity)."""


class MarkerMissing(ExecutorError):
    """The marker schema isn't on the target, or the executor's role may not use it."""


class SpecInvalid(ExecutorError):
    """The run's specification is incomplete or contradicts itself; nothing was sent to the target."""


class BackupRefused(ExecutorError):
    """No dump was started, and the sentence says why (size, disk space, rights)."""


class AboveLimit(BackupRefused):
    """The tables are too large for a dump, and what is asked for above that limit can't be had."""


class BackupFailed(ExecutorError):
    """The dump, or its restore, ended before it was complete; no partial file was left behind."""


class Cancelled(ExecutorError):
    """Somebody asked to end it, and it ended before the script began."""


class CloneFailed(ExecutorError):
    """The rehearsal clone could not be made or dropped."""


LONGEST = 2_000
_PASSWORD = re.compile(r"(password\s*[=:]\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(@)", re.IGNORECASE)


def masked(text: str, *secrets: str) -> str:
    """`text` without `secrets` and without whatever stands after `password=` or inside a database URL."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1***\2", _PASSWORD.sub(r"\1***", text))


def plain(error: BaseException, *secrets: str) -> str:
    """One line of plain words for `error`: the server's primary message where there is one, masked. A script
    can raise a message of any length, which is cut."""
    text = ""
    if isinstance(error, psycopg.Error):
        text = error.diag.message_primary or ""
    text = text or str(error) or type(error).__name__
    text = masked(" ".join(text[: 2 * LONGEST].split()), *secrets)  # a secret may stand where it is cut
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
