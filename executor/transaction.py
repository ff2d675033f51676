"""The one transaction on the target: begin, claim, lock, run, take back control, assert, treat, commit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import TransactionStatus

from executor import history, locks, marker
from executor.connect import Connection, Identity, execute_one, one, set_local
from executor.ending import Stop
from executor.spec import Backend, Outcome, RunSpec, StepSpec

ORIGIN = "origin"


@dataclass
class Transaction:
    """Steps 2 to 8 of an attempt, on its own connection; whoever calls decides what an error means.

    `locked_at` (time.monotonic) is when the first table of the script was locked, None before that.
    """

    connection: Connection
    spec: RunSpec
    who: Identity
    xid: int = 0
    locked_at: float | None = None
    _history: str = field(default="", repr=False)
    _wanted: list[locks.Wanted] = field(default_factory=list, repr=False)

    def begin(self, *, readers_in: bool = False) -> None:
        """Begin, claim, and take every lock; with `readers_in` only such as keep writers out, until
        `take_all`. Raises LockBusy where somebody else holds one, Stop where the execution id has a marker
        already, HistoryChanged, psycopg.Error."""
        self.locked_at = None
        self.connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        set_local(self.connection, settings_of(self.spec, self.who.version))
        locks.take_advisory(self.connection, self.spec)
        self.xid = self._claim()
        locks.take_history(self.connection, self.spec)
        history.require_pins(self.connection, self.spec)
        self._history = history.digest_without_pins(self.connection, self.spec)
        self._become_owner()
        self._wanted = locks.wanted(self.connection, self.spec)
        self.locked_at = time.monotonic()
        now = self._wanted
        if readers_in:
            now = locks.against_writers(locks.with_carried(self.connection, now))
        locks.take_relations(self.connection, now)

    @contextlib.contextmanager
    def unhurried(self) -> Iterator[str]:
        """A snapshot of this transaction, in which nothing ends it while somebody else reads by that. Raises
        psycopg.Error."""
        patient = {"idle_in_transaction_session_timeout": "0"}
        if self.who.version >= 170000:
            patient["transaction_timeout"] = "0"
        set_local(self.connection, patient)
        yield str(one(self.connection, "SELECT pg_export_snapshot()")[0])
        set_local(self.connection, settings_of(self.spec, self.who.version))

    def take_all(self) -> None:
        """The locks of the plan, after those that let readers in. Raises LockBusy where somebody reads there;
        what was held before is held still."""
        self.connection.execute("SAVEPOINT before_all_locks")
        try:
            locks.take_relations(self.connection, self._wanted)
        except locks.LockBusy:
            self.connection.execute("ROLLBACK TO SAVEPOINT before_all_locks")
            raise
        finally:
            if not self.connection.closed:
                self.connection.execute("RELEASE SAVEPOINT before_all_locks")

    def rollback(self) -> None:
        """Give everything back, if there is still a connection; never raises for a lost one."""
        if not self.connection.closed:
            self.connection.execute("ROLLBACK")

    def backend(self) -> Backend:
        """Which transaction on which server this is."""
        who = self.who
        return Backend(
            xid=self.xid,
            pid=who.backend_pid,
            backend_start=who.backend_start,
            system_identifier=who.system_identifier,
            timeline=who.timeline,
            postmaster_start=who.postmaster_start,
        )

    def step(self, step: StepSpec) -> tuple[int | None, str]:
        """Run one statement; returns the rows it counted and its command tag. Raises Stop if the answer isn't
        one the plan allows, or if the statement has ended the transaction."""
        answer = execute_one(self.connection, step.sql)
        status = self.connection.info.transaction_status
        if status == TransactionStatus.IDLE:
            outcome = Outcome.PARTIAL if answer.tag == "COMMIT" else Outcome.ROLLED_BACK
            raise Stop(
                outcome,
                f"Step {step.position} (line {step.line}) ended the transaction by itself with {answer.tag}. "
                "The steps up to it may be in place; nothing after it has run.",
                failed_step=step.position,
            )
        if status != TransactionStatus.INTRANS:
            raise Stop(
                Outcome.ROLLED_BACK,
                f"Step {step.position} (line {step.line}) left the transaction in the state {status.name}.",
                failed_step=step.position,
            )
        if answer.tag not in step.tags:
            raise Stop(
                Outcome.ROLLED_BACK,
                f"Step {step.position} (line {step.line}) was answered with {answer.tag}, "
                f"planned was {' or '.join(step.tags)}.",
                failed_step=step.position,
            )
        return answer.rows, answer.tag

    def become_script(self) -> None:
        """Be the service's owner again, and where the plan asks for it switch triggers off."""
        if self.spec.replica_role:
            self.connection.execute("RESET ROLE")  # the right to set it is the login's
            set_local(self.connection, {"session_replication_role": "replica"})
        self._become_owner()

    def regain(self) -> None:
        """Be the login role again, under our own settings and otherwise the role's defaults, triggers
        included: a DO block can have changed them all, and checks must not depend on it."""
        self.connection.execute("RESET ROLE; RESET ALL")
        set_local(self.connection, settings_of(self.spec, self.who.version))

    def force_constraints(self) -> None:
        """Let deferred constraints speak now. Raises psycopg.errors.IntegrityError."""
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def assert_untouched(self) -> None:
        """Raise Stop unless this is still the transaction that claimed, alone, and the history's other rows
        are as they were."""
        user, session, xid, replication = one(
            self.connection,
            """SELECT current_user, session_user, pg_current_xact_id()::text,
                      current_setting('session_replication_role')""",
        )
        if user != session:
            raise _tampered(f"the role is still {user}")
        if int(xid) != self.xid:
            raise _tampered(f"the transaction is {xid}, it was {self.xid}")
        if replication != ORIGIN:
            raise _tampered(f"session_replication_role is {replication}")
        if self.spec.marker:
            written = marker.ids_of_this_transaction(self.connection)
            if written != [self.spec.execution_id]:
                raise _tampered(f"{len(written)} markers were written instead of one")
        self._assert_history()

    def may_skip_triggers(self) -> bool:
        """Could the script have run with foreign-key triggers off, planned or through a DO block?"""
        if self.spec.replica_role:
            return True
        if self.who.version < 150000:
            return False  # there only a superuser may, and those are refused
        query = "SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')"
        return bool(one(self.connection, query)[0])

    def treat_history(self) -> None:
        """Do with the pinned rows what was approved, and nothing else. Raises HistoryChanged or Stop."""
        added = history.treat(self.connection, self.spec)
        self._assert_history(besides=added)

    def commit(self) -> None:
        """COMMIT, and believe only the server's own word. Raises Stop, or psycopg.Error where the connection
        was lost and the outcome with it."""
        try:
            tag = self.connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if self.connection.closed:
                raise
            raise Stop(
                Outcome.ROLLED_BACK, f"The server refused COMMIT: {error}", sqlstate=error.sqlstate
            ) from error
        if tag != "COMMIT":
            raise Stop(Outcome.ROLLED_BACK, f"The server answered {tag} to COMMIT, so nothing was changed.")

    def _assert_history(self, besides: Sequence[int] = ()) -> None:
        if history.digest_without_pins(self.connection, self.spec, besides=besides) != self._history:
            raise _tampered("rows of the history changed that are not part of this request")

    def _claim(self) -> int:
        if not self.spec.marker:
            return int(one(self.connection, "SELECT pg_current_xact_id()::text")[0])
        try:
            return marker.claim(self.connection, self.spec.execution_id, self.spec.request_digest)
        except psycopg.errors.UniqueViolation:
            raise self._marked_already() from None
        except psycopg.errors.LockNotAvailable:
            raise locks.LockBusy("the marker of this execution") from None

    def _marked_already(self) -> Stop:
        """This id has a marker: a tombstone keeps us out for good; a claim says that the same execution has
        committed before, which is for the resolver to tell and never for this attempt."""
        self.rollback()
        row = marker.read(self.connection, self.spec.execution_id)
        if row is not None and row.kind == "tombstone":
            return Stop(
                Outcome.NO_EFFECT,
                f"This execution was given up at {row.claimed_at:%Y-%m-%d %H:%M:%S %Z}: its tombstone is on "
                "the target, so this late attempt did nothing.",
            )
        return Stop(
            Outcome.UNRESOLVED,
            "This execution id has a marker on the target already; this second attempt did nothing, and the "
            "resolver has to say what became of the first.",
        )

    def _become_owner(self) -> None:
        if self.spec.owner_role is not None:
            set_local(self.connection, {"role": self.spec.owner_role})


def settings_of(spec: RunSpec, version: int) -> dict[str, str]:
    """What is set in every transaction of an attempt. `version` is the server's number."""
    limits = spec.limits
    settings = {
        "synchronous_commit": "on",
        "lock_timeout": f"{limits.lock_timeout_ms}ms",
        "statement_timeout": f"{limits.statement_timeout_ms}ms",
        "idle_in_transaction_session_timeout": f"{limits.idle_timeout_ms}ms",
        "search_path": f"{spec.search_path}, pg_temp",  # a temporary table must not shadow a real one
        "row_security": "off",  # rather an error than rows that are silently left out
        "standard_conforming_strings": "on",
    }
    if version >= 170000:
        settings["transaction_timeout"] = f"{limits.transaction_timeout_ms}ms"
    return settings


def _tampered(what: str) -> Stop:
    return Stop(
        Outcome.ROLLED_BACK,
        f"The script changed what belongs to the executor ({what}), so everything was rolled back.",
    )
