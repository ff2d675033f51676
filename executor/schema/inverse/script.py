"""Render what has run as a script that a careful DBA would sign: grouped, commented, qualified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from executor.schema.inverse.action import Action, Statement
from executor.schema.inverse.priorities import LATE
from executor.schema.lost import HEARD, Lost
from executor.schema.objects import Ref

HEADER = "SET LOCAL check_function_bodies = off"


@dataclass(frozen=True, slots=True)
class InverseStep:
    """One statement of the script: what it is about, why it is there, which data it takes away."""

    sql: str
    verb: str
    ref: Ref
    why: str
    loses: tuple[Lost, ...]
    outside: bool
    fills: bool


def steps(actions: Iterable[Action]) -> tuple[InverseStep, ...]:
    """The statements of actions that have run, in their order."""
    return tuple(_steps(actions))


def _steps(actions: Iterable[Action]) -> Iterator[InverseStep]:
    for action in actions:
        for number, statement in enumerate(action.statements):
            first = number == 0
            yield InverseStep(
                statement.sql,
                action.verb,
                action.ref,
                action.why if first else "",
                action.loses if first else (),
                statement.outside,
                statement.fills,
            )


def render(made: Iterable[InverseStep]) -> str:
    """The script. Statements that must run outside a transaction come last, under a heading of their own."""
    made = list(made)
    inside = [step for step in made if not step.outside]
    outside = [step for step in made if step.outside]
    parts = []
    if any(step.ref.kind in ("function", "aggregate") for step in made):
        parts.append(f"{HEADER};\n")
    heading = None
    for step in inside:
        if (title := _title(step)) != heading:
            parts.append(f"\n-- {title}\n")
            heading = title
        parts.append(_statement(step))
    if outside:
        parts.append("\n-- Outside any transaction, once the above is committed\n")
        parts += [_statement(step) for step in outside]
    return "".join(parts).lstrip("\n")


def _statement(step: InverseStep) -> str:
    notes = []
    notes += [
        f"-- {'Not known' if lost.kind == HEARD else 'Data that goes'}: {lost}\n" for lost in step.loses
    ]
    if step.why:
        notes.append(f"-- {step.why[0].upper()}{step.why[1:]}\n")
    return "".join(notes) + f"{step.sql.rstrip().rstrip(';')};\n"


_PLURALS = {
    "policy": "policies",
    "index": "indexes",
    "statistics": "statistics",
    "text search dictionary": "text search dictionaries",
    "operator class": "operator classes",
    "operator family": "operator families",
    "default privileges": "default privileges",
}


def _title(step: InverseStep) -> str:
    many = _PLURALS.get(step.ref.kind, step.ref.kind + "s")
    words = {
        "drop": f"Drop {many}",
        "create": f"Give back {many}",
        "alter": f"Change {many}",
        "rename": "Former names",
        "keep": "Keep the data in place",
        "rows": "Take away the rows that the migration added",
        "route": "Give rows back to their partitions",
        "set aside": "Set aside what can't be altered",
    }
    if step.verb == "keep":
        return words["keep"]
    if step.sql.startswith("COMMENT "):
        return "Comments"
    if step.sql.startswith(("GRANT ", "REVOKE ")) or " OWNER TO " in step.sql:
        return "Owners and grants"
    return words[step.verb]


__all__ = ["HEADER", "LATE", "InverseStep", "Statement", "render", "steps"]
