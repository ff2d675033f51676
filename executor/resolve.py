"""Find out what became of an attempt that has no outcome, and make sure that it stays that way."""

from __future__ import annotations

import contextlib
import enum
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from executor import history, marker
from executor.alone import look_again
from executor.connect import Connection, Endpoint, Identity, SocketCut, connect, identity, set_session
from executor.errors import ConnectFailed, ExecutorError, plain
from executor.spec import Backend, HistoryPin, LoneFound, RunSpec
from executor.watch import Deadline

ABORTED, NEVER = "aborted", "never happened here"
"""What PostgreSQL says of a transaction id; the second is ours, for one that lies ahead of its own."""
DEADLINE_S = 45.0
END_BACKENDS_S = 20.0


class Verdict(enum.StrEnum):
    """What is known about the attempt's transaction."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The answer, in a sentence for people. `evidence` is what PostgreSQL says of the transaction id, which
    can lie after a crash or failover. `weaker`: there was no marker to read, only such evidence."""

    verdict: Verdict
    sentence: str
    timeline_changed: bool = False
    evidence: str = ""
    ended_backends: int = 0
    weaker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the portal knows of the attempt. `backend` is None where it was lost before that was recorded;
    the history's place and `pins` are asked where there is no marker."""

    execution_id: uuid.UUID
    request_digest: str
    backend: Backend | None
    marker: bool = True
    history_schema: str = "public"
    history_table: str = "flyway_schema_history"
    pins: tuple[HistoryPin, ...] = ()

    @classmethod
    def of(cls, spec: RunSpec, backend: Backend | None) -> Attempt:
        """The attempt that ran, or would have run, this specification."""
        return cls(
            execution_id=spec.execution_id,
            request_digest=spec.request_digest,
            backend=backend,
            marker=spec.marker,
            history_schema=spec.history_schema,
            history_table=spec.history_table,
            pins=tuple(item.pin for item in spec.items),
        )


class Unanswered(Exception):
    """The target does not say how the steps stand; the message says why not, for people."""


def session_name(execution_id: uuid.UUID) -> str:
    """The application name of the attempt's backend, by which a resolver finds it before its pid is known."""
    return f"waqiti_rollback {execution_id}"


def resolve(endpoint: Endpoint, attempt: Attempt) -> Resolution:
    """Ask the target, over a connection of our own. Never raises for what the target does: as long as it
    doesn't answer, the verdict is unknown. `endpoint` must log in as the executor's role."""
    try:
        connection = connect(endpoint.named("waqiti_rollback resolver"))
    except ConnectFailed as error:
        return _unknown(f"The target does not answer, so the outcome is not known yet. {error}")
    with contextlib.closing(connection):
        return resolve_on(connection, attempt)


def resolve_on(connection: Connection, attempt: Attempt) -> Resolution:
    """The same over a connection that is there already, at most for DEADLINE_S; after that it is cut."""
    with SocketCut(connection) as cut, Deadline(DEADLINE_S, cut) as deadline:
        try:
            return _resolve(connection, attempt)
        except psycopg.Error as error:
            why = "it took too long" if deadline.expired else plain(error)
            return _unknown(f"The target did not answer to the end, so the outcome is not known yet: {why}.")


def resolve_alone(
    endpoint: Endpoint,
    spec: RunSpec,
    backend: Backend | None,
    before: Mapping[int, Mapping[str, Any]],
    *,
    answered: Collection[int] = (),
) -> list[LoneFound]:
    """How the steps that run alone stand, once their session is gone and none can begin any more. `before` is
    what was recorded before each began, by position; `answered` are the positions of those that the server
    is on record to have done. Raises Unanswered."""
    attempt = Attempt.of(spec, backend)
    try:
        with (
            contextlib.closing(connect(endpoint.named("waqiti_rollback resolver"))) as connection,
            SocketCut(connection) as cut,
            Deadline(DEADLINE_S, cut),
        ):
            return _resolve_alone(connection, spec, attempt, before, answered)
    except (ExecutorError, psycopg.Error) as error:
        raise Unanswered(f"How the steps stand is not known yet: {plain(error)}") from error


def _resolve_alone(
    connection: Connection,
    spec: RunSpec,
    attempt: Attempt,
    before: Mapping[int, Mapping[str, Any]],
    answered: Collection[int],
) -> list[LoneFound]:
    _prepare(connection)
    who = identity(connection)
    if who.in_recovery:
        raise Unanswered("A standby answered; only the primary can say how the steps stand.")
    wanted = spec.expected_system_identifier
    if wanted is not None and who.system_identifier != wanted:
        raise Unanswered(f"Another server answers here (system identifier {who.system_identifier}).")

    def end_sessions() -> None:
        if alive := _end_backends(connection, attempt)[1]:
            raise Unanswered(f"The attempt's backend {alive[0]} does not end, so nothing is known yet.")

    end_sessions()
    return look_again(connection, spec, before, end_sessions, answered=answered)


def _prepare(connection: Connection) -> None:
    set_session(connection, {"lock_timeout": "10s", "statement_timeout": "30s", "synchronous_commit": "on"})


def _resolve(connection: Connection, attempt: Attempt) -> Resolution:
    _prepare(connection)
    who = identity(connection)
    if who.in_recovery:
        return _unknown("A standby answered; only the primary can say what became of the execution.")
    ended, alive = _end_backends(connection, attempt)
    if alive:
        return _unknown(f"The attempt's backend {alive[0]} does not end, so the outcome is not known yet.")
    look = _by_marker if attempt.marker else _by_evidence
    return look(connection, attempt, who, ended)


def _end_backends(connection: Connection, attempt: Attempt) -> tuple[int, list[int]]:
    """Terminate what is left of the attempt; returns how many were ended and which pids are still alive.

    That a backend was terminated proves nothing about its transaction: it may have been committing.
    """
    known = attempt.backend
    query = """SELECT pid FROM pg_stat_activity
                WHERE pid <> pg_backend_pid() AND datname = current_database()
                  AND (application_name = %s OR pid = %s AND backend_start = %s)"""
    parameters = (
        session_name(attempt.execution_id),
        known.pid if known else None,
        known.backend_start if known else None,
    )
    seen: set[int] = set()
    until = time.monotonic() + END_BACKENDS_S
    while True:
        alive = [row[0] for row in connection.execute(query, parameters).fetchall()]
        if not alive or time.monotonic() > until:
            return len(seen - set(alive)), alive
        for pid in alive:
            seen.add(pid)
            connection.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))


def _by_marker(connection: Connection, attempt: Attempt, who: Identity, ended: int) -> Resolution:
    row = marker.read(connection, attempt.execution_id)
    moved = _moved(attempt.backend, who)
    if row is None:
        if attempt.backend and attempt.backend.system_identifier != who.system_identifier:
            return _unknown(f"{moved} There is no marker here, which proves nothing on another server.")
        evidence = _xact_status(connection, attempt.backend)
        if contradiction := _contradiction(connection, attempt, evidence):
            return replace(_unknown(f"{contradiction} {moved}".rstrip()), evidence=evidence)
        marker.tombstone(connection, attempt.execution_id, attempt.request_digest)
        row = marker.read(connection, attempt.execution_id)
    verdict, sentence = _reading(row, attempt)
    return Resolution(
        verdict=verdict,
        sentence=f"{sentence} {moved}".rstrip(),
        timeline_changed=bool(moved),
        evidence=_xact_status(connection, attempt.backend),
        ended_backends=ended,
    )


def _contradiction(connection: Connection, attempt: Attempt, evidence: str) -> str:
    """Why a marker that is not there proves nothing, as a sentence; empty where it does. What did not commit
    has left its history rows standing, unless the server itself says that the transaction was aborted."""
    if attempt.backend is None or evidence in (ABORTED, NEVER):
        return ""
    present, rows = _rows_standing(connection, attempt)
    if present == len(attempt.pins):
        return ""
    return (
        f"There is no marker, and yet {rows}; the transaction's status is “{evidence or 'unknown'}”. "
        "Somebody has to look: was the marker's schema made anew, or the database restored?"
    )


def _rows_standing(connection: Connection, attempt: Attempt) -> tuple[int, str]:
    """How many of the rows that were to go are there, and that in words."""
    present = history.pins_standing(connection, attempt.history_schema, attempt.history_table, attempt.pins)
    return present, f"{present} of {len(attempt.pins)} history rows still stand"


def _reading(row: marker.Marker | None, attempt: Attempt) -> tuple[Verdict, str]:
    """What the marker row means for this attempt."""
    if row is None:
        return Verdict.UNKNOWN, "The marker can't be read back."
    if row.request_digest != attempt.request_digest:
        return Verdict.UNKNOWN, "The marker belongs to another request digest: somebody has to look at it."
    at = f"{row.claimed_at:%Y-%m-%d %H:%M:%S %Z}"
    if row.kind == "tombstone":
        return Verdict.NOT_COMMITTED, f"It did not commit; since {at} a tombstone keeps late workers out."
    if attempt.backend is not None and attempt.backend.xid != row.xid:
        return Verdict.UNKNOWN, (
            f"The marker was written by transaction {row.xid}, the portal knows {attempt.backend.xid}: "
            "somebody has to look at it."
        )
    return Verdict.COMMITTED, f"It committed: its marker of {at} is on the target."


def _by_evidence(connection: Connection, attempt: Attempt, who: Identity, ended: int) -> Resolution:
    """The reduced guarantee: the transaction's status and the history rows must agree, and nothing may have
    happened to the server in between."""
    status = _xact_status(connection, attempt.backend)
    present, rows = _rows_standing(connection, attempt)
    moved = _moved(attempt.backend, who)
    verdict = Verdict.UNKNOWN
    if attempt.backend is None or status == ABORTED:
        verdict = Verdict.NOT_COMMITTED if present == len(attempt.pins) else Verdict.UNKNOWN
    elif status == "committed" and present == 0 and not moved:
        verdict = Verdict.COMMITTED
    said = {
        Verdict.COMMITTED: "It committed",
        Verdict.NOT_COMMITTED: "It did not commit",
        Verdict.UNKNOWN: "The outcome can't be told",
    }[verdict]
    sentence = (
        f"{said}, as far as can be told without a marker: the transaction's status is "
        f"“{status or 'unknown'}”, and {rows}. {moved}"
    )
    return Resolution(
        verdict=verdict,
        sentence=sentence.rstrip(),
        timeline_changed=bool(moved),
        evidence=status,
        ended_backends=ended,
        weaker=True,
    )


def _moved(backend: Backend | None, who: Identity) -> str:
    """A sentence if another server or timeline answers than the one the attempt ran on."""
    if backend is None:
        return ""
    if backend.system_identifier != who.system_identifier:
        return (
            f"Another server answers than the one it ran on (system identifier {who.system_identifier}, "
            f"then {backend.system_identifier})."
        )
    if backend.timeline != who.timeline:
        return f"There was a failover since: timeline {who.timeline}, then {backend.timeline}."
    return ""


def _xact_status(connection: Connection, backend: Backend | None) -> str:
    """PostgreSQL's own word for the transaction; empty where it has none (too old, or never happened)."""
    if backend is None:
        return ""
    with contextlib.suppress(psycopg.errors.InvalidParameterValue):  # "is in the future": a failover lost it
        row = connection.execute("SELECT pg_xact_status(%s::text::xid8)", (str(backend.xid),)).fetchone()
        return str(row[0]) if row and row[0] else ""
    return NEVER


def _unknown(sentence: str) -> Resolution:
    return Resolution(verdict=Verdict.UNKNOWN, sentence=sentence)
