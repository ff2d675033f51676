"""A believable target database, and the words in which tests talk to it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from executor.connect import Endpoint
from executor.run import run
from executor.spec import (
    Backend,
    Blocker,
    CheckSpec,
    HistoryPin,
    ItemSpec,
    Limits,
    LoneFound,
    LoneStep,
    ObservedLock,
    Result,
    RunSpec,
    StepSpec,
    Waiters,
)

OWNER = "wallet_owner"

SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, status text);
    CREATE TABLE wallets (
        id int PRIMARY KEY,
        user_id int NOT NULL CONSTRAINT wallets_user REFERENCES users,
        balance numeric(12, 2) NOT NULL DEFAULT 0
    );
    CREATE INDEX wallets_by_user ON wallets (user_id);
    CREATE VIEW rich AS SELECT * FROM wallets WHERE balance > 1000;
    INSERT INTO users SELECT n, 'user' || n || '@example.com', 'active' FROM generate_series(1, 100) n;
    INSERT INTO wallets SELECT n, n, n * 20 FROM generate_series(1, 100) n;
    CREATE TABLE flyway_schema_history (
        installed_rank int NOT NULL CONSTRAINT flyway_schema_history_pk PRIMARY KEY,
        version varchar(50), description varchar(200) NOT NULL, type varchar(20) NOT NULL,
        script varchar(1000) NOT NULL, checksum int, installed_by varchar(100) NOT NULL,
        installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL, success boolean NOT NULL
    );
    CREATE INDEX flyway_schema_history_s_idx ON flyway_schema_history (success);
    INSERT INTO flyway_schema_history VALUES
        (1, '1', 'create', 'SQL', 'V1__create.sql', 111, 'flyway', DEFAULT, 5, true),
        (2, '2', 'index', 'SQL', 'V2__index.sql', 222, 'flyway', DEFAULT, 5, true),
        (3, '3', 'status', 'SQL', 'V3__status.sql', -333, 'flyway', DEFAULT, 5, true);
"""

PIN_2 = HistoryPin(2, "2", "SQL", "V2__index.sql", 222, True)
PIN_3 = HistoryPin(3, "3", "SQL", "V3__status.sql", -333, True)

# Short where a test waits for it, long where a loaded machine must not decide.
LIMITS = Limits(lock_timeout_ms=300, lock_phase_s=2.0, idle_timeout_ms=120_000, portal_write_s=60.0)

DROP_STATUS = ("ALTER TABLE users DROP COLUMN status", "ALTER TABLE")
STATUS_IS_GONE = (
    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'status'",
    "0",
)
# What DROP_STATUS with its history row took away.
COLUMN_AND_ROW_AGAIN = (
    "ALTER TABLE users ADD COLUMN status text DEFAULT 'active'",
    """INSERT INTO flyway_schema_history
       VALUES (3, '3', 'status', 'SQL', 'V3__status.sql', -333, 'flyway', DEFAULT, 5, true)""",
)

FINGERPRINT = """
    SELECT jsonb_build_object(
        'columns', (SELECT jsonb_agg(format('%s.%s %s %s', attrelid::regclass, attname, atttypid::regtype,
                                            attnotnull) ORDER BY attrelid::regclass::text, attnum)
                      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                     WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped),
        'constraints', (SELECT jsonb_agg(format('%s %s', conrelid::regclass, pg_get_constraintdef(oid))
                               ORDER BY conrelid::regclass::text, conname)
                          FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
        'triggers', (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)
    )::text
"""


@dataclass
class Target:
    """One database of the production cluster with users, wallets and a Flyway history."""

    superuser_dsn: str
    executor: Endpoint
    backup: Endpoint

    def superuser(self, **options: Any) -> psycopg.Connection[Any]:
        """A superuser's connection in autocommit mode: whoever else works on the target."""
        return psycopg.connect(self.superuser_dsn, autocommit=True, **options)

    def do(self, *statements: str) -> None:
        """Run statements as the superuser."""
        with self.superuser() as connection:
            for statement in statements:
                connection.execute(statement)

    def value(self, query: str, *params: object) -> Any:
        """The first column of the first row."""
        with self.superuser() as connection:
            row = connection.execute(query, params or None).fetchone()
        assert row is not None
        return row[0]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """All rows as dictionaries."""
        with self.superuser(row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()

    def fingerprint(self) -> str:
        """Changes with the schema and the rows of everything that belongs to the service."""
        with self.superuser() as connection:
            shape = connection.execute(FINGERPRINT).fetchone()
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            ).fetchall()
            count = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.{} AS t"
            rows = [
                connection.execute(sql.SQL(count).format(sql.Identifier(table))).fetchone()
                for (table,) in tables
            ]
        return f"{shape} {tables} {rows}"

    def versions(self) -> list[str]:
        """What the history says is applied."""
        return [row["version"] for row in self.rows("SELECT * FROM flyway_schema_history ORDER BY 1")]

    def marker_of(self, spec: RunSpec) -> str | None:
        """ "claim", "tombstone" or nothing."""
        rows = self.rows("SELECT execution_id, kind FROM waqiti_rollback.execution_marker")
        return next((row["kind"] for row in rows if row["execution_id"] == spec.execution_id), None)

    def run(self, spec: RunSpec, recorder: Recording | None = None) -> Result:
        """One attempt."""
        return run(spec, self.executor, recorder or Recording())


def step(text: str, *tags: str, line: int = 1, kind: str = "step") -> StepSpec:
    """A step whose position `item` gives."""
    return StepSpec(0, 0, text, kind, tags, line, text)


def check(text: str, expected: str, stage: str = "before commit", name: str = "check") -> CheckSpec:
    """An item's check; `request_check` in a spec makes it the request's."""
    return CheckSpec(1, name, text, expected, stage)  # type: ignore[arg-type]


def spec(
    *steps: tuple[str, ...] | StepSpec,
    pin: HistoryPin = PIN_3,
    checks: Sequence[CheckSpec] = (),
    **fields: Any,
) -> RunSpec:
    """A run of one item; a step is (sql, tag, …)."""
    item = items((pin, steps, checks))
    limits = fields.pop("limits", {})
    defaults: dict[str, Any] = {
        "execution_id": uuid.uuid4(),
        "request_digest": "digest of the request",
        "script_digest": "digest of the script",
        "locks": (("users", "ACCESS EXCLUSIVE"),),
        "owner_role": OWNER,
        "limits": replace(LIMITS, **limits),
    }
    return RunSpec(items=item, **(defaults | fields))


def lone(*statements: str, first: int = 1, **fields: Any) -> tuple[LoneStep, ...]:
    """Steps that run alone, numbered from `first`."""
    return tuple(
        LoneStep(
            position=position,
            sql=text,
            statements=(text,),
            claim=uuid.uuid4(),
            kind="step",
            says=text,
            **fields,
        )
        for position, text in enumerate(statements, start=first)
    )


def items(
    *parts: tuple[HistoryPin, Sequence[tuple[str, ...] | StepSpec], Sequence[CheckSpec]],
) -> tuple[ItemSpec, ...]:
    """Items with their steps numbered through."""
    result: list[ItemSpec] = []
    position = 0
    for number, (pin, steps, checks) in enumerate(parts, start=1):
        numbered = []
        for each in steps:
            position += 1
            made = each if isinstance(each, StepSpec) else step(each[0], *each[1:])
            numbered.append(replace(made, position=position, item=number))
        owned = tuple(replace(each, item=number) for each in checks)
        result.append(ItemSpec(number, pin.version, tuple(numbered), owned, pin))
    return tuple(result)


@dataclass
class Recording:
    """A recorder that remembers, and does what a test asks for when something is told (`on`)."""

    on: dict[str, Callable[..., None]] = field(default_factory=dict)
    events: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)

    def _tell(self, name: str, *args: Any) -> None:
        self.events.append((name, args))
        if name in self.on:
            self.on[name](*args)

    def told(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of one method."""
        return [args for event, args in self.events if event == name]

    @property
    def lines(self) -> str:
        """The log."""
        return "\n".join(text for _, text in self.told("log"))

    def phase(self, name: str) -> None:
        self._tell("phase", name)

    def log(self, level: str, text: str) -> None:
        self._tell("log", level, text)

    def backend(self, backend: Backend) -> None:
        self._tell("backend", backend)

    def step_started(self, position: int) -> None:
        self._tell("step_started", position)

    def step_done(self, position: int, rows: int | None, ms: float, tag: str) -> None:
        self._tell("step_done", position, rows, ms, tag)

    def claimed(self, position: int, before: Mapping[str, Any], undo: Sequence[str]) -> None:
        self._tell("claimed", position, before, undo)

    def settled(self, found: LoneFound, ms: float | None = None, tag: str = "") -> None:
        self._tell("settled", found, ms, tag)

    def check_done(self, check: CheckSpec, passed: bool, actual: str | None, ms: float) -> None:
        self._tell("check_done", check, passed, actual, ms)

    def committing(self) -> None:
        self._tell("committing")

    def waiting(self, blocker: Blocker | None) -> None:
        self._tell("waiting", blocker)

    def locks(self, observed: Sequence[ObservedLock]) -> None:
        self._tell("locks", observed)

    def waiters(self, found: Sequence[Waiters]) -> None:
        self._tell("waiters", found)

    def heartbeat(self) -> None:
        self._tell("heartbeat")

    def cancelled(self) -> bool:
        return self.cancel.is_set()

    def watch_ended(self) -> None:
        self._tell("watch_ended")
