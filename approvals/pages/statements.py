"""Statements as pages show them: what each does, how risky it is, what it locks and whom that blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from approvals.analysis import LockMode, Risk


@dataclass(frozen=True)
class Lock:
    """A lock that a statement takes, and whom that keeps waiting."""

    relation: str
    mode: str
    blocks: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One statement as shown. `risk` 1 to 5: as a forward change, or as a hazard inside a script."""

    number: int
    line: int
    sql: str
    says: str
    change: str
    risk: int
    why: str
    data_loss: str
    locks: tuple[Lock, ...]
    notes: tuple[str, ...]
    how: str = "transactional"


def forward_lines(analysis: dict[str, Any]) -> list[Line]:
    """The statements of a migration file, each rated by the decision matrix."""
    return [
        _line(number, statement, statement["risk"], statement["action"])
        for number, statement in enumerate(analysis.get("statements", []), start=1)
    ]


def back_lines(plan: dict[str, Any]) -> list[Line]:
    """The statements of a script's plan, each rated by what it endangers when it runs."""
    return [
        _line(
            step["position"],
            step["statement"],
            step["statement"]["hazard"],
            step["statement"]["hazard_reason"],
            how=step["kind"],
        )
        for step in plan.get("steps", [])
    ]


def _line(number: int, statement: dict[str, Any], risk: str, why: str, *, how: str = "transactional") -> Line:
    return Line(
        number=number,
        line=statement["line"],
        sql=statement["sql"],
        says=statement["says"],
        change=statement["change"],
        risk=int(Risk[risk]),
        why=why,
        data_loss=statement["data_loss"],
        locks=tuple(
            Lock(lock["relation"], lock["mode"], LockMode(lock["mode"]).blocks, lock.get("note", ""))
            for lock in statement["locks"]
        ),
        notes=tuple(statement["notes"]),
        how=how,
    )


def strongest_locks(lines: Iterable[Line]) -> list[Lock]:
    """The strongest lock on each relation over all statements, the strongest first."""
    strongest: dict[str, Lock] = {}
    for line in lines:
        for lock in line.locks:
            known = strongest.get(lock.relation)
            if known is None or LockMode(known.mode) < LockMode(lock.mode):
                strongest[lock.relation] = lock
    return sorted(strongest.values(), key=lambda lock: (-LockMode(lock.mode).strength, lock.relation))
