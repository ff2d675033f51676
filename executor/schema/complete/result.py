"""The words of completeness: what becomes of an effect, what a step is good for, and the whole answer."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from approvals.analysis import plan_script

RUN, READ = "run", "read"


class Fate(enum.StrEnum):
    """What becomes of an effect."""

    UNDONE = "undone"
    LEFT = "left on purpose"
    NOT_UNDONE = "not undone"


class Role(enum.StrEnum):
    """What a step is good for."""

    UNDOES = "undoes"
    HELPS = "helps"
    NOTHING = "does nothing"
    FOREIGN = "undoes nothing the migration did"
    FAILS = "fails"
    UNREADABLE = "can't be read"


@dataclass(frozen=True, slots=True)
class Finding:
    """One effect of the migration. `key` names it in declarations and stays the same as long as the effect
    does; `line` is the statement's in the migration file, as far as known; `steps` are those that undo
    it; `measured` says that it was seen on a server and not only read; `reason` is a sentence or ''."""

    key: str
    text: str
    fate: Fate
    steps: tuple[int, ...] = ()
    reason: str = ""
    line: int | None = None
    measured: bool = True


@dataclass(frozen=True, slots=True)
class StepFinding:
    """One step of the script: `undoes` are keys of effects; `note` is a sentence about what else it does, or
    why it does nothing."""

    position: int
    line: int
    sql: str
    role: Role
    undoes: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Completeness:
    """The answer. `method` is `run` or `read`, the weaker one; `because` says why it was not run. `problems`
    are refusals of the script as a whole. `again` says why the migration does not apply again behind the
    script where tables have rows ('' where it does, or nobody knows)."""

    method: str
    findings: tuple[Finding, ...]
    steps: tuple[StepFinding, ...]
    because: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: str = ""

    @property
    def not_undone(self) -> tuple[Finding, ...]:
        """Effects that block submission until they are waived."""
        return tuple(finding for finding in self.findings if finding.fate is Fate.NOT_UNDONE)

    @property
    def strangers(self) -> tuple[StepFinding, ...]:
        """Steps that undo nothing the migration did, or that fail."""
        roles = (Role.NOTHING, Role.FOREIGN, Role.FAILS, Role.UNREADABLE)
        return tuple(step for step in self.steps if step.role in roles)

    @property
    def complete(self) -> bool:
        """Whether nothing is left undone, and no step of the script failed."""
        failed = any(step.role is Role.FAILS for step in self.steps)
        return not (self.not_undone or self.problems or failed)

    def json(self) -> dict[str, Any]:
        """Plain values, in this order."""
        return {
            "method": self.method,
            "because": self.because,
            "complete": self.complete,
            "effects": [
                {
                    "key": each.key,
                    "text": each.text,
                    "fate": each.fate.value,
                    "steps": list(each.steps),
                    "reason": each.reason,
                    "line": each.line,
                    "measured": each.measured,
                }
                for each in self.findings
            ],
            "steps": [
                {
                    "position": each.position,
                    "line": each.line,
                    "sql": each.sql,
                    "role": each.role.value,
                    "undoes": list(each.undoes),
                    "note": each.note,
                }
                for each in self.steps
            ],
            "problems": list(self.problems),
            "notes": [*self.notes, *filter(None, [self.again])],
        }


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """A statement of the script as the plan counts it."""

    position: int
    line: int
    sql: str
    transactional: bool


@dataclass
class Script:
    """A script as its plan has it: what the executor takes over is no step."""

    steps: list[ScriptStep] = field(default_factory=list)
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, history_table: str = "flyway_schema_history") -> Script:
        """Plan a script."""
        plan = plan_script(text, history_table=history_table)
        steps = [
            ScriptStep(step.position, step.statement.line, step.statement.sql, step.statement.transactional)
            for step in plan.steps
        ]
        problems = tuple(f"line {each.line}, column {each.column}: {each.message}" for each in plan.problems)
        return cls(steps, problems)


def role_of(undoes: Sequence[str], *, changes: bool, helps: bool) -> Role:
    """What a step is good for, by what was seen of it."""
    if undoes:
        return Role.UNDOES
    if not changes:
        return Role.NOTHING
    return Role.HELPS if helps else Role.FOREIGN
