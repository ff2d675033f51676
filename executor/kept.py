"""Rehearsal clones that are kept: each is made once, masked, and everybody works on a copy of it.

Whoever makes, copies or drops one holds a lock on the server of copies, as a session of its own: a worker
that is killed lets go of it, and what it left is found by that.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import psycopg

from approvals import clones, history
from approvals.masks import Masking
from approvals.models import Backup, RehearsalClone, Target
from executor import credentials, vault
from executor.clone import KEPT, copy_kept, drop_clone, make_kept
from executor.connect import Connection, Endpoint, connect, one
from executor.errors import ExecutorError, plain
from executor.history import read_history
from executor.marker import Setup
from executor.masking import LeftOut
from executor.recorder import worker_name

log = logging.getLogger(__name__)

WAIT_S = 0.5
# Any fixed number: the first half of the keys of our locks on servers of copies.
LOCK = 0x77617103
Pins = list[dict[str, Any]]
Say = Callable[[str], None]


class OtherHistory(ExecutorError):
    """The backup is of another history than the one that was read from the target."""


def copy_of(
    backup: Backup, target: Target, masking: Masking, name: str, *, say: Say
) -> tuple[Endpoint, RehearsalClone]:
    """A copy of the target for somebody's work, as database `name` on the server of copies, from the clone
    that is kept for this backup and these rules or a new one.

    `say` is told what is done, and may raise to end it while another worker is waited for. Raises
    OtherHistory; BackupFailed where the dump is gone or changed; CloneFailed, ConnectFailed.
    """
    server = credentials.endpoint(target.rehearsal_target or target, "clone")
    pins = pins_of(target)
    with contextlib.closing(connect(server)) as connection:
        key = _key(connection, backup, target, masking)
        _wait(connection, key, say)
        kept = _still_there(connection, server, clones.ready(key))
        if kept is None:
            say(f"Making a clone of the backup of {backup.created_at:%Y-%m-%d %H:%M} UTC")
            kept = _make(connection, key, server, masking)
        if kept.history != pins:
            raise OtherHistory(difference(kept.history, pins, target))
        say("Copying the clone")
        copy = copy_kept(
            server,
            database_of(kept),
            name,
            owner_role=target.owner_role,
            guests=_guests(target.rehearsal_target or target),
            size=kept.bytes,
        )
        clones.used(kept)
    return copy, kept


def _guests(where: Target) -> list[str]:
    """Who signs in to a copy: the executor, and whoever runs a service's tests."""
    return [credentials.endpoint(where, "executor").user, credentials.tests(where).user]


def _key(connection: Connection, backup: Backup, target: Target, masking: Masking) -> clones.Key:
    identifier = str(one(connection, "SELECT system_identifier::text FROM pg_control_system()")[0])
    version = connection.info.server_version
    where = target.rehearsal_target or target
    return clones.Key(target, backup, masking.digest, where, version, identifier)


def _wait(connection: Connection, key: clones.Key, say: Say) -> None:
    """Until nobody else makes, copies or drops it."""
    while not _locked(connection, key):
        say("Another worker makes or copies the same clone")
        time.sleep(WAIT_S)


def _locked(connection: Connection, key: clones.Key) -> bool:
    query = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
    return bool(one(connection, query, (LOCK, str(key)))[0])


def _still_there(
    connection: Connection, server: Endpoint, kept: RehearsalClone | None
) -> RehearsalClone | None:
    """The clone, unless somebody else has dropped its database."""
    if kept is None:
        return None
    query = "SELECT count(*) FROM pg_database WHERE datname = %s"
    if one(connection, query, (database_of(kept),))[0]:
        return kept
    clones.dropped(kept, f"Its database was gone from {server.host}.")
    return None


def database_of(kept: RehearsalClone) -> str:
    """The database of a clone."""
    return f"{KEPT}{kept.pk.hex}"


def _make(connection: Connection, key: clones.Key, server: Endpoint, masking: Masking) -> RehearsalClone:
    kept = clones.begin(key, worker=worker_name())
    name, target, began = database_of(kept), key.target, time.monotonic()
    setup = Setup(target.owner_role, name, target.history_schema, target.history_table)
    try:
        with vault.taken_out(key.backup.path, key.backup.sha256) as dump:
            pins: Pins = []

            def look(clone: Connection) -> None:
                rows = read_history(clone, target.history_schema, target.history_table)
                pins.extend(history.pin_of(row) for row in rows)

            filled = make_kept(
                dump,
                server,
                name,
                setup=setup,
                masking=masking,
                without=left_out(key.backup),
                look=look,
            )
        size = int(one(connection, "SELECT pg_database_size(%s)", (name,))[0])
    except Exception as error:
        clones.failed(kept, str(error) if isinstance(error, ExecutorError) else plain(error))
        raise
    seconds = time.monotonic() - began
    clones.made(kept, size=size, seconds=seconds, history=pins, filled=filled.as_json())
    return kept


def pins_of(target: Target) -> Pins:
    """The pins of all rows of the target's history as it was read last, oldest first."""
    return [history.pin_of(row) for row in history.rows_of(target)]


def left_out(backup: Backup) -> LeftOut:
    """The foreign keys that a dump of some tables' rows can't have."""
    return {int(each["oid"]): each["again"] for each in backup.keys_left_out}


def difference(there: Pins, here: Pins, target: Target) -> str:
    """In what the history of a copy differs from the target's, as a sentence."""
    others = [pin for pin in [*there, *here] if pin not in there or pin not in here]
    versions = sorted({str(pin["version"]) for pin in others})
    return (
        f"The copy's history is not the one that was read from {target}: {', '.join(versions)} differs. "
        "Read the target again, then rehearse."
    )


def drop_what_must_go() -> int:
    """Drop clones that are kept for too long, take too much room, were replaced, or were left half made; how
    many went. One that is in use goes another time."""
    gone = 0
    for kept, why in clones.to_drop():
        try:
            gone += _drop(kept, why)
        except (ExecutorError, psycopg.Error) as error:
            log.warning("%s is still there: %s", kept, plain(error))
    return gone


def _drop(kept: RehearsalClone, why: str) -> bool:
    server = credentials.endpoint(kept.server, "clone")
    with contextlib.closing(connect(server)) as connection:
        if not _locked(connection, clones.of(kept)):
            return False
        kept.refresh_from_db()
        if kept.state not in clones.STANDING:
            return False
        drop_clone(server, database_of(kept))
        clones.dropped(kept, why)
    return True
