"""What the executor is told (a RunSpec), whom it tells (a Recorder) and what it answers (a Result).

Nothing here knows the portal's models: real executions, rehearsals, the tour and the benchmark all
speak to the same code in these words.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from approvals.flyway.treatment import Treatment

Stage = Literal["before script", "before commit", "after commit", "after restart"]
Phase = Literal["connect", "alone", "lock", "script", "checks", "history", "commit", "after commit"]
Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One statement of the script. `position` counts from 1 over the whole request, `item` is its
    item's position, `tags` are the command tags the server may answer with, without row counts
    ("ALTER TABLE", "DELETE"); an empty `tags` is refused."""

    position: int
    item: int
    sql: str
    kind: str
    tags: tuple[str, ...]
    line: int
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneStep:
    """A step that refuses a transaction and runs alone. `sql` is the script's statement that it is about,
    `statements` are what is sent, one after the other (mostly that one statement). `claim` is its own random
    id in the target's marker table. `back` takes `sql` back instead of running it. `before` is what the
    target showed before `sql` first ran, where an earlier execution has read it."""

    position: int
    sql: str
    statements: tuple[str, ...]
    claim: uuid.UUID
    kind: str
    says: str
    tags: tuple[str, ...] = ()
    back: bool = False
    before: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One verification query. It passes if and only if `SELECT (<sql>)::text` gives exactly one row
    that equals `expected`; booleans read 'true' and 'false'. NULL, no row, several rows, a write and
    an error are all *not passed*. `item` is None where the check is the whole request's."""

    item: int | None
    name: str
    sql: str
    expected: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class HistoryPin:
    """The one row of the Flyway history that an item takes away, as it was when it was approved."""

    installed_rank: int
    version: str
    type: str
    script: str
    checksum: int | None
    success: bool


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """One migration to roll back; `position` counts from 1, newest migration first."""

    position: int
    version: str
    steps: tuple[StepSpec, ...]
    checks: tuple[CheckSpec, ...]
    pin: HistoryPin


@dataclass(frozen=True, slots=True)
class Limits:
    """How long anything may take: milliseconds (`_ms`) or seconds (`_s`)."""

    lock_timeout_ms: int = 1_000  # one wait in the lock queue; whoever waits longer blocks readers
    lock_phase_s: float = 120.0  # all tries together, then "no effect"
    statement_timeout_ms: int = 15 * 60_000
    idle_timeout_ms: int = 10_000  # between two statements: this worker hangs or is gone, and locks are held
    transaction_timeout_ms: int = 30 * 60_000  # PostgreSQL 17 and newer
    client_deadline_s: float = 35 * 60.0  # ours; a script can't switch it off
    check_timeout_ms: int = 30_000
    portal_write_s: float = 2.0  # for a write to the portal while locks are held on the target


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything one attempt needs. Steps that run alone come `before` or `after` the one transaction;
    without `transaction` there is none (it is committed already, or something is only taken back). `locks`
    are (relation, mode) pairs with modes as in LOCK TABLE ("ACCESS EXCLUSIVE"); relations are names as the
    script writes them, resolved under `search_path`. `parameters` are those of the server that the plan sets,
    in this execution or one that it continues: a restart may be needed for them.
    `marker=False` is the reduced guarantee. `owner_role=None` runs the script as the login role.
    `expected_system_identifier` and `database_oid` are compared with the server's where given."""

    execution_id: uuid.UUID
    request_digest: str
    script_digest: str
    items: tuple[ItemSpec, ...]
    request_checks: tuple[CheckSpec, ...] = ()
    locks: tuple[tuple[str, str], ...] = ()
    search_path: str = "public"
    owner_role: str | None = None
    history_schema: str = "public"
    history_table: str = "flyway_schema_history"
    history_treatment: Treatment = Treatment.DELETE
    replica_role: bool = False
    limits: Limits = field(default_factory=Limits)
    marker: bool = True
    expected_system_identifier: str | None = None
    database_oid: int | None = None
    before: tuple[LoneStep, ...] = ()
    after: tuple[LoneStep, ...] = ()
    transaction: bool = True
    parameters: tuple[str, ...] = ()

    @property
    def alone(self) -> tuple[LoneStep, ...]:
        """All steps that run alone, in the order in which they run."""
        return self.before + self.after

    @property
    def steps(self) -> tuple[StepSpec, ...]:
        """All steps of the transaction in the order in which they run."""
        return tuple(step for item in self.items for step in item.steps)

    @property
    def checks(self) -> tuple[CheckSpec, ...]:
        """All checks: the items' in their order, then the request's."""
        return tuple(check for item in self.items for check in item.checks) + self.request_checks


@dataclass(frozen=True, slots=True)
class Backend:
    """Which transaction on which server carries the attempt; written to the portal before the script."""

    xid: int
    pid: int
    backend_start: datetime
    system_identifier: str
    timeline: int
    postmaster_start: datetime


@dataclass(frozen=True, slots=True)
class Blocker:
    """Who stands in the way of a lock, as far as the server told. `state_since` is when it came to be in
    `state`, `client` where it is connected from; nothing of what it asks, which may be confidential."""

    pid: int
    user: str
    application: str
    query_start: datetime | None
    state: str
    relation: str
    state_since: datetime | None = None
    client: str = ""

    def __str__(self) -> str:
        name = f" ({self.application})" if self.application else ""
        since = f" since {self.query_start:%Y-%m-%d %H:%M:%S %Z}".rstrip() if self.query_start else ""
        what = f" on {self.relation}" if self.relation else ""
        state = self.state or "unknown state"
        return f"pid {self.pid} of {self.user or 'an unnamed role'}{name}, {state}{since}{what}"


@dataclass(frozen=True, slots=True)
class Waiters:
    """Sessions of one application that wait for the attempt's locks; the longest has for `longest_s`."""

    application: str
    count: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class ObservedLock:
    """One lock that the attempt was seen with; accurate to the watch's interval."""

    relation: str
    mode: str
    held_from: datetime | None  # None: waited for and never granted
    held_to: datetime | None  # None: not yet released
    waited_s: float


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check answered; `actual` is None for NULL, no row or an error, and `error` says which."""

    check: CheckSpec
    passed: bool
    actual: str | None
    ms: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. `lock_held_s` runs from the first relation lock that was kept to the answer to COMMIT."""

    total_s: float = 0.0
    lock_phase_s: float = 0.0
    lock_attempts: int = 0
    lock_held_s: float = 0.0
    script_s: float = 0.0
    checks_s: float = 0.0
    commit_s: float = 0.0


class Outcome(enum.StrEnum):
    """How an attempt ended, in the words of the execution's statuses."""

    SUCCEEDED = "succeeded"
    NO_EFFECT = "no_effect"
    ROLLED_BACK = "rolled_back"
    UNRESOLVED = "unresolved"
    PARTIAL = "partial"
    AWAITING_RESTART = "awaiting_restart"
    COMMITTED_CHECK_FAILED = "committed_check_failed"


COMMITTED = frozenset({Outcome.SUCCEEDED, Outcome.COMMITTED_CHECK_FAILED, Outcome.AWAITING_RESTART})


@dataclass(frozen=True, slots=True)
class Restart:
    """What a restart of the server is waited for: since when it runs, and for each parameter that waits its
    name, the value that is in force now and the one that the file has."""

    postmaster_start: datetime
    settings: tuple[tuple[str, str, str], ...] = ()


class StepState(enum.StrEnum):
    """How a step that runs alone stands, in the words of the portal's steps."""

    PENDING = "pending"  # not begun, and behind a tombstone it never will
    DONE = "done"
    UNDONE = "undone"
    FAILED = "failed"  # it began, and nothing of it is there but perhaps a rest that has to be cleared away
    UNKNOWN = "unknown"  # neither as before nor as it should be: somebody has to look


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneFound:
    """What the target says of a step that runs alone: `says` in a sentence, `leftover` clears a rest away."""

    position: int
    state: StepState
    says: str
    leftover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of an attempt. `sentence` says in plain words what happened, with names and numbers."""

    outcome: Outcome
    sentence: str
    failed_step: int | None = None  # the step's position
    failed_check: CheckSpec | None = None
    sqlstate: str | None = None
    blocker: Blocker | None = None
    checks: tuple[CheckResult, ...] = ()
    locks: tuple[ObservedLock, ...] = ()
    timings: Timings = field(default_factory=Timings)
    backend: Backend | None = None
    restart: Restart | None = None
    committed: bool = False  # the transaction is, whatever became of the steps that run alone


class Recorder(Protocol):
    """Whom the executor tells what happens.

    `backend`, `committing`, `claimed` and `settled` must be durable when they return, within
    `Limits.portal_write_s`.
    `waiting`, `waiters`, `locks`, `heartbeat`, `cancelled` and `watch_ended` are called from the watch
    thread, and an exception from these is only logged. Everything else is called from the thread that runs
    the attempt; an exception there ends the attempt without effect unless COMMIT has been sent.
    """

    def phase(self, name: Phase) -> None:
        """The attempt has entered this phase."""

    def log(self, level: Level, text: str) -> None:
        """One line for the execution's log: notices of the server, lock tries, what was decided."""

    def backend(self, backend: Backend) -> None:
        """Durable: the script is about to run in this transaction."""

    def step_started(self, position: int) -> None:
        """This step's statement is about to be sent."""

    def step_done(self, position: int, rows: int | None, ms: float, tag: str) -> None:
        """The step's statement was answered; `rows` is None where its kind doesn't count rows."""

    def claimed(self, position: int, before: Mapping[str, Any], undo: Sequence[str]) -> None:
        """Durable: this step is about to run alone. `before` is what the target shows now, `undo` takes the
        step back."""

    def settled(self, found: LoneFound, ms: float | None = None, tag: str = "") -> None:
        """Durable: how a step that ran alone stands on the target now."""

    def check_done(self, check: CheckSpec, passed: bool, actual: str | None, ms: float) -> None:
        """The check was evaluated."""

    def committing(self) -> None:
        """Durable: COMMIT is about to be sent; from here on only the target knows the outcome."""

    def waiting(self, blocker: Blocker | None) -> None:
        """The attempt waits for a lock that `blocker` holds; None: it waits no longer."""

    def waiters(self, found: Sequence[Waiters]) -> None:
        """Who waits for the attempt: told once a second while somebody does, and when nobody does now."""

    def locks(self, observed: Sequence[ObservedLock]) -> None:
        """All locks seen so far; called when something was added."""

    def heartbeat(self) -> None:
        """The worker lives; called about once a second."""

    def cancelled(self) -> bool:
        """Has somebody asked for the attempt to be cancelled?"""
        ...

    def watch_ended(self) -> None:
        """Last call from the watch thread: close what was opened for it (database connections)."""
