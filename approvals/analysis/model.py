"""The words of the analysis that other packages build on: plain, frozen, and convertible to JSON."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any


class Risk(enum.IntEnum):
    """How dangerous it is to run or to undo something. `.name` is the word that people see."""

    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class LockMode(enum.StrEnum):
    """PostgreSQL's table lock modes in the order of their strength; they compare by strength, not by name."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def strength(self) -> int:
        """1 (ACCESS SHARE) to 8 (ACCESS EXCLUSIVE)."""
        return _STRENGTH[self]

    @property
    def blocks(self) -> str:
        """One sentence: whom a holder of this lock keeps waiting."""
        return _BLOCKS[self]

    def __lt__(self, other: str) -> bool:
        return self.strength < LockMode(other).strength

    def __le__(self, other: str) -> bool:
        return self.strength <= LockMode(other).strength

    def __gt__(self, other: str) -> bool:
        return self.strength > LockMode(other).strength

    def __ge__(self, other: str) -> bool:
        return self.strength >= LockMode(other).strength


_STRENGTH = {mode: number for number, mode in enumerate(LockMode, start=1)}
_BLOCKS = {
    LockMode.ACCESS_SHARE: "Blocks only statements that need the table for themselves, such as DROP TABLE.",
    LockMode.ROW_SHARE: "Blocks only changes of the table itself.",
    LockMode.ROW_EXCLUSIVE: "Blocks changes of the table itself and index builds; reads and writes go on.",
    LockMode.SHARE_UPDATE_EXCLUSIVE: "Blocks maintenance and schema changes; reads and writes go on.",
    LockMode.SHARE: "Blocks all writes; reads go on.",
    LockMode.SHARE_ROW_EXCLUSIVE: "Blocks all writes; reads go on.",
    LockMode.EXCLUSIVE: "Blocks all writes and row locks; plain reads go on.",
    LockMode.ACCESS_EXCLUSIVE: "Blocks all reads and writes.",
}


class StepKind(enum.StrEnum):
    """How a step of a plan has to be run."""

    TRANSACTIONAL = "transactional"
    AUTOCOMMIT = "autocommit"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a text that stops it, at a line and column (both from 1, columns in characters)."""

    line: int
    column: int
    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that a statement takes. `relation` is quoted where it must be, and qualified if written so."""

    relation: str
    mode: LockMode
    note: str = ""


@dataclass(frozen=True, slots=True)
class Destroyed:
    """Data that goes if a statement runs: a whole relation (`column` is None) or one column's values."""

    relation: str
    column: str | None = None

    @property
    def name(self) -> str:
        """`relation` or `relation.column`: the key of `Facts.rows` or `Facts.values`."""
        return self.relation if self.column is None else f"{self.relation}.{self.column}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement as the analysis understands it.

    `position`, `line`, `column` and `end_line` count from 1. `sql` is the exact text without the semicolon.
    `change`, `risk`, `data_loss` and `action` are the decision matrix's row for this statement as a *forward*
    change; `hazard`, `hazard_id` and `hazard_reason` say what it means inside a *rollback script*; `hazards`
    are the ids of all its hazards, of which that is the worst.
    `tags` are the command tags PostgreSQL may answer (without row counts). `relation` is the main relation,
    or ''; `creates` are the relations that the statement certainly makes (not: IF NOT EXISTS).
    """

    position: int
    line: int
    column: int
    end_line: int
    sql: str
    kind: str
    change: str
    risk: Risk
    data_loss: str
    action: str
    locks: tuple[Lock, ...]
    transactional: bool
    says: str
    tags: tuple[str, ...]
    destroys: tuple[Destroyed, ...]
    hazard: Risk
    hazard_reason: str
    notes: tuple[str, ...] = ()
    restart: bool = False
    hazard_id: str = ""
    hazards: tuple[str, ...] = ()
    relation: str = ""
    creates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was read from one file. With errors, `statements` holds what could still be read."""

    name: str
    statements: tuple[Statement, ...] = ()
    errors: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    dialect: str = ""

    @property
    def risk(self) -> Risk | None:
        """The highest risk of all statements; None for a file without any."""
        return max((statement.risk for statement in self.statements), default=None)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a plan and how it is to be run. `position` counts the plan's steps from 1."""

    position: int
    kind: StepKind
    statement: Statement


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A statement of the script that does not become a step.

    `kind` is 'transaction' (the outer BEGIN and COMMIT) or 'history' (the DELETE from Flyway's table), which
    the executor does itself, or 'replica role', which is removed. `why` is a sentence for people.
    """

    line: int
    column: int
    sql: str
    why: str
    kind: str


# Hazards after which a name may mean another relation than before.
_UNSETTLES = frozenset(
    {"rename", "search-path", "dynamic-sql", "calls-function", "calls-procedure", "calls-own-code"}
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the analysis makes of a rollback script.

    `problems` are refusals: a plan that has any must not be submitted. `versions` are the versions that the
    script itself wanted to delete from Flyway's history. `replica_role`: the script asked for
    session_replication_role = replica.
    """

    steps: tuple[Step, ...] = ()
    taken_over: tuple[TakenOver, ...] = ()
    replica_role: bool = False
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements of all steps, in order."""
        return tuple(step.statement for step in self.steps)

    @property
    def relations(self) -> dict[str, LockMode]:
        """The strongest lock per relation of the transactional steps, by name, without what they create."""
        strongest: dict[str, LockMode] = {}
        for step in self.steps:
            if step.kind is not StepKind.TRANSACTIONAL:
                continue
            for lock in step.statement.locks:
                if lock.relation not in strongest or strongest[lock.relation] < lock.mode:
                    strongest[lock.relation] = lock.mode
        made = self.created
        return {name: strongest[name] for name in sorted(strongest) if name not in made}

    @property
    def created(self) -> frozenset[str]:
        """Relations that the script itself creates before anything else touches them."""
        seen: set[str] = set()
        made: set[str] = set()
        for statement in self.statements:
            made.update(name for name in statement.creates if name not in seen)
            seen.update(lock.relation for lock in statement.locks)
        return frozenset(made)

    def with_made(self) -> Iterator[tuple[Statement, frozenset[str]]]:
        """Every statement with the relations that the script itself has made by then.

        A relation counts no longer once it is dropped, or once names may mean something else: after a rename,
        another search path, or code that cannot be read.
        """
        seen: set[str] = set()
        made: set[str] = set()
        for statement in self.statements:
            yield statement, frozenset(made)
            if _UNSETTLES.isdisjoint(statement.hazards):
                if "drop-table" in statement.hazards:
                    made -= {gone.relation for gone in statement.destroys}
                made |= {name for name in statement.creates if name not in seen}
            else:
                made.clear()
            seen.update(lock.relation for lock in statement.locks)

    @property
    def destroys(self) -> tuple[Destroyed, ...]:
        """Data that goes, each once, without what the script itself had made."""
        found: dict[Destroyed, None] = {}
        for statement, made in self.with_made():
            found.update((gone, None) for gone in statement.destroys if gone.relation not in made)
        return tuple(found)

    @property
    def restart(self) -> bool:
        """Whether a server restart is needed before everything is in force."""
        return any(statement.restart for statement in self.statements)

    @property
    def not_here(self) -> str:
        """Why this version does not run the plan, as a sentence; '' when it does."""
        if self.problems:
            first = self.problems[0]
            return f"The script is refused: line {first.line}, column {first.column}: {first.message}"
        from approvals.analysis.parts import Planned, parts  # reads statements, which are made of these

        read = [
            Planned(step.kind, step.statement.change, step.statement.sql, step.statement.kind)
            for step in self.steps
        ]
        return " ".join(parts(read).problems)

    @property
    def executable_here(self) -> bool:
        """Whether this version can run the plan; `not_here` says why not."""
        return not self.not_here


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the live target.

    `rows`: rows per relation, exact or estimated; the key is `Destroyed.relation`, as the plan writes it.
    `values`: non-null values per column; the key is `Destroyed.name`, `relation.column`. A missing key means
    unknown, which counts as populated. `exact` holds the keys of both that were counted, not estimated.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a rating is at least `risk`: about what, and one sentence."""

    risk: Risk
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Rating:
    """The risk of a rollback and the reasons for it, highest first."""

    risk: Risk
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class AutomaticCheck:
    """A check the system adds by itself. `sql` returns one scalar whose text must equal `expected`.

    `stage` is 'before script': it runs under the locks, before the first step.
    """

    name: str
    sql: str
    expected: str
    stage: str = "before script"


def as_json(thing: Any) -> Any:
    """Turn any of these classes into plain JSON values, fields in the order of their definition.

    Risks become their word, lock modes and step kinds their text, mappings and sets are sorted. No floats, so
    the result can be canonicalised and hashed. Raises TypeError for anything else.
    """
    kind: type = type(thing)
    return _form(kind)(thing)


def _same(thing: Any) -> Any:
    return thing


def _items(things: Iterable[Any]) -> list[Any]:
    return [thing if type(thing) in _PLAIN else as_json(thing) for thing in things]


@cache
def _form(kind: type) -> Callable[[Any], Any]:
    """How things of exactly this class become plain: found once, since imports ask for millions of them."""
    if kind in _PLAIN:
        return _same
    if issubclass(kind, Risk):
        return {risk: risk.name for risk in kind}.__getitem__
    if issubclass(kind, enum.Enum):
        return {each: each.value for each in kind}.__getitem__
    if issubclass(kind, (str, int)):
        return _same
    if is_dataclass(kind):
        names = tuple(each.name for each in fields(kind))
        values = attrgetter(*names) if len(names) > 1 else lambda thing: (getattr(thing, names[0]),)
        return lambda thing: dict(zip(names, _items(values(thing)), strict=True))
    if issubclass(kind, Mapping):
        return lambda thing: {str(key): as_json(thing[key]) for key in sorted(thing)}
    if issubclass(kind, (set, frozenset)):
        return lambda thing: _items(sorted(thing))
    if issubclass(kind, (tuple, list)):
        return _items
    raise TypeError(f"{kind.__name__} has no plain JSON form")


_PLAIN = frozenset({type(None), str, int, bool})
