"""What the commands that prove and generate share: a scratch server, placeholders, and how they end."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.core.management.base import CommandError
from psycopg.conninfo import make_conninfo

from executor.errors import ExecutorError, plain
from executor.prover import STATEMENT_SECONDS, require_ordinary
from waqiti_rollback.embedded import Cluster, EmbeddedError
from waqiti_rollback.embedded.prover import ensure_prover, prover_dsn

SETTINGS = ("PROVER_DATABASE_URL", "SCRATCH_DATABASE_URL")
OWN = Path(__file__).resolve().parents[2] / ".local" / "prover"
OPEN, BAD_INPUT = 1, 2
"""Exit codes: something is left to do; nothing could be done."""


def add_server(parser: ArgumentParser) -> None:
    """--server and --placeholder."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help="a scratch server, as a role that may make databases and roles and is no superuser; else "
        f"{' or '.join(SETTINGS)}; else a server of its own is started",
    )
    parser.add_argument(
        "--placeholder",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="a value for ${NAME}; may be given several times",
    )


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def given(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The placeholders of the command line."""
    return dict(pairs)


@contextmanager
def scratch_server(url: str | None) -> Iterator[str]:
    """A libpq string of the scratch server, for as long as the block lasts. Raises CommandError."""
    found = url or next((os.environ[name] for name in SETTINGS if os.environ.get(name)), "")
    if found:
        try:
            server = make_conninfo(
                found, connect_timeout=10, options=f"-c statement_timeout={STATEMENT_SECONDS}s"
            )
            require_ordinary(server)
        except (psycopg.Error, ExecutorError) as error:
            raise CommandError(
                f"The scratch server can't be used: {plain(error)}", returncode=BAD_INPUT
            ) from None
        yield server
        return
    cluster = Cluster("scratch", OWN, durable=False)
    try:
        cluster.start(die_with_parent=True)
        ensure_prover(cluster)
    except EmbeddedError as error:
        raise CommandError(
            f"There is no scratch server. Give one with --server or {SETTINGS[0]}. {error}",
            returncode=BAD_INPUT,
        ) from None
    try:
        yield prover_dsn(cluster)
    finally:
        cluster.stop()


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Whatever the scratch server or a file refuses ends the command with a sentence."""
    try:
        yield
    except ExecutorError as error:
        raise CommandError(str(error), returncode=BAD_INPUT) from None
    except psycopg.Error as error:
        raise CommandError(f"The scratch server refused: {plain(error)}", returncode=BAD_INPUT) from None
